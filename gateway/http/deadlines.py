"""How long a request may take."""

import re

from gateway.http.errors import InvalidRequestError
from servicekit.errors import FieldViolation

#: The header of gRPC over HTTP/2, which gateways between HTTP/JSON and gRPC read as well.
HEADER = "Grpc-Timeout"

_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def requested_timeout(header: str | None) -> float | None:
    """Seconds that a client gives its request, or None when it does not say. Raises InvalidRequestError."""
    if header is None:
        return None
    found = _TIMEOUT.fullmatch(header.strip())
    if found is None:
        description = "must be a number of up to 8 digits and one of H M S m u n, such as 5S or 500m"
        raise InvalidRequestError([FieldViolation(HEADER, description)])
    return int(found[1]) * _SECONDS[found[2]]
