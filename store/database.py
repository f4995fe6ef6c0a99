"""Connections to PostgreSQL: a pool with binary codecs for vectors and JSON, and its errors in our terms."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
import pgvector.asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from servicekit import context, tracing
from servicekit.errors import AbortedError, DeadlineExceededError, ResourceExhaustedError, TrimemError
from servicekit.jitter import jittered
from store.errors import DatabaseUnavailableError, SchemaError, SpaceChangedError
from store.far_times import microseconds_of, time_at
from store.repositories.status import PoolUse
from store.schema import DIMENSION_QUERY, SchemaFacts
from store.spaces import EVENTS_COLUMN

#: A connection on loan from the pool.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

#: Seconds that opening one connection may take.
_CONNECT_TIMEOUT = 10

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresSystemError,
    OSError,
)

#: What asyncpg comes to when a connection breaks where it did not expect it, also while one is made ready.
LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError)

_SESSION = {
    "application_name": "trimem-store",
    "TimeZone": "UTC",
    # One text of a statement serves calls with and without filters: planned each time for the values at hand, the
    # planner drops the conditions of filters that are NULL. Compiling such short statements costs more than it gives.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
}


class Database:
    """A pool of connections to one database, opened by `open` and closed by `close`.

    A database that goes away makes calls fail with DatabaseUnavailableError, and is used again when it is back.
    """

    def __init__(self, url: str, *, min_size: int = 2, max_size: int = 10, acquire_timeout: float = 10) -> None:
        self._url = url
        self._min_size = min_size
        self._max_size = max_size
        self._acquire_timeout = acquire_timeout
        self._vector_schema = "public"
        self._pool: Pool | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("database")

    async def facts(self, *, wait: float = 0) -> SchemaFacts:
        """What the database says about itself, waiting up to `wait` seconds for it to answer.

        Raises DatabaseUnavailableError, in words for an operator and without the URL, which may hold a password.
        """
        deadline = time.monotonic() + wait
        pause = 0.1
        while True:
            try:
                return await self._read_facts()
            except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
                raise DatabaseUnavailableError(f"the database refuses us: {error}") from error
            except ValueError:  # the text of which may quote a part of the URL
                raise DatabaseUnavailableError("DATABASE_URL is not one that can be understood") from None
            except (*_GONE, *LOST, TimeoutError) as error:
                if time.monotonic() + pause > deadline:
                    raise DatabaseUnavailableError(
                        f"the database of DATABASE_URL cannot be reached ({type(error).__name__}: {error})"
                    ) from error
                self._log.info("waiting for the database", error=type(error).__name__)
            await asyncio.sleep(jittered(pause))
            pause = min(pause * 2, 2)

    async def open(self) -> None:
        """Open the pool. The database must be up, with the extension installed: see `facts`."""
        async with translated():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=self._min_size,
                max_size=self._max_size,
                timeout=_CONNECT_TIMEOUT,
                server_settings=_SESSION,
                init=self._prepare,
                # Sessions are never changed but by SET LOCAL, so there is nothing to reset, and a round trip to save.
                reset=_leave_as_is,
            )

    async def close(self) -> None:
        """Close all connections. Those in use are cut off after a moment."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        try:
            await asyncio.wait_for(pool.close(), timeout=5)
        except (TimeoutError, *_GONE):
            pool.terminate()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def pool_use(self) -> PoolUse:
        """How the connections of the pool are used."""
        if self._pool is None:
            return PoolUse(open=0, idle=0, most=self._max_size)
        return PoolUse(self._pool.get_size(), self._pool.get_idle_size(), self._max_size)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection from the pool.

        Raises DatabaseUnavailableError, DeadlineExceededError, or ResourceExhaustedError when none gets free in time.
        What the database raises inside of the block is translated too.
        """
        async with translated():
            pool = self._opened()
            connection = await self._acquire(pool)
            try:
                with _loss_told(connection):
                    yield connection
            finally:
                await pool.release(connection)  # asyncpg shields it: a cancelled call still gives its connection back

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside of a transaction that is committed at the end of the block, undone on an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def reading(self, settings: str) -> AsyncIterator[Connection]:
        """A connection inside of a transaction that only reads, begun in one round trip with its settings.

        `settings` is one or more statements. The end of the transaction holds nobody up: nothing depends on it.
        """
        async with translated():
            pool = self._opened()
            connection = await self._acquire(pool)
            try:
                with _loss_told(connection):
                    await connection.execute(f"BEGIN READ ONLY; {settings}")
                    yield connection
            finally:
                ending = asyncio.create_task(self._end(pool, connection))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)

    async def _end(self, pool: Pool, connection: Connection) -> None:
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, *LOST, OSError) as error:
            self._log.info("a connection was lost", error=type(error).__name__)
        finally:
            await pool.release(connection)

    def _opened(self) -> Pool:
        if self._pool is None:
            raise DatabaseUnavailableError("the store is not connected to its database")
        return self._pool

    async def _acquire(self, pool: Pool) -> Connection:
        left = context.remaining()
        timeout = self._acquire_timeout if left is None else max(0.001, min(left, self._acquire_timeout))
        try:
            return await pool.acquire(timeout=timeout)
        except TimeoutError:
            raise ResourceExhaustedError("all database connections are busy", retry_after=1) from None

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection outside of the pool, for those who must not wait for one."""
        return await asyncpg.connect(self._url, timeout=_CONNECT_TIMEOUT, server_settings=_SESSION)

    async def _read_facts(self) -> SchemaFacts:
        connection = await self.connect()
        try:
            vector = await connection.fetchrow(
                "SELECT e.extversion, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
                "WHERE e.extname = 'vector'"
            )
            if vector is not None:
                self._vector_schema = vector["nspname"]
            revision = None
            if await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
                revision = await connection.fetchval("SELECT version_num FROM alembic_version")
            recorded = None
            if await connection.fetchval("SELECT to_regclass('embedding_spaces') IS NOT NULL"):
                recorded = await connection.fetchval(
                    "SELECT dimension FROM embedding_spaces WHERE column_name = $1", EVENTS_COLUMN
                )
            return SchemaFacts(
                revision=revision,
                pgvector=None if vector is None else vector["extversion"],
                dimension=await connection.fetchval(DIMENSION_QUERY),
                recorded_dimension=recorded,
            )
        finally:
            await connection.close()

    async def _prepare(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await pgvector.asyncpg.register_vector(connection, schema=self._vector_schema)
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=_encode_json, decoder=_decode_json, format="binary"
        )
        # asyncpg takes the last microsecond of year 9999 for infinity, and gives infinity back without a time zone.
        await connection.set_type_codec(
            "timestamptz", schema="pg_catalog", encoder=_encode_time, decoder=_decode_time, format="tuple"
        )
        if (tracer := tracing.active()) is not None:
            from store.statement_spans import statement_spans

            connection.add_query_logger(statement_spans(tracer))


