"""Why a model is not there."""

from servicekit.errors import FailedPreconditionError, UnavailableError


class ModelUnusableError(FailedPreconditionError):
    """The model that is configured cannot be used here; somebody must change the configuration or the files."""

    reason = "MODEL_UNUSABLE"


class ModelUnreachableError(UnavailableError):
    """The files of the model cannot be fetched now."""

    reason = "MODEL_UNREACHABLE"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=10.0)
