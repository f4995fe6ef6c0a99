"""What comes after a change of the model, or instead of its end: going back, giving up, tidying up."""

from store.errors import ReembedRefusedError
from store.events import ReembedPhase
from store.repositories.reembed import OtherColumn, ReembedJob, ReembedRepository
from store.use_cases.embedder import Embedder
from store.use_cases.reembed_filling import Filling, space_of_embedder

#: Events that lose their vector when the old ones come back: marking them happens while nobody reads or writes.
MOST_PENDING = 10_000


async def roll_back(repository: ReembedRepository, embedder: Embedder | None, batch: int) -> ReembedJob:
    """Put the old model's vectors back, and return the job that goes to the new ones again.

    `embedder` runs the old model and embeds what was written since. Without one, that waits for the backfill.
    """
    job = await repository.job()
    if job is None or job.phase is not ReembedPhase.SWAPPED:
        raise ReembedRefusedError("there is nothing to take back: no change of the model was finished and kept")
    await repository.index_unfilled(OtherColumn.OLD)
    if embedder is not None:
        space = await space_of_embedder(embedder)
        if space.fingerprint != job.other_space.fingerprint:
            raise ReembedRefusedError(
                f"the old vectors are of {job.other_space.describe()}, and the embedder runs {space.describe()}"
            )
        await Filling(repository, embedder, space, batch=batch).catch_up(OtherColumn.OLD)
    if not await repository.roll_back(MOST_PENDING):
        raise ReembedRefusedError(
            f"more than {MOST_PENDING} events have no vector of the old model: have it embed them first, with "
            "`python -m store reembed --rollback --embedder HOST:PORT`"
        )
    back = await repository.job()
    assert back is not None  # noqa: S101 - going back begins the way there anew
    return back


async def drop_old(repository: ReembedRepository) -> ReembedJob:
    """Drop the vectors from before the last change. Returns the job that this ended."""
    job = await repository.job()
    if job is None or job.phase is not ReembedPhase.SWAPPED:
        raise ReembedRefusedError("there are no old vectors to drop: no change of the model was finished and kept")
    await repository.drop(OtherColumn.OLD)
    return job


async def abandon(repository: ReembedRepository) -> ReembedJob:
    """Drop what a change that is not finished has made so far. Returns the job that this ended."""
    job = await repository.job()
    if job is None or job.phase is ReembedPhase.SWAPPED:
        raise ReembedRefusedError("there is no unfinished change of the model to give up")
    await repository.drop(OtherColumn.NEXT)
    return job
