"""The command `trimem`."""

import sys


def main() -> None:
    """The entry point."""
    try:
        from trimem.client.cli.app import main as run
    except ModuleNotFoundError as error:
        if error.name not in {"pathspec", "typer", "rich"}:
            raise
        sys.exit("trimem: the command comes with an extra: pip install 'trimem[client]'")
    run()
