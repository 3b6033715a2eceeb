"""With the engine: calls `pulumi` as an operator would, in the environment of LOCAL_ROOT/pulumi.env."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from infra.local import processes, pulumi_env, stack, tools
from infra.local.places import Places, write_private
from infra.local.progress import Progress
from infra.local.trouble import Trouble

CANCEL_SECONDS = 120.0
"""After Ctrl-C the engine lets the operations in flight end, so that none is lost from the state."""


class EngineDriver:
    name = "the Pulumi engine"
    needs_host = True

    def __init__(self, places: Places, progress: Progress, engine: Path) -> None:
        self._places = places
        self._progress = progress
        self._engine = engine

    def up(self) -> None:
        self._progress.say(f"Applying the program with the Pulumi engine ({self._engine}).")
        with self._progress.step("applying the program"):
            self._change("up", "--refresh", "--skip-preview", "--suppress-outputs")

    def preview(self) -> None:
        self._show("preview", "--diff")

    def refresh(self) -> None:
        self._show("refresh", "--yes", "--skip-preview")

    def destroy(self) -> None:
        if not has_state(self._places):
            return
        with self._progress.step("destroying the resources"):
            self._change("destroy", "--skip-preview", "--refresh")

    def outputs(self) -> dict[str, Any]:
        words = ["stack", "output", "--show-secrets", "--json"]
        done = tools.run([str(self._engine), *words], cwd=self._places.pulumi, env=self._environment(), separate=True)
        if done.code != 0:
            raise Trouble("The outputs of the stack cannot be read. Run `make up` again.")
        found: dict[str, Any] = json.loads(done.output)
        return found

    def _change(self, command: str, *options: str) -> None:
        """Run a command that changes the stack, mending first what a killed one left behind."""
        self._ensure_stack()
        self._drop_dead_lock()
        done = self._run(command, "--yes", "--non-interactive", "--color=never", *options)
        if done.code != 0:
            raise Trouble(
                f"`pulumi {command}` did not finish; what it made is kept. "
                f"Mend the above and run the same command again. All of it: {self._places.logs / 'pulumi.log'}."
            )

    def _show(self, *words: str) -> None:
        """Run a command whose own output is the result."""
        self._ensure_stack()
        self._drop_dead_lock()
        done = tools.run(
            [str(self._engine), *words, "--non-interactive", "--suppress-outputs"],
            cwd=self._places.repo,
            env=self._environment(),
            on_line=lambda line: print(line, flush=True),
            grace=CANCEL_SECONDS,
        )
        if done.code != 0:
            raise Trouble(f"`pulumi {words[0]}` failed; the reason is above.")

    def _run(self, *words: str) -> tools.Done:
        shown = Shown()
        return tools.run(
            [str(self._engine), *words],
            cwd=self._places.repo,
            env=self._environment(),
            log=self._places.logs / "pulumi.log",
            on_line=lambda line: self._progress.line(line) if shown(line) else None,
            grace=CANCEL_SECONDS,
        )

    def _ensure_stack(self) -> None:
        if has_state(self._places):
            return
        # `stack init` knows no --config-file: it writes the salt beside the Pulumi.yaml of its working directory, which
        # therefore is one of our own.
        name = stack.project(self._places)
        write_private(self._places.pulumi / "Pulumi.yaml", f"name: {name}\nruntime: python\n")
        words = [str(self._engine), "stack", "init", stack.STACK, "--non-interactive"]
        done = tools.run(words, cwd=self._places.pulumi, env=self._environment(), log=self._places.logs / "pulumi.log")
        if done.code != 0:
            raise tools.failure("Making the stack", done, self._places.logs / "pulumi.log")

    def _drop_dead_lock(self) -> None:
        """Remove the locks of pulumi processes that were killed; a live one is named. Raises Trouble."""
        for lock in (self._places.state / ".pulumi" / "locks").rglob("*.json"):
            try:
                holder = int(json.loads(lock.read_text())["pid"])
            except (OSError, ValueError, KeyError):
                continue
            if _is_pulumi(holder):
                raise Trouble(
                    f"Another `pulumi` (process {holder}) works on this stack. Wait for it to end, or end it, "
                    "and run the same command again."
                )
            lock.unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        # None of the operator's own PULUMI_* settings: they may be those of the real stack.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
        return {**ours, **processes.direct(), **pulumi_env.values(self._places)}


def has_state(places: Places) -> bool:
    """Whether the engine has made this environment's stack."""
    return (places.state / ".pulumi" / "stacks" / stack.project(places) / f"{stack.STACK}.json").exists()


class Shown:
    """Picks, of the engine's lines, what a person waits for: what was done, then every message and the summary."""

    _SECTION = re.compile(r"(Diagnostics|Resources|Outputs|Policies):")
    _DONE = re.compile(r"\s(created|updated|replaced|deleted|imported|discarded)( \(|\s*$|: )")
    _MESSAGE = re.compile(r"(error|warning|info):")

    def __init__(self) -> None:
        self._all = False
        self._over = False

    def __call__(self, line: str) -> bool:
        self._all = self._all or bool(self._SECTION.match(line))
        self._over = self._over or line.startswith("Duration:")  # then come hints on commands of Pulumi's own
        if self._over or not line.strip():
            return False
        return self._all or bool(self._DONE.search(line) or self._MESSAGE.match(line))


def _is_pulumi(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("pulumi")
    except OSError:
        return False
