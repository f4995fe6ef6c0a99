"""What the use cases need of what cuts files."""

from typing import Protocol

from store.code.source import CutFile


class Cutter(Protocol):
    """Cuts files, several at once."""

    async def cut(self, path: str, content: bytes) -> CutFile:
        """Chunks and outline of a file. Raises UnavailableError when none can be cut now."""
        ...
