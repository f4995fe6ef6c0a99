"""The PostgreSQL of the local stack."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import LocalPostgresError, prepare, running_postgres
from deploy.local.process import Process


def quiet(_name: str, _line: str) -> None:
    """Nobody reads along."""


async def test_a_database_survives_a_restart_and_is_not_initialised_twice(tmp_path: Path) -> None:
    async with running_postgres(tmp_path, quiet) as local:
        connection = await asyncpg.connect(await local.create_database("memory"))
        await connection.execute("CREATE EXTENSION vector; CREATE TABLE kept AS SELECT '[1,2,3]'::vector AS v")
        await connection.close()
    async with running_postgres(tmp_path, quiet) as local:
        connection = await asyncpg.connect(await local.create_database("memory"))
        assert await connection.fetchval("SELECT count(*) FROM kept") == 1
        assert (await connection.fetchval("SELECT current_setting('server_version_num')::int")) // 10000 == 18
        await connection.close()


async def test_the_socket_is_for_its_owner_alone_and_no_port_is_open(tmp_path: Path) -> None:
    async with running_postgres(tmp_path, quiet) as local:
        assert local.socket_dir.stat().st_mode & 0o077 == 0
        connection = await asyncpg.connect(local.url())
        assert await connection.fetchval("SELECT current_setting('listen_addresses')") == ""
        await connection.close()


async def test_a_very_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    async with running_postgres(deep, quiet) as local:
        assert not local.socket_dir.is_relative_to(deep)
        await (await asyncpg.connect(local.url())).close()
    local.socket_dir.rmdir()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    local = await asyncio.to_thread(prepare, tmp_path)
    (local.data_dir / "postgresql.conf").write_text("no_such_setting = 1\n")
    process = Process(local.part(), quiet)
    await process.start()
    try:
        with pytest.raises(LocalPostgresError, match="no_such_setting"):
            await local.until_ready(process)
    finally:
        await process.stop()
