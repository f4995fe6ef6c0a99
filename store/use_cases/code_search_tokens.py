"""Page tokens of searches for code: the hits that are still to come, as in `search_tokens`."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from servicekit.errors import InvalidArgumentError
from store.use_cases.code_fusion import ScoredChunk
from store.use_cases.page_tokens import as_bytes, as_text, not_ours
from store.use_cases.search_tokens import MOST_HITS

#: Seal; whether the embedder was down; best score of what was not looked at.
_HEAD = struct.Struct("<16s?d")
#: Id, score, similarities, BM25 score.
_HIT = struct.Struct("<16sffff")
_LONGEST = (_HEAD.size + MOST_HITS * _HIT.size) * 4 // 3 + 4


@dataclass(frozen=True, slots=True)
class FoundCode:
    """What a search found, or what is left of it after some pages."""

    hits: Sequence[ScoredChunk]
    unseen: float
    degraded: bool


def encode(found: FoundCode, sealed: bytes) -> str:
    """A token for the rest of what was found; empty when there is none."""
    if not found.hits:
        return ""
    head = _HEAD.pack(sealed, found.degraded, found.unseen)
    return as_text(head + b"".join(_HIT.pack(one.id.bytes, *one[1:]) for one in found.hits))


def decode(token: str, sealed: bytes) -> FoundCode:
    """What a token holds. Raises InvalidArgumentError for one that is not ours, or of another search."""
    try:
        raw = as_bytes(token, _LONGEST)
        its_seal, degraded, unseen = _HEAD.unpack_from(raw)
        hits = [ScoredChunk(UUID(bytes=one[0]), *one[1:]) for one in _HIT.iter_unpack(raw[_HEAD.size :])]
    except (ValueError, struct.error):
        raise not_ours() from None
    if its_seal != sealed:
        raise InvalidArgumentError("page_token", "belongs to another search")
    if not math.isfinite(unseen) or not all(_is_sound(one) for one in hits):
        raise not_ours()
    return FoundCode(hits, unseen, degraded)


def _is_sound(hit: ScoredChunk) -> bool:
    return (
        0 <= hit.score <= 1
        and -1 <= hit.code_similarity <= 1
        and -1 <= hit.text_similarity <= 1
        and 0 <= hit.names_score < math.inf
    )
