"""Starting processes so that nothing stays behind: each in a group of its own, which is ended with its block."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"
GRACE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded before any fork


def die_with_parent() -> None:
    """For `preexec_fn`: should the benchmark be killed, the kernel ends the child."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start(
    words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path, fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process; both its streams go to `log`. `end` it."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [str(word) for word in words],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=fds,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and its group to end, then insist."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return
    process.wait()


@contextmanager
def running(
    words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path, fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """`start`, and `end` with the block."""
    process = start(words, env=env, cwd=cwd, log=log, fds=fds)
    try:
        yield process
    finally:
        end(process)


def free_port() -> int:
    """A port that nobody listens on, just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def listening() -> socket.socket:
    """A socket that listens on a port of its own: connections wait in it until somebody accepts."""
    listener = socket.socket()
    listener.bind((HOST, 0))
    listener.listen(1024)
    return listener
