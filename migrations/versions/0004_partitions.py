"""`events` in partitions by month.

Revision: 0004
Follows: 0003

No row moves and no index is built again: the table that is there becomes the partition of all times before next month.
Rows of later months, of which there are few, move to partitions of their own. Four steps; killed between two of them,
the next run goes on:

1. Move the late rows, and promise by a constraint that no more of them come. An exclusive lock for a moment.
2. Let PostgreSQL read the table to see that the promise is kept, while others read and write.
3. Put a partitioned table in its place. An exclusive lock for a moment, however large the table is.
4. Enter unique ids of rows that others than the store wrote meanwhile.
"""

from dataclasses import dataclass

from alembic import context, op
from alembic.util.exc import CommandError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PROMISE = "events_historic_bound"

_INDEXES = {
    "events_pkey": 'ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (id, "timestamp")',
    "ix_events_timestamp_id": 'CREATE INDEX ix_events_timestamp_id ON events ("timestamp", id)',
    "ix_events_metadata": "CREATE INDEX ix_events_metadata ON events USING gin (metadata jsonb_path_ops)",
    "ix_events_embedding": "CREATE INDEX ix_events_embedding ON events "
    "USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)",
    "ix_events_pending": 'CREATE INDEX ix_events_pending ON events ("timestamp", id) '
    "WHERE embedding_state = 'PENDING'",
    "ix_events_failed": "CREATE INDEX ix_events_failed ON events (\"timestamp\", id) WHERE embedding_state = 'FAILED'",
    "ix_events_terms": "CREATE INDEX ix_events_terms ON events USING gin (terms)",
    "ix_events_without_terms": 'CREATE INDEX ix_events_without_terms ON events ("timestamp", id) WHERE terms IS NULL',
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What belongs to `events` beside columns and rows, as statements for another table of that name."""

    #: By name of the index; None for one that a partitioned table cannot have.
    indexes: dict[str, str | None]
    #: Constraints, rights, comment, owner.
    rest: list[str]
    #: Views on it and sequences of it.
    followers: list[str]


#: What 0001 to 0003 make of an empty database.
_OURS = _Shape(
    indexes=dict(_INDEXES),
    rest=[
        """
        ALTER TABLE events ADD CONSTRAINT events_embedding_state_check
        CHECK (embedding_state IN ('EMBEDDED', 'PENDING', 'SKIPPED', 'FAILED'))
        """
    ],
    followers=[],
)


def upgrade() -> None:
    if context.is_offline_mode():  # statements are for an empty database
        _partition(_OURS, bound=None)
        return
    if not _names("SELECT 'killed after step 3' FROM pg_class WHERE oid = to_regclass('events') AND relkind = 'p'"):
        if obstacles := _names(_OBSTACLES):
            raise CommandError(
                f"the table events cannot be partitioned with {', '.join(obstacles)}: remove that, migrate, and make "
                "it again for the partitioned table. Nothing was changed"
            )
        bound = _promised_bound() or _promise_bound()
        with op.get_context().autocommit_block():
            _run(f"ALTER TABLE events VALIDATE CONSTRAINT {_PROMISE}")
        _lock([*_names(_VIEWS), "events"])
        _partition(_read_shape(), bound if _names("SELECT 'filled' FROM ONLY events LIMIT 1") else None)
    with op.get_context().autocommit_block():
        _run(
            "INSERT INTO event_keys (event_id, timestamp) SELECT DISTINCT ON (e.id) e.id, e.timestamp FROM events e "
            "WHERE NOT EXISTS (SELECT FROM event_keys k WHERE k.event_id = e.id) ORDER BY e.id, e.timestamp DESC "
            "ON CONFLICT DO NOTHING"
        )


def downgrade() -> None:
    """Back to one table with all events: the historic partition, or a new one. The others are copied into it."""
    if not context.is_offline_mode() and _names("SELECT phase FROM reembed_job"):
        raise CommandError(
            "a change of the model is under way, or can still be taken back: end it with `python -m store reembed "
            "--abandon` or `--drop-old` first. Nothing was changed"
        )
    _lock([*_names(_VIEWS), "events"])
    shape = _read_shape()
    _run("ALTER TABLE events RENAME TO events_partitioned")
    historic = bool(_names("SELECT 'kept' WHERE to_regclass('events_historic') IS NOT NULL"))
    if historic:
        _run("ALTER TABLE events_partitioned DETACH PARTITION events_historic")
        _run("ALTER TABLE events_historic RENAME TO events")
    else:
        _run(_CREATE.format("events_partitioned"))
    columns = _columns("events_partitioned")
    _run(f"INSERT INTO events ({columns}) SELECT {columns} FROM events_partitioned")
    for statement in shape.followers:
        _run(statement)
    _run("DROP TABLE events_partitioned")
    there = _read_shape().indexes
    for name in shape.indexes:
        if _historic(name) in there:
            _run(f"ALTER INDEX {_quoted(_historic(name))} RENAME TO {_quoted(name)}")
    missing = [make for name, make in shape.indexes.items() if _historic(name) not in there]
    for statement in filter(None, [*missing, *([] if historic else shape.rest)]):
        _run(statement)
    _create_triggers()


def _promised_bound() -> str | None:
    """Where the historic partition is to end, when a run before this one has promised it."""
    found = _names(
        "SELECT split_part(pg_get_constraintdef(oid), '''', 2) FROM pg_constraint "
        f"WHERE conrelid = to_regclass('events') AND conname = '{_PROMISE}'"
    )
    return found[0] if found else None


def _promise_bound() -> str:
    """Decide where the historic partition ends, move what is later, and let nothing later come.

    The tables of later rows inherit from `events` for now, so that everybody still sees them there.
    """
    # With a day of room: until the partitioned table is there, nothing of a later month can be written.
    [bound] = _names(
        "SELECT date_trunc('month', (now() + interval '1 day') AT TIME ZONE 'UTC') + interval '1 month' || '+00'"
    )
    _lock(["events"])
    _run("ALTER TABLE events DISABLE TRIGGER USER")  # words of rows that only move are not counted again
    columns = _columns("events")
    for month in _names(_MONTHS.format(bound=bound)):
        name, start, end = _range(month)
        _run(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)")
        _run(
            f"WITH moved AS (DELETE FROM ONLY events WHERE timestamp >= {start} "
            f"AND {'true' if end == 'MAXVALUE' else f'timestamp < {end}'} RETURNING {columns}) "
            f"INSERT INTO {name} ({columns}) SELECT {columns} FROM moved"
        )
        _run(f"ALTER TABLE {name} INHERIT events")
    _run("ALTER TABLE events ENABLE TRIGGER USER")
    _run(f"ALTER TABLE events ADD CONSTRAINT {_PROMISE} CHECK (timestamp < '{bound}') NO INHERIT NOT VALID")
    return bound


def _partition(shape: _Shape, bound: str | None) -> None:
    """Put a partitioned table in the place of `events`, which becomes its first partition; without `bound` it goes."""
    late = [] if context.is_offline_mode() else _names(_LATE)
    for event in ("insert", "update", "delete"):
        _run(f"DROP TRIGGER events_words_{event} ON events")
    _run("ALTER TABLE events RENAME TO events_historic")
    for name in shape.indexes:
        _run(f"ALTER INDEX {_quoted(name)} RENAME TO {_quoted(_historic(name))}")
    _run(_CREATE.format("events_historic") + ' PARTITION BY RANGE ("timestamp")')
    for statement in filter(None, [*shape.indexes.values(), *shape.rest]):
        _run(statement)
    for name in late:
        _run(f"ALTER TABLE {name} NO INHERIT events_historic")
    if bound is not None:
        # The promise spares it the reading, and the indexes become parts of those above as they are.
        _run(f"ALTER TABLE events ATTACH PARTITION events_historic FOR VALUES FROM (MINVALUE) TO ('{bound}')")
        _run(f"ALTER TABLE events_historic DROP CONSTRAINT {_PROMISE}")
    for name in late:
        month = "2100-01" if name == "events_from_2100" else f"{name[-7:-3]}-{name[-2:]}"
        _, start, end = _range(f"{month}-01")
        _run(f"ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})")
    for statement in shape.followers:
        _run(statement)
    if bound is None:
        _run("DROP TABLE events_historic")
    _create_triggers()
    start = "date_trunc('month', now() AT TIME ZONE 'UTC')" if bound is None else f"timestamp '{bound[:10]}'"
    _run(_CREATE_MONTHS.format(start=start))


def _create_triggers() -> None:
    for event, tables in (
        ("insert", "NEW TABLE AS new_rows"),
        ("update", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        ("delete", "OLD TABLE AS old_rows"),
    ):
        _run(
            f"CREATE TRIGGER events_words_{event} AFTER {event} ON events REFERENCING {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION count_words_{event}()"
        )


def _read_shape() -> _Shape:
    found = op.get_bind().exec_driver_sql(_INDEXES_QUERY)
    return _Shape(
        indexes={name: _INDEXES.get(name, statement) for name, statement in found},
        rest=_names(_REST),
        followers=_names(_FOLLOWERS),
    )


def _range(month: str) -> tuple[str, str, str]:
    """Name and bounds of the partition of a month, which is given by its first day; one for all months from 2100 on."""
    year, number = int(month[:4]), int(month[5:7])
    if year >= 2100:
        return "events_from_2100", "'2100-01-01 00:00:00+00'", "MAXVALUE"
    following = f"{year + number // 12:04}-{number % 12 + 1:02}"
    return f"events_y{year:04}m{number:02}", f"'{month[:7]}-01 00:00:00+00'", f"'{following}-01 00:00:00+00'"


def _historic(index: str) -> str:
    """The name of an index of the historic partition; PostgreSQL takes 63 bytes."""
    return f"{index[:50]}_historic"


def _columns(table: str) -> str:
    return ", ".join(
        _names(
            f"SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND attnum > 0 "
            "AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
        )
    )


def _lock(tables: list[str]) -> None:
    """Views first: those who read one lock it before what is below it, and so do we."""
    _run(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")


def _run(statement: str) -> None:
    if context.is_offline_mode():
        op.execute(statement)
    else:  # as it is: a colon in somebody's view is no parameter
        op.get_bind().exec_driver_sql(statement)


def _names(query: str) -> list[str]:
    """The first column of the rows."""
    return [str(value) for value in op.get_bind().exec_driver_sql(query).scalars()]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_CREATE = """
    CREATE TABLE events (
        LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS
    )
"""

_MONTHS = """
    SELECT DISTINCT least(date_trunc('month', timestamp AT TIME ZONE 'UTC'), '2100-01-01')::date AS month
    FROM ONLY events WHERE timestamp >= '{bound}' ORDER BY month
"""

_LATE = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('events')"

_CREATE_MONTHS = """
    DO $$
    DECLARE
        month timestamp;
        name text;
        found name;
        wanted text;
    BEGIN
        FOR month IN SELECT generate_series(
            {start}, date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months', interval '1 month'
        ) LOOP
            name := 'events_' || to_char(month, '"y"YYYY"m"MM');
            IF to_regclass(name) IS NULL THEN
                EXECUTE 'CREATE TABLE ' || name || ' PARTITION OF events FOR VALUES FROM ('''
                    || month || '+00'') TO (''' || month + interval '1 month' || '+00'')';
            END IF;
        END LOOP;
        -- PostgreSQL numbers indexes of the same columns; these names say which one it is.
        FOR found, wanted IN
            SELECT i.relname, left(whole.relname, 50) || substr(t.relname, length('events') + 1)
            FROM pg_class whole JOIN pg_inherits h ON h.inhparent = whole.oid JOIN pg_class i ON i.oid = h.inhrelid
            JOIN pg_index x ON x.indexrelid = i.oid JOIN pg_class t ON t.oid = x.indrelid
            WHERE whole.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass('events'))
        LOOP
            IF found <> wanted THEN
                EXECUTE 'ALTER INDEX ' || quote_ident(found) || ' RENAME TO ' || quote_ident(wanted);
            END IF;
        END LOOP;
    END $$
