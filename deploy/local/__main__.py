"""`python -m deploy.local up|demo|migrate`: what `make run`, `make demo` and `make migrate` call."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from deploy.local import demo
from deploy.local.migrate import migrate
from deploy.local.postgres import LocalPostgresError
from deploy.local.settings import LocalSettings, PortsTakenError
from deploy.local.stack import StackError, running_stack
from servicekit.main import fail, settings_problems

_COLOURS = {"postgres": "blue", "migrate": "blue", "embedder": "magenta", "store": "green", "gateway": "cyan"}


async def up(settings: LocalSettings, console: Console) -> int:
    """Keep everything up until a signal, or until a part ends."""

    def forward(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:>8} │ ", _COLOURS[name]), Text.from_ansi(line)), soft_wrap=True)

    async with running_stack(settings, forward, lambda line: console.print(f"[dim]{escape(line)}[/]")) as stack:
        http = stack.address("GATEWAY_HTTP_PORT")
        console.print(
            f"\n[bold]Trimem is up.[/]  gRPC {stack.address('GATEWAY_PORT')}   HTTP http://{http}   "
            f"data {escape(str(settings.trimem_data_dir))}\n"
            f"  curl 'http://{http}/v1/search?query=hello'\n  Ctrl-C stops it.\n",
            soft_wrap=True,
        )
        await stack.ended()


async def show(settings: LocalSettings, console: Console) -> int:
    """The demonstration. Its stack is quiet: the logs are in the data directory."""
    began = time.perf_counter()
    console.print("[bold]Starting[/] PostgreSQL, embedder, store and gateway")

    async with running_stack(
        settings, lambda _name, _line: None, lambda line: console.print(f"  {escape(line)}")
    ) as stack:
        summary = await stack.while_live(demo.run(stack.address("GATEWAY_PORT"), console))
        console.print("\n[bold]Stopping[/]")
    console.print(
        f"Done in {time.perf_counter() - began:.0f} s. The memory stays in {settings.trimem_data_dir}: make run"
    )
    for question in summary.wrong:
        console.print(f"[red]wrong answer:[/] {escape(question)}")
    return 1 if summary.wrong else 0


Command = Callable[[LocalSettings, Console], Coroutine[Any, Any, int]]
COMMANDS: dict[str, Command] = {"up": up, "demo": show, "migrate": migrate}


async def run_until_signal(command: Command, settings: LocalSettings, console: Console) -> int:
    """Run a command; Ctrl-C and SIGTERM cancel it, and everything that it started ends in order."""
    work = asyncio.create_task(command(settings, console))
    loop = asyncio.get_running_loop()

    def cancel() -> None:
        if not work.cancelling():  # a second Ctrl-C must not break off the stopping
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)
    try:
        return await work
    except asyncio.CancelledError:
        console.print("stopped")
        # `up` has no other end than this one; a demonstration or migration that was broken off has failed.
        return 0 if command is up else 130


def main() -> int:
    """Parse the command line, run, and turn problems into one clear message and an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Trimem on one machine, without containers.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="variables:\n"
        + "\n".join(
            f"  {name.upper()}\n      {field.description}" for name, field in LocalSettings.model_fields.items()
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start PostgreSQL and the three services, and keep them up until Ctrl-C")
    commands.add_parser("demo", help="start everything, import a text and code, ask questions, stop everything")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    try:
        settings = LocalSettings()
    except (ValidationError, SettingsError) as error:
        return fail("trimem", 2, *settings_problems(error))
    try:
        return asyncio.run(run_until_signal(COMMANDS[arguments.command], settings, console))
    except (StackError, PortsTakenError, LocalPostgresError, demo.DemoError) as error:
        print(f"trimem: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
