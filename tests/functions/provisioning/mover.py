"""A program: provisioning's real runner in processes of its own, which kill or freeze themselves where they are told.

It reads lines of JSON: first the settings, then one for each process, which is forked, so that none pays for imports:
`at` (before which call, from 1; null: none), `on` (calls by name, one after another, with others in between: before the
last of them), `signal`, and `pauses` (seconds, as `moves.PAUSES`). It writes lines:
`{pid, before}` when a process is about to send itself the signal, `{pid, calls, flips}` when it has done its work, and
`{pid, state}` when it was `killed`, `stopped`, or `ended`. Calls are those that go out: to Turso, to databases, to
PostgreSQL. The runner's own, by which it holds its job, are left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.adapters.hrana import HranaDatabase
from core.adapters.http1 import HttpAnswer, HttpClient
from core.adapters.postgres import Answer, Postgres
from core.ports import Result, Statement
from declarations import PLANS, ProvisioningFunctionSettings
from provisioning import kinds, moves, parts
from provisioning.jobs import Runner
from provisioning.placements import Placements

OWN = ("claim_job", "hold_job", "finish_job", "fail_job", "next_job_in")
FUNCTION = re.compile(r"(?:app|memory)\.(?!working)(\w+)")
BATCHES = {
    "AND paused_until -": "prolong_pause",
    "paused_until = (": "pause",
    "worker = ?2": "take_over",
    "worker = NULL": "hand_over",
    "CREATE TRIGGER IF": "begin_journal",
    "DELETE FROM memories WHERE rowid": "erase",
    "DROP TRIGGER IF": "end_journal",
    "FROM _journal WHERE seq": "read_journal",
    "page.place": "raw_page",
    "worker IS ?": "put_raw",
}
"""What is in one, and what the same is called in PostgreSQL."""


def say(**told: object) -> None:
    os.write(1, (json.dumps({"pid": os.getpid(), **told}) + "\n").encode())


@dataclass
class Calls:
    """What one process has called, and where it ends."""

    at: int | None
    on: list[str]
    signal: int
    names: list[str] = field(default_factory=list)
    flips: list[bool | None] = field(default_factory=list)

    def reach(self, name: str) -> None:
        self.names.append(name)
        next_on = self.on[:1] == [name]
        self.on = self.on[1:] if next_on else self.on
        if len(self.names) == self.at or (next_on and not self.on):
            say(before=name, number=len(self.names))
            os.kill(os.getpid(), self.signal)


def watch(calls: Calls, turso: str) -> None:
    ask, batch, request, flip = Postgres.ask, HranaDatabase.batch, HttpClient.request, Placements.flip

    async def watched_ask(self: Postgres, statement: str, args: Sequence[object] = ()) -> Answer:
        names = FUNCTION.findall(statement)
        name = names[-1] if names else "clock"  # the last: what puts rows in the place of others drops them first
        if name not in OWN:
            calls.reach(name)
        return await ask(self, statement, args)

    async def watched_batch(self: HranaDatabase, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        texts = " ".join(one.sql for one in statements)
        calls.reach(next((name for text, name in BATCHES.items() if text in texts), "write" if write else "read"))
        return await batch(self, statements, write=write)

    async def watched_request(self: HttpClient, method: str, url: str, *args: Any, **kwargs: Any) -> HttpAnswer:
        if url.startswith(turso):
            calls.reach(f"{method} {url.rpartition('/')[2].partition('?')[0]}")
        return await request(self, method, url, *args, **kwargs)

    async def watched_flip(self: Placements, *args: Any, **kwargs: Any) -> bool | None:
        calls.flips.append(None)
        calls.flips[-1] = await flip(self, *args, **kwargs)
        return calls.flips[-1]

    Postgres.ask = watched_ask  # type: ignore[method-assign]
    HranaDatabase.batch = watched_batch  # type: ignore[method-assign]
    HttpClient.request = watched_request  # type: ignore[method-assign]
    Placements.flip = watched_flip  # type: ignore[method-assign]


async def work(settings: ProvisioningFunctionSettings) -> None:
    built = parts.build(settings)
    await Runner(built.outbox, kinds.works(built), linger_seconds=0.0).run()
    await built.close()


def run(settings: ProvisioningFunctionSettings, asked: dict[str, Any]) -> None:
    calls = Calls(asked["at"], asked["on"], asked["signal"])
    watch(calls, settings.turso_api_url)
    moves.PLANS = {name: replace(plan, memories=None) for name, plan in PLANS.items()}  # type: ignore[attr-defined]
    moves.PAUSES = tuple(asked["pauses"])
    try:
        asyncio.run(work(settings))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    say(calls=calls.names, flips=calls.flips)
    os._exit(0)


def main() -> None:
    reader = os.fdopen(0, "rb", buffering=0)
    settings = ProvisioningFunctionSettings.load(json.loads(reader.readline()))
    children: set[int] = set()
    while True:
        if select.select([reader], [], [], 0.005)[0]:
            line = reader.readline()
            if not line:
                break
            pid = os.fork()
            if pid == 0:
                run(settings, json.loads(line))
            children.add(pid)
            os.write(1, (json.dumps({"started": pid}) + "\n").encode())
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if not pid:
                break
            state = "stopped" if os.WIFSTOPPED(status) else "killed" if os.WIFSIGNALED(status) else "ended"
            children.discard(pid) if state != "stopped" else None
            told = {"pid": pid, "state": state, "code": os.waitstatus_to_exitcode(status) if state == "ended" else 0}
            os.write(1, (json.dumps(told) + "\n").encode())
    for pid in children:
        os.kill(pid, 9)
    sys.exit(0)


if __name__ == "__main__":
    main()
