"""Why a model is not there."""

from servicekit.errors import AbortedError, FailedPreconditionError, UnavailableError


class ModelUnusableError(FailedPreconditionError):
    """The model that is configured cannot be used here; somebody must change the configuration or the files."""

    reason = "MODEL_UNUSABLE"


class ModelUnreachableError(UnavailableError):
    """The files of the model cannot be fetched now."""

    reason = "MODEL_UNREACHABLE"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=10.0)


class SpaceChangeError(FailedPreconditionError):
    """The new model's vectors cannot be compared with those of the old one, and nobody said that this is wanted."""

    reason = "EMBEDDING_SPACE_CHANGE"

    def __init__(self, domain: str) -> None:
        super().__init__(
            f"the vectors of the new {domain} model cannot be compared with those of the present one: set "
            "allow_space_change if that is wanted; stores refuse the new vectors until they have re-embedded theirs"
        )


class SwapInProgressError(AbortedError):
    """Another swap of the domain is at work."""

    reason = "SWAP_IN_PROGRESS"
