"""Tokens in Authorization headers."""

import re
from collections.abc import Sequence

#: RFC 6750; the scheme is case-insensitive by RFC 9110.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+)", re.ASCII | re.IGNORECASE)


def bearer_token(headers: Sequence[str | bytes]) -> str | None:
    """What stands behind `Bearer ` in the values of all Authorization headers of a call.

    None without such a header. Empty, which is nobody's token, when there are several or it is something else.
    """
    if not headers:
        return None
    value = headers[0]
    found = _BEARER.fullmatch(value) if len(headers) == 1 and isinstance(value, str) else None
    return found[1] if found else ""
