"""status and logs: what runs, and what it said. Neither waits for the lock nor changes anything."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress

from declarations import PREFIX
from infra.local import control, engine_driver, lock, processes
from infra.local.places import Places
from infra.local.trouble import Trouble

TAIL_LINES = 40
FOLLOW_SECONDS = 0.5


def status(places: Places) -> None:
    """Print what runs. Raises Trouble when nothing does, so that a script can ask."""
    if at_work := lock.holder(places.lock):
        print(f"{at_work} is at work.")
    cloud = processes.living(places, processes.CLOUD)
    if cloud is None:
        kept = "It is kept: `make up` brings it back." if places.cloud.exists() else "`make up` makes one."
        raise Trouble(f"The local cloud in {places.root} is not running. {kept}")
    answer = control.status(cloud)
    edge = control.addresses(cloud)["edge_url"]
    url = edge + PREFIX if edge else "not yet"
    driver = "the Pulumi engine" if engine_driver.has_state(places) else "without an engine"
    print(f"API URL    {url}\nresources  {answer['resources']} ({driver})\n")
    rows: list[tuple[str, ...]] = [("part", "kind", "state", "process", "port", "restarts")]
    rows += [
        tuple(
            "-" if part.get(name) is None else str(part[name])
            for name in ("name", "kind", "state", "pid", "port", "restarts")
        )
        for part in answer["parts"]
    ]
    rows.append(("daemon", "cloud", "running", str(cloud.pid), str(cloud.values["control_port"]), "-"))
    host = processes.living(places, processes.HOST)
    if host is not None:
        rows.append(("language host", "pulumi", "running", str(host.pid), str(host.values["port"]), "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for part in answer["parts"]:
        if part.get("detail"):
            print(f"\n{part['name']}: {part['detail']}")


def logs(places: Places, part: str, *, follow: bool) -> None:
    """Print the end of every log, or of one part's."""
    found = sorted(places.logs.glob("*.log")) if places.logs.exists() else []
    chosen = [path for path in found if not part or path.stem == part] or [path for path in found if part in path.stem]
    if not chosen:
        names = ", ".join(path.stem for path in found) or "none yet"
        raise Trouble(f"There is no log of {part!r}. There are: {names}." if part else "There are no logs yet.")
    for path in chosen:
        if len(chosen) > 1:
            print(f"==> {path.stem} <==")
        with path.open(encoding="utf-8", errors="replace") as file:
            print("".join(file.readlines()[-TAIL_LINES:]), end="\n" if len(chosen) > 1 else "")
    if follow and len(chosen) == 1:
        with suppress(KeyboardInterrupt), chosen[0].open(encoding="utf-8", errors="replace") as file:
            file.seek(0, os.SEEK_END)
            while True:
                shutil.copyfileobj(file, _Out())
                time.sleep(FOLLOW_SECONDS)


class _Out:
    def write(self, text: str) -> None:
        print(text, end="", flush=True)
