"""What the methods of both clients take by name."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from trimem.client.code_types import CodeKind, CodeSearchMode
from trimem.client.graph_types import EdgeConfidence, EdgeDirection
from trimem.client.types import Domain, EmbeddingState, InputKind, Json, SearchMode


class FilterOptions(TypedDict, total=False):
    """Which events come into question."""

    #: Those whose metadata contains this object.
    metadata_filter: Json | None
    #: Those with a timestamp at or after this time; UTC without a time zone.
    start_time: datetime | None
    #: Those with a timestamp before this time.
    end_time: datetime | None


class ListOptions(FilterOptions, total=False):
    """What a list takes."""

    #: Those whose embedding got this far.
    embedding_state: EmbeddingState | None
    #: Events of a page: 500 unless it is given, at most 1,000.
    page_size: int


class SearchOptions(FilterOptions, total=False):
    """What a search takes."""

    #: What to look for as a vector of the model of the stored ones.
    vector: Sequence[float] | None
    #: HYBRID unless it is given.
    mode: SearchMode | None
    #: Only hits with at least this cosine, in [-1, 1].
    min_similarity: float | None
    #: A hit that is this much older than now has half the score.
    recency_half_life: timedelta | None
    #: Hits of a page: 10 unless it is given, at most 100.
    page_size: int


class EmbedOptions(TypedDict, total=False):
    """How texts are embedded."""

    #: TEXT unless it is given.
    domain: Domain
    #: DOCUMENT unless it is given.
    kind: InputKind
    #: Length of the vectors; 0 is that of the model.
    dimensions: int
    #: Refuse a text that the model would read only the beginning of.
    reject_truncation: bool


class CodeSearchOptions(TypedDict, total=False):
    """Which code comes into question, and what is compared."""

    #: FUSED unless it is given.
    mode: CodeSearchMode
    #: All unless it is given.
    repository: str
    #: The beginning of paths; with `*`, `?` or `[` a pattern of whole paths, in which only `**` matches `/`.
    path: str
    #: In lower case, such as `python`.
    languages: Sequence[str]
    kinds: Sequence[CodeKind]
    #: Hits of a page: 10 unless it is given, at most 100.
    page_size: int


class NodeOptions(TypedDict, total=False):
    """Which nodes come into question."""

    #: All unless it is given. That of a repository's code is `code/` and its name.
    namespace: str
    types: Sequence[str]
    #: Those whose properties contain this object.
    properties_filter: Json | None
    #: Nodes of a page: 500 unless it is given, at most 1,000.
    page_size: int


class EdgeOptions(TypedDict, total=False):
    """Which edges are followed, and how far."""

    #: OUT unless it is given.
    direction: EdgeDirection
    edge_types: Sequence[str]
    #: Only edges that are at least this sure.
    min_confidence: EdgeConfidence
    #: Edges from the start, at most 20: 1 in a traversal and 10 in a path unless it is given.
    max_depth: int


class TraverseOptions(EdgeOptions, total=False):
    """What a traversal takes."""

    #: Others are not gone through.
    node_types: Sequence[str]
    #: Nodes of the answer: 1,000 unless it is given, at most 10,000.
    max_nodes: int
