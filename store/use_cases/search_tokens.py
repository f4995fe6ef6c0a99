"""Page tokens of searches: the hits that are still to come, sealed to the search that found them.

A search that went on where it stopped would find what was written meanwhile, and show it in between. The hits
themselves make pages that do not move, at the price of a token of up to 8 KB.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from servicekit.errors import InvalidArgumentError
from store.use_cases.fusion import Scored
from store.use_cases.page_tokens import as_bytes, as_text, not_ours

#: Most hits of a search.
MOST_HITS = 200

#: Seal; whether the embedder was down; best score of what was not looked at.
_HEAD = struct.Struct("<16s?d")
#: Id, score, similarity, BM25 score.
_HIT = struct.Struct("<16sfff")
_LONGEST = (_HEAD.size + MOST_HITS * _HIT.size) * 4 // 3 + 4


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, or what is left of it after some pages."""

    hits: Sequence[Scored]
    unseen: float
    degraded: bool


def seal(*parts: bytes) -> bytes:
    """What tells one search from another."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()


def encode(found: Found, sealed: bytes) -> str:
    """A token for the rest of what was found; empty when there is none."""
    if not found.hits:
        return ""
    raw = _HEAD.pack(sealed, found.degraded, found.unseen) + b"".join(
        _HIT.pack(one.id.bytes, one.score, one.similarity, one.lexical_score) for one in found.hits
    )
    return as_text(raw)


def decode(token: str, sealed: bytes) -> Found:
    """What a token holds. Raises InvalidArgumentError for one that is not ours, or of another search."""
    try:
        raw = as_bytes(token, _LONGEST)
        its_seal, degraded, unseen = _HEAD.unpack_from(raw)
        hits = [Scored(UUID(bytes=one[0]), *one[1:]) for one in _HIT.iter_unpack(raw[_HEAD.size :])]
    except (ValueError, struct.error):
        raise not_ours() from None
    if its_seal != sealed:
        raise InvalidArgumentError("page_token", "belongs to another search")
    if not math.isfinite(unseen) or not all(_is_sound(one) for one in hits):
        raise not_ours()
    return Found(hits, unseen, degraded)


def _is_sound(hit: Scored) -> bool:
    return 0 <= hit.score <= 1 and -1 <= hit.similarity <= 1 and 0 <= hit.lexical_score < math.inf
