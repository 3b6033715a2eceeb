"""Finds uv, or gets the pinned one by whatever this Python can do.

The virtual environment brings its own uv (it is in requirements.lock), so what is fetched here serves only to make that
environment and is thrown away after.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local import stamps, tools
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

OLDEST = (0, 5, 0)
"""An older uv on PATH is passed over: it lacks options that are used here."""


@contextmanager
def uv(places: Places, progress: Progress) -> Iterator[Path]:
    """A usable uv: the environment's own, the one on PATH, else a passing one made for this purpose."""
    found = present(places)
    if found is not None:
        yield found
        return
    folder = places.root / "tools"
    try:
        with progress.step("getting uv"):
            found = _fetch(places, folder)
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def present(places: Places) -> Path | None:
    """The uv that is here already."""
    # Half an environment is about to be removed, and its uv with it.
    own = str(places.venv / "bin" / "uv") if stamps.read(places.venv) else None
    candidates = [own, shutil.which("uv")]
    for candidate in candidates:
        if candidate and (version(candidate) or (0, 0, 0)) >= OLDEST:
            return Path(candidate)
    return None


def version(command: str) -> tuple[int, int, int] | None:
    """The version that `command --version` tells; None when it cannot be run."""
    try:
        done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2]), int(match[3])) if match and done.returncode == 0 else None


def environment(places: Places) -> dict[str, str]:
    """What uv runs with: never another Python than ours, and a cache that can be written."""
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}}
    return env | settings(places)


def settings(places: Places) -> dict[str, str]:
    """The variables of uv that are ours to set."""
    found = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    found["UV_HTTP_TIMEOUT"] = os.environ.get("UV_HTTP_TIMEOUT", "60")
    if "UV_CACHE_DIR" not in os.environ and not home_is_writable():
        found["UV_CACHE_DIR"] = str(places.root / "cache" / "uv")
    return found


def home_is_writable() -> bool:
    """False for users without a home (nobody), whose caches then go below LOCAL_ROOT."""
    home = Path.home()
    return home.is_dir() and os.access(home, os.W_OK)


def pinned(places: Places) -> list[str]:
    """The lines of requirements.lock that pin uv and its hashes."""
    match = re.search(r"^uv==(?:.*\\\n)*.*$", places.lock_file.read_text(), re.MULTILINE)
    if match is None:
        raise Trouble(f"{places.lock_file.name} does not pin uv. Restore it (git checkout requirements.lock).")
    return match[0].splitlines()


def _fetch(places: Places, folder: Path) -> Path:
    """Install the pinned uv into `folder`, by hash. Raises Trouble."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    wanted = folder / "uv.txt"
    wanted.write_text("\n".join(pinned(places)) + "\n")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(wanted)]
    env = {**environment(places), "PIP_RETRIES": os.environ.get("PIP_RETRIES", "1")}
    if can_make_environments():
        made = tools.run([sys.executable, "-m", "venv", str(folder / "venv")], env=env, log=places.install_log)
        if made.code == 0:
            done = tools.run([str(folder / "venv/bin/python"), *install], env=env, log=places.install_log)
            if done.code == 0:
                return folder / "venv/bin/uv"
            raise tools.failure("Getting uv", done, places.install_log)
    if importlib.util.find_spec("pip") is None:
        raise Trouble(
            f"uv is not installed and this Python ({sys.executable}) has neither ensurepip nor pip to get it with. "
            "Install one of them (Debian, Ubuntu: apt install python3-venv), or put uv on PATH "
            "(https://docs.astral.sh/uv/), and run the same command again."
        )
    # --target leaves the system's packages alone, so a pip that refuses a system install (PEP 668) allows it.
    target = folder / "packages"
    done = tools.run([sys.executable, *install, "--target", str(target)], env=env, log=places.install_log)
    if done.code != 0 and "externally-managed-environment" in done.output:
        words = [sys.executable, *install, "--target", str(target), "--break-system-packages"]
        done = tools.run(words, env=env, log=places.install_log)  # with --target it breaks none
    if done.code != 0:
        raise tools.failure("Getting uv", done, places.install_log)
    return target / "bin" / "uv"


def can_make_environments() -> bool:
    """Debian ships `venv` without ensurepip unless python3-venv is installed."""
    return importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None
