"""The commands behind `make`, by name: parse, lock, run, and tell what went wrong in a sentence."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import FrameType

from infra.local import accounts, inspection, lifecycle, lock, mails, restore, rotation, smoke, workshop
from infra.local.install import install
from infra.local.places import DEFAULT_ROOT, Places
from infra.local.progress import Progress
from infra.local.transfer import fetching, sending
from infra.local.trouble import told

Command = Callable[[Places, Progress, argparse.Namespace], object]

LOCKED: dict[str, Command] = {
    "up": lambda places, progress, _: lifecycle.up(places, progress),
    "down": lambda places, progress, _: lifecycle.stop(places, progress),
    "destroy": lambda places, progress, _: lifecycle.destroy(places, progress),
    "clean": lambda places, progress, _: lifecycle.clean(places, progress),
    "preview": lambda places, progress, _: lifecycle.preview(places, progress),
    "refresh": lambda places, progress, _: lifecycle.refresh(places, progress),
    "key": lambda places, progress, given: accounts.key(places, progress, given.plan),
    "revoke": lambda places, progress, given: accounts.revoke(places, progress, given.key),
    "jobs": lambda places, progress, given: accounts.jobs(places, progress, given.state),
    "revive": lambda places, progress, given: accounts.revive(places, progress, given.job),
    "rotate": lambda places, progress, given: rotation.rotate(places, progress, given.secret),
    "install": lambda places, progress, _: install(places, progress, client=True),
}
"""Commands that take turns on one LOCAL_ROOT."""

UNLOCKED: dict[str, Command] = {
    "status": lambda places, _progress, _given: inspection.status(places),
    "logs": lambda places, _progress, given: inspection.logs(places, given.part, follow=given.follow),
    "mail": lambda places, _progress, given: mails.show(places, given.to),
    "restore": lambda places, progress, given: restore.restore(places, progress, given.workspace, given.until),
    "smoke": lambda places, _progress, given: smoke.smoke(places, given.url, given.key),
    "engine": lambda places, progress, _: workshop.build_engine(places, progress),
    "test": lambda places, progress, given: workshop.test(places, progress, given.arguments),
    "bench": lambda places, progress, given: workshop.bench(places, progress, given.arguments),
    "cost": lambda places, progress, given: workshop.cost(places, progress, given.arguments),
    "bootstrap-prod": lambda places, progress, given: workshop.bootstrap_prod(places, progress, given.arguments),
    "check": lambda places, progress, _: workshop.check(places, progress),
    "format": lambda places, progress, _: workshop.format_(places, progress),
    "lock": lambda places, progress, _: workshop.lock(places, progress),
    "openapi": lambda places, progress, _: workshop.openapi(places, progress),
    "snapshot": lambda places, progress, _: workshop.snapshot(places, progress),
    "export": lambda places, progress, given: fetching.fetch(places, progress, given.file),
    "import": lambda places, progress, given: sending.send(places, progress, given.file),
}
"""Commands that change nothing in LOCAL_ROOT but what is installed, or only look."""


def main(words: list[str]) -> int:
    """Run one command; returns the exit code."""
    given = parse(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # a closed terminal, or `kill`: the same as Ctrl-C
    progress = Progress()
    try:
        places = Places.of(given.root)
        holding = lock.hold(places.lock, given.command, progress.say) if given.command in LOCKED else nullcontext()
        with holding:
            (LOCKED | UNLOCKED)[given.command](places, progress, given)
        sys.stdout.flush()
    except BrokenPipeError:  # `make status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        sentence, code = told(error)
        print(sentence, file=sys.stderr)
        return code
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make", description="The local cloud. `make help` lists the commands.")
    parser.add_argument("--root", default=os.environ.get("LOCAL_ROOT") or DEFAULT_ROOT)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in sorted(LOCKED | UNLOCKED):
        command = commands.add_parser(name)
        if name == "key":
            command.add_argument("--plan", default=accounts.FIRST_PLAN)
        elif name == "revoke":
            command.add_argument("--key", default=os.environ.get("KEY", ""))  # make passes its variables on
        elif name == "smoke":
            command.add_argument("--url", default=os.environ.get("URL", ""))
            command.add_argument("--key", default=os.environ.get("KEY", ""))
        elif name == "logs":
            command.add_argument("--part", default="")
            command.add_argument("--follow", action="store_true")
        elif name == "jobs":
            command.add_argument("--state", default=os.environ.get("STATE", ""))
        elif name == "revive":
            command.add_argument("--job", default=os.environ.get("JOB", ""))
        elif name == "restore":
            command.add_argument("--workspace", default=os.environ.get("WORKSPACE", ""))
            command.add_argument("--until", default=os.environ.get("UNTIL", ""))
        elif name == "rotate":
            command.add_argument("--secret", default=os.environ.get("SECRET", ""))
        elif name == "mail":
            command.add_argument("--to", default=os.environ.get("TO", ""))
        elif name in ("export", "import"):
            command.add_argument("--file", default=os.environ.get("FILE", ""))
        elif name in ("bench", "bootstrap-prod", "cost", "test"):
            command.add_argument("arguments", nargs="*")
    return parser.parse_args(words)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
