"""Keeps the counts of words small enough to read quickly."""

import asyncio

import structlog

from servicekit.errors import TrimemError
from servicekit.jitter import jittered
from store.repositories.lexical import LexicalRepository

#: Seconds between two looks, and the longest pause while the database is down.
_INTERVAL = 1.0
_LONGEST_PAUSE = 60.0


class FoldWords:
    """Folds what writes added to the counts of words. Several stores may do so at once."""

    def __init__(self, lexical: LexicalRepository, interval: float = _INTERVAL) -> None:
        """`interval` in seconds is the pause when there is nothing to do."""
        self._lexical = lexical
        self._interval = interval
        self._log = structlog.get_logger("fold_words")

    async def run(self) -> None:
        """Work until cancelled. Trouble makes the pauses longer, and never ends it."""
        pause = self._interval
        while True:
            try:
                while await self._lexical.fold():
                    pass
            except TrimemError as error:
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._log.warning("waiting", reason=error.reason, why=error.message)
            except Exception:
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._log.exception("unexpected")
            else:
                pause = self._interval
            await asyncio.sleep(jittered(pause))
