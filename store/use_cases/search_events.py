"""Finding events by meaning and by words."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import partial
from uuid import UUID

from servicekit.errors import InvalidArgumentError
from store.events import EmbeddingSpace, Event, EventFilter, SearchHit, Vector
from store.repositories.search import Question, Recency, SearchRepository
from store.use_cases import search_tokens
from store.use_cases.embedding import PASSING, TextEmbedding
from store.use_cases.event_rules import accept_filter, accept_page_size, accept_vector, require_plain_text
from store.use_cases.fusion import Scored, SearchMode, rank
from store.use_cases.page_bytes import PAGE_BYTES, fitting
from store.use_cases.search_tokens import MOST_HITS, Found
from store.use_cases.words import words_of

DEFAULT_PAGE = 10
LARGEST_PAGE = 100
MAX_QUERY_BYTES = 16 * 1024

#: Words of a query that count: the first ones. A question has a dozen.
MAX_QUERY_WORDS = 64

#: What a search by vector alone finds at least, and pages of it. Most callers want the first page only, and with 200
#: events the others cost as much as that. In multiples of the least: the database keeps a plan for each number.
_FEW_HITS, _FEW_PAGES = 50, 5

#: Candidates of each kind when age counts: a new event may come from far behind.
_AGED_CANDIDATES = 1000

#: The similarity of equal vectors comes out as 1 up to float32 rounding; a limit of exactly 1 should find them.
_ROUNDING = 1e-6

#: Events read at once for a page: large ones may fill it before all are read.
_READ_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class EventSearch:
    """What to look for, as a caller wants it; not yet checked."""

    query: str = ""
    vector: Vector | None = None
    #: None: HYBRID, or VECTOR when there is nothing but a vector.
    mode: SearchMode | None = None
    matching: EventFilter = field(default_factory=EventFilter)
    min_similarity: float | None = None
    #: Seconds.
    recency_half_life: float | None = None
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of hits; see SearchEventsResponse."""

    hits: list[SearchHit]
    mode: SearchMode
    complete: bool
    degraded: bool
    next_page_token: str