def _encode_time(value: datetime) -> tuple[int]:
    return (microseconds_of(value),)


def _decode_time(value: tuple[int]) -> datetime:
    return time_at(value[0])


async def _leave_as_is(_connection: object) -> None:
    return None


def _encode_json(value: Any) -> bytes:
    # The binary form of jsonb is its version, 1, and the text.
    return b"\x01" + json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _decode_json(value: bytes) -> Any:
    return json.loads(value[1:].decode())  # of bytes it would first guess the encoding


def _is_of_exchanged_column(error: Exception) -> bool:
    """Whether a statement met a column of vectors that is another one than when it was prepared or its vector made."""
    return isinstance(error, asyncpg.InvalidCachedStatementError) or (
        # Vectors of two lengths. Callers' vectors were measured before: the column has changed since.
        isinstance(error, asyncpg.PostgresError) and error.sqlstate == "22000" and "dimensions" in str(error)
    )


@contextmanager
def _loss_told(connection: Connection) -> Iterator[None]:
    """Calls a lost connection that, whatever asyncpg came to in the middle of a statement."""
    try:
        yield
    except Exception as error:
        if connection.is_closed() and not isinstance(error, TrimemError):
            raise DatabaseUnavailableError("the connection to the database was lost") from error
        raise


#: What asyncpg raises, in the order in which it is looked for, and what becomes of it; None passes it on.
_TRANSLATIONS: list[tuple[tuple[type[Exception], ...], Callable[[], TrimemError] | None]] = [
    ((asyncpg.QueryCanceledError, TimeoutError), lambda: DeadlineExceededError("the database did not answer in time")),
    (
        (asyncpg.LockNotAvailableError,),  # a lock_timeout of ours, or one that an operator gave the role
        lambda: AbortedError("others hold what the call needs", retry_after=1),
    ),
    (
        (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError),
        lambda: DatabaseUnavailableError("the database refuses the store"),
    ),
    (
        (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError),
        lambda: SchemaError("the database has not the schema of this version: run `python -m store migrate`"),
    ),
    (_GONE, lambda: DatabaseUnavailableError("the database cannot be reached")),
    (
        (asyncpg.InsufficientResourcesError,),
        lambda: ResourceExhaustedError("the database is out of resources", retry_after=5),
    ),
    ((asyncpg.DataError,), None),  # also an InterfaceError, and a mistake of ours
    (LOST, lambda: DatabaseUnavailableError("the connection to the database was lost")),
]


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turns what asyncpg raises into errors of ours, without a word of SQL.

    Mistakes of ours, such as a statement that does not parse, pass through: they end up as INTERNAL, in the log.
    """
    try:
        yield
    except Exception as error:
        if _is_of_exchanged_column(error):
            raise SpaceChangedError from error
        for kinds, make in _TRANSLATIONS:
            if isinstance(error, kinds):
                if make is None:
                    break
                raise make() from error
        raise
