"""What a contributor runs with the tools of .venv: test, bench, cost, check, format, lock, snapshot, openapi, ..."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from infra.local import browser, engine, packages, parts, processes, tools, workflows
from infra.local.install import install
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

SLOW = "tests/cloud"
"""Tests that bring up a whole environment; they run last."""

PARALLEL = ("-n", "2", "--dist", "loadfile")
"""Most tests wait for a server half of the time. One process runs all tests of a file, so that it sets up once; each
has an environment of its own."""

SNAPSHOT_VARIABLE = "UPDATE_SNAPSHOTS"

OURS = ("infra", "functions", "tests")
"""Folders with Python of ours. (`.` would take in .local, unless git is there to say that it is ignored.)"""


def test(places: Places, progress: Progress, arguments: list[str]) -> None:
    """Install all that tests need, then the fast tests, then the slow ones. `arguments` go to pytest instead."""
    install(places, progress, client=True)
    if arguments:
        _pytest(places, arguments)
        return
    _pytest(places, ["tests", f"--ignore={SLOW}", *PARALLEL])
    if (places.repo / SLOW).exists():
        engine.find(places) or engine.build(places, progress)
        browser.find(places, progress)  # so that what takes a minute is seen to
        _pytest(places, [SLOW, *PARALLEL])


def check(places: Places, progress: Progress) -> None:
    """Format, lint, types, workflows; all are run before the first failure counts."""
    install(places, progress, servers=False)
    bin_ = places.venv / "bin"
    checks = {
        "ruff format (mend: make format)": [str(bin_ / "ruff"), "format", "--check", *OURS],
        "ruff check": [str(bin_ / "ruff"), "check", *OURS],
        "mypy": [str(bin_ / "mypy")],
        **workflows.checks(places, progress),
    }
    failed = [name for name, words in checks.items() if _code(places, words) != 0]
    if failed:
        raise Trouble(f"Not passed: {', '.join(failed)}.")


def format_(places: Places, progress: Progress) -> None:
    install(places, progress, servers=False)
    ruff = str(places.venv / "bin" / "ruff")
    if _code(places, [ruff, "format", *OURS]) or _code(places, [ruff, "check", "--fix", *OURS]):
        raise Trouble("Some findings need a hand; they are above.")


def snapshot(places: Places, progress: Progress) -> None:
    """Write the graph snapshot of the program anew, to be reviewed as a diff."""
    install(places, progress, servers=False)
    _pytest(places, ["tests/infra", f"--ignore={SLOW}", "-q"], {SNAPSHOT_VARIABLE: "1"})


def openapi(places: Places, progress: Progress) -> None:
    """Write the description of the API anew: openapi.json and its page, from declarations and schemas."""
    install(places, progress, servers=False)
    if _code(places, [str(places.python), "-m", "infra.openapi"]) != 0:
        raise Trouble("The description of the API was not written; what is missing is above.")


def bench(places: Places, progress: Progress, arguments: list[str]) -> None:
    """Measure the memories beside peers, in a local cloud of their own."""
    install(places, progress, client=True)
    words = [str(places.python), "-m", "tests.bench", "--root", str(places.root / "bench"), *arguments]
    if _code(places, words) != 0:
        raise Trouble("The benchmark did not finish; what stopped it is above.")


def cost(places: Places, progress: Progress, arguments: list[str]) -> None:
    """What a month costs."""
    install(places, progress, servers=False)
    if _code(places, [str(places.python), "-m", "infra.cost", *arguments]) != 0:
        raise Trouble("Nothing was reckoned; the line above says what to change.")


def bootstrap_prod(places: Places, progress: Progress, arguments: list[str]) -> None:
    """What must exist before the first `pulumi up` on the real cloud."""
    install(places, progress, servers=False)
    env = {"PYTHONPATH": str(places.repo / "functions")}  # the configuration's reader knows what functions declare
    if _code(places, [str(places.python), "-m", "infra.bootstrap", *arguments], env) != 0:
        raise Trouble("Something is missing; it is above.")


def build_engine(places: Places, progress: Progress) -> None:
    found = engine.find(places)
    if found is not None:
        progress.say(f"The engine is here: {found}")
        return
    print(engine.build(places, progress))


def lock(places: Places, progress: Progress) -> None:
    """Resolve pyproject.toml and every requirements.in anew, and write the lock files; the npm lock too."""
    install(places, progress, servers=False)  # the npm parts may be what is not locked yet
    uv = str(places.venv / "bin" / "uv")
    shared = ["--universal", "--generate-hashes", "--no-emit-index-url", "--python-version", "3.11", "--quiet"]
    groups = re.findall(r"^(\w+) = \[$", _section(places.repo / "pyproject.toml", "dependency-groups"), re.MULTILINE)
    functions = [name for name in groups if (places.repo / "functions" / name).is_dir()]
    wanted = {"requirements.lock": [word for name in groups for word in ("--group", name)]}
    for name in functions:
        wanted[f"functions/{name}/requirements.txt"] = ["--group", name, "-c", "requirements.lock"]
    for source in (
        "tests/client/requirements.in",
        "tests/client/sdk/requirements.in",
        "tests/bench/peers/requirements.in",
        "infra/local/engine/requirements.in",
    ):
        if (places.repo / source).exists():
            wanted[source.replace(".in", ".txt")] = [source]
    for target, words in wanted.items():
        with progress.step(f"resolving {target}"):
            done = tools.run([uv, "pip", "compile", *shared, *words, "-o", target], cwd=places.repo)
            if done.code != 0:
                raise Trouble(f"{target} could not be resolved:\n{done.output.strip()}")
    for folder in ("infra/local/parts", "tests/bench/peers/node", "tests/browser/node"):
        with progress.step(f"resolving {folder}/package-lock.json"):
            parts.lock(places, places.repo / folder)
    packages.install(places, progress)


def _pytest(places: Places, arguments: list[str], more: dict[str, str] | None = None) -> None:
    env = {
        "LOCAL_ROOT": str(places.root),
        "MEMORYGRAPH_CLIENT_PYTHON": str(places.client / "bin" / "python"),
        **(more or {}),
    }
    code = _code(places, [str(places.python), "-m", "pytest", *arguments], env)
    if code != 0:
        raise Trouble(f"The tests did not pass (pytest's exit code is {code}).")


def _code(places: Places, words: list[str], more: dict[str, str] | None = None) -> int:
    """Run a tool with the terminal as its own: colours, progress and Ctrl-C are between it and the person."""
    env = processes.clean_environment() | (more or {})
    with subprocess.Popen(words, cwd=places.repo, env=env) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # it got the same Ctrl-C and is cleaning up
            raise


def _section(file: Path, name: str) -> str:
    """The text of one table of a TOML file. (The lines are ours: one key to a line.)"""
    match = re.search(rf"^\[{re.escape(name)}\]\n(.*?)(?=^\[)", file.read_text(), re.MULTILINE | re.DOTALL)
    return match[1] if match else ""
