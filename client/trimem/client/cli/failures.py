"""Errors as one line and an exit status."""

import sys

from trimem.client.errors import (
    DeadlineExceededError,
    NotFoundError,
    TrimemError,
    UnauthenticatedError,
    UnavailableError,
)

FAILED = 1
USAGE = 2
NOT_FOUND = 3
UNAVAILABLE = 4
INTERRUPTED = 130
READER_LEFT = 141


class UsageProblem(Exception):  # noqa: N818 - it is not an error of a program but of a command line
    """The command cannot be carried out as it was given. The message is one line for people."""


def complain(message: str) -> None:
    """One line on stderr, whatever the message has in it."""
    print(f"trimem: {plain(message)}", file=sys.stderr)


def explain(error: TrimemError) -> str:
    """What a person wants to know of an error."""
    message = error.message
    if isinstance(error, UnavailableError) and not error.reason:  # gRPC speaks: nobody was reached
        message = f"the gateway cannot be reached: {message}"
    elif isinstance(error, DeadlineExceededError):
        message = f"no answer in time: {message} (--timeout gives it more)"
    elif isinstance(error, UnauthenticatedError):
        message = f"{message} (TRIMEM_API_KEY, or --api-key-file)"
    return f"{message} [request {error.request_id}]" if error.reason and error.request_id else message


def status_of(error: TrimemError) -> int:
    """The exit status of an error."""
    if isinstance(error, NotFoundError):
        return NOT_FOUND
    return UNAVAILABLE if isinstance(error, UnavailableError | DeadlineExceededError) else FAILED


def plain(text: str) -> str:
    """The text in one line and without control characters: what others wrote must not steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
