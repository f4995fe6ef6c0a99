"""How an endpoint finds what the gate has admitted."""

from aiohttp import web

from gateway.gate import Admission

#: `request[ADMISSION]` of every request whose route needs a scope; set before the endpoint is asked.
ADMISSION = web.RequestKey("admission", Admission)
