"""Vectors between numpy and protobuf."""

import numpy as np
import pytest

from embedder.vectors import fill, read
from trimem.embedding.v1 import embedding_pb2 as pb


@pytest.mark.parametrize("length", [1, 31, 32, 384, 768, 4096, 600_000])
def test_a_row_survives_the_way_there_and_back_bit_by_bit(length: int) -> None:
    row = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    message = pb.Vector()
    fill(message, row)
    assert message == pb.Vector(values=row.tolist())
    assert read(pb.Vector.FromString(message.SerializeToString())).tobytes() == row.tobytes()


def test_rows_of_other_byte_orders_and_strides_are_understood() -> None:
    matrix = np.arange(12, dtype=">f4").reshape(3, 4)
    message = pb.Vector()
    fill(message, matrix[:, 1])
    assert list(message.values) == [1, 5, 9]


def test_an_empty_vector_reads_as_no_numbers() -> None:
    assert read(pb.Vector()).shape == (0,)
