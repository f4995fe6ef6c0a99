"""A collection that reads like a reference: the docstrings of Python's library. Their summaries are the questions."""

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Modules that can be imported anywhere without doing anything.
_MODULES = (
    "argparse", "array", "ast", "asyncio", "base64", "bisect", "calendar", "cmd", "codecs", "collections",
    "concurrent.futures", "configparser", "contextlib", "copy", "csv", "ctypes", "dataclasses", "datetime", "decimal",
    "difflib", "dis", "doctest", "email.header", "email.message", "email.policy", "email.utils", "enum", "filecmp",
    "fileinput", "fnmatch", "fractions", "ftplib", "functools", "gc", "getopt", "gettext", "glob", "gzip", "hashlib",
    "heapq", "hmac", "html", "html.parser", "http.client", "http.cookiejar", "http.server", "imaplib", "inspect", "io",
    "ipaddress", "itertools", "json", "keyword", "locale", "logging", "logging.handlers", "lzma", "mailbox", "math",
    "mimetypes", "multiprocessing.pool", "numbers", "operator", "os", "os.path", "pathlib", "pickle", "pickletools",
    "pkgutil", "platform", "plistlib", "poplib", "pprint", "profile", "queue", "random", "re", "sched", "secrets",
    "selectors", "shelve", "shlex", "shutil", "signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl",
    "statistics", "string", "struct", "subprocess", "symtable", "sys", "sysconfig", "tarfile", "tempfile", "textwrap",
    "threading", "time", "timeit", "tokenize", "trace", "traceback", "tracemalloc", "types", "typing", "unicodedata",
    "unittest", "unittest.mock", "urllib.parse", "urllib.request", "urllib.robotparser", "uuid", "warnings", "weakref",
    "webbrowser", "xml.dom.minidom", "xml.etree.ElementTree", "xmlrpc.client", "zipfile", "zlib",
)  # fmt: skip

#: A summary and a text shorter than this say too little to be asked for, or found.
_SUMMARY_WORDS = 5
_TEXT_WORDS = 15


@dataclass(frozen=True, slots=True)
class Entry:
    """One function, class or method: its summary, and what follows it."""

    key: str
    summary: str
    text: str


def entries() -> list[Entry]:
    """All entries by name; a summary or a text that comes twice is taken once."""
    found: dict[str, Entry] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old names warn when they are looked at
        for module in _MODULES:
            for key, documented in _documented(importlib.import_module(module), module):
                entry = _entry(key, documented)
                if entry is not None:
                    found.setdefault(key, entry)
    unique = {one.summary.lower(): one for one in sorted(found.values(), key=lambda each: each.key, reverse=True)}
    texts = {one.text: one for one in unique.values()}
    return sorted(texts.values(), key=lambda each: each.key)


def _documented(owner: Any, path: str) -> Iterator[tuple[str, str]]:
    for name, value in sorted(vars(owner).items()):
        if name.startswith("_") or not (callable(value) or isinstance(value, classmethod | staticmethod | property)):
            continue
        if inspect.ismodule(owner) and getattr(value, "__module__", None) not in (path, owner.__name__, None):
            continue
        documentation = getattr(value, "__doc__", None)
        if isinstance(documentation, str):
            yield f"{path}.{name}", inspect.cleandoc(documentation)
        if inspect.isclass(value) and inspect.ismodule(owner):
            yield from _documented(value, f"{path}.{name}")


def _entry(key: str, documentation: str) -> Entry | None:
    first, _, rest = documentation.partition("\n\n")
    if re.match(rf"{re.escape(key.rpartition('.')[2])}\(", first):  # a signature comes first
        first, _, rest = rest.partition("\n\n")
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(first.split()), maxsplit=1)
    text = "\n\n".join(part for part in (*parts[1:], rest.strip()) if part)
    if len(parts[0].split()) < _SUMMARY_WORDS or len(text.split()) < _TEXT_WORDS:
        return None
    return Entry(key, parts[0], text)
