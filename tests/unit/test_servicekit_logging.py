"""Log lines of ours and of libraries: one format, no values of variables."""

import logging

import pytest
import structlog

from servicekit import context
from tests.rpc.servicekit_rig import logging_configured

SECRET = "my diary, page one"


def fail_with(private: str) -> None:
    kept = private * 2
    assert kept
    raise ValueError("broken")


def test_a_line_is_json_with_time_level_logger_and_service() -> None:
    with logging_configured() as logged:
        structlog.get_logger("store").info("migrated", revision="0001")
    (line,) = logged.lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "migrated",
        "level": "info",
        "logger": "store",
        "service": "test",
        "revision": "0001",
    }


def test_lines_of_libraries_have_the_same_form() -> None:
    with logging_configured() as logged:
        logging.getLogger("alembic").warning("running %s of %d", "upgrade", 3)
    (line,) = logged.lines
    assert (line["event"], line["level"], line["logger"]) == ("running upgrade of 3", "warning", "alembic")
    assert line["service"] == "test"


def test_a_line_within_a_call_has_its_request_id() -> None:
    token = context.request_id.set("abc-1")
    try:
        with logging_configured() as logged:
            structlog.get_logger("store").info("ours")
            logging.getLogger("library").warning("theirs")
    finally:
        context.request_id.reset(token)
    assert [line["request_id"] for line in logged.lines] == ["abc-1", "abc-1"]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("logger", ["ours", "library"])
def test_a_traceback_shows_the_place_and_no_values(log_format: str, logger: str) -> None:
    with logging_configured(log_format=log_format) as logged:
        try:
            fail_with(SECRET)
        except ValueError:
            if logger == "ours":
                structlog.get_logger("ours").exception("failed")
            else:
                logging.getLogger("library").exception("failed")
    assert "fail_with" in logged.text
    assert "ValueError" in logged.text
    assert "broken" in logged.text
    assert SECRET not in logged.text


@pytest.mark.parametrize(
    ("debug", "log_level", "expected"),
    [
        (False, "INFO", ["info", "warning"]),
        (False, "WARNING", ["warning"]),
        (True, "WARNING", ["debug", "info", "warning"]),
    ],
)
def test_the_level_is_that_of_the_settings_unless_debugging(debug: bool, log_level: str, expected: list[str]) -> None:
    with logging_configured(debug=debug, log_level=log_level) as logged:
        log = structlog.get_logger("ours")
        log.debug("a")
        log.info("b")
        log.warning("c")
    assert [line["level"] for line in logged.lines] == expected


def test_what_is_not_json_is_described_and_does_not_fail_the_caller() -> None:
    with logging_configured() as logged:
        structlog.get_logger("ours").info("odd", value=object(), raw=b"\xff")
    (line,) = logged.lines
    assert line["value"].startswith("<object object at")
    assert line["raw"] == "b'\\xff'"
