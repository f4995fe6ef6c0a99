"""Which partition of `events` a time belongs to: one for each month, one for all before, one for all after."""

from dataclasses import dataclass
from datetime import UTC, datetime

#: Months have partitions of their own from here to there.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """The times of a partition, and the name that it gets."""

    name: str
    #: First time that belongs to it, and first that does not; None is no limit.
    start: datetime | None
    end: datetime | None


def span_of(time: datetime) -> Span:
    """The partition that is made for this time."""
    if time < _FIRST:
        return Span("events_before_1970", None, _FIRST)
    if time >= _LAST:
        return Span("events_from_2100", _LAST, None)
    start = month_of(time)
    return Span(f"events_y{start.year:04}m{start.month:02}", start, later(start, 1))


def month_of(time: datetime) -> datetime:
    """The first moment of the month, in UTC."""
    return time.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def later(month: datetime, months: int) -> datetime:
    """The first moment of the month that is so many months later; earlier when negative."""
    years, number = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=number + 1)


def horizon(now: datetime, retention_months: int) -> datetime | None:
    """The oldest time that is kept: the begin of the month that is so many months ago. None keeps all."""
    return later(month_of(now), -retention_months) if retention_months else None
