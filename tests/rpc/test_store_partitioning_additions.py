"""Revision 0004 on databases to which operators have added something: what follows, and what is refused."""

import asyncpg
import pytest

from store.errors import SchemaError
from tests.conftest import NewDatabase
from tests.fixtures_migrations import OLD, ROWS, adopt, downgrade, execute_script
from tests.fixtures_store import execute, migrated


@pytest.mark.parametrize(
    ("added", "named"),
    [
        ("CREATE MATERIALIZED VIEW daily AS SELECT count(*) FROM events", "materialized view daily"),
        (
            """
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
            CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION f()
            """,
            "trigger mine",
        ),
        (
            """
            ALTER TABLE events ADD UNIQUE (id, timestamp);
            CREATE TABLE notes (id uuid, at timestamptz, FOREIGN KEY (id, at) REFERENCES events (id, timestamp))
            """,
            "constraint notes_id_at_fkey",
        ),
        ("CREATE FUNCTION f() RETURNS SETOF events LANGUAGE sql AS 'SELECT * FROM events'", "function f"),
        ("CREATE TABLE copies (one events)", "column .copies.one."),
        ("CREATE RULE kept AS ON DELETE TO events DO INSTEAD NOTHING", "rule kept"),
        ("CREATE POLICY mine ON events USING (true)", "policy mine"),
        ("CREATE PUBLICATION mine FOR TABLE events", "publication of table events"),
        ("ALTER TABLE events ADD COLUMN n int GENERATED ALWAYS AS IDENTITY", "column n of table events"),
        ("CREATE TABLE more () INHERITS (events)", "the table more"),
        ("CREATE TABLE events_historic ()", "the table events_historic"),
    ],
    ids=["view", "trigger", "key", "function", "type", "rule", "policy", "publication", "identity", "child", "name"],
)
async def test_what_cannot_follow_is_named_and_nothing_is_changed(
    new_database: NewDatabase, added: str, named: str
) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    await execute_script(url, added)

    with pytest.raises(SchemaError, match=named):
        await migrated(url)

    assert await execute(url, "SELECT FROM pg_tables WHERE tablename IN ('event_keys', 'alembic_version')") == []


OPERATORS = """
    CREATE ROLE trimem_reader; CREATE ROLE trimem_owner;
    GRANT SELECT ON events TO trimem_reader WITH GRANT OPTION; GRANT UPDATE (note) ON events TO trimem_reader;
    COMMENT ON TABLE events IS 'it''s ours'; COMMENT ON COLUMN events.note IS 'ours, too';
    ALTER TABLE events ADD COLUMN number serial, ADD CONSTRAINT short CHECK (length(note) < 100);
    ALTER TABLE events ADD COLUMN half vector GENERATED ALWAYS AS (subvector(embedding, 1, 2)) STORED;
    CREATE UNIQUE INDEX alone ON events (number);
    CREATE VIEW "Safe" WITH (security_barrier = true, check_option = local) AS
        SELECT id, to_char(timestamp, 'HH24:MI') AS at FROM events WHERE content->>'a' IS DISTINCT FROM ':b %s';
    CREATE VIEW above AS SELECT count(*) AS n FROM "Safe";
    ALTER TABLE events OWNER TO trimem_owner;
"""

SEEN = """
    SELECT pg_get_userbyid(relowner) AS owner, relacl::text, obj_description(oid) AS comment,
           (SELECT col_description(oid, attnum) FROM pg_attribute WHERE attrelid = c.oid AND attname = 'note') AS said,
           (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'note') AS column_acl,
           (SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname) FROM pg_constraint
            WHERE conrelid = c.oid AND contype = 'c' AND conname = 'short') AS checks,
           pg_get_serial_sequence('events', 'number') AS sequence,
           (SELECT reloptions::text FROM pg_class WHERE relname = 'Safe') AS options,
           pg_get_viewdef('"Safe"') AS view
    FROM pg_class c WHERE oid = 'events'::regclass
"""


async def test_what_an_operator_added_follows_up_and_down(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, next(old for old in OLD if old.name == "an operator's own things"))
    try:
        await execute_script(url, OPERATORS)
        before = await execute(url, SEEN)

        for revision in ("head", "0003", "head"):
            if revision == "head":
                await migrated(url)
            else:
                await downgrade(url, revision)
            assert await execute(url, SEEN) == before
            await execute(url, "INSERT INTO events (id, content, note) VALUES (gen_random_uuid(), '{}', 'n')")
        await execute(
            url,
            "INSERT INTO events (id, timestamp, content) "
            "VALUES (gen_random_uuid(), date_trunc('month', now()) + interval '40 days', '{}')",
        )

        [above] = await execute(url, "SELECT n, (SELECT count(DISTINCT number) FROM events) AS numbers FROM above")
        assert (above["n"], above["numbers"]) == (len(ROWS) + 4, len(ROWS) + 4)
        with pytest.raises(asyncpg.CheckViolationError):
            await execute(url, "INSERT INTO events (id, content, note) SELECT id, '{}', repeat('x', 100) FROM events")
    finally:
        await execute_script(
            url, "DROP OWNED BY trimem_reader, trimem_owner CASCADE; DROP ROLE trimem_reader, trimem_owner"
        )
