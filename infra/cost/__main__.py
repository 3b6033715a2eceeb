"""`make cost USERS=1000 CALLS=1000000`: what a month costs, in both profiles, and where free allowances end."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from infra.cost import report
from infra.cost.model import Profile, bill
from infra.cost.usage import Assumptions, Load

CALLS_EACH = 1_000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make cost", description=__doc__)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--calls", type=int, help=f"a month (default: {CALLS_EACH} a user)")
    parser.add_argument("--plot", type=Path, help="write the plot there (SVG)")
    for field in fields(Assumptions):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=type(field.default), default=field.default, help=f"default {field.default}")
    given = parser.parse_args(arguments)
    if given.users < 1 or (given.calls is not None and given.calls < 0):
        parser.error("--users must be at least 1, and --calls not negative")
    load = Load(users=given.users, calls=given.users * CALLS_EACH if given.calls is None else given.calls)
    assumed = Assumptions(**{field.name: getattr(given, field.name) for field in fields(Assumptions)})
    for profile in Profile:
        print(f"{profile.value.upper()}: ", end="")
        print(*report.table(bill(load, profile, assumed)), "", sep="\n")
        print(*report.endings(load, profile, assumed), "", sep="\n")
    print(*report.targets(assumed), sep="\n")
    if given.plot:
        given.plot.write_text(report.plot(load.calls / load.users, assumed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
