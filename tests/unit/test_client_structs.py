"""JSON as Structs: what comes back is what was sent, or it is refused."""

import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from trimem.client import InvalidArgumentError
from trimem.client.structs import MAX_LEVELS, fill, object_of

TEXTS = st.text(st.characters(codec="utf-8"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | TEXTS
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS, TREES, max_size=5))
def test_what_is_sent_is_what_comes_back(tree: dict[str, Any]) -> None:
    back = object_of(struct_of(tree))
    assert back == tree
    assert json.dumps(back, sort_keys=True) == json.dumps(tree, sort_keys=True), (
        "1 and 1.0 and True are equal, and are not the same JSON"
    )


def struct_of(tree: Any) -> Struct:
    struct = Struct()
    fill("content", struct, tree)
    return struct


def nested(levels: int) -> Any:
    tree: Any = "leaf"
    for _ in range(levels):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"a": {"b": [1, 2**53 + 1]}}, r"content\.a\.b\[1\]: is an integer beyond"),
        ({"a": 10**400}, r"content\.a: is an integer beyond"),
        ({"a": float("nan")}, r"content\.a: must be a finite number"),
        ({"a": [float("-inf")]}, r"content\.a\[0\]: must be a finite number"),
        ({"a": "\ud800"}, r"content\.a: has half of a surrogate"),
        ({"\udfff": 1}, r"content: has half of a surrogate"),
        ({1: "a"}, r"content: has a key that is not a string but int"),
        ({"a": b"bytes"}, r"content\.a: is of the type bytes"),
        ({"a": {1, 2}}, r"content\.a: is of the type set"),
        ("text", r"content: must be a JSON object, and is str"),
        (nested(MAX_LEVELS + 1), "is nested more than 30 levels deep"),
        (nested(5000), "is nested more than 30 levels deep"),
        ({"a": [[[]] * 2] * 2, "b": [nested(29), [nested(MAX_LEVELS)]]}, "is nested more than 30 levels deep"),
    ],
)
def test_what_would_arrive_changed_is_refused_with_its_path(tree: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said) as raised:
        struct_of(tree)
    assert raised.value.violations


def test_as_deep_as_the_store_takes_is_sent() -> None:
    tree = nested(MAX_LEVELS)
    assert object_of(struct_of(tree)) == tree
