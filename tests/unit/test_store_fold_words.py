"""The work that folds counts of words."""

import asyncio
from collections import deque

from store.errors import DatabaseUnavailableError
from store.use_cases.fold_words import FoldWords


class Scripted:
    """Answers as it is told, then says that nothing is left."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = deque(answers)
        self.done = asyncio.Event()
        self.calls = 0

    async def fold(self) -> int:
        """See LexicalRepository."""
        self.calls += 1
        if not self.answers:
            self.done.set()
            return 0
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def run(lexical: Scripted) -> None:
    """Until all answers are given."""
    task = asyncio.create_task(FoldWords(lexical, interval=0.001).run())
    try:
        async with asyncio.timeout(30):
            await lexical.done.wait()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_it_goes_on_while_there_is_something_to_fold() -> None:
    lexical = Scripted(200, 200, 7)

    await run(lexical)

    assert lexical.calls == 4


async def test_trouble_does_not_end_it() -> None:
    lexical = Scripted(DatabaseUnavailableError("gone"), RuntimeError("odd"), 3)

    await run(lexical)

    assert not lexical.answers
