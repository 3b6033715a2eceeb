"""Starting child processes through `launcher.py`, from the main thread only.

The kernel's death signal is tied to the thread that forked, so every child is started by the event loop's thread, which
lives as long as the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from infra.local.cloud.errors import CloudError, disk_sentence

LAUNCHER = Path(__file__).with_name("launcher.py")
LOG_LIMIT_BYTES = 5 << 20
TAIL_LINES = 12


@dataclass(frozen=True, kw_only=True)
class User:
    """Another user to run a child as; only root can."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One command line with all that it needs. `env` is the whole environment. Fds in `fds` stay open in the child."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    user: User | None = None
    death_signal: signal.Signals = signal.SIGKILL
    fds: tuple[int, ...] = ()


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; one that grew past 5 MiB becomes `NAME.log.1` first."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(path.name + ".1"))
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, for an error message; empty if there are none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 8192))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


async def spawn(launch: Launch, log: Path) -> asyncio.subprocess.Process:
    """Start a child in a session of its own; its output goes to `log`.

    Raises:
        CloudError: the log cannot be written or the process cannot be started.
    """
    assert threading.current_thread() is threading.main_thread(), "children are started by the loop's thread"
    user = launch.user
    prefix = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(launch.death_signal)))
    who = (str(user.uid), str(user.gid)) if user else ("-1", "-1")
    try:
        with open_log(log) as output:
            return await asyncio.create_subprocess_exec(
                *prefix,
                *who,
                "--",
                *launch.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(launch.env),
                cwd=launch.cwd,
                pass_fds=launch.fds,
                start_new_session=True,
            )
    except OSError as error:
        raise CloudError(disk_sentence(error, f"starting {Path(launch.argv[0]).name}")) from None


async def run(launch: Launch, log: Path, *, timeout: float) -> int:
    """Run a tool to its end and give its exit code; -1 when it took longer than `timeout` seconds and was killed."""
    process = await spawn(launch, log)
    try:
        return await asyncio.wait_for(process.wait(), timeout)
    except TimeoutError:
        return -1
    finally:
        await kill(process)


def working_in(folder: Path) -> list[int]:
    """Processes, other than ended ones, whose working directory is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended, or is not ours to look at
                ended = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
                if not ended and (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
    return found


async def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a child and what it started, and wait until it is gone; one that has ended is done."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def stop(process: asyncio.subprocess.Process, number: signal.Signals, grace: float) -> None:
    """Ask a child to end, wait `grace` seconds, then kill it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a frozen one could not hear the first
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace)
    await kill(process)