class SearchEvents:
    """Finds up to MOST_HITS events at once and shows them page by page."""

    def __init__(self, events: SearchRepository, embedding: TextEmbedding) -> None:
        self._events = events
        self._embedding = embedding

    async def run(self, search: EventSearch) -> SearchPage:
        """Hits, best first. Raises InvalidArgumentError, and what TextEmbedding.query raises."""
        size = accept_page_size(search.page_size, default=DEFAULT_PAGE, most=LARGEST_PAGE)
        search = await self._accept(search)
        sealed = _seal(search)
        brought: Mapping[UUID, Event] = {}
        if search.page_token:
            found = search_tokens.decode(search.page_token, sealed)
        else:
            found, brought = await self._embedding.in_recorded_space(partial(self._find, search, size))
        return await self._page(search, found, brought, size, sealed)

    async def _find(self, search: EventSearch, size: int) -> tuple[Found, Mapping[UUID, Event]]:
        """What is found, and those of the events that came along."""
        mode, vector, space, degraded = await self._meaning(search)
        half_life = search.recency_half_life
        question = Question(
            terms=() if mode is SearchMode.VECTOR else words_of(search.query, MAX_QUERY_WORDS).terms,
            vector=vector,
            space=space,
            recency=None if half_life is None else Recency(time.time(), half_life),
            # With another order than by vector they would not be the page.
            bring=min(size, _READ_AT_ONCE) if mode is SearchMode.VECTOR else 0,
        )
        if question.recency is not None:
            limit = _AGED_CANDIDATES
        elif mode is SearchMode.VECTOR:
            limit = min(MOST_HITS, math.ceil(_FEW_PAGES * size / _FEW_HITS) * _FEW_HITS)
        else:
            limit = MOST_HITS
        candidates = await self._events.candidates(question, search.matching, limit)
        least = None if search.min_similarity is None else search.min_similarity - _ROUNDING
        ranking = rank(candidates, mode, recency=question.recency, least=least)
        return Found(ranking.hits[:MOST_HITS], ranking.unseen, degraded), candidates.events

    async def _meaning(self, search: EventSearch) -> tuple[SearchMode, Vector | None, EmbeddingSpace | None, bool]:
        """What is compared in fact, with which vector, and whether that is less than was asked for."""
        mode = _mode(search)
        if mode is SearchMode.LEXICAL or search.vector is not None:
            return mode, search.vector, None, False
        try:
            vector, space = await self._embedding.query(search.query)
        except PASSING:
            # Without a vector nobody knows which events are similar enough.
            if mode is SearchMode.VECTOR or search.min_similarity is not None:
                raise
            return SearchMode.LEXICAL, None, None, True
        return mode, vector, space, False

    async def _page(
        self, search: EventSearch, found: Found, brought: Mapping[UUID, Event], size: int, sealed: bytes
    ) -> SearchPage:
        hits, passed = await self._read(found.hits, brought, search.matching, size)
        rest = replace(found, hits=found.hits[passed:])
        # What was not looked at would have a place on a page with room, and on any page if it may score more.
        worst = hits[-1].score if hits and (rest.hits or len(hits) == size) else 0.0
        return SearchPage(
            hits,
            SearchMode.LEXICAL if found.degraded else _mode(search),
            complete=found.unseen <= worst,
            degraded=found.degraded,
            next_page_token=search_tokens.encode(rest, sealed),
        )

    async def _read(
        self, hits: Sequence[Scored], brought: Mapping[UUID, Event], matching: EventFilter, size: int
    ) -> tuple[list[SearchHit], int]:
        """The first hits whose events are still there, as many as an answer can carry; and how many were gone through.

        The first of them always.
        """
        page: list[SearchHit] = []
        passed, room = 0, PAGE_BYTES
        while passed < len(hits) and len(page) < size:
            some = hits[passed : passed + min(_READ_AT_ONCE, size - len(page))]
            events = await self._events.events([one.id for one in some if one.id not in brought], matching)
            there = [(one, event) for one in some if (event := brought.get(one.id) or events.get(one.id))]
            count, taken = fitting([event for _, event in there], room)
            count = count if page else max(count, 1)
            page += [SearchHit(event, one.score, one.similarity, one.lexical_score) for one, event in there[:count]]
            if count < len(there):
                return page, passed + some.index(there[count][0])
            room -= taken
            passed += len(some)
        return page, passed

    async def _accept(self, search: EventSearch) -> EventSearch:
        """The search itself, its vector of length 1. Raises InvalidArgumentError."""
        accept_filter(search.matching)
        mode = _mode(search)
        if search.vector is None or mode is not SearchMode.VECTOR:
            _require_query(search.query)
        if search.vector is not None and mode is SearchMode.LEXICAL:
            raise InvalidArgumentError("vector", "must not be given with mode LEXICAL")
        if search.min_similarity is not None:
            if mode is SearchMode.LEXICAL:
                raise InvalidArgumentError("min_similarity", "must not be given with mode LEXICAL")
            if not -1 <= search.min_similarity <= 1:  # false for NaN too
                raise InvalidArgumentError("min_similarity", "must be in [-1, 1]")
        if search.recency_half_life is not None and search.recency_half_life <= 0:
            raise InvalidArgumentError("recency_half_life", "must be positive")
        if search.vector is None:
            return search
        dimension = await self._embedding.stored_dimension(len(search.vector))
        return replace(search, vector=accept_vector("vector", search.vector, dimension))


def _mode(search: EventSearch) -> SearchMode:
    if search.mode is not None:
        return search.mode
    return SearchMode.VECTOR if search.vector is not None and not search.query else SearchMode.HYBRID


def _require_query(query: str) -> None:
    if not query.strip():
        raise InvalidArgumentError("query", "must not be empty, unless a vector is given and mode is VECTOR")
    size = len(query.encode())
    if size > MAX_QUERY_BYTES:
        raise InvalidArgumentError("query", f"must be at most {MAX_QUERY_BYTES} bytes, and has {size}")
    require_plain_text("query", query)


def _seal(search: EventSearch) -> bytes:
    """Of all that must be the same on every page."""
    described = [
        search.query,
        _mode(search),
        search.matching.metadata,
        *(str(at and at.astimezone(UTC)) for at in (search.matching.start_time, search.matching.end_time)),
        search.min_similarity,
        search.recency_half_life,
    ]
    vector = b"" if search.vector is None else search.vector.tobytes()
    return search_tokens.seal(json.dumps(described, sort_keys=True).encode(), vector)
