"""Make the sync client of the async one.

    python client/generate.py           write client/trimem/client/sync*.py
    python client/generate.py --check   fail if they are not what aio*.py gives

The two differ in keywords and in the functions of their wires, so one is written and the other one made of it: they
cannot drift apart, and readers and type checkers see plain code in both.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "trimem" / "client"

#: What is made of what.
FILES = {source: FOLDER / source.name.replace("aio", "sync") for source in sorted(FOLDER.glob("aio*.py"))}

#: What becomes of the words that only async code has.
REPLACEMENTS = [
    (r" `sync\w*\.py` is made of this file by `client/generate\.py`\.", " Made by `client/generate.py`."),
    (r"\bprograms with an event loop", "programs without an event loop"),
    (r"\ban async client\b", "a client"),
    (r"\bawait ", ""),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\bAsyncGenerator\[(.+?), None\]([:)])", r"Generator[\1, None, None]\2"),
    (r"\bAsyncGenerator, Callable\b", "Callable, Generator"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\baio_", "sync_"),
    (r"for (\w+) in (\w+):\s+yield \1\n", r"yield from \2\n"),
    (r"\baclosing\b", "closing"),
    (r"\baclose\b", "close"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\bwire_async\b", "wire_sync"),
    (r"one connection for any number of tasks, of one event loop\.", "one connection for any number of threads."),
]


def generated(source: Path, target: Path) -> str:
    """What the sync file must be."""
    text = source.read_text()
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(target), "-"]
        done = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True)  # noqa: S603 - no input
        text = done.stdout
    return text


def main() -> int:
    """Write the files, or compare them."""
    stale = 0
    for source, target in FILES.items():
        text = generated(source, target)
        if "--check" not in sys.argv[1:]:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            print(f"{target.name} is stale, run `make protos`", file=sys.stderr)  # noqa: T201 - the answer
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
