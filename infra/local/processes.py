"""The two long-lived processes of an environment: the cloud daemon, and the language host beside it.

Each writes a record (its process id and ports) when it serves. A record can outlive its process, and the id can by then
belong to a stranger, so a record counts only when that process runs our module for this very LOCAL_ROOT.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import tools, uv
from infra.local.places import Places, make_private, open_log
from infra.local.trouble import Trouble

CLOUD = "infra.local.cloud"
HOST = "infra.local.host"
_started: list[subprocess.Popen[bytes]] = []
"""Children of this very command: polled when they are stopped, so that they do not stay as zombies until it ends."""

START_SECONDS = 90.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Record:
    """What a process wrote about itself; `values` as it wrote them."""

    pid: int
    values: dict[str, Any]


def living(places: Places, module: str) -> Record | None:
    """The running process of this environment, or None. A stale record is passed over."""
    try:
        values = json.loads(_record(places, module).read_text())
        record = Record(int(values["pid"]), values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if record.pid in matching(places, module) else None


def matching(places: Places, module: str) -> list[int]:
    """Processes that run `module` for this LOCAL_ROOT, with or without a record."""
    words = [b"-m", module.encode(), b"--root", os.fsencode(places.root)]
    return _running(lambda line: line[1:5] == words)


def using(places: Places) -> list[int]:
    """Daemons of any environment that run from this checkout's packages."""
    words = [os.fsencode(places.python), b"-m", CLOUD.encode()]
    return _running(lambda line: line[:3] == words)


def _running(wanted: Callable[[list[bytes]], bool]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
            ended = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if not ended and wanted(line):
            found.append(int(folder.name))
    return found


def start(places: Places, *modules: str) -> list[Record]:
    """Start processes that outlive this command, all at once, and wait until each serves.

    Raises:
        Trouble: one did not, with what it said; then none of them runs.
    """
    make_private(places.logs)
    births = []
    try:
        births = [_launch(places, module) for module in modules]
        return [_served(places, birth) for birth in births]
    except BaseException:
        _end([birth.process.pid for birth in births], lambda: any(b.process.poll() is None for b in births))
        raise


def stop(places: Places, module: str, ask: Callable[[Record], None] | None = None) -> bool:
    """Stop whatever runs `module` for this environment, however it answers; False when nothing did.

    `ask` is the polite way; then follow SIGTERM and SIGKILL. The daemon's children die with it (PR_SET_PDEATHSIG).
    """
    pids = matching(places, module)
    record = living(places, module)
    if record is not None and ask is not None:
        try:
            ask(record)
        except OSError:
            pass  # it does not answer; the signals follow
        else:
            _wait(lambda: bool(matching(places, module)), STOP_SECONDS)
    _end(matching(places, module), lambda: bool(matching(places, module)))
    with suppress(OSError):  # a folder that cannot be written; a stale record counts for nothing
        _record(places, module).unlink(missing_ok=True)
    for process in _started:
        process.poll()
    return bool(pids)


def clean_environment() -> dict[str, str]:
    """Our environment without what would change how a Python child behaves.

    Bytecode is kept: without it importing pulumi_cloudflare takes 10 s each time instead of 1.5.
    """
    dropped = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONUNBUFFERED": "1"} | direct()


def direct() -> dict[str, str]:
    """The variables that keep what stays on this machine away from a proxy: gRPC would send it there."""
    found = {}
    for name in ("no_proxy", "NO_PROXY"):
        listed = [part for part in os.environ.get(name, "").split(",") if part]
        found[name] = ",".join([*listed, *(host for host in ("127.0.0.1", "localhost") if host not in listed)])
    return found


@dataclass(frozen=True)
class _Birth:
    """A process that was started; `begin` is where its words begin in the log."""

    module: str
    process: subprocess.Popen[bytes]
    log: Path
    begin: int

    def said(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self.begin)
            return file.read().decode(errors="replace")


def _launch(places: Places, module: str) -> _Birth:
    log = places.logs / f"{module.rpartition('.')[2]}.log"
    _record(places, module).unlink(missing_ok=True)
    with open_log(log) as output:
        begin = output.tell()
        process = subprocess.Popen(
            [str(places.python), "-m", module, "--root", str(places.root)],
            cwd=places.repo,
            env=clean_environment() | uv.settings(places),  # the daemon builds the functions' environments
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in this terminal is not for it
        )
    _started.append(process)
    return _Birth(module, process, log, begin)


def _served(places: Places, birth: _Birth) -> Record:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        record = living(places, birth.module)
        if record is not None and record.pid == birth.process.pid:
            return record
        if birth.process.poll() is not None:
            said = tools.last_line(birth.said()) or f"it ended with code {birth.process.returncode}"
            raise Trouble(f"The local cloud did not start: {said}. Details: {birth.log}.")
        time.sleep(0.05)
    raise Trouble(
        f"The local cloud did not start within {START_SECONDS:.0f} s; is this machine very busy? "
        f"Run `make up` again. Details: {birth.log}."
    )


def _end(pids: list[int], alive: Callable[[], bool]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # a stopped process takes SIGTERM only when it goes on
            except ProcessLookupError:
                continue
            except PermissionError:
                raise Trouble(
                    f"Process {pid} of this local cloud belongs to another user. Stop it as that user (`make down`)."
                ) from None
        if pids and not _wait(alive, STOP_SECONDS):
            return


def _wait(alive: Callable[[], bool], seconds: float) -> bool:
    """Wait until `alive()` is false; True when it still is true at the end."""
    deadline = time.monotonic() + seconds
    while alive():
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    return False


def _record(places: Places, module: str) -> Path:
    return {CLOUD: places.cloud_record, HOST: places.host_record}[module]
