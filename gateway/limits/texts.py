"""How many texts a request asks to embed, found in its bytes."""

from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.descriptor import MethodDescriptor

#: Texts in the bytes of one message.
TextCounter: TypeAlias = Callable[[bytes], int]

_VARINT, _FIXED64, _BYTES, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
#: Longest varint, of 64 bits.
_MAX_VARINT = 10


def text_counter(method: MethodDescriptor) -> TextCounter | None:
    """Counts the texts in a message of a method; None when it embeds none. CountTokens does not: it runs no model."""
    match method.full_name:
        case "trimem.embedding.v1.EmbeddingService.Embed":
            number = method.input_type.fields_by_name["inputs"].number
            return lambda message: count_field(message, number)
        case "trimem.embedding.v1.EmbeddingService.EmbedStream":
            return lambda _message: 1
        case "trimem.embedding.v1.EmbeddingService.ComputeSimilarity":
            return lambda _message: 2  # it has two sides
        case _:
            return None


def count_field(message: bytes, number: int) -> int:
    """How often a field of strings, bytes or messages occurs in the bytes of a message, without looking into it.

    Bytes that are no message are counted up to there: their receiver refuses them.
    """
    count, position, depth = 0, 0, 0
    try:
        while position < len(message):
            tag, position = _varint(message, position)
            kind = tag & 7
            if kind == _VARINT:
                _, position = _varint(message, position)
            elif kind == _FIXED64:
                position += 8
            elif kind == _BYTES:
                length, position = _varint(message, position)
                position += length
                count += not depth and tag >> 3 == number
            elif kind == _START_GROUP:  # nobody makes groups any more, but a receiver skips them
                depth += 1
            elif kind == _END_GROUP:
                depth -= 1
            elif kind == _FIXED32:
                position += 4
            else:
                return count
    except IndexError:  # it ends in the middle of a number
        pass
    return count


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A number, and where it ends. Raises IndexError when the bytes end before."""
    byte = message[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    for index in range(1, _MAX_VARINT):
        byte = message[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise IndexError
