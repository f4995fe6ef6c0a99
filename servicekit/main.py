"""From the command line to a running service, and from its errors to an exit code."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from servicekit.errors import TrimemError
from servicekit.server import PortTakenError
from servicekit.settings import ServiceSettings
from servicekit.telemetry import configure_logging
from servicekit.tls import CertificateError
from servicekit.tracing import traced_process

S = TypeVar("S", bound=ServiceSettings)


def main(
    service: str,
    settings_class: type[S],
    run: Callable[[S], Coroutine[Any, Any, None]],
    argv: Sequence[str] | None = None,
) -> int:
    """Read the settings, configure logging, run the service to its end, and return the exit code of the process.

    0: it ended as asked. 1: it could not start or go on (PortTakenError, CertificateError, TrimemError). 2: a setting
    is wrong. The reason goes to standard error, one line a problem. Any other exception is a bug and keeps its
    traceback.
    """
    _parser(service, settings_class).parse_args(argv)
    try:
        settings = settings_class()
    except (ValidationError, SettingsError) as error:
        return fail(service, 2, *settings_problems(error))
    configure_logging(service, settings)
    endpoint, grace = settings.otel_exporter_otlp_endpoint, settings.shutdown_grace_seconds
    try:
        with traced_process(service, endpoint, grace=grace):
            asyncio.run(run(settings))
    except TrimemError as error:
        return fail(service, 1, error.message)
    except (PortTakenError, CertificateError) as error:
        return fail(service, 1, str(error))
    return 0


def settings_problems(error: ValidationError | SettingsError) -> list[str]:
    """What is wrong with the settings, a line a variable, without the values: some are secrets."""
    if isinstance(error, SettingsError):  # not parseable, or a NAME_FILE that cannot be read
        return [str(error)]
    return [_problem(problem) for problem in error.errors(include_url=False, include_input=False)]


def fail(service: str, code: int, *problems: str) -> int:
    """Say what is wrong on standard error, a line each, and return the exit code."""
    for problem in problems:
        print(f"{service}: {' '.join(problem.split())}", file=sys.stderr)  # noqa: T201 - for people, before there is a log
    return code


def _problem(error: ErrorDetails) -> str:
    variable = ".".join(map(str, error["loc"])).upper()
    message = str(error.get("ctx", {}).get("error") or error["msg"])  # without pydantic's "Value error, "
    return f"{variable}: {message}" if variable else message


def _parser(service: str, settings_class: type[ServiceSettings]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {service}",
        description=f"Run the {service} service of Trimem. It is configured by environment variables.",
        epilog="\n".join(_variables(settings_class)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trimem {service} {version('trimem')}")
    return parser


def _variables(settings_class: type[ServiceSettings]) -> Iterator[str]:
    yield "variables (NAME_FILE names a file to read NAME from):"
    for name, field in settings_class.model_fields.items():
        yield f"  {name.upper()}"
        yield f"      {field.description} [{_default(field)}]"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "default: none" if value in (None, "") else f"default: {value}"
