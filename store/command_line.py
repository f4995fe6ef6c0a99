"""What may be said to `python -m store`."""

import argparse
from collections.abc import Callable, Sequence

from store.use_cases.administer import MOST_IDS


def parse(argv: Sequence[str]) -> tuple[str, argparse.Namespace] | None:
    """The command and its options; None when the service itself is to be run. Leaves the process for --help."""
    if not argv or argv[0] not in _PARSERS:
        return None
    return argv[0], _PARSERS[argv[0]](argv[1:])


def describe() -> str:
    """The commands, for the head of the service's own help."""
    return f"commands: {', '.join(_PARSERS)}; `python -m store COMMAND --help` describes one"


def _parser(command: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m store {command}",
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _migrate(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser("migrate", "Bring the database of DATABASE_URL to a revision of the schema.")
    parser.add_argument("--revision", default="head", help="revision to migrate to [default: head]")
    parser.add_argument("--down", action="store_true", help="go down to --revision instead of up")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="change nothing; fail unless the schema is the newest")
    how.add_argument("--sql", action="store_true", help="change nothing; print the statements for an empty database")
    options = parser.parse_args(argv)
    if options.down and (options.check or options.sql):
        parser.error("--down changes the database, --check and --sql do not: give one of them")
    return options


def _adopt_space(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser(
        "adopt-space",
        "Record the embedder's TEXT model as the one that made vectors from before Trimem.\n"
        "Up to 20 of them are compared with new ones of the same texts first.",
    )
    parser.add_argument("--force", action="store_true", help="record the model even if the vectors are not alike")
    return parser.parse_args(argv)


def _status(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser(
        "status",
        "Say how the database of DATABASE_URL is: what waits, models, partitions, indexes.\n"
        "Asks the database itself, so that it works while no store runs. Exit code 1 when there is no answer.",
        "  python -m store status\n  python -m store status --json | jq .pending_count\n",
    )
    parser.add_argument("--json", action="store_true", help="for scripts: the fields of GetStatusResponse")
    return parser.parse_args(argv)


def _backfill(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser(
        "backfill",
        "Steer the embedding of stored events, for all stores of the database of DATABASE_URL.",
        "  python -m store backfill pause     # before work on the embedder or on the schema\n"
        "  python -m store backfill resume\n"
        "  python -m store backfill retry     # everything that is FAILED\n"
        "  python -m store backfill retry 0198c5a0-7b1e-7c3a-9f00-2b6d1c9e4a11\n",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="pause|resume|retry")
    actions.add_parser("pause", help="embed nothing until `resume`; batches at work are finished")
    actions.add_parser("resume", help="end a pause")
    retry = actions.add_parser("retry", help="make FAILED events PENDING again")
    retry.add_argument("ids", nargs="*", metavar="ID", help=f"at most {MOST_IDS} events [default: all that are FAILED]")
    return parser.parse_args(argv)


_PARSERS: dict[str, Callable[[Sequence[str]], argparse.Namespace]] = {
    "migrate": _migrate,
    "adopt-space": _adopt_space,
    "status": _status,
    "backfill": _backfill,
}
