"""Times as PostgreSQL counts them, those included that Python cannot hold."""

from datetime import UTC, datetime, timedelta

#: PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_TIME = datetime.min.replace(tzinfo=UTC)
_LAST_TIME = datetime.max.replace(tzinfo=UTC)

#: -infinity and infinity, and between them what PostgreSQL takes: 4714 BC to 294276 AD.
_INFINITIES = (-(2**63), 2**63 - 1)
_TAKEN = range(-211_813_488_000_000_000, 9_223_371_331_200_000_000)


class FarTime(datetime):
    """The nearest that Python has to a time that it cannot hold; goes back to the database as what it was."""

    microseconds: int


def microseconds_of(value: datetime) -> int:
    """What PostgreSQL counts for a time."""
    if isinstance(value, FarTime):
        return value.microseconds
    return (value - _EPOCH) // _MICROSECOND


def time_at(microseconds: int) -> datetime:
    """The time; one that Python cannot hold, infinity included, is the last or first that it can."""
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        nearest = _LAST_TIME if microseconds > 0 else _FIRST_TIME
        far = FarTime.combine(nearest.date(), nearest.time(), UTC)
        far.microseconds = microseconds
        return far


def is_time(microseconds: int) -> bool:
    """Whether PostgreSQL has such a time."""
    return microseconds in _TAKEN or microseconds in _INFINITIES
