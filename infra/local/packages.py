"""The virtual environment of the checkout: exactly requirements.lock, by hash, plus the project itself.

A stamp inside it (a hash of all inputs, written last) says that it is whole. An environment without one was interrupted
and is made anew; one with an old stamp is brought up to date.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from infra.local import machine, stamps, tools
from infra.local.places import Places, make_private
from infra.local.progress import Progress
from infra.local.uv import environment, uv

FORMAT = "1"  # change it to have every environment made anew


def stamp(places: Places) -> str:
    """What the virtual environment must have been made from."""
    project = places.repo / "pyproject.toml"
    return stamps.digest(FORMAT.encode(), places.lock_file.read_bytes(), project.read_bytes(), os.fsencode(places.repo))


def current(places: Places) -> bool:
    """Whether the virtual environment is whole and up to date."""
    return stamps.read(places.venv) == stamp(places) and os.access(places.python, os.X_OK)


def install(places: Places, progress: Progress) -> bool:
    """Make or update the virtual environment; False when there was nothing to do. Raises Trouble."""
    if current(places):
        return False
    machine.check_writable(places.root)
    with uv(places, progress) as tool:
        whole = stamps.read(places.venv) is not None and os.access(places.python, os.X_OK)
        stamps.remove(places.venv)
        with progress.step("installing Python packages (.venv)"):
            if not whole:
                _create(places, tool, places.venv)
            _sync(places, tool, places.python, places.lock_file)
            words = ["--no-deps", "--no-build-isolation", "--offline", "--editable", str(places.repo)]
            _uv(places, tool, "Installing the project", "pip", "install", "--python", str(places.python), *words)
        stamps.write(places.venv, stamp(places))
    return True


def install_client(places: Places, progress: Progress) -> bool:
    """Make the environment of the real client (tests/client), which needs older packages than ours."""
    wanted = places.repo / "tests" / "client" / "requirements.txt"
    value = stamps.digest(FORMAT.encode(), wanted.read_bytes(), os.fsencode(places.client))
    if stamps.read(places.client) == value:
        return False
    with progress.step("installing the real client (for the tests)"), uv(places, progress) as tool:
        stamps.remove(places.client)
        _create(places, tool, places.client)
        _sync(places, tool, places.client / "bin" / "python", wanted)
        stamps.write(places.client, value)
    return True


def _create(places: Places, tool: Path, folder: Path) -> None:
    words = ["--quiet", "--clear", "--no-project", "--python", sys.executable, str(folder)]
    _uv(places, tool, f"Making {folder.name}", "venv", *words)


def _sync(places: Places, tool: Path, python: Path, wanted: Path) -> None:
    words = ["--require-hashes", "--python", str(python), str(wanted)]
    _uv(places, tool, "Installing Python packages", "pip", "sync", *words)


def _uv(places: Places, tool: Path, what: str, *words: str) -> None:
    make_private(places.root)
    with tempfile.TemporaryDirectory(dir=places.root) as folder:  # uv leaves lock files in the one for everybody
        env = {**environment(places), "TMPDIR": folder}
        done = tools.run([str(tool), *words], cwd=places.repo, env=env, log=places.install_log)
    if done.code != 0:
        raise tools.failure(what, done, places.install_log)
