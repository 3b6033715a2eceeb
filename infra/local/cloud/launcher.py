"""Starts one child so that it cannot outlive the daemon: run as `python -I -S launcher.py ... -- command`.

It drops to another user if told to, asks the kernel for a signal when the parent thread dies (after setuid, which would
clear the request), checks that the parent had not died before that, and becomes the command. Standard library only and
few imports: every child pays for this start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """`launcher.py PARENT_PID DEATH_SIGNAL UID GID -- command ...`; UID and GID are -1 to stay as they are."""
    parent, death_signal, uid, gid = (int(text) for text in argv[:4])
    command = argv[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died between fork and prctl: no signal will come
        sys.exit("the local cloud ended before this part could start")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # CPython ignores these; the command expects the defaults
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606  no shell is wanted
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
