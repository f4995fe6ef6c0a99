"""The gate that both doors have in front: who calls, whether they may, and whether they call too much."""

import asyncio
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter

from gateway.auth.keyring import Finding, Flaw, Keyring
from gateway.auth.keys import ApiKey
from gateway.auth.scopes import Scope
from gateway.limits.addresses import holder_of_address
from gateway.limits.buckets import TokenBuckets
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
        self._refusals = Counter(
            "trimem_gateway_refusals", "Calls that were not admitted, by reason", ["reason"], registry=registry
        )

    def admit(self, visitor: Visitor, scope: Scope | None) -> "Admission":
        """Admit a call that needs a scope; with None it is open to all, and not limited.

        Raises InvalidKeyError, ScopeMissingError or RateLimitedError. From here on the name of the key is in
        `servicekit.context.key_name`.
        """
        if scope is None:
            return Admission(self, visitor, "", None)
        holder = holder_of_address(visitor.address)
        if wait := self._address_requests.take(holder):  # before the key: it slows down those who guess
            raise self._limited(visitor, "address_requests", "", "too many requests from this address", wait)
        key = None if self._keyring is None else self._holder_of_key(self._keyring, visitor, scope)
        if key is not None:
            holder = key.id
            context.key_name.set(key.name)
        name = key.name if key else ""
        if wait := self._requests.take(holder):
            raise self._limited(visitor, "requests", name, "too many requests", wait)
        return Admission(self, visitor, holder, key)

    def _holder_of_key(self, keyring: Keyring, visitor: Visitor, scope: Scope) -> ApiKey:
        finding = keyring.find(visitor.token)
        if finding.key is None or finding.flaw is not None:
            raise self._invalid(visitor, finding)
        if scope not in finding.key.scopes:
            self._refused(visitor, "scope_missing", key=finding.key.name, key_id=finding.key_id, scope=str(scope))
            context.key_name.set(finding.key.name)
            raise ScopeMissingError(scope)
        return finding.key

    def charge_texts(self, visitor: Visitor, holder: str, key: ApiKey | None, count: int) -> None:
        """See `Admission.charge_texts`."""
        if wait := self._texts.take(holder, count):
            raise self._limited(visitor, "texts", key.name if key else "", "too many texts to embed", wait)

    async def pace_text(self, holder: str) -> None:
        """See `Admission.pace_text`."""
        if wait := self._texts.reserve(holder):
            await asyncio.sleep(wait)

    def check_again(self, visitor: Visitor, key: ApiKey | None) -> None:
        """See `Admission.check_again`."""
        if key is None or self._keyring is None:
            return
        if flaw := self._keyring.check_again(key):
            raise self._invalid(visitor, Finding(key, key.id, flaw))

    def _invalid(self, visitor: Visitor, finding: Finding) -> InvalidKeyError:
        name = finding.key.name if finding.key else ""
        self._refused(visitor, str(finding.flaw or Flaw.UNKNOWN), key=name, key_id=finding.key_id)
        return InvalidKeyError()

    def _limited(self, visitor: Visitor, limit: str, key: str, message: str, wait: float) -> RateLimitedError:
        self._refused(visitor, f"limit_{limit}", key=key)
        return RateLimitedError(f"{message}: try again in {wait:.3f} s", retry_after=wait)

    def _refused(self, visitor: Visitor, reason: str, **what: str) -> None:
        self._refusals.labels(reason).inc()
        known = {name: value for name, value in what.items() if value}
        self._log.warning("refused", reason=reason, address=visitor.address, method=visitor.call, **known)


class Admission:
    """A call that was admitted."""

    __slots__ = ("_gate", "_holder", "_key", "_visitor")

    def __init__(self, gate: Gate, visitor: Visitor, holder: str, key: ApiKey | None) -> None:
        self._gate = gate
        self._visitor = visitor
        #: Whose limits count: those of the key, or of the address when there are no keys.
        self._holder = holder
        self._key = key

    @property
    def key_name(self) -> str:
        """The name of the key; empty when the call needs none."""
        return self._key.name if self._key else ""

    def charge_texts(self, count: int) -> None:
        """Count texts that are to be embedded. Raises RateLimitedError when they are too many now."""
        self._gate.charge_texts(self._visitor, self._holder, self._key, count)

    async def pace_text(self) -> None:
        """Wait until one more text may be embedded: a stream is slowed down rather than broken."""
        await self._gate.pace_text(self._holder)

    def check_again(self) -> None:
        """Ask again in a call that takes long. Raises InvalidKeyError when the key was revoked, or expired, since."""
        self._gate.check_again(self._visitor, self._key)
