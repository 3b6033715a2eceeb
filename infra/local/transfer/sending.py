"""`make import FILE=...`: send a file in parts, and tell what became of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.transfer import api, parts
from infra.local.transfer.api import Api
from infra.local.transfer.parts import File, Part
from infra.local.trouble import Interrupted, Trouble
from memories.transfer.formats import LISTS, Format

OUTCOMES = ("created", "updated", "unchanged", "refused")


class Tally:
    """What became of the rows of all parts."""

    def __init__(self) -> None:
        self.counts = {name: dict.fromkeys(OUTCOMES, 0) for name in LISTS.values()}
        self.bad = 0

    def add(self, summary: Mapping[str, Any]) -> None:
        for name, counts in self.counts.items():
            for outcome in OUTCOMES:
                counts[outcome] += summary[name][outcome]
        self.bad += summary["bad"]

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
            for name, counts in self.counts.items()
        )


def send(places: Places, progress: Progress, file: str) -> None:
    """Send a file to the workspace that the environment names; prints a summary on standard output.

    Raises:
        Trouble: some rows were refused (the others are stored), or it cannot go on.
        Interrupted: by Ctrl-C.
    """
    if not file:
        raise Trouble("Say which file: `make import FILE=memories.jsonl`.")
    if not Path(file).is_file():
        raise Trouble(f"There is no file {file}.")
    send_to(api.of(places, progress), progress, Path(file))


def send_to(target: Api, progress: Progress, path: Path, **sizes: int) -> Tally:
    """See `send`. `sizes`: of parts, for tests."""
    done = 0
    try:
        with progress.step(f"reading {path.name}"):
            file, import_id = parts.read(path), _import_id(path, target, sizes)
        known = {part["part"]: part for part in target.json("GET", f"/import/{import_id}")["parts"]}
        tally = Tally()
        for part in file.parts(**sizes):
            summary = known.get(part.number)
            if summary is None or summary["sha256"] != part.sha256:
                summary = _send_part(target, import_id, part)
                progress.line(f"part {part.number}: {len(part.body)} bytes sent")
            else:
                progress.line(f"part {part.number}: sent before")
            done += 1
            tally.add(summary)
            _tell(progress, part, summary, tally)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Interrupted: {done} parts are done. Run the same command within a week to carry on there."
        ) from None
    print(tally)
    _judge(path, file, tally)
    return tally


def _import_id(path: Path, target: Api, sizes: Mapping[str, int]) -> str:
    """The same for the same contents, target and parts."""
    with path.open("rb") as contents:
        digest = hashlib.file_digest(contents, "sha256")
    digest.update(f"{target.url} {parts.PART_BYTES} {parts.PART_ROWS} {sorted(sizes.items())}".encode())
    return f"imp_{digest.hexdigest()[:40]}"


def _send_part(target: Api, import_id: str, part: Part) -> Any:
    path = f"/import?import_id={import_id}&part={part.number}"
    try:
        return target.json("POST", path, bytes(part.body), Format.JSONL.media_type)
    except Trouble as trouble:
        raise Trouble(f"Part {part.number} could not be sent. {trouble}") from None


def _tell(progress: Progress, part: Part, summary: Mapping[str, Any], tally: Tally) -> None:
    """Every row that was refused, by its place in the file."""
    for row in summary["bad_rows"]:
        name = f" ({row['kind'] or 'row'} {row['id']})" if row["id"] else ""
        faults = "; ".join(f"{fault['field']} {fault['message']}" for fault in row["errors"])
        progress.say(f"refused: {part.label(row['row'])}{name}: {faults}")
    untold = summary["bad"] - len(summary["bad_rows"])
    if untold:
        progress.say(f"refused: {untold} more rows of part {part.number}")
    for label, message in part.refused.items():
        tally.bad += 1
        progress.say(f"refused: {label}: {message}")


def _judge(path: Path, file: File, tally: Tally) -> None:
    if tally.bad:
        raise Trouble(f"{tally.bad} rows were refused; they are named above. All others are stored.")
    if not file.whole():
        raise Trouble(f"All of {path} is stored, but the file is cut off: it has no end. Export it again.")
