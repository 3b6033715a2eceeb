"""The SDK's own environment. The SDK is in no package index and is not copied into this repository, so whoever wants
these tests names a checkout of it; it is installed with its integrations' frameworks below LOCAL_ROOT, once."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from infra.local import stamps, tools
from infra.local.places import Places, make_private
from infra.local.progress import Progress
from infra.local.uv import environment, uv
from tests.cloud.stack import REPOSITORY

VARIABLE = "MEMORYGRAPH_SDK"
COMMIT = "aa3f82d"  # the one that the client contract describes
HOW = (
    f"{VARIABLE} names the SDK's folder, for the tests of the SDK. To get it: "
    "git clone https://github.com/memory-graph/memory-graph; "
    f"git -C memory-graph checkout {COMMIT}; export {VARIABLE}=$PWD/memory-graph/sdk"
)
SCRIPT = REPOSITORY / "tests" / "client" / "sdk" / "session.py"
REQUIREMENTS = SCRIPT.with_name("requirements.txt")


def source() -> Path:
    """The checkout's folder `sdk`. Raises: AssertionError: there is none where VARIABLE says."""
    folder = Path(os.environ[VARIABLE]).expanduser().resolve()
    assert (folder / "memorygraphsdk" / "client.py").is_file(), f"{folder} does not hold the SDK. {HOW}"
    return folder


def install(source: Path, places: Places) -> Path:
    """Python of the SDK's environment, made anew when the SDK or what it runs with has changed."""
    folder = places.root / "sdk"
    python = folder / "bin" / "python"
    files = sorted([source / "pyproject.toml", *(source / "memorygraphsdk").rglob("*.py")])
    value = stamps.digest(REQUIREMENTS.read_bytes(), os.fsencode(folder), *(file.read_bytes() for file in files))
    if stamps.read(folder) == value:
        return python
    make_private(places.root)
    # Building writes into the folder it builds from: the checkout is another project's.
    with uv(places, Progress()) as tool, tempfile.TemporaryDirectory(dir=places.root) as work:
        copy = shutil.copytree(source, Path(work) / "sdk")
        env = {**environment(places), "TMPDIR": work}
        if folder.exists():
            stamps.remove(folder)
        for words in (
            ["venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(folder)],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(REQUIREMENTS)],
            ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--python", str(python), str(copy)],
        ):
            done = tools.run([str(tool), *words], cwd=places.repo, env=env, log=places.install_log)
            assert done.code == 0, done.output
    stamps.write(folder, value)
    return python
