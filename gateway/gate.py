"""The gate that both doors have in front: who calls, whether they may, and whether they call too much."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter

from gateway.auth.keyring import Finding, Flaw, Keyring
from gateway.auth.keys import ApiKey
from gateway.auth.scopes import Scope
from gateway.limits.addresses import holder_of_address
from gateway.limits.buckets import TokenBuckets
from gateway.limits.crowds import Crowds
from gateway.settings import GatewaySettings
from servicekit import context
from servicekit.errors import PermissionDeniedError, ResourceExhaustedError, UnauthenticatedError


class InvalidKeyError(UnauthenticatedError):
    """There is no key, or it is not valid. One error for all cases: which one it is would help those who guess."""

    reason = "API_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("no valid API key: send one as `Authorization: Bearer <key>`")


class ScopeMissingError(PermissionDeniedError):
    """The key is valid, but not for this."""

    reason = "API_KEY_SCOPE_MISSING"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this needs an API key with the scope {scope}")
        self.metadata = {"scope": str(scope)}


class RateLimitedError(ResourceExhaustedError):
    """A key or an address does more than it may."""

    reason = "RATE_LIMITED"


#: When to try again where nobody can know: a stream of somebody else has to end first.
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who calls, as far as one can tell, and what."""

    #: IP address without port.
    address: str
    #: What stands behind `Bearer `; None without an Authorization header, empty when there is anything else in it.
    token: str | None
    #: What is called, for the log: an RPC, or an HTTP method and route.
    call: str = ""


class Gate:
    """Admits calls. Asked once a call, before any of it is read or passed on."""

    def __init__(self, settings: GatewaySettings, registry: CollectorRegistry) -> None:
        """Read the keys. Raises KeyFileError."""
        self._log = structlog.get_logger("gate")
        self._keyring = Keyring(settings.api_keys_file) if settings.api_keys_file else None
        if self._keyring is None:
            self._log.warning("API_KEYS_FILE is not set: anybody who reaches this gateway may call everything")
        self._address_requests = TokenBuckets(
            settings.rate_limit_address_requests_per_second, settings.rate_limit_address_burst
        )
        self._requests = TokenBuckets(settings.rate_limit_requests_per_second, settings.rate_limit_burst)
        self._texts = TokenBuckets(settings.rate_limit_texts_per_second, settings.rate_limit_texts_burst)
        # The other half of what a stream may be silent is for what is said on it.
        self._longest_pause = settings.max_deadline_seconds / 2
        self._keyless = Crowds(settings.max_keyless_streams_per_address)
        self._refusals = Counter(
            "trimem_gateway_refusals", "Calls that were not admitted, by reason", ["reason"], registry=registry
        )

    def admit(self, visitor: Visitor, scope: Scope | None) -> "Admission":
        """Admit a call that needs a scope; with None it is open to all, and not limited.

        Raises InvalidKeyError, ScopeMissingError or RateLimitedError. From here on the name of the key is in
        `servicekit.context.key_name`.
        """
        if scope is None:
            return Admission(self, visitor, None, "", None)
        holder = holder_of_address(visitor.address)
        if wait := self._address_requests.take(holder):  # before the key: it slows down those who guess
            raise self._limited(visitor, "address_requests", "", "too many requests from this address", wait)
        key = None if self._keyring is None else self._holder_of_key(self._keyring.find(visitor.token), visitor, scope)
        if key is not None:
            holder = key.id
            context.key_name.set(key.name)
        name = key.name if key else ""
        if wait := self._requests.take(holder):
            raise self._limited(visitor, "requests", name, "too many requests", wait)
        return Admission(self, visitor, scope, holder, key)

    @contextmanager
    def keyless_stream(self, visitor: Visitor) -> Iterator[None]:
        """Around a stream that is open to all. Raises RateLimitedError when its address has too many of them."""
        holder = holder_of_address(visitor.address)
        if not self._keyless.enter(holder):
            message = "too many streams without a key from this address"
            raise self._limited(visitor, "keyless_streams", "", message, _RETRY_SECONDS)
        try:
            yield
        finally:
            self._keyless.leave(holder)

    def _holder_of_key(self, finding: Finding, visitor: Visitor, scope: Scope) -> ApiKey:
        if finding.key is None or finding.flaw is not None:
            raise self._invalid(visitor, finding)
        if scope not in finding.key.scopes:
            self._refused(visitor, "scope_missing", key=finding.key.name, key_id=finding.key_id, scope=str(scope))
            context.key_name.set(finding.key.name)
            raise ScopeMissingError(scope)
        return finding.key

    def charge_texts(self, admission: "Admission", count: int) -> None:
        """See `Admission.charge_texts`."""
        if wait := self._texts.take(admission.holder, count):
            raise self._too_many_texts(admission, wait)

    async def pace_text(self, admission: "Admission") -> None:
        """See `Admission.pace_text`."""
        left = context.remaining()
        longest = self._longest_pause if left is None else min(left, self._longest_pause)
        if wait := self._texts.reserve(admission.holder, longest):
            if wait > longest:
                raise self._too_many_texts(admission, wait)
            await asyncio.sleep(wait)

    def check_again(self, admission: "Admission") -> None:
        """See `Admission.check_again`."""
        if admission.key is not None and admission.scope is not None and self._keyring is not None:
            self._holder_of_key(self._keyring.find_again(admission.key), admission.visitor, admission.scope)

    def _invalid(self, visitor: Visitor, finding: Finding) -> InvalidKeyError:
        name = finding.key.name if finding.key else ""
        self._refused(visitor, str(finding.flaw or Flaw.UNKNOWN), key=name, key_id=finding.key_id)
        return InvalidKeyError()

    def _too_many_texts(self, admission: "Admission", wait: float) -> RateLimitedError:
        return self._limited(admission.visitor, "texts", admission.key_name, "too many texts to embed", wait)

    def _limited(self, visitor: Visitor, limit: str, key: str, message: str, wait: float) -> RateLimitedError:
        self._refused(visitor, f"limit_{limit}", key=key)
        return RateLimitedError(f"{message}: try again in {wait:.3f} s", retry_after=wait)

    def _refused(self, visitor: Visitor, reason: str, **what: str) -> None:
        self._refusals.labels(reason).inc()
        known = {name: value for name, value in what.items() if value}
        self._log.warning("refused", reason=reason, address=visitor.address, method=visitor.call, **known)


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that was admitted."""

    _gate: Gate
    visitor: Visitor
    #: What the call needs; None when it is open to all.
    scope: Scope | None
    #: Whose limits count: those of the key, or of the address when there are no keys.
    holder: str
    key: ApiKey | None

    @property
    def key_name(self) -> str:
        """The name of the key; empty when the call needs none."""
        return self.key.name if self.key else ""

    def charge_texts(self, count: int) -> None:
        """Count texts that are to be embedded. Raises RateLimitedError when they are too many now."""
        self._gate.charge_texts(self, count)

    async def pace_text(self) -> None:
        """Wait until one more text may be embedded: a stream is slowed down rather than broken.

        Raises RateLimitedError, and takes nothing, when that is later than the stream would last: its caller can do
        something else until then.
        """
        await self._gate.pace_text(self)

    def check_again(self) -> None:
        """Ask again in a call that takes long.

        Raises InvalidKeyError when the key was revoked, or expired, since; ScopeMissingError when it lost the scope.
        """
        self._gate.check_again(self)
