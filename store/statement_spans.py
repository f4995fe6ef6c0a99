"""A span for each SQL statement: what it does to which table, never what it says."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from asyncpg import PostgresError

from servicekit.traces import Tracer

_VERB = re.compile(r"[a-z]+", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:from|into|update)\s+(?!set\b|skip\b|unnest\b|only\b)([a-z_][a-z0-9_]*)", re.IGNORECASE)


def statement_spans(tracer: Tracer) -> Callable[[Any], None]:
    """What a connection of asyncpg is told to do after each statement. COPY is not among those that it tells of."""

    def record(query: Any) -> None:
        attributes = attributes_of(query.query)
        error: BaseException | None = query.exception
        if isinstance(error, PostgresError) and error.sqlstate:
            attributes = {**attributes, "db.response.status_code": error.sqlstate}
        error_type = None if error is None else type(error).__name__
        tracer.happened(attributes["db.query.summary"], query.elapsed, attributes, error_type)

    return record


@lru_cache(maxsize=1024)
def attributes_of(statement: str) -> Mapping[str, str]:
    """What the conventions want to know of a statement. Its text is left out: pages of it would tell no more."""
    verb = _VERB.search(statement)
    table = _TABLE.search(statement)
    operation = verb.group().upper() if verb else "STATEMENT"
    return {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "db.query.summary": f"{operation} {table.group(1)}" if table else operation,
    }
