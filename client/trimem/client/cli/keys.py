"""`trimem keys`: the file of API keys that the gateway reads."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.auth.key_file import KeyFileError, changing, read_keys, time_text
from gateway.auth.keys import NAME_RULE, ApiKey, KeyState, create_key, is_name
from gateway.auth.scopes import Scope
from trimem.client.cli.arguments import examples, read_time
from trimem.client.cli.failures import FAILED, NOT_FOUND, UsageProblem, complain, plain
from trimem.client.cli.output import AsJson, emit, show_table

_DURATION = re.compile(r"(\d{1,5})([hdw])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

keys = typer.Typer(
    help="Make, show and revoke API keys, in the file that the gateway reads: run this where the file is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def read_expiry(text: str) -> datetime:
    """When a key ends: so long from now, or a date or time."""
    found = _DURATION.fullmatch(text.strip())
    return datetime.now(UTC) + int(found[1]) * _UNITS[found[2]] if found else read_time(text)


KeysFile = Annotated[
    Path, typer.Option("--file", envvar="API_KEYS_FILE", metavar="PATH", help="the file; made by the first key")
]
Expires = Annotated[
    datetime | None,
    typer.Option(
        parser=read_expiry,
        metavar="WHEN",
        help="when it ends: hours, days or weeks from now (12h, 90d, 4w), or a time; of a date the beginning, in UTC",
    ),
]
Scopes = Annotated[
    list[Scope],
    typer.Option("--scope", help="what it may be used for; may be repeated, and none includes another"),
]


@keys.command(
    epilog=examples(
        "trimem keys create laptop --scope read --scope write --scope embed",
        "trimem keys create dashboard --scope read --expires 90d",
        "trimem keys create prometheus --scope metrics > /etc/prometheus/trimem.token",
    )
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="who or what will use it: seen in logs and metrics")],
    scope: Scopes,
    file: KeysFile,
    expires: Expires = None,
) -> None:
    """Make a key and print its token, which is shown this once: only a hash of it is kept."""
    if not is_name(name):
        raise UsageProblem(f"NAME must be {NAME_RULE}")
    now = datetime.now(UTC)
    if expires is not None and expires <= now:
        raise UsageProblem(f"--expires: {time_text(expires)} is over")
    key, token = create_key(name, frozenset(scope), now=now, expires=expires)
    with _problems(), changing(file) as change:
        if any(other.name == name and other.state(now) is KeyState.LIVE for other in change.keys):
            complain(f"there is a key named {name} already: revoke it first, or take another name")
            raise typer.Exit(FAILED)
        change.keys = (*change.keys, key)
    print(token)
    until = f"until {time_text(expires)}" if expires else "until it is revoked"
    print(f"key {key.id} ({name}): {', '.join(sorted(key.scopes))}; valid {until}", file=sys.stderr)


@keys.command("list", epilog=examples("trimem keys list", "trimem keys list --json | jq -r '.[] | .name'"))
def list_keys(file: KeysFile, as_json: AsJson = False) -> None:
    """Show all keys, those that expired or were revoked too. With --json one array."""
    now = datetime.now(UTC)
    with _problems():
        found = read_keys(file)
    if as_json:
        emit([_document(key, now) for key in found])
        return
    show_table(
        ("ID", "STATE", "CREATED", "EXPIRES", "NAME", "SCOPES"),
        [
            (
                key.id,
                str(key.state(now)),
                time_text(key.created),
                time_text(key.expires) if key.expires else "never",
                key.name,
                " ".join(sorted(key.scopes)),
            )
            for key in found
        ],
    )


@keys.command(epilog=examples("trimem keys revoke laptop", "trimem keys revoke 5f0c7a91d3be"))
def revoke(
    name_or_id: Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="a name means its live key")],
    file: KeysFile,
) -> None:
    """Revoke a key: gateways refuse it within about a second."""
    now = datetime.now(UTC)
    with _problems(), changing(file) as change:
        found = [
            key
            for key in change.keys
            if key.id == name_or_id or (key.name == name_or_id and key.state(now) is KeyState.LIVE)
        ]
        if not found:
            complain(f"there is no live key {plain(name_or_id)}")
            raise typer.Exit(NOT_FOUND)
        ids = {key.id for key in found if key.state(now) is not KeyState.REVOKED}
        change.keys = tuple(key.revoke(now) if key.id in ids else key for key in change.keys)
    for key in found:
        print(f"key {key.id} ({key.name}): revoked{'' if key.id in ids else ' before'}")


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except KeyFileError as error:
        complain(error.message)
        raise typer.Exit(FAILED) from None


def _document(key: ApiKey, now: datetime) -> dict[str, Any]:
    """A key for scripts: what is kept of its secret stays in the file."""
    return {
        "id": key.id,
        "name": key.name,
        "state": str(key.state(now)),
        "scopes": sorted(key.scopes),
        "created": time_text(key.created),
        "expires": time_text(key.expires) if key.expires else None,
        "revoked": time_text(key.revoked) if key.revoked else None,
    }
