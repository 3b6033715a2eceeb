"""python -m infra.bootstrap [STACK]: the list, then what is missing. Exits with 1 when something is."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from infra.bootstrap import stack_file
from infra.bootstrap.steps import Step, steps

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "gcloud": "https://cloud.google.com/sdk/docs/install",
    "pulumi": "https://www.pulumi.com/docs/install/ (with its Python host, which `make engine` leaves out)",
}


def main(words: list[str], folder: Path = REPOSITORY, which: Callable[[str], str | None] = shutil.which) -> int:
    """`folder` has the stacks' files; `which` finds programs."""
    stack = _stack(words)
    try:
        file = stack_file.read(folder / f"Pulumi.{stack}.yaml")
    except stack_file.Unreadable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    missing = [(f"{name} is not installed", where) for name, where in PROGRAMS.items() if which(name) is None]
    if not (file.key or "").startswith("gcpkms://"):
        missing.append(("the stack has no key of Google's yet", "pulumi stack init, in step 3"))
    missing += stack_file.faults(stack, file)
    project, region, domain = (
        file.values.get(key) or default
        for key, default in (
            ("gcp:project", "PROJECT"),
            ("gcp:region", "us-east4"),
            (f"{stack_file.PROJECT}:domain", "DOMAIN"),
        )
    )
    _say(f"Before the first `pulumi up` of the stack {stack}. In full: docs/operate.md.")
    for number, step in enumerate(steps(stack, project, region, domain), start=1):
        _show(number, step)
    _say(f"\nSeen from here, which is Pulumi.{stack}.yaml and this machine; no vendor was asked:")
    for what, fix in missing:
        _say(f"  - {what.rstrip('.')}.\n      {fix}")
    if not missing:
        _say(
            "  nothing is missing. Sealed values were not opened, so whether they are right shows at `pulumi preview`."
        )
    return 1 if missing else 0


def _stack(words: list[str]) -> str:
    parser = argparse.ArgumentParser(prog="make bootstrap-prod", description="What the first `pulumi up` needs.")
    parser.add_argument("stack", nargs="?", default="prod", type=_name)
    name: str = parser.parse_args(words).stack
    return name


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no stack's name")
    return text


def _say(text: str) -> None:
    print(text)  # noqa: T201  it talks to a person at a terminal


def _show(number: int, step: Step) -> None:
    _say(f"\n{number}. {step.title}\n   {step.why}")
    for line in step.how:
        _say(f"   {'$ ' if line.split()[0] in ('gcloud', 'gh', 'pulumi') else '- '}{line}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
