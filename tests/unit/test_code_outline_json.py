"""What is kept of a file comes back as it was."""

import json
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from store.code.outline_json import VERSION, outline_from_json, outline_to_json
from store.code.source import Binding, CodeKind, Import, Outline, Reference, ReferenceKind, Span, Symbol

T = TypeVar("T")

_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
_NUMBERS = st.integers(min_value=0, max_value=2**31)


def _some(one: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(one, max_size=4).map(tuple)


_OUTLINES = st.builds(
    Outline,
    symbols=_some(
        st.builds(
            Symbol,
            kind=st.sampled_from(CodeKind),
            name=_TEXTS,
            qualified_name=_TEXTS,
            parent=_TEXTS,
            span=st.builds(Span, _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS),
            signature=_TEXTS,
            docstring=_TEXTS,
            parameters=_some(_TEXTS),
            decorators=_some(_TEXTS),
            bases=_some(_TEXTS),
            complexity=_NUMBERS,
        )
    ),
    imports=_some(st.builds(Import, module=_TEXTS, name=_TEXTS, alias=_TEXTS, line=_NUMBERS, scope=_TEXTS)),
    references=_some(
        st.builds(Reference, kind=st.sampled_from(ReferenceKind), target=_TEXTS, scope=_TEXTS, line=_NUMBERS)
    ),
    bindings=_some(st.builds(Binding, name=_TEXTS, type_name=_TEXTS, scope=_TEXTS)),
)


@given(_OUTLINES)
def test_an_outline_comes_back_as_it_was(outline: Outline) -> None:
    assert outline_from_json(json.loads(json.dumps(outline_to_json(outline)))) == outline


def test_of_an_outline_of_another_version_nothing_is_read() -> None:
    assert outline_from_json({"version": VERSION + 1, "names": "of another shape"}) == Outline()
