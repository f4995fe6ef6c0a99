"""Messages of SearchCode to dataclasses, and back."""

from servicekit.errors import InvalidArgumentError
from store.code.source import CodeKind
from store.servicers.code_conversion import KINDS, write_chunk
from store.use_cases.code_fusion import CodeSearchMode
from store.use_cases.search_code import MAX_CHOICES, CodePage, CodeSearch
from trimem.store.v1 import code_service_pb2 as pb

_MODES = {mode: pb.CodeSearchMode.Value(f"CODE_SEARCH_MODE_{mode.value}") for mode in CodeSearchMode}
_MODE_OF = {number: mode for mode, number in _MODES.items()} | {
    pb.CODE_SEARCH_MODE_UNSPECIFIED: CodeSearchMode.FUSED,
}
_KIND_OF = {number: kind for kind, number in KINDS.items()}


def code_search_of(request: pb.SearchCodeRequest) -> CodeSearch:
    """What a request looks for. Raises InvalidArgumentError."""
    for field, values in (("languages", request.languages), ("kinds", request.kinds)):
        if len(values) > MAX_CHOICES:  # before they are gone through: a request has room for millions
            raise InvalidArgumentError(field, f"must be at most {MAX_CHOICES}")
    if request.mode not in _MODE_OF:
        raise InvalidArgumentError("mode", "is not a search mode")
    return CodeSearch(
        query=request.query,
        mode=_MODE_OF[request.mode],
        repository=request.repository,
        path=request.path,
        languages=tuple(request.languages),
        kinds=tuple(_kind_of(place, kind) for place, kind in enumerate(request.kinds)),
        page_size=request.page_size,
        page_token=request.page_token,
    )


def code_search_message(page: CodePage) -> pb.SearchCodeResponse:
    """The answer to a search."""
    message = pb.SearchCodeResponse(
        mode=_MODES[page.mode],
        complete=page.complete,
        degraded=page.degraded,
        next_page_token=page.next_page_token,
    )
    for hit in page.hits:
        added = message.hits.add(
            score=hit.scored.score,
            code_similarity=hit.scored.code_similarity,
            text_similarity=hit.scored.text_similarity,
            names_score=hit.scored.names_score,
            snippet=pb.Snippet(
                start_line=hit.snippet.start_line,
                lines=hit.snippet.lines,
                matching_lines=hit.snippet.matching_lines,
            ),
        )
        write_chunk(hit.chunk, added.chunk)
    return message


def _kind_of(place: int, number: pb.CodeKind.ValueType) -> CodeKind:
    if number not in _KIND_OF:
        raise InvalidArgumentError(f"kinds[{place}]", "is not a kind of code")
    return _KIND_OF[number]
