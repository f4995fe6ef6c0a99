"""Finding code by what it does, by what it is called, and by what it looks like."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from servicekit import tasks
from servicekit.errors import InvalidArgumentError
from servicekit.off_loop import off_loop
from store.code.identifiers import is_code, names_asked, terms_asked
from store.code.languages import LANGUAGE_NAMES, languages_called
from store.code.path_filter import path_filter
from store.code.paths import accept_repository
from store.code.snippets import Snippet, snippet_of
from store.code.source import CodeKind, StoredChunk
from store.repositories.code_search import CodeFilter, CodeQuestion, CodeSearchRepository, Meaning
from store.use_cases import code_search_tokens
from store.use_cases.code_fusion import OF_CODE, OF_QUESTIONS, CodeSearchMode, ScoredChunk, rank
from store.use_cases.code_search_tokens import FoundCode
from store.use_cases.embedding import PASSING, TextEmbedding
from store.use_cases.event_rules import accept_page_size, require_plain_text
from store.use_cases.page_bytes import PAGE_BYTES
from store.use_cases.search_events import MAX_QUERY_BYTES
from store.use_cases.search_tokens import MOST_HITS, seal

DEFAULT_PAGE = 10
LARGEST_PAGE = 100
#: Languages, and kinds, of a filter.
MAX_CHOICES = 50

#: Chunks read at once for a page: large ones may fill it before all are read.
_READ_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class CodeSearch:
    """What to look for, as a caller wants it; not yet checked."""

    query: str
    mode: CodeSearchMode = CodeSearchMode.FUSED
    repository: str = ""
    path: str = ""
    languages: Sequence[str] = ()
    kinds: Sequence[CodeKind] = ()
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class CodeHit:
    """A chunk, how well it matches, and the lines that show it."""

    chunk: StoredChunk
    scored: ScoredChunk
    snippet: Snippet


@dataclass(frozen=True, slots=True)
class CodePage:
    """One page of hits; see SearchCodeResponse."""

    hits: list[CodeHit]
    mode: CodeSearchMode
    complete: bool
    degraded: bool
    next_page_token: str


class SearchCode:
    """Finds up to MOST_HITS chunks at once and shows them page by page."""

    def __init__(self, chunks: CodeSearchRepository, text: TextEmbedding, code: TextEmbedding) -> None:
        self._chunks = chunks
        self._text = text
        self._code = code

    async def run(self, search: CodeSearch) -> CodePage:
        """Hits, best first. Raises InvalidArgumentError, PASSING (CODE and TEXT only), and what the repository does."""
        size = accept_page_size(search.page_size, default=DEFAULT_PAGE, most=LARGEST_PAGE)
        matching = _accept(search)
        sealed = _seal(search)
        if search.page_token:
            found = code_search_tokens.decode(search.page_token, sealed)
        else:
            finding = partial(self._find, search, matching)
            found = await self._text.in_recorded_space(partial(self._code.in_recorded_space, finding))
        return await self._page(search, matching, found, size, sealed)

    async def _find(self, search: CodeSearch, matching: CodeFilter) -> FoundCode:
        question, degraded = await self._question(search)
        candidates = await self._chunks.candidates(question, matching, MOST_HITS)
        mode = CodeSearchMode.NAMES if degraded else search.mode
        ranking = rank(candidates, mode, OF_CODE if is_code(search.query) else OF_QUESTIONS)
        return FoundCode(ranking.hits[:MOST_HITS], ranking.unseen, degraded)

    async def _question(self, search: CodeSearch) -> tuple[CodeQuestion, bool]:
        """What to compare, and whether that is less than was asked for."""
        words = CodeQuestion(terms=terms_asked(search.query), names=names_asked(search.query))
        match search.mode:
            case CodeSearchMode.NAMES:
                return words, False
            case CodeSearchMode.CODE:
                return CodeQuestion(code=await _meaning(self._code, search.query)), False
            case CodeSearchMode.TEXT:
                return CodeQuestion(text=await _meaning(self._text, search.query)), False
        reading = asyncio.create_task(_meaning(self._text, search.query))
        try:
            code = await _meaning(self._code, search.query)
            return replace(words, code=code, text=await reading), False
        except PASSING:
            return words, True
        finally:
            await tasks.cancel(reading)

    async def _page(
        self, search: CodeSearch, matching: CodeFilter, found: FoundCode, size: int, sealed: bytes
    ) -> CodePage:
        chunks, passed = await self._read(found.hits, matching, size)
        terms = terms_asked(search.query)
        hits = await off_loop(
            sum(len(chunk.chunk.content) for _, chunk in chunks),
            lambda: [CodeHit(chunk, scored, snippet_of(chunk.chunk, terms)) for scored, chunk in chunks],
        )
        rest = replace(found, hits=found.hits[passed:])
        # What was not looked at would have a place on a page with room, and on any page if it may score more.
        worst = hits[-1].scored.score if hits and (rest.hits or len(hits) == size) else 0.0
        return CodePage(
            hits,
            CodeSearchMode.NAMES if found.degraded else search.mode,
            complete=found.unseen <= worst,
            degraded=found.degraded,
            next_page_token=code_search_tokens.encode(rest, sealed),
        )

    async def _read(
        self, hits: Sequence[ScoredChunk], matching: CodeFilter, size: int
    ) -> tuple[list[tuple[ScoredChunk, StoredChunk]], int]:
        """The first hits whose chunks are still there, as many as an answer can carry; and how many were gone through.

        The first of them always.
        """
        page: list[tuple[ScoredChunk, StoredChunk]] = []
        passed, room = 0, PAGE_BYTES
        while passed < len(hits) and len(page) < size:
            some = hits[passed : passed + min(_READ_AT_ONCE, size - len(page))]
            chunks = await self._chunks.chunks([one.id for one in some], matching)
            for one in some:
                if (chunk := chunks.get(one.id)) is not None:
                    room -= _bytes_of(chunk)
                    if page and room < 0:
                        return page, passed
                    page.append((one, chunk))
                passed += 1
        return page, passed


async def _meaning(embedding: TextEmbedding, query: str) -> Meaning:
    return Meaning(*await embedding.query(query))


def _accept(search: CodeSearch) -> CodeFilter:
    """The filter of a search that may be made. Raises InvalidArgumentError."""
    if not search.query.strip():
        raise InvalidArgumentError("query", "must not be empty")
    size = len(search.query.encode())
    if size > MAX_QUERY_BYTES:
        raise InvalidArgumentError("query", f"must be at most {MAX_QUERY_BYTES} bytes, and has {size}")
    require_plain_text("query", search.query)
    if search.repository:
        accept_repository(search.repository)
    languages: set[str] = set()
    for place, name in enumerate(search.languages):
        called = languages_called(name)
        if not called:
            raise InvalidArgumentError(f"languages[{place}]", f"is none of {', '.join(LANGUAGE_NAMES)}")
        languages |= called
    return CodeFilter(search.repository, path_filter(search.path), languages, frozenset(search.kinds))


def _seal(search: CodeSearch) -> bytes:
    """Of all that must be the same on every page."""
    filters = [search.repository, search.path, sorted({*search.languages}), sorted({*search.kinds})]
    return seal(json.dumps([search.query, search.mode, *filters]).encode())


def _bytes_of(chunk: StoredChunk) -> int:
    """About what a hit takes in an answer: the content again in the snippet, at most."""
    described = chunk.chunk
    lists = (*described.imports, *described.parameters, *described.decorators, *described.symbols)
    texts = (described.content, described.signature, described.docstring, *lists)
    return 2 * sum(len(text.encode()) for text in texts)
