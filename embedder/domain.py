"""The words that the embedder's API, use cases and models share."""

from enum import StrEnum


class Domain(StrEnum):
    """Which model an input goes to."""

    TEXT = "text"
    CODE = "code"
    #: Both models, each making a vector of its own.
    HYBRID = "hybrid"


class InputKind(StrEnum):
    """What an input is used for. Models that were trained with instructions prefix it accordingly."""

    DOCUMENT = "document"
    QUERY = "query"


class ModelState(StrEnum):
    """Where a model is in its life."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


def domains_of(domain: Domain) -> tuple[Domain, ...]:
    """The domains with a model of their own that a request for `domain` uses: one, or both for HYBRID."""
    return (Domain.TEXT, Domain.CODE) if domain is Domain.HYBRID else (domain,)
