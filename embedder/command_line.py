"""From a command line and an environment to settings, or to one line that says what is wrong with them."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from enum import Enum
from importlib.metadata import version
from typing import TypeVar

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsError

S = TypeVar("S", bound=BaseSettings)

#: What shells and process managers know as "called wrongly".
EXIT_USAGE = 2


def settings_from_command_line(settings: type[S], *, program: str, description: str, arguments: Sequence[str]) -> S:
    """Answer `--help` and `--version`, else read the settings from the environment.

    Leaves the process with status 2 and one line on standard error when a setting is wrong.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=f"environment variables:\n{describe(settings)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trimem {program} {version('trimem')}")
    parser.parse_args(arguments)
    try:
        return settings()
    except ValidationError as error:
        problem = "; ".join(_explain(settings, detail["loc"], detail["msg"]) for detail in error.errors())
    except (SettingsError, OSError, UnicodeError) as error:  # a file that a NAME_FILE variable names, or `.env`
        problem = str(error)
    sys.stderr.write(f"{program}: bad settings: {' '.join(problem.split())}\n")
    raise SystemExit(EXIT_USAGE)


def describe(settings: type[BaseSettings]) -> str:
    """All variables of a settings class with description and default, for people."""
    return "\n".join(
        f"  {name.upper()} (default: {_default(field)})\n"
        + textwrap.fill(
            field.description or "", width=100, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
        )
        for name, field in settings.model_fields.items()
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none, required"
    value = field.get_default(call_default_factory=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretStr):
        return "secret"
    return str(value.value if isinstance(value, Enum) else value)


def _explain(settings: type[BaseSettings], location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0])
    return f"{name.upper() if name in settings.model_fields else name}: {message}"
