"""What the demonstration asks about code, and where the answers are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeQuestion:
    """A question, a name, or a piece of code; the expected file must be among the first three hits."""

    text: str
    path: str
    #: Ask below this path only.
    only: str = ""


@dataclass(frozen=True, slots=True)
class CallQuestion:
    """Who calls a definition: these at least."""

    name: str
    callers: frozenset[str]


CODE_QUESTIONS = (
    CodeQuestion("how do I ask for a password without showing it?", "getpass.py"),
    CodeQuestion("limit how long a block of asynchronous code may take", "asyncio/timeouts.py"),
    CodeQuestion("cancel the other tasks when one of a group fails", "asyncio/taskgroups.py"),
    CodeQuestion("make a token that nobody can guess", "secrets.py"),
    CodeQuestion("list the files that match a pattern with stars", "glob.py"),
    CodeQuestion("may my crawler visit this page?", "urllib/robotparser.py"),
    CodeQuestion("make a colour brighter", "colorsys.py"),
    CodeQuestion("JSONDecodeError", "json/decoder.py"),
    CodeQuestion("while lo < hi:\n    mid = (lo + hi) // 2", "bisect.py"),
    # Something else is found when the search stays within one folder.
    CodeQuestion("wait until there is room, and add an item", "asyncio/queues.py", only="asyncio/"),
)

CALL_QUESTION = CallQuestion("quopri.encode", frozenset({"encodings.quopri_codec.quopri_encode", "quopri.main"}))

#: Hits among which the expected file must be.
FIRST = 3
