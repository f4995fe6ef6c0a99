"""What a key may be allowed to do."""

from enum import StrEnum

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

#: Its methods change nothing, so their options do not tell them from reads.
_EMBEDDING_SERVICE = "trimem.embedding.v1.EmbeddingService"


class Scope(StrEnum):
    """One kind of access. None implies another: a key that may write and read has both."""

    READ = "read"
    WRITE = "write"
    EMBED = "embed"
    METRICS = "metrics"


def scope_of(method: MethodDescriptor) -> Scope:
    """The scope that a public method needs. What does not promise to change nothing counts as a write."""
    if method.containing_service.full_name == _EMBEDDING_SERVICE:
        return Scope.EMBED
    if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
        return Scope.READ
    return Scope.WRITE
