"""Becomes another program that does not outlive the stack: `leash.py PARENT SIGNAL USER PROGRAM [ARGUMENT …]`.

Linux signals a process whose parent dies if the process has asked for it; elsewhere nothing does. The asking must be
done between fork and exec, as must a change of user, and neither is safe there in a process with threads (gRPC and
torch have some, and handlers that run at fork). So the child first runs this file, which asks and becomes the program
under the same process id. USER may be empty.

Run with `-I -S`, by path: it needs the standard library only, and takes about 10 ms.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Change the user, ask for the signal, become the program."""
    parent, number, user, *command = sys.argv[1:]
    if user:
        import pwd

        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":  # after the change of user, which would undo it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):  # it died before it could be asked for
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
