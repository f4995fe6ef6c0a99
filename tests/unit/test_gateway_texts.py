"""Texts are counted in the bytes of a request, and found to be as many as its receiver finds."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.limits.texts import count_field, text_counter
from trimem.embedding.v1 import embedding_pb2

METHODS = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].methods_by_name
INPUTS = embedding_pb2.EmbedRequest.DESCRIPTOR.fields_by_name["inputs"].number


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(number: int, kind: int, payload: bytes) -> bytes:
    return varint(number << 3 | kind) + payload


def padded(value: int, length: int) -> bytes:
    """A varint of more bytes than it needs."""
    return bytes((value >> 7 * index & 0x7F) | 0x80 for index in range(length - 1)) + bytes(
        [value >> 7 * (length - 1) & 0x7F]
    )


def test_the_texts_of_a_request_are_counted() -> None:
    request = embedding_pb2.EmbedRequest(inputs=["a", "", "ü" * 1000], domain=embedding_pb2.DOMAIN_CODE, dimensions=300)

    assert count_field(request.SerializeToString(), INPUTS) == 3


def test_no_bytes_have_no_texts() -> None:
    assert count_field(b"", INPUTS) == 0


#: Fields as a message may have them, unknown ones and groups inside of groups too.
_numbers = st.integers(1, 20) | st.integers(1, 2**29 - 1)
_plain = (
    st.builds(lambda number, value: field(number, 0, varint(value)), _numbers, st.integers(0, 2**64 - 1))
    | st.builds(lambda number, value: field(number, 1, value), _numbers, st.binary(min_size=8, max_size=8))
    | st.builds(lambda number, value: field(number, 5, value), _numbers, st.binary(min_size=4, max_size=4))
    | st.builds(lambda number, value: field(number, 2, varint(len(value)) + value), _numbers, st.binary(max_size=200))
    | st.builds(
        lambda text, tag, length: padded(INPUTS << 3 | 2, tag) + padded(len(text), length) + text,
        st.text(max_size=20).map(str.encode),
        st.integers(1, 5),
        st.integers(2, 5),
    )
)
_fields = st.recursive(
    _plain,
    lambda inner: st.builds(
        lambda number, parts: field(number, 3, b"".join(parts)) + field(number, 4, b""),
        st.integers(1, 20),
        st.lists(inner, max_size=4),
    ),
    max_leaves=10,
)


@given(st.lists(_fields, max_size=10).map(b"".join))
@example(field(7, 3, field(INPUTS, 2, b"\x01a")) + field(7, 4, b"") + field(INPUTS, 2, b"\x01a"))
def test_whatever_fields_a_message_has_it_has_as_many_texts_as_its_receiver_reads(message: bytes) -> None:
    agree(message)


@given(
    st.lists(st.text(max_size=5), max_size=5),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=5),
    st.binary(max_size=30),
)
def test_bytes_that_somebody_broke_are_counted_without_trouble(
    texts: list[str], changes: list[tuple[int, int]], tail: bytes
) -> None:
    message = bytearray(embedding_pb2.EmbedRequest(inputs=texts, dimensions=7).SerializeToString() + tail)
    for position, byte in changes:
        if position < len(message):
            message[position] = byte
    agree(bytes(message))


@given(st.binary())
def test_no_bytes_are_trouble(message: bytes) -> None:
    agree(message)


def agree(message: bytes) -> None:
    """Nobody can hide texts: what the receiver accepts has as many as were counted."""
    counted = count_field(message, INPUTS)
    try:
        assert counted == len(embedding_pb2.EmbedRequest.FromString(message).inputs)
    except DecodeError:
        assert counted <= len(message)


@pytest.mark.parametrize(
    ("method", "message", "count"),
    [
        ("Embed", embedding_pb2.EmbedRequest(inputs=["a"] * 5), 5),
        ("EmbedStream", embedding_pb2.EmbedStreamRequest(input="a"), 1),
        ("ComputeSimilarity", embedding_pb2.ComputeSimilarityRequest(), 2),
    ],
)
def test_methods_that_embed_are_counted(method: str, message: Any, count: int) -> None:
    counter = text_counter(METHODS[method])

    assert counter is not None
    assert counter(message.SerializeToString()) == count


@pytest.mark.parametrize("method", ["CountTokens", "ListModels"])
def test_methods_that_run_no_model_are_not_counted(method: str) -> None:
    assert text_counter(METHODS[method]) is None
