"""Keeps the embeddings that were made last, so that equal inputs cost nothing."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from embedder.domain import InputKind
from embedder.models.engine import Vectors

#: What an entry takes beside its vector: key, counts, and the dictionary's own books. Measured with tracemalloc.
_OVERHEAD_BYTES = 320


@dataclass(frozen=True, slots=True)
class CachedEmbedding:
    """An embedding as it left."""

    #: float32, little-endian.
    vector: bytes
    token_count: int
    truncated: bool

    @property
    def row(self) -> Vectors:
        """The vector, shape [d]. Not writable."""
        return np.frombuffer(self.vector, dtype="<f4")


def cache_key(fingerprint: str, kind: InputKind, dimensions: int, text: str) -> bytes:
    """Identity of an embedding: 32 bytes for any text, so that long inputs do not fill the cache by themselves."""
    digest = hashlib.blake2b(f"{fingerprint}\0{kind.value}\0{dimensions}\0".encode(), digest_size=32)
    digest.update(text.encode())
    return digest.digest()


class EmbeddingCache:
    """Least recently used embeddings go first once there are too many, or they take too much. Not safe for threads."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        """0 of either turns the cache off."""
        self._max_entries = max_entries if max_bytes else 0
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, CachedEmbedding] = OrderedDict()
        #: Memory that the entries take, about.
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def enabled(self) -> bool:
        """Whether it keeps anything at all."""
        return self._max_entries > 0

    def get(self, key: bytes) -> CachedEmbedding | None:
        """What was put under this key, unless it had to go since."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, embedding: CachedEmbedding) -> None:
        """Keep an embedding."""
        size = len(embedding.vector) + _OVERHEAD_BYTES
        if not self.enabled or size > self._max_bytes:
            return
        previous = self._entries.pop(key, None)
        if previous is not None:
            self.bytes -= len(previous.vector) + _OVERHEAD_BYTES
        self._entries[key] = embedding
        self.bytes += size
        while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= len(oldest.vector) + _OVERHEAD_BYTES

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0
