"""Keeps the child processes running: starts, watches, restarts with backoff, stops in order.

Everything here runs on the daemon's event loop. A part is started by its own `prepare`, which is asked anew before
every start, so that a moved port or a new secret takes effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from infra.local.cloud import processes
from infra.local.cloud.errors import CloudError, PortTaken
from infra.local.cloud.probes import Probe, Unwell
from infra.local.cloud.processes import Launch

FIRST_DELAY_SECONDS = 0.2
LAST_DELAY_SECONDS = 10.0
BLOCKED_SECONDS = 1.0  # how often a taken port is looked at
STEADY_SECONDS = 30.0  # a part that lived this long starts its backoff anew
KINDS = ("postgres", "sqld", "redis", "function", "worker")  # in the order in which they start; they stop in reverse
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to run one part.

    With `signals_ready` the child gets a pipe as fd READY_FD (the launch built by `prepare` is told its number) and is
    ready when it writes to it; otherwise it is ready when `probe` passes.
    """

    name: str
    kind: str
    prepare: Callable[[int], Awaitable[Launch]]
    probe: Probe
    port: Callable[[], int | None]
    signals_ready: bool = False
    start_seconds: float = 20.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 5.0
    stand_in: Callable[[], Awaitable[asyncio.Server]] | None = None  # answers callers while it cannot be started
    least_seconds: float = 0.0  # not asked to stop before it has lived this long