"""

_VIEWS = """
    SELECT DISTINCT v.oid::regclass::text
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = to_regclass('events')
"""

_FOLLOWERS = f"""
    SELECT 'CREATE OR REPLACE VIEW ' || v.oid::regclass
           || coalesce(' WITH (' || array_to_string(v.reloptions, ', ') || ')', '')
           || ' AS ' || pg_get_viewdef(v.oid)
    FROM pg_class v WHERE v.oid::regclass::text IN ({_VIEWS})
    UNION ALL
    SELECT 'ALTER SEQUENCE ' || s.oid::regclass || ' OWNED BY events.' || quote_ident(a.attname)
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refobjid = to_regclass('events') AND d.deptype = 'a'
"""

# An index that is unique without the timestamp stays with the historic partition.
_INDEXES_QUERY = """
    SELECT c.relname::text,
           CASE WHEN NOT i.indisvalid OR i.indisexclusion OR i.indisunique AND NOT t.attnum = ANY (i.indkey) THEN NULL
                WHEN k.oid IS NULL THEN replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
                ELSE format('ALTER TABLE events ADD CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid))
           END
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_attribute t ON t.attrelid = i.indrelid AND t.attname = 'timestamp'
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
    WHERE i.indrelid = to_regclass('events')
"""

_REST = """
    WITH events AS (SELECT * FROM pg_class WHERE oid = to_regclass('events')),
    granted AS (
        SELECT relacl AS acl, '' AS columns FROM events
        UNION ALL
        SELECT attacl, ' (' || quote_ident(attname) || ')' FROM pg_attribute WHERE attrelid = to_regclass('events')
    )
    SELECT 'ALTER TABLE events ADD CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN events ON conrelid = events.oid
    WHERE contype = 'c' AND NOT connoinherit OR contype = 'f'
    UNION ALL
    SELECT 'COMMENT ON TABLE events IS ' || quote_literal(obj_description(oid, 'pg_class')) FROM events
    WHERE obj_description(oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 'GRANT ' || privilege_type || columns || ' ON events TO '
           || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
           || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM granted CROSS JOIN LATERAL aclexplode(acl)
    UNION ALL
    SELECT 'ALTER TABLE events OWNER TO ' || quote_ident(pg_get_userbyid(relowner)) FROM events
"""

# What looks at this very table and cannot be made to look at another, and what a partitioned table cannot have.
_OBSTACLES = f"""
    WITH events AS (SELECT oid AS events, reltype FROM pg_class WHERE oid = to_regclass('events'))
    SELECT DISTINCT 'the ' || pg_describe_object(kind, object, part) FROM (
        SELECT d.classid AS kind, d.objid AS object, 0 AS part
        FROM events JOIN pg_depend d ON d.deptype = 'n' AND (
            d.refclassid = 'pg_class'::regclass AND d.refobjid = events
                AND d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)
            OR d.refclassid = 'pg_type'::regclass
                AND d.refobjid IN (SELECT oid FROM pg_type WHERE reltype IN (oid, typelem)))
        LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        LEFT JOIN pg_class v ON v.oid = r.ev_class
        WHERE v.relkind IS DISTINCT FROM 'v'
        UNION ALL SELECT 'pg_rewrite'::regclass, oid, 0 FROM pg_rewrite, events WHERE ev_class = events
        UNION ALL SELECT 'pg_constraint'::regclass, oid, 0 FROM pg_constraint, events WHERE confrelid = events
        UNION ALL SELECT 'pg_policy'::regclass, oid, 0 FROM pg_policy, events WHERE polrelid = events
        UNION ALL SELECT 'pg_publication_rel'::regclass, oid, 0 FROM pg_publication_rel, events WHERE prrelid = events
        UNION ALL SELECT 'pg_trigger'::regclass, oid, 0 FROM pg_trigger, events
        WHERE tgrelid = events AND NOT tgisinternal AND NOT starts_with(tgname, 'events_words_')
        UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum FROM pg_attribute, events
        WHERE attrelid = events AND attidentity <> ''
        UNION ALL SELECT 'pg_class'::regclass, CASE inhrelid WHEN events THEN inhparent ELSE inhrelid END, 0
        FROM pg_inherits, events
        WHERE events IN (inhrelid, inhparent)
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = events AND conname = '{_PROMISE}')
        UNION ALL SELECT 'pg_class'::regclass, to_regclass('events_historic'), 0
        WHERE to_regclass('events_historic') IS NOT NULL
    ) AS obstacles
"""
