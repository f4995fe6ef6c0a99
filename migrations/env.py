"""Runs the migrations: on one connection, one migrator at a time, with limits on waiting.

Not for the `alembic` command: `store.migrate` gives it its plan.
"""

import asyncio
from typing import Any

import asyncpg
from alembic import context
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from store.code_tables import CODE_CHUNKS
from store.migrate import MigrationPlan
from store.schema import require_dimension
from store.tables import build_metadata

#: Name of the advisory lock that keeps migrators apart: "trimem" in ASCII.
_MIGRATION_LOCK = 0x7472696D656D


def _include_object(_object: object, _name: str | None, _type: str, reflected: bool, compare_to: object) -> bool:
    """Leave alone what exists in the database only: tables, columns and indexes that an operator added."""
    return not (reflected and compare_to is None)


def _compare_type(
    _context: object, column: Any, _metadata_column: object, inspected: Any, declared: Any
) -> bool | None:
    """True when a vector column has another dimension; None leaves other types to Alembic.

    Vectors of code have the length of the models that made them, which may be older than those of events: a change of
    model leaves them alone, and `python -m store forget-code` makes the columns anew.
    """
    if isinstance(declared, VECTOR) and isinstance(inspected, VECTOR):
        return inspected.dim != declared.dim and column.table.name != CODE_CHUNKS
    return None


def _configure(plan: MigrationPlan, partitions: frozenset[str] = frozenset(), **how: Any) -> None:
    def include_name(name: str | None, kind: str, _parents: object) -> bool:
        """Do not even look at the partitions: there may be hundreds, and they are what their parent is."""
        return not (kind == "table" and name in partitions)

    context.configure(
        target_metadata=build_metadata(plan.dimension),
        include_name=include_name,
        include_object=_include_object,
        compare_type=_compare_type,
        **how,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run(connection: Connection, plan: MigrationPlan) -> None:
    # The lock comes first and waits as long as a statement may run: the other migrator is doing our work.
    _set(connection, "statement_timeout", plan.statement_timeout)
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
    _set(connection, "lock_timeout", plan.lock_timeout)
    _set_literal(connection, "TimeZone", "UTC")
    require_dimension(connection, plan.dimension)
    partitions = frozenset(connection.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars())
    connection.commit()
    _configure(plan, partitions, connection=connection)


def _set(connection: Connection, name: str, seconds: float) -> None:
    _set_literal(connection, name, f"{int(seconds * 1000)}ms")


def _set_literal(connection: Connection, name: str, value: str) -> None:
    connection.execute(text("SELECT set_config(:name, :value, false)"), {"name": name, "value": value})


async def _run_online(plan: MigrationPlan) -> None:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(plan.url, server_settings={"application_name": "trimem-migrate"})

    # asyncpg reads the URL itself, so that the store and its migrations understand the same ones.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run, plan)
    finally:
        await engine.dispose()  # closes the session, and with it the advisory lock


def _main() -> None:
    plan = context.config.attributes["plan"]
    if context.is_offline_mode():
        _configure(plan, dialect_name="postgresql", literal_binds=True)
    else:
        asyncio.run(_run_online(plan))


_main()
