"""How the database is, from the catalogues of PostgreSQL."""

from store.database import Connection, Database
from store.repositories.postgres.rows import space_of
from store.repositories.status import ConnectionUse, DatabaseStatus, IndexUse, Partition, PoolUse
from store.tables import build_metadata

DATABASE = """
    SELECT split_part(current_setting('server_version'), ' ', 1) AS database_version,
           (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector_version,
           (SELECT version_num FROM alembic_version) AS revision,
           pg_database_size(current_database()) AS size
"""

SPACES = "SELECT column_name, model_name, revision, dimension, fingerprint FROM embedding_spaces ORDER BY column_name"

# A table that nobody has analysed yet has no estimate of rows, but a count of what was written to it. MINVALUE and
# MAXVALUE stand without quotes, so that there is nothing to find for them.
PARTITIONS = """
    SELECT c.relname AS name,
           (regexp_match(bound, 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz AS start_time,
           (regexp_match(bound, 'TO \\(''([^'']+)''\\)'))[1]::timestamptz AS end_time,
           (CASE WHEN c.reltuples < 0 THEN pg_stat_get_live_tuples(c.oid) ELSE c.reltuples END)::bigint AS rows,
           pg_total_relation_size(c.oid) AS size
    FROM pg_class c, pg_get_expr(c.relpartbound, c.oid) AS bound
    WHERE c.oid = to_regclass('events') AND c.relkind = 'r'
       OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass('events') AND NOT inhdetachpending)
    ORDER BY start_time NULLS FIRST, name
"""

# Indexes of partitions count with that of the whole table; those that belong to no whole stand for themselves.
INDEXES = """
    SELECT x.relname AS name, t.relname AS table,
           coalesce(parts.size, pg_relation_size(x.oid)) AS size,
           i.indisvalid AND coalesce(parts.valid, true) AS valid
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid AND NOT x.relispartition
    JOIN pg_class t ON t.oid = i.indrelid
    LEFT JOIN LATERAL (
        SELECT sum(pg_relation_size(part.relid))::bigint AS size, bool_and(p.indisvalid) AS valid
        FROM pg_partition_tree(x.oid) AS part JOIN pg_index p ON p.indexrelid = part.relid
        WHERE part.isleaf
    ) AS parts ON true
    WHERE i.indrelid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
       OR i.indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass('events'))
    ORDER BY t.relname, x.relname
"""

# Our sessions all have the name of this one, and so have the parallel workers of their queries, which have a leader.
# Who may not see the sessions of a role (see pg_read_all_stats) still sees their names, but NULL for state and leader.
# Without track_activities the state is "disabled". Neither of the two is busy or idle.
CONNECTIONS = """
    SELECT count(*) AS open,
           count(*) FILTER (WHERE state NOT IN ('idle', 'disabled')) AS busy,
           count(*) FILTER (WHERE state = 'idle') AS idle
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = current_setting('application_name')
      AND leader_pid IS NULL AND pid <> pg_backend_pid()
"""

#: Names of the store's tables; how long vectors are makes no difference to them.
_TABLES = list(build_metadata(1).tables)


class PostgresStatus:
    """See StatusRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> DatabaseStatus:
        """See StatusRepository."""
        async with self._database.connection() as connection:
            return await _read(connection)

    async def connections(self) -> ConnectionUse:
        """See StatusRepository."""
        async with self._database.connection() as connection:
            [row] = await connection.fetch(CONNECTIONS)
        return ConnectionUse(**row)

    def pool(self) -> PoolUse:
        """See StatusRepository."""
        return self._database.pool_use()


async def _read(connection: Connection) -> DatabaseStatus:
    [row] = await connection.fetch(DATABASE)
    spaces = {one["column_name"]: space_of(one) for one in await connection.fetch(SPACES)}
    return DatabaseStatus(
        database_version=row["database_version"],
        pgvector_version=row["pgvector_version"],
        revision=row["revision"],
        spaces={column: space for column, space in spaces.items() if space is not None},
        partitions=[Partition(**one) for one in await connection.fetch(PARTITIONS)],
        indexes=[IndexUse(**one) for one in await connection.fetch(INDEXES, _TABLES)],
        size=row["size"],
    )
