"""Calls in the standard library, found by reading it: by names, which stay from one version of Python to the next."""

import sysconfig
from pathlib import Path

import pytest

from tests.code_graph import Call, edges_of, resolve_sources

_FILES = """
argparse.py asyncio/__init__.py asyncio/base_events.py asyncio/coroutines.py asyncio/events.py
asyncio/locks.py asyncio/mixins.py asyncio/queues.py asyncio/runners.py email/__init__.py
email/_policybase.py email/feedparser.py email/message.py email/parser.py http/__init__.py http/client.py
http/server.py json/__init__.py json/decoder.py json/encoder.py json/scanner.py
"""

_SURE = """
json.load -> json.loads
json.loads -> json.detect_encoding
json.decoder.JSONDecoder.decode -> json.decoder.JSONDecoder.raw_decode
json.decoder.JSONDecoder.decode -> json.decoder.JSONDecodeError
json.decoder.JSONDecoder.raw_decode -> json.decoder.JSONDecodeError
json.decoder.py_scanstring -> json.decoder._decode_uXXXX
json.encoder.JSONEncoder.encode -> json.encoder.JSONEncoder.iterencode
json.encoder.JSONEncoder.iterencode -> json.encoder._make_iterencode
http.client.HTTPConnection.request -> http.client.HTTPConnection._send_request
http.client.HTTPConnection._send_request -> http.client.HTTPConnection.putrequest
http.client.HTTPConnection._send_request -> http.client.HTTPConnection.putheader
http.client.HTTPConnection._send_request -> http.client.HTTPConnection.endheaders
http.client.HTTPConnection.endheaders -> http.client.HTTPConnection._send_output
http.client.HTTPSConnection.connect -> http.client.HTTPConnection.connect
http.client.HTTPResponse.begin -> http.client.parse_headers
http.client.HTTPResponse.begin -> http.client.HTTPResponse._read_status
http.client.parse_headers -> email.parser.Parser.parsestr
http.server.BaseHTTPRequestHandler.handle -> http.server.BaseHTTPRequestHandler.handle_one_request
http.server.BaseHTTPRequestHandler.handle_one_request -> http.server.BaseHTTPRequestHandler.parse_request
http.server.BaseHTTPRequestHandler.handle_one_request -> http.server.BaseHTTPRequestHandler.send_error
http.server.BaseHTTPRequestHandler.send_error -> http.server.BaseHTTPRequestHandler.send_response
http.server.SimpleHTTPRequestHandler.do_GET -> http.server.SimpleHTTPRequestHandler.send_head
http.server.SimpleHTTPRequestHandler.send_head -> http.server.SimpleHTTPRequestHandler.list_directory
email.message_from_string -> email.parser.Parser.parsestr
email.parser.Parser.parsestr -> email.parser.Parser.parse
email.parser.HeaderParser.parse -> email.parser.Parser.parse
email.feedparser.FeedParser.feed -> email.feedparser.FeedParser._call_parse
email.feedparser.FeedParser.close -> email.feedparser.FeedParser._pop_message
email.message.Message.get_content_maintype -> email.message.Message.get_content_type
email.message.EmailMessage.set_content -> email.message.MIMEPart.set_content
argparse.ArgumentParser.parse_args -> argparse.ArgumentParser.parse_known_args
argparse.ArgumentParser.parse_args -> argparse.ArgumentParser.error
argparse.ArgumentParser.error -> argparse.ArgumentParser.exit
argparse.ArgumentParser.error -> argparse.ArgumentParser.print_usage
argparse.ArgumentParser.format_help -> argparse.ArgumentParser._get_formatter
asyncio.runners.run -> asyncio.runners.Runner
asyncio.queues.Queue.put -> asyncio.queues.Queue.put_nowait
asyncio.queues.Queue.put -> asyncio.queues.Queue.full
asyncio.queues.Queue.put_nowait -> asyncio.queues.Queue._put
asyncio.queues.Queue.get -> asyncio.mixins._LoopBoundMixin._get_loop
asyncio.locks.Semaphore.acquire -> asyncio.mixins._LoopBoundMixin._get_loop
asyncio.base_events.BaseEventLoop.run_until_complete -> asyncio.base_events.BaseEventLoop.run_forever
asyncio.base_events.BaseEventLoop.call_later -> asyncio.base_events.BaseEventLoop.call_at
"""

_LIKELY = """
json.dumps -> json.encoder.JSONEncoder.encode
json.loads -> json.decoder.JSONDecoder.decode
email.parser.BytesParser.parsebytes -> email.parser.Parser.parsestr
asyncio.runners.run -> asyncio.runners.Runner.run
"""


def _pairs(text: str) -> list[tuple[str, ...]]:
    return [tuple(line.split(" -> ")) for line in text.split("\n") if line]


@pytest.fixture(scope="module")
def calls() -> set[Call]:
    library = Path(sysconfig.get_path("stdlib"))
    return edges_of(resolve_sources(*((path, (library / path).read_bytes()) for path in _FILES.split())), "calls")


@pytest.mark.parametrize(("caller", "callee"), _pairs(_SURE))
def test_a_call_that_follows_from_definitions_and_imports_is_resolved(
    calls: set[Call], caller: str, callee: str
) -> None:
    assert (caller, callee, "RESOLVED") in calls


@pytest.mark.parametrize(("caller", "callee"), _pairs(_LIKELY))
def test_a_call_on_what_a_variable_was_assigned_is_inferred(calls: set[Call], caller: str, callee: str) -> None:
    assert (caller, callee, "INFERRED") in calls


def test_a_method_that_many_classes_have_is_not_guessed(calls: set[Call]) -> None:
    """`fp.read()` of json.load: anything may have been opened."""
    assert ("json.load", "read", "UNRESOLVED") in calls
    assert not [call for call in calls if call[0] == "json.load" and call[1].endswith(".read")]
