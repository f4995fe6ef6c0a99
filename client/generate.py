"""Make the sync client of the async one.

    python client/generate.py           write client/trimem/client/sync.py
    python client/generate.py --check   fail if it is not what aio.py gives

The two differ in keywords and in the functions of their wires, so one is written and the other one made of it: they
cannot drift apart, and readers and type checkers see plain code in both.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "trimem" / "client"
SOURCE, TARGET = FOLDER / "aio.py", FOLDER / "sync.py"

DOCSTRING = '"""The client for programs without an event loop. Made by `client/generate.py` of `aio.py`."""'

#: What becomes of the words that only async code has.
REPLACEMENTS = [
    (r'\A""".*?"""', DOCSTRING),
    (r"\bawait ", ""),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bAsyncTrimemClient\b", "TrimemClient"),
    (r"\bAsyncGenerator\[(.+?), None\]([:)])", r"Generator[\1, None, None]\2"),
    (r"\bAsyncGenerator, Callable,", "Callable, Generator,"),
    (r"for (\w+) in (\w+):\s+yield \1\n", r"yield from \2\n"),
    (r"\baclosing\b", "closing"),
    (r"\baclose\b", "close"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\bwire_async\b", "wire_sync"),
    (r"one connection for any number of tasks, of one event loop\.", "one connection for any number of threads."),
]


def generated() -> str:
    """What sync.py must be."""
    text = SOURCE.read_text()
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603 - no input


def main() -> int:
    """Write the file, or compare it."""
    text = generated()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
        return 0
    if TARGET.exists() and TARGET.read_text() == text:
        return 0
    print("client/trimem/client/sync.py is stale, run `make protos`", file=sys.stderr)  # noqa: T201 - the answer
    return 1


if __name__ == "__main__":
    sys.exit(main())
