"""One order of what a search for code found, and the tokens of its pages."""

from uuid import UUID, uuid4

import pytest

from servicekit.errors import InvalidArgumentError
from store.code.inputs import code_input, text_input
from store.code.source import Chunk, CodeKind, Span
from store.repositories.code_search import CodeCandidate, CodeCandidates
from store.use_cases import code_search_tokens as tokens
from store.use_cases.code_fusion import OF_CODE, OF_QUESTIONS, CodeSearchMode, ScoredChunk, rank
from store.use_cases.code_search_tokens import FoundCode
from store.use_cases.search_tokens import MOST_HITS, seal

SEAL = seal(b"a search")


def candidate(
    number: int,
    *,
    code: float | None = None,
    text: float | None = None,
    words: float = 0.0,
    named: float = 0.0,
) -> CodeCandidate:
    return CodeCandidate(UUID(int=number), code, text, words, named)


def order(*found: CodeCandidate, mode: CodeSearchMode = CodeSearchMode.FUSED, best: float = 10.0) -> list[int]:
    return [hit.id.int for hit in rank(CodeCandidates(found, best), mode).hits]


def test_each_mode_orders_by_its_own_arm_and_leaves_out_what_it_cannot_compare() -> None:
    found = (
        candidate(1, code=0.9, text=0.1, words=1),
        candidate(2, code=0.1, text=0.9),
        candidate(3, words=5),
        candidate(4, named=0.9),
    )
    assert order(*found, mode=CodeSearchMode.CODE) == [1, 2]
    assert order(*found, mode=CodeSearchMode.TEXT) == [2, 1]
    assert order(*found, mode=CodeSearchMode.NAMES) == [4, 3, 1]
    assert sorted(order(*found)) == [1, 2, 3, 4]


def test_what_is_good_in_all_ways_comes_before_what_is_best_in_one() -> None:
    all_round = candidate(1, code=0.75, text=0.75, words=6)
    others = (candidate(2, code=0.8), candidate(3, text=0.8), candidate(4, words=7))
    assert order(*others, all_round)[0] == 1


def test_to_a_piece_of_code_what_a_chunk_says_about_itself_is_nothing() -> None:
    found = CodeCandidates([candidate(1, code=0.5, text=0.9, words=4), candidate(2, code=0.5, text=0.1, words=5)], 10.0)
    assert [hit.id.int for hit in rank(found, CodeSearchMode.FUSED, OF_CODE).hits] == [2, 1]
    assert [hit.id.int for hit in rank(found, CodeSearchMode.FUSED, OF_QUESTIONS).hits] == [1, 2]
    assert sum(OF_CODE) == sum(OF_QUESTIONS) == 1


def test_what_is_called_like_the_query_comes_first_and_a_part_of_the_name_does_not_outweigh_the_rest() -> None:
    alike = candidate(1, code=0.9, text=0.9, words=10)
    assert order(alike, candidate(2, named=0.9)) == [2, 1]
    assert order(alike, candidate(2, named=0.5)) == [1, 2]
    assert order(candidate(1, named=0.9), candidate(2, named=1.0)) == [2, 1]


def test_scores_are_in_their_range_and_equal_ones_have_an_order() -> None:
    found = [candidate(number, code=1.0, text=1.0, words=10.0, named=1.0) for number in (3, 1, 2)]
    ranking = rank(CodeCandidates(found, 10.0), CodeSearchMode.FUSED)
    assert [hit.score for hit in ranking.hits] == pytest.approx([1, 1, 1])
    assert [hit.id.int for hit in ranking.hits] == [1, 2, 3]
    assert rank(CodeCandidates([]), CodeSearchMode.FUSED).hits == []


@pytest.mark.parametrize("mode", CodeSearchMode)
def test_what_was_not_looked_at_has_no_score_unless_a_limit_was_in_the_way(mode: CodeSearchMode) -> None:
    found = [candidate(1, code=0.5, text=0.5, words=5)]
    assert rank(CodeCandidates(found, 10.0), mode).unseen == 0
    cut = rank(CodeCandidates(found, 10.0, unseen_words=10.0, may_miss_nearest=True), mode)
    assert cut.unseen >= cut.hits[0].score


@pytest.mark.parametrize("mode", [CodeSearchMode.FUSED, CodeSearchMode.NAMES])
def test_names_that_were_not_looked_at_may_score_like_the_best_of_them(mode: CodeSearchMode) -> None:
    found = [candidate(1, words=5, named=0.9)]
    assert (
        rank(CodeCandidates(found, 10.0, unseen_named=0.9), mode).unseen
        >= rank(CodeCandidates(found, 10.0), mode).hits[0].score
    )


def test_a_token_holds_the_hits_that_are_to_come() -> None:
    hits = [ScoredChunk(uuid4(), 0.5, -0.25, 1.0, 3.5) for _ in range(MOST_HITS)]
    found = FoundCode(hits, 0.25, degraded=True)
    assert tokens.decode(tokens.encode(found, SEAL), SEAL) == found
    assert tokens.encode(FoundCode([], 0.0, degraded=False), SEAL) == ""


@pytest.mark.parametrize("hit", [(2.0, 0, 0, 0), (0.5, 2, 0, 0), (0.5, 0, -2, 0), (0.5, 0, 0, -1), (0.5, 0, 0, 1e39)])
def test_a_token_with_what_no_hit_is_like_is_refused(hit: tuple[float, float, float, float]) -> None:
    found = FoundCode([ScoredChunk(uuid4(), *hit)], 0.0, degraded=False)
    with pytest.raises((InvalidArgumentError, OverflowError)):
        tokens.decode(tokens.encode(found, SEAL), SEAL)


def test_a_token_of_another_search_or_of_nobody_is_refused() -> None:
    token = tokens.encode(FoundCode([ScoredChunk(uuid4(), 0.5, 0, 0, 0)], 0.0, degraded=False), SEAL)
    for given, sealed in ((token, seal(b"another")), (token[:-3], SEAL), ("!", SEAL), ("A" * 30_000, SEAL)):
        with pytest.raises(InvalidArgumentError) as refused:
            tokens.decode(given, sealed)
        assert refused.value.violations[0].field == "page_token"


def test_the_models_read_what_a_chunk_says_and_what_it_does() -> None:
    chunk = Chunk(
        CodeKind.METHOD,
        Span(0, 9, 1, 2),
        "def parseHTTPHeader(line):\n    return line.split(':')",
        name="parseHTTPHeader",
        parent="HTTPServer",
        signatures=("def parseHTTPHeader(line)",),
        docstrings=("Splits a line.",),
        symbols=("HTTPServer.parseHTTPHeader",),
    )
    said = text_input("net/server.py", chunk)
    assert said.split("\n")[:3] == ["parse http header", "Splits a line.", "http server"]
    assert "net server py" in said
    assert "split(" not in said
    assert code_input("net/server.py", chunk) == f"net/server.py HTTPServer\n{chunk.content}"


def test_what_says_nothing_is_told_by_its_words_and_an_empty_input_is_never_made() -> None:
    loose = Chunk(CodeKind.MODULE, Span(0, 9, 1, 2), "LOG_LEVEL = 'debug'\n" * 500)
    said = text_input("a.py", loose)
    assert "log level debug" in said
    assert len(said) < 400
    for odd in (Chunk(CodeKind.LINES, Span(0, 1, 1, 1), "…"), Chunk(CodeKind.LINES, Span(0, 1, 1, 1), " ")):
        assert text_input("…", odd).strip()
        assert code_input("…", odd).strip()
