"""All commands, and how they end."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from trimem.client.cli import code, embedding, events, exporting, importing, memory, status
from trimem.client.cli.failures import (
    FAILED,
    INTERRUPTED,
    READER_LEFT,
    USAGE,
    UsageProblem,
    complain,
    explain,
    status_of,
)
from trimem.client.cli.keys import keys
from trimem.client.cli.session import Session, connect
from trimem.client.errors import TrimemError


class _Ending(TyperGroup):
    """Gives every way to end its exit status, before the framework makes something else of it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except TrimemError as error:
            complain(explain(error))
            raise typer.Exit(status_of(error)) from None
        except UsageProblem as problem:
            complain(str(problem))
            raise typer.Exit(USAGE) from None
        except UnicodeError:
            complain("the text is not UTF-8")
            raise typer.Exit(FAILED) from None
        except BrokenPipeError:
            # What is still in the buffer has nowhere to go, and would make the interpreter complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(READER_LEFT) from None
        return result


app = typer.Typer(
    cls=_Ending,
    callback=connect,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the examples keep their lines, and errors are one
    pretty_exceptions_enable=False,
)
app.command(epilog=status.STATUS_EXAMPLES)(status.status)
app.command(epilog=memory.REMEMBER_EXAMPLES)(memory.remember)
app.command(epilog=memory.SEARCH_EXAMPLES)(memory.search)
app.add_typer(events.app, name="events")
app.command("import", epilog=importing.IMPORT_EXAMPLES)(importing.import_events)
app.command(epilog=exporting.EXPORT_EXAMPLES)(exporting.export)
app.add_typer(code.app, name="code")
app.command(epilog=embedding.EMBED_EXAMPLES)(embedding.embed)
app.command(epilog=status.MODELS_EXAMPLES)(status.models)
app.add_typer(keys, name="keys")


def run(arguments: Sequence[str], session: Session | None = None) -> int:
    """Run a command line. Returns the exit status."""
    command = typer.main.get_command(app)
    try:
        ended = command.main(list(arguments), prog_name="trimem", standalone_mode=False, obj=session or Session())
    except typer.TyperException as error:
        complain(error.format_message())
        return error.exit_code
    except typer.Abort:
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return ended if isinstance(ended, int) else 0


#: Seconds that closing the connection may take after Ctrl-C.
_CLOSING_SECONDS = 5.0


def _interrupt(_number: int, _frame: object) -> None:
    # gRPC waits for ever for the end of a call that was broken off while it began.
    ending = threading.Timer(_CLOSING_SECONDS, os._exit, [INTERRUPTED])
    ending.daemon = True
    ending.start()
    raise KeyboardInterrupt


def main() -> None:
    """The entry point."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and is not ignored, as behind nohup
        signal.signal(signal.SIGINT, _interrupt)
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        stream.reconfigure(encoding="utf-8", errors=errors)  # type: ignore[union-attr]  # a TextIOWrapper
    sys.exit(run(sys.argv[1:]))
