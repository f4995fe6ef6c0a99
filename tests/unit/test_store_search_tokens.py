"""Tokens of pages of a search."""

import base64
import math
import struct
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import InvalidArgumentError
from store.use_cases.fusion import Scored
from store.use_cases.search_tokens import MOST_HITS, Found, decode, encode, seal

SEAL = seal(b"a search")


def hits(count: int) -> list[Scored]:
    """Some, with numbers that float32 holds."""
    return [Scored(uuid4(), 0.5, -0.25, 7.5) for _ in range(count)]


def test_what_is_left_comes_back() -> None:
    found = Found(hits(3), 0.125, degraded=True)

    assert decode(encode(found, SEAL), SEAL) == found


def test_nothing_left_is_no_token() -> None:
    assert encode(Found([], 0.0, degraded=False), SEAL) == ""


def test_the_longest_token_fits_into_a_url() -> None:
    token = encode(Found(hits(MOST_HITS - 1), 0.0, degraded=False), SEAL)

    assert len(token) < 8000
    assert len(decode(token, SEAL).hits) == MOST_HITS - 1


def test_a_token_of_another_search_is_refused() -> None:
    token = encode(Found(hits(1), 0.0, degraded=False), SEAL)

    with pytest.raises(InvalidArgumentError, match="another search"):
        decode(token, seal(b"an", b"other"))


def test_a_seal_knows_where_its_parts_end() -> None:
    assert seal(b"ab", b"c") != seal(b"a", b"bc") != seal(b"abc")


def forged(*, score: float = 0.5, similarity: float = 0.5, lexical: float = 1.0, unseen: float = 0.0) -> str:
    """A token of ours with other numbers."""
    raw = struct.pack("<16s?d16sfff", SEAL, False, unseen, UUID(int=1).bytes, score, similarity, lexical)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_the_forged_tokens_below_have_the_right_form() -> None:
    assert decode(forged(), SEAL).hits == [Scored(UUID(int=1), 0.5, 0.5, 1.0)]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        "A" * 9000,
        "AAAA",
        encode(Found(hits(2), 0.0, degraded=False), SEAL)[:-4],
        encode(Found(hits(2), 0.0, degraded=False), SEAL) + "AAAA",
        "====",
        "\x00",
        forged(score=math.nan),
        forged(score=1.5),
        forged(similarity=math.inf),
        forged(similarity=-2),
        forged(lexical=-1),
        forged(lexical=math.inf),
        forged(unseen=math.nan),
    ],
)
def test_a_hostile_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decode(token, SEAL)

    assert caught.value.violations[0].field == "page_token"


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_token_does_anything_else(token: str) -> None:
    with pytest.raises(InvalidArgumentError):
        decode(token, SEAL)
