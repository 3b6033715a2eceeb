"""Runs one tool (uv, npm, go, pulumi) to its end, so that nothing of it is left behind.

A tool gets a session of its own: Ctrl-C reaches us only, we pass it on, wait, and then kill the whole group. Should we
be killed ourselves, the kernel ends the tool (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.places import make_private, open_log
from infra.local.trouble import Trouble

GRACE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded before any fork

_NO_NETWORK = re.compile(
    r"dns error|failed to lookup|name resolution|name or service not known|nodename nor servname|no such host"
    r"|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|connection refused"
    r"|connection reset|network is unreachable|error sending request|tcp connect|dial tcp|operation timed out"
    r"|timed out|NewConnectionError|proxyconnect|no network access|because the network was disabled",
    re.IGNORECASE,
)
_NO_SPACE = re.compile(r"no space left on device|ENOSPC|disk quota exceeded|EDQUOT", re.IGNORECASE)
_READ_ONLY = re.compile(r"read-only file system|EROFS", re.IGNORECASE)


@dataclass(frozen=True)
class Done:
    """How a tool ended; `output` is what it wrote to both streams."""

    code: int
    output: str


def run(
    words: list[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    grace: float = GRACE_SECONDS,
    separate: bool = False,
) -> Done:
    """Run `words` and return how it ended. Each line of output goes to `on_line` as it comes, all of it to `log`.

    `separate` leaves standard error with ours, so that `output` holds standard output alone. Raises OSError when the
    tool cannot be started, KeyboardInterrupt after the tool has been stopped.
    """
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if separate else subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(process, lines, on_line), daemon=True)
    try:
        reader.start()
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        code = process.wait()
    except BaseException:
        stop(process, grace=grace, first=signal.SIGINT)
        raise
    finally:
        reader.join(timeout=5)
        for stream in (process.stdin, process.stdout):
            if stream is not None and not reader.is_alive():
                stream.close()
        if log is not None:
            _append(log, words, lines)
    return Done(code, "".join(lines))


def stop(process: subprocess.Popen[str], *, grace: float, first: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process group to end, then insist."""
    for number in (first, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=grace)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def failure(what: str, done: Done, log: Path | None = None, *, remedy: str = "") -> Trouble:
    """The sentence for a tool that failed: what it was to do, the likeliest cause, the way out."""
    details = f" Details: {log}." if log is not None else ""
    if _NO_SPACE.search(done.output):
        return Trouble(f"{what} failed: the disk is full. Free some space and run the same command again.{details}")
    if _READ_ONLY.search(done.output):
        return Trouble(f"{what} failed: the file system is read-only. Work in a folder that can be written.{details}")
    if _NO_NETWORK.search(done.output):
        return Trouble(
            f"{what} failed: the package registry cannot be reached. Check the network, or set HTTPS_PROXY or a "
            f"mirror, and run the same command again; what is installed already is kept.{details}"
        )
    reason = last_line(done.output) or f"exit code {done.code}"
    return Trouble(f"{what} failed: {reason}. {remedy or 'Run the same command again.'}{details}")


def last_line(output: str) -> str:
    """The last line that says something, without its full stop."""
    lines = [line.strip() for line in output.splitlines() if re.search(r"\w", line)]
    return lines[-1].rstrip(".") if lines else ""


def _read(process: subprocess.Popen[str], lines: list[str], on_line: Callable[[str], None] | None) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if on_line is not None:
            on_line(line.rstrip("\n"))


def _append(log: Path, words: list[str], lines: list[str]) -> None:
    try:
        make_private(log.parent)
        with open_log(log) as file:
            file.write(f"$ {' '.join(words)}\n{''.join(lines)}".encode())
    except OSError:
        pass  # a full disk: the sentence to come says so, the log is a convenience


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
