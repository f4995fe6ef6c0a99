"""`make migrate`: the newest schema, also when nothing else runs."""

from rich.console import Console
from rich.markup import escape

from deploy.local.settings import LocalSettings
from deploy.local.stack import running_database


async def migrate(settings: LocalSettings, console: Console) -> int:
    """Migrate the database of DATABASE_URL, or our own one, which is started and stopped for it."""

    def forward(name: str, line: str) -> None:
        if name == "migrate":
            console.print(escape(line), soft_wrap=True)

    async with running_database(settings, forward, lambda line: console.print(f"[dim]{escape(line)}[/]")):
        return 0
