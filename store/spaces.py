"""The rule that keeps vectors of different models apart."""

from store.errors import EmbeddingSpaceMismatchError, EmbeddingSpaceUnknownError
from store.events import EmbeddingSpace

#: What the table of spaces calls the vectors of events: those in use, those that the next model has made so far, and
#: those of the last model, which wait to be dropped or taken back.
EVENTS_COLUMN = "events.embedding"
NEXT_COLUMN = "events.embedding_next"
OLD_COLUMN = "events.embedding_old"

#: The same of code: what it says about itself, and the code.
CODE_TEXT_COLUMN = "code_chunks.embedding_text"
CODE_COLUMN = "code_chunks.embedding_code"


def require_same_space(
    stored: EmbeddingSpace | None, offered: EmbeddingSpace | None, *, has_unrecorded_vectors: bool
) -> None:
    """Raise unless vectors of `offered` may be compared with those that are stored.

    `stored` is None when no space is recorded: fine for an empty table, EmbeddingSpaceUnknownError when there are
    vectors all the same. `offered` is None for a vector whose maker is not known: the caller answers for it.
    EmbeddingSpaceMismatchError when the two are not the same.
    """
    if stored is None:
        if has_unrecorded_vectors:
            raise EmbeddingSpaceUnknownError
        return
    if offered is not None and (offered.fingerprint, offered.dimension) != (stored.fingerprint, stored.dimension):
        raise EmbeddingSpaceMismatchError(stored, offered)
