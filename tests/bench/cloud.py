"""The local cloud under load: its addresses, accounts, and function processes of the benchmark's own.

A process of its own is started exactly as the running one was (its command line, environment and folder are read from
/proc), but for what the benchmark changes: the socket, or the address of a part, to put something in between. A second
worker takes connections from the same listening socket as the first, which is what two instances behind one address
do; the socket is duplicated out of the running process (pidfd_getfd), which the kernel allows for one's own processes
unless ptrace is restricted (kernel.yama.ptrace_scope).
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core import bootstrap, keys
from core.ports import KeyRecord
from core.problems import Problem
from declarations import MEMORIES, ProvisioningSettings
from infra.local import accounts, control, drivers, processes
from infra.local.places import REPO, Places
from infra.local.progress import Progress
from provisioning import service
from tests.bench import children

_PIDFD_GETFD = 438  # the same number on every architecture; Python has no name for it
START_SECONDS = 60.0


class NotPossible(Exception):
    """This machine does not allow something; the sentence goes into the report."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """How a function's process was started, as /proc tells."""

    pid: int
    words: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path

    @classmethod
    def of(cls, pid: int) -> Process:
        proc = Path(f"/proc/{pid}")
        words = [os.fsdecode(word) for word in (proc / "cmdline").read_bytes().split(b"\0")[:-1]]
        pairs = (os.fsdecode(entry).partition("=") for entry in (proc / "environ").read_bytes().split(b"\0") if entry)
        return cls(
            pid=pid, words=tuple(words), env={name: value for name, _, value in pairs}, cwd=(proc / "cwd").resolve()
        )

    @property
    def python(self) -> str:
        return self.words[0]

    def option(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]

    def command(self, listen: int, ready: int) -> list[str]:
        """Its words, with another socket and another pipe."""
        words = list(self.words)
        for name, value in (("--listen-fd", listen), ("--ready-fd", ready)):
            words[words.index(name) + 1] = str(value)
        return words


class Cloud:
    """A running local cloud."""

    def __init__(self, places: Places, folder: Path) -> None:
        self._places = places
        self.folder = folder
        self.edge_url = accounts.api_url(places)
        self._operator: Any = drivers.choose(places, Progress(quiet=True)).outputs()["operator"]
        parts = control.status(control.running(places))["parts"]
        self.parts = {part["name"]: part for part in parts}
        self.function = Process.of(self.parts[MEMORIES.name]["pid"])
        self.function_port: int = self.parts[MEMORIES.name]["port"]

    def spent(self) -> dict[str, float]:
        """Processor seconds that each part and its children have used, by kind, those that ended included."""
        parents: dict[int, int] = {}
        ticks: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it may end meanwhile
                fields = stat.read_text().rpartition(")")[2].split()
                parents[int(stat.parent.name)] = int(fields[1])
                ticks[int(stat.parent.name)] = sum(map(int, fields[11:15]))
        kinds = {part["pid"]: part["kind"] for part in self.parts.values()}
        found = dict.fromkeys(kinds.values(), 0.0)
        for pid, used in ticks.items():
            ancestor: int | None = pid
            while ancestor and ancestor not in kinds:
                ancestor = parents.get(ancestor)
            if ancestor:
                found[kinds[ancestor]] += used / os.sysconf("SC_CLK_TCK")
        return found

    @property
    def edge(self) -> tuple[str, int]:
        target = urlsplit(self.edge_url)
        return target.hostname or children.HOST, target.port or 80

    @property
    def edge_secret(self) -> str:
        return self.function.env["EDGE_SECRET"].split()[0]

    async def open_accounts(self, plan: str, count: int) -> list[str]:
        """Fresh accounts; a key of each."""
        settings = ProvisioningSettings.load(self._operator)
        tools = bootstrap.build_provisioning(settings)
        try:
            return [await service.open_account(settings, plan, tools=tools) for _ in range(count)]
        except Problem as error:
            raise NotPossible(f"an account could not be opened: {error}") from error
        finally:
            await tools.close()

    async def record_of(self, key: str) -> KeyRecord:
        """What the control plane says of a key."""
        tools = bootstrap.build_provisioning(ProvisioningSettings.load(self._operator))
        try:
            found = await tools.control.find_key(keys.hash_key(key))
        finally:
            await tools.close()
        assert isinstance(found, KeyRecord)
        return found

    @contextmanager
    def worker(self, changes: Mapping[str, str] | None = None) -> Iterator[int]:
        """A further process of the function behind an address of its own; its port.

        Args:
            changes: of its environment.
        """
        with children.listening() as listener, self._started(listener, env={**self.function.env, **(changes or {})}):
            yield listener.getsockname()[1]

    @contextmanager
    def bare_worker(self, folder: Path, target: str) -> Iterator[int]:
        """A process of another function, under the same server with the same limits; its port."""
        env = {"PATH": os.defpath, "FUNCTION_TARGET": target, "FUNCTION_SIGNATURE_TYPE": "http"}
        with children.listening() as listener, self._started(listener, env=env, cwd=folder):
            yield listener.getsockname()[1]

    @contextmanager
    def second_worker(self) -> Iterator[None]:
        """A second process that takes connections from the running function's own socket. Raises NotPossible."""
        with self._borrowed_socket() as listener, self._started(listener, env=self.function.env):
            yield

    @contextmanager
    def _started(
        self, listener: socket.socket, *, env: Mapping[str, str], cwd: Path | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        ready, said = os.pipe()
        try:
            words = self.function.command(listener.fileno(), said)
            process = children.start(
                words,
                env=dict(env),
                cwd=cwd or self.function.cwd,
                log=self.folder / "worker.log",
                fds=(listener.fileno(), said),
            )
        finally:
            os.close(said)
        try:
            if not select.select([ready], [], [], START_SECONDS)[0] or not os.read(ready, 1):
                raise NotPossible(f"a further function process did not start; see {self.folder / 'worker.log'}")
            yield process
        finally:
            os.close(ready)
            children.end(process)

    @contextmanager
    def _borrowed_socket(self) -> Iterator[socket.socket]:
        handle = os.pidfd_open(self.function.pid)
        try:
            number = int(self.function.option("--listen-fd"))
            libc = ctypes.CDLL(None, use_errno=True)
            descriptor = libc.syscall(_PIDFD_GETFD, handle, number, 0)
            if descriptor < 0:
                reason = os.strerror(ctypes.get_errno())
                raise NotPossible(f"the function's socket cannot be shared with a second process: {reason}")
        finally:
            os.close(handle)
        with socket.socket(fileno=descriptor) as listener:
            yield listener


@contextmanager
def standing(root: str, folder: Path, *, keep: bool) -> Iterator[Cloud]:
    """The local cloud of `root`: the one that runs there, or one that is made and destroyed with the block."""
    places = Places.of(root)
    found = processes.living(places, processes.CLOUD) is not None
    if not found:
        _make(root, "up")
    try:
        yield Cloud(places, folder)
    finally:
        if not found and not keep:
            _make(root, "destroy")


def _make(root: str, command: str) -> None:
    """What `make` does, so that no cloud is half stood up: its own group, so Ctrl-C comes to us alone."""
    words = [sys.executable, str(REPO / "infra" / "local" / "bootstrap.py"), "--root", root, command]
    process = subprocess.Popen(words, cwd=REPO, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        if process.wait() != 0:
            raise SystemExit(f"`make {command}` failed for LOCAL_ROOT={root}; see above.")
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
