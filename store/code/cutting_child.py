"""The process that cuts files: `python -m store.code.cutting_child MEMORY SECONDS`, with files on its standard input.

A parser is a C library that reads what strangers wrote. Some files take it gigabytes, or minutes in which no Python
runs, not even a callback: only a process can be given a limit that holds. What goes beyond it ends this one.
"""

import ctypes
import pickle
import resource
import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

from store.code.cutting import cut
from store.code.source import CutFile

#: Before each message: how many bytes it has.
HEADER = struct.Struct("!Q")

#: The first message.
READY = "ready"

_PR_SET_PDEATHSIG = 1


def packed(message: object) -> bytes:
    """A message as it goes through the pipe."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def _serve(seconds: float, asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer with a CutFile, or with the text of what went wrong, until nobody can ask any more."""
    while len(header := asked.read(HEADER.size)) == HEADER.size:
        path, content = pickle.loads(asked.read(*HEADER.unpack(header)))  # noqa: S301 - from the store that started us
        answers.write(packed(_cut(path, content, seconds)))
        answers.flush()


def _cut(path: str, content: bytes, seconds: float) -> CutFile | str:
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of computing: how busy the machine is changes nothing
    try:
        return cut(path, content)
    except MemoryError:  # ends it: what else failed for lack of memory is not known
        raise
    except Exception:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit(memory: int) -> None:
    """So many bytes more than are in use now, no core of some GiB, and no life without the store."""
    if sys.platform == "linux":  # others have the limit of time
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        # Who waits for the next file sees the pipe close. Who is in the middle of one does not.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(memory: int, seconds: float) -> None:
    """Say that it is ready, then serve."""
    for asked_to_stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked_to_stop, signal.SIG_IGN)  # meant for the store, which may finish its calls
    _limit(memory)
    sys.stdout.buffer.write(packed(READY))
    sys.stdout.buffer.flush()
    _serve(seconds, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
