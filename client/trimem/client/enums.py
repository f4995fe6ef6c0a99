"""Members of enums and their numbers in the API, where names are like EMBEDDING_STATE_FAILED."""

from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumValueDescriptor

E = TypeVar("E", bound=StrEnum)


def member_of(cls: type[E], numbers: Any, number: int) -> E | None:
    """The member for a number of an enum of the API. None for "not set", and for what a newer server says."""
    value: EnumValueDescriptor | None = numbers.DESCRIPTOR.values_by_number.get(number)
    return None if value is None else next((one for one in cls if value.name.endswith(f"_{one}")), None)


def number_of(numbers: Any, member: StrEnum | None) -> Any:
    """The number of a member in an enum of the API; 0, the server's default, for None."""
    if member is None:
        return 0
    return next(value.number for value in numbers.DESCRIPTOR.values if value.name.endswith(f"_{member}"))
