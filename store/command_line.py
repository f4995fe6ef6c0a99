"""What may be said to `python -m store`."""

import argparse
import math
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
        "Say how the database of DATABASE_URL is: what waits, models, partitions, indexes, connections.\n"
        "Asks the database itself, so that it works while no store runs. Exit code 1 when there is no answer.",
        "  python -m store status\n  python -m store status --json | jq .pending_count\n",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="for scripts: the fields of GetStatusResponse, with connections of all stores for pool",
    )
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


def _reembed(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser(
        "reembed",
        "Change the model of the stored vectors while stores read and write. The new model runs in a second embedder.\n"
        "May be stopped at any moment: run it again, and it goes on. docs/changing-the-model.md says how to do it.",
        "  python -m store reembed --embedder 127.0.0.1:50061 --dry-run\n"
        "  python -m store reembed --embedder 127.0.0.1:50061\n"
        "  python -m store reembed --status\n"
        "  python -m store reembed --drop-old\n",
    )
    parser.add_argument("--embedder", metavar="HOST:PORT", help="embedder of the model to change to")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="change nothing; say what would be done")
    how.add_argument("--status", action="store_true", help="change nothing; say how far a change is")
    how.add_argument("--no-swap", action="store_true", help="do everything but the exchange; run it again for that")
    how.add_argument(
        "--rollback",
        action="store_true",
        help="after a change: the old vectors back; with --embedder of the old model what came since is embedded first",
    )
    how.add_argument("--drop-old", action="store_true", help="after a change: drop the old vectors")
    how.add_argument("--abandon", action="store_true", help="give up an unfinished change; drop what it made")
    parser.add_argument("--rate", type=_positive(float), metavar="N", help="most events a second [default: no limit]")
    parser.add_argument(
        "--batch", type=_positive(int), default=256, metavar="N", help="events read and written at once [default: 256]"
    )
    parser.add_argument(
        "--min-recall", type=_share, default=0.95, metavar="R", help="least recall@10 of the new index [default: 0.95]"
    )
    parser.add_argument("--json", action="store_true", help="for scripts: the answer as JSON, and no progress")
    options = parser.parse_args(argv)
    if options.embedder is None and not (options.status or options.rollback or options.drop_old or options.abandon):
        parser.error("--embedder is required")
    return options


def _forget_code(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser(
        "forget-code",
        "Delete all indexed code and its graph, so that other models may embed it. Its vectors then have\n"
        "EMBEDDING_DIMENSION dimensions. Index the repositories again afterwards. Events are not touched.",
        "  python -m store forget-code --dry-run\n  python -m store forget-code --yes\n",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="change nothing; say what would be deleted")
    how.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="for scripts: the answer as JSON")
    return parser.parse_args(argv)


def _positive(number: Callable[[str], float]) -> Callable[[str], float]:
    def parse_positive(text: str) -> float:
        value = number(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError("must be more than 0")
        return value

    return parse_positive


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be in [0, 1]")
    return value


_PARSERS: dict[str, Callable[[Sequence[str]], argparse.Namespace]] = {
    "migrate": _migrate,
    "adopt-space": _adopt_space,
    "status": _status,
    "backfill": _backfill,
    "reembed": _reembed,
    "forget-code": _forget_code,
}