class Part:
    """One child process that is meant to run."""

    def __init__(self, plan: Plan, log_path: Path) -> None:
        self.plan = plan
        self.log_path = log_path
        self.state = "starting"
        self.restarts = 0
        self._trouble = ""  # why it could not be started, in one line
        self._process: asyncio.subprocess.Process | None = None
        self._since = 0.0
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start, wait until it is ready, and watch it from then on.

        Raises:
            CloudError: it ended or was not ready in time; it is stopped then. The message holds its last log lines.
        """
        await self._start_once()
        self._watch = asyncio.create_task(self._keep(), name=f"keep {self.plan.name}")

    def start_in_background(self) -> None:
        """Start, and go on trying until it works: for what was there before this daemon."""
        self._watch = asyncio.create_task(self._keep(), name=f"keep {self.plan.name}")

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._process is not None:
            wait = self.plan.least_seconds - (time.monotonic() - self._since)
            if self._process.returncode is None and wait > 0:
                await asyncio.sleep(wait)
            await processes.stop(self._process, self.plan.stop_signal, self.plan.stop_seconds)
        self.state = "stopped"

    async def status(self) -> dict[str, object]:
        """What GET /status shows, with a probe made now."""
        state, detail = self.state, self._trouble
        if state == "running":
            try:
                await self.plan.probe()
            except Unwell as error:
                state, detail = "unhealthy", str(error)
        shown: dict[str, object] = {
            "name": self.plan.name,
            "kind": self.plan.kind,
            "state": state,
            "pid": self.pid,
            "port": self.plan.port(),
            "restarts": self.restarts,
        }
        return {**shown, "detail": detail} if detail else shown

    async def _start_once(self) -> None:
        if self.state != "blocked":  # it stays that while its port is looked at again
            self.state = "starting"
        reader, writer = os.pipe() if self.plan.signals_ready else (-1, -1)
        try:
            launch = await self.plan.prepare(writer)
            if writer >= 0:
                launch = replace(launch, fds=(*launch.fds, writer))
            self._process = await processes.spawn(launch, self.log_path)
            self._since = time.monotonic()
        except BaseException:
            if reader >= 0:
                os.close(reader)
            raise
        finally:
            if writer >= 0:
                os.close(writer)
        try:
            async with asyncio.timeout(self.plan.start_seconds):
                ready = await (_first_byte(reader) if reader >= 0 else self._probed(self._process))
        except TimeoutError:
            ready = False
        except BaseException:
            await processes.kill(self._process)
            raise
        if not ready:
            ended = self._process.returncode
            await processes.kill(self._process)
            how = "was not ready in time" if ended is None and reader < 0 else "ended while starting"
            raise CloudError(f"{self.plan.name} {how}. Its last words:\n{processes.tail(self.log_path)}")
        self.state, self._trouble = "running", ""

    async def _probed(self, process: asyncio.subprocess.Process) -> bool:
        while process.returncode is None:
            try:
                await self.plan.probe()
            except Unwell:
                await asyncio.sleep(0.03)
            else:
                return True
        return False

    async def _keep(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while True:
            if self._process is not None and self.state == "running":
                code = await self._process.wait()
                await processes.kill(self._process)
                log.warning("%s ended (%s) and is started again", self.plan.name, code)
                if time.monotonic() - self._since > STEADY_SECONDS:
                    delay = FIRST_DELAY_SECONDS
                self.restarts += 1
                self.state = "restarting"
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_DELAY_SECONDS)
            try:
                await self._start_once()
                log.info("%s runs", self.plan.name)
            except PortTaken as error:
                if self._trouble != str(error):
                    log.warning("%s", error)
                self._trouble = str(error)
                await self._pause(BLOCKED_SECONDS, "blocked")
            except CloudError as error:
                log.warning("%s", error)
                self._trouble = str(error).partition("\n")[0]
                await self._pause(delay)
                delay = min(delay * 2, LAST_DELAY_SECONDS)
            except Exception:  # a fault of ours must not end the watch
                log.exception("starting %s failed", self.plan.name)
                await self._pause(delay)
                delay = min(delay * 2, LAST_DELAY_SECONDS)

    async def _pause(self, delay: float, state: str = "restarting") -> None:
        self.state = state
        stand_in = self.plan.stand_in if state != "blocked" else None
        server = await stand_in() if stand_in is not None else None
        try:
            await asyncio.sleep(delay)
        finally:
            if server is not None:
                server.close()


class Supervisor:
    """The parts by name."""

    def __init__(self, logs: Callable[[str], Path]) -> None:
        self._logs = logs
        self._parts: dict[str, Part] = {}

    async def start(self, plan: Plan) -> None:
        """Start a part and take it under watch; one of the same name is stopped first.

        Raises:
            CloudError: it does not start; nothing of that name runs then.
        """
        await self.stop(plan.name)
        part = self._part(plan)
        await part.start()
        self._parts[plan.name] = part

    async def swap(self, plan: Plan) -> None:
        """Start the new one beside the old one (they share a listening socket), then stop the old one.

        Raises:
            CloudError: the new one does not start; the old one goes on.
        """
        old = self._parts.get(plan.name)
        part = self._part(plan)
        await part.start()
        self._parts[plan.name] = part
        if old is not None:
            await old.stop()

    def bring_back(self, plan: Plan) -> Part:
        """Start a part that was there before, without waiting, and go on trying."""
        part = self._parts[plan.name] = self._part(plan)
        part.start_in_background()
        return part

    async def stop(self, name: str) -> None:
        part = self._parts.pop(name, None)
        if part is not None:
            await part.stop()

    async def remove(self, name: str) -> None:
        """Stop a part for good; its log goes too, for it may quote what it worked on."""
        await self.stop(name)
        self._logs(name).unlink(missing_ok=True)

    async def stop_all(self) -> None:
        """Stop all parts: those that use others first."""
        for kind in reversed(KINDS):
            names = [name for name, part in self._parts.items() if part.plan.kind == kind]
            await asyncio.gather(*(self.stop(name) for name in names))

    async def statuses(self) -> list[dict[str, object]]:
        parts = sorted(self._parts.values(), key=lambda part: (KINDS.index(part.plan.kind), part.plan.name))
        return list(await asyncio.gather(*(part.status() for part in parts)))

    async def settled(self, timeout: float) -> None:
        """Wait until no part is starting for the first time, at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while any(part.state == "starting" for part in self._parts.values()):  # noqa: ASYNC110  once, at start
                    await asyncio.sleep(0.02)

    def _part(self, plan: Plan) -> Part:
        return Part(plan, self._logs(plan.name))


async def _first_byte(descriptor: int) -> bool:
    """True when something was written to the pipe, False when its other ends are all closed. Closes it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        if not done.done():
            done.set_result(bool(os.read(descriptor, 4096)))

    loop.add_reader(descriptor, readable)
    try:
        return await done
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
