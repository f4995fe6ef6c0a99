"""The README's table of limits says what the services do."""

import re
from pathlib import Path

from embedder.embedding import MAX_INPUT_BYTES, MAX_INPUTS
from gateway.settings import GatewaySettings
from servicekit.server import server_options
from servicekit.settings import ServiceSettings
from store.cutting_processes import MOST_MEMORY, MOST_SECONDS
from store.settings import StoreSettings
from store.use_cases.create_events import MOST_EVENTS
from store.use_cases.event_rules import MAX_CONTENT_BYTES, MAX_FILTER_BYTES, MAX_LEVELS, MAX_METADATA_BYTES
from store.use_cases.event_text import LONGEST_TEXT
from store.use_cases.list_events import LARGEST_PAGE as LARGEST_PAGE_OF_EVENTS
from store.use_cases.search_events import LARGEST_PAGE as LARGEST_PAGE_OF_HITS
from store.use_cases.search_events import MAX_QUERY_BYTES

README = Path(__file__).resolve().parents[2] / "README.md"

FIXED = {
    "metadata of a gRPC call": dict(server_options(ServiceSettings(_env_file=None)))["grpc.max_metadata_size"],
    "content of an event": MAX_CONTENT_BYTES,
    "metadata of an event": MAX_METADATA_BYTES,
    "levels of an event's content or metadata": MAX_LEVELS,
    "characters of an event that are embedded, from the beginning": LONGEST_TEXT,
    "events of one batch": MOST_EVENTS,
    "events of one page of a list": LARGEST_PAGE_OF_EVENTS,
    "hits of one page of a search": LARGEST_PAGE_OF_HITS,
    "query of a search": MAX_QUERY_BYTES,
    "filter of a search or list": MAX_FILTER_BYTES,
    "memory of each of the two processes of a store that cut source files, beyond what it begins with": MOST_MEMORY,
    "seconds of computing for cutting one source file": MOST_SECONDS,
    "inputs of one call to the embedder": MAX_INPUTS,
    "one input; a model reads as much of it as it can": MAX_INPUT_BYTES,
}

#: Settings of the gateway that are limits by their names.
LIMIT = re.compile(r"rate_limit_|_max_|^max_|_deadline_seconds$|_timeout_seconds$|_keepalive_seconds$")


def rows() -> list[tuple[str, int, str]]:
    """Limit, default and variable of each row; 0 is off."""
    table = README.read_text().partition("| limit | default | variable |\n")[2].partition("\n\n")[0]
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    return [(limit, number(default), variable) for limit, default, variable in cells]


def number(text: str) -> int:
    amount, _, unit = text.partition(" ")
    return 0 if text == "off" else int(amount) * {"": 1, "KiB": 1024, "MiB": 1024**2}[unit]


def test_what_is_fixed_is_what_the_code_says() -> None:
    assert {limit: value for limit, value, variable in rows() if not variable} == FIXED


def test_defaults_are_those_of_the_settings() -> None:
    fields = StoreSettings.model_fields | GatewaySettings.model_fields
    told = {variable: value for _, value, variable in rows() if variable}

    assert told == {variable: fields[variable.lower()].default for variable in told}


def test_all_limits_of_the_gateway_are_told() -> None:
    told = {variable.lower() for _, _, variable in rows()}
    own = set(GatewaySettings.model_fields) - (set(ServiceSettings.model_fields) - {"grpc_max_message_bytes"})

    assert {name for name in own if LIMIT.search(name)} <= told
