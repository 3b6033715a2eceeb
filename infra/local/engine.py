"""The Pulumi engine: `pulumi` on PATH, else the one that `make engine` builds once from its Go module.

The build takes about six minutes on two cores. It is kept in the user's cache folder under the hash of go.mod and
go.sum, so that every checkout with the same pins shares it and another pin never meets an older build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from infra.local import lock, machine, stamps, tools
from infra.local.places import Places, make_private, user_cache
from infra.local.progress import Progress
from infra.local.trouble import Trouble
from infra.local.uv import environment, uv

OLDEST = (3, 210, 0)
"""An older `pulumi` on PATH is passed over: options by environment (PULUMI_OPTION_*) came in November 2025."""

PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
BUILD_DISK_MB = 4_000  # module cache 1.6 GB, build cache 1.6 GB, and the result
HINT = (
    "`make engine` builds it once (about 6 minutes on 2 cores), or install Pulumi: https://www.pulumi.com/docs/install/"
)

GO_OLDEST = (1, 26)  # go.mod asks for it


def find(places: Places) -> Path | None:
    """The engine that commands use, or None."""
    on_path = shutil.which("pulumi")
    if on_path and (version(on_path) or (0, 0, 0)) >= OLDEST:
        return Path(on_path)
    built = cached(places)
    return built if os.access(built, os.X_OK) else None


def cached(places: Places) -> Path:
    """Where the built engine of this checkout's pins is, or would be."""
    source = _source(places)
    key = stamps.digest((source / "go.mod").read_bytes(), (source / "go.sum").read_bytes())[:16]
    return user_cache() / "engine" / key / "pulumi"


def version(command: str) -> tuple[int, int, int] | None:
    """The version that `pulumi version` tells; None when it cannot be run."""
    env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run([command, "version"], capture_output=True, text=True, timeout=30, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match and done.returncode == 0 else None


def build(places: Places, progress: Progress) -> Path:
    """Build the engine unless it is in the cache. Raises Trouble."""
    target = cached(places)
    if os.access(target, os.X_OK):
        return target
    machine.check_writable(target.parent)
    with lock.hold(target.parent / "lock", "engine", progress.say):
        if os.access(target, os.X_OK):  # someone else built it while we waited
            return target
        go = _go(places, progress)
        free = machine.gather(target.parent).disk_mb
        if free is not None and free < BUILD_DISK_MB:
            raise Trouble(
                f"Building the engine needs {BUILD_DISK_MB} MB of disk and {free} MB are free. "
                "Free some space, or install Pulumi: https://www.pulumi.com/docs/install/"
            )
        draft = target.with_name(f"pulumi.{os.getpid()}.tmp")
        try:
            with progress.step("building the Pulumi engine (about 6 minutes on 2 cores, once)"):
                _compile(places, go, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return target


def pinned_version(places: Places) -> str:
    """The version of Pulumi that go.mod pins, e.g. `v3.259.0`."""
    match = re.search(r"github\.com/pulumi/pulumi/pkg/v3 (v[\d.]+)", (_source(places) / "go.mod").read_text())
    if match is None:
        raise Trouble("infra/local/engine/go.mod does not pin Pulumi. Restore it (git checkout infra/local/engine).")
    return match[1]


def _compile(places: Places, go: str, draft: Path) -> None:
    # Without the version flag the Automation API, and plugins that ask, take the engine for an unknown one.
    flags = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={pinned_version(places)}"
    env = {name: value for name, value in os.environ.items() if name not in {"GOFLAGS", "GOROOT", "GOOS", "GOARCH"}}
    # The toolchain at hand, the modules of go.sum and no others.
    env.update(GOTOOLCHAIN="local", GOFLAGS="-mod=readonly", GOWORK="off")
    words = [go, "build", "-o", str(draft), "-ldflags", flags, PACKAGE]
    done = tools.run(words, cwd=_source(places), env=env, log=places.install_log)
    if done.code != 0:
        raise tools.failure("Building the Pulumi engine", done, places.install_log)
    if version(str(draft)) is None:
        raise Trouble(f"The engine was built but does not run. Details: {places.install_log}.")


def _go(places: Places, progress: Progress) -> str:
    """Go on PATH when it is new enough, else the pinned wheel, by hash, in the user's cache."""
    on_path = shutil.which("go")
    if on_path and (_go_version(on_path) or (0, 0)) >= GO_OLDEST:
        return on_path
    wanted = _source(places) / "requirements.txt"
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


def _go_version(command: str) -> tuple[int, int] | None:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([command, "version"], capture_output=True, text=True, timeout=30, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match and done.returncode == 0 else None


def _source(places: Places) -> Path:
    return places.repo / "infra" / "local" / "engine"
