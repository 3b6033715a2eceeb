"""functions/Dockerfile, carried out without a daemon: its instructions in order, in a folder that stands for `/`.

Other than in a container: the base image is this machine's Python, what `pip install` installs comes from the cache
that the archives' tests use (the same requirements, by the same hashes), packages are not compiled, the server listens
on loopback only, and USER is read, not become.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from declarations import DEPLOYED, MEMORIES, Function
from infra import archive
from infra.components.function import RUNTIME
from infra.local.places import REPO
from tests.infra.archive.booted import environment, interpreter

DOCKERFILE = REPO / "functions" / "Dockerfile"
ROOTS = ("app", "venv", "build")
"""Folders of the image that are ours; any other path of it would be this machine's."""


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def only(self, instruction: str) -> str:
        (value,) = (value for name, value in self.steps if name == instruction)
        return value


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """Arguments before the first FROM, and the stages."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        instruction, _, value = line.partition(" ")
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stages.append(Stage(base, name))
        elif stages:
            stages[-1].steps.append((instruction, value.strip()))
        else:
            assert instruction == "ARG", line
            name, _, default = value.partition("=")
            arguments[name] = default
    return arguments, stages


ARGUMENTS, STAGES = parse(DOCKERFILE.read_text())
BUILD, IMAGE = STAGES


class Image:
    """One stage, carried out under `root`. `stages`: those before it, by name."""

    def __init__(self, stage: Stage, root: Path, stages: dict[str, Path], given: dict[str, str]) -> None:
        self.root = root
        self.stages = stages
        self.variables: dict[str, str] = {}
        self.arguments: dict[str, str] = {}
        self.given = given
        self.folder = root
        self.user = "0"
        self.ran: list[str] = []
        self.exposed = self.health = self.command = ""
        for instruction, value in stage.steps:
            getattr(self, f"_{instruction.lower()}")(value)

    def here(self, text: str) -> str:
        """`text` with the image's folders as they are on this machine."""
        return re.sub(rf"(?<![\w/.])/(?={'|'.join(ROOTS)}\b)", f"{self.root}/", text)

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the base image's
        ours = {name: value.replace("$PATH", path) for name, value in self.variables.items()}
        return {"PATH": path, **ours}

    def _arg(self, value: str) -> None:
        name, _, default = value.partition("=")
        self.arguments[name] = self.given.get(name, default)

    def _env(self, value: str) -> None:
        name, _, text = value.partition("=")
        for argument, given in self.arguments.items():
            text = text.replace(f"${argument}", given)
        assert re.fullmatch(r"[^$]*|.*\$PATH", text), f"{value} is not understood here"
        self.variables[name] = self.here(text)

    def _workdir(self, value: str) -> None:
        self.folder = Path(self.here(value))
        self.folder.mkdir(parents=True, exist_ok=True)

    def _copy(self, value: str) -> None:
        stage = re.match(r"--from=(\w+) ", value)
        source = self.stages[stage[1]] if stage else REPO
        *names, target = [word for word in value.split() if not word.startswith("--")]
        to = Path(self.here(target)) if target.startswith("/") else self.folder / target
        for name in names:
            path = source / name.lstrip("/")
            assert path.exists(), f"COPY {value}"
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc") if source == REPO else None
                shutil.copytree(path, to, symlinks=True, ignore=ignored, dirs_exist_ok=True)
            else:
                into = to / path.name if target.endswith("/") else to
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, into)

    def _run(self, value: str) -> None:
        self.ran.append(value)
        if value.startswith("useradd "):
            return
        if value == "python -m venv /venv":
            python = interpreter(self.root / "app" / "requirements.txt")
            (self.root / "venv").symlink_to(python.parent.parent)
            return
        if "pip install" in value:
            return
        words = ["sh", "-ec", self.here(value).replace(f" {self.root}/venv/lib", "")]
        env = self.environment() | self.arguments
        done = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"RUN {value}\n{done.stdout}{done.stderr}"

    def _user(self, value: str) -> None:
        self.user = value

    def _expose(self, value: str) -> None:
        self.exposed = value

    def _healthcheck(self, value: str) -> None:
        self.health = value

    def _cmd(self, value: str) -> None:
        self.command = value

    def healthy(self, port: int) -> bool:
        words = json.loads(self.health[self.health.index("[") :])
        env = self.environment() | {"PORT": str(port)}
        return subprocess.run(words, env=env, capture_output=True, timeout=30, check=False).returncode == 0

    @contextmanager
    def started(self, port: int, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        words = json.loads(self.command)
        words[-1] = words[-1].replace("0.0.0.0", "127.0.0.1")
        env = self.environment() | variables | {"PORT": str(port)}
        log = self.root / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(words, cwd=self.folder, env=env, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def build(function: Function, folder: Path) -> Image:
    given = {"FUNCTION": function.name}
    first = Image(BUILD, folder / "build-stage", {}, given)
    return Image(IMAGE, folder / "image", {BUILD.name: first.root}, given)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_what_is_built_answers_and_is_found_healthy(tmp_path: Path) -> None:
    image = build(MEMORIES, tmp_path)
    before = tree(image.root / "app")
    sources = {name: content for name, content in before.items() if not name.endswith(".pyc")}
    listed = archive.paths(MEMORIES, tmp_path / "build-stage" / "build" / "functions")  # what was copied
    expected = {name: archive.contents(name, path) for name, path in listed.items()}
    assert sources == expected, "what Google gets"
    compiled = [name for name in before if name.endswith(".pyc")]
    assert len(compiled) == len([name for name in expected if name.endswith(".py")])
    assert all(before[name][4] == 1 for name in compiled), "unchecked-hash: flags 01"

    port = free_port()
    assert not image.healthy(port), "nobody is there"
    with image.started(port, environment(MEMORIES)) as process:
        deadline = time.monotonic() + 60
        while not image.healthy(port):
            log = (image.root / "log").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
    assert tree(image.root / "app") == before, "a container whose files are read-only serves as well"


@pytest.mark.parametrize(
    ("status", "header", "healthy"),
    [(401, True, True), (200, True, True), (200, False, False), (500, True, False), (503, True, False)],
)
def test_only_an_answer_of_ours_is_healthy(tmp_path: Path, status: int, header: bool, healthy: bool) -> None:  # noqa: FBT001
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if header:
                self.send_header("X-Request-Id", "1")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    image = Image(Stage("", "", [step for step in IMAGE.steps if step[0] == "HEALTHCHECK"]), tmp_path, {}, {})
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert image.healthy(server.server_port) is healthy
        thread.join()


def test_it_runs_as_nobody_who_may_write() -> None:
    (added,) = (value for name, value in IMAGE.steps if name == "RUN")
    user = IMAGE.only("USER")
    assert int(user) >= 10_000
    assert f"--uid {user} " in added
    names = [name for name, _ in IMAGE.steps]
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert not any("--chown" in value for name, value in IMAGE.steps if name == "COPY"), (
        "root's, so it cannot change them"
    )


def test_the_base_is_pinned_and_the_declared_python() -> None:
    assert [stage.base for stage in STAGES] == ["${PYTHON}"] * 2
    match = re.fullmatch(r"python:(\d)\.(\d+)\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", ARGUMENTS["PYTHON"])
    assert match is not None
    assert f"python{match[1]}{match[2]}" == RUNTIME


def test_packages_are_installed_by_hash_and_nothing_is_built() -> None:
    (install,) = (value for name, value in BUILD.steps if "pip install" in value)
    assert "--require-hashes" in install
    assert "--only-binary=:all:" in install
    for function in DEPLOYED:
        text = (REPO / "functions" / function.name / "requirements.txt").read_text()
        assert "--hash=sha256:" in text


def test_connections_outlive_those_of_who_is_in_front() -> None:
    command = json.loads(IMAGE.only("CMD"))[-1]
    match = re.search(r"--timeout-keep-alive (\d+)", command)
    assert match is not None
    assert int(match[1]) > 60
    assert command.startswith("exec "), "so that it gets the signal to end"
    assert IMAGE.only("EXPOSE") == "8080"
    assert ("ENV", "PORT=8080") in IMAGE.steps


def test_the_build_sees_no_secret() -> None:
    lines = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    copied = [value.split()[:-1] for name, value in BUILD.steps if name == "COPY"]
    assert sorted(allowed) == sorted(path for paths in copied for path in paths)


def test_a_function_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "infra.archive", "nothing", str(tmp_path / "app")]
    env = {**os.environ, "PYTHONPATH": "functions"}
    done = subprocess.run(words, cwd=REPO, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "memories|accounts|billing|provisioning FOLDER" in done.stderr
    assert not (tmp_path / "app").exists()


def test_listing_the_files_needs_no_package() -> None:
    env = {"PATH": os.defpath, "PYTHONPATH": "functions"}
    program = "import sys, infra.archive; print(*sys.modules)"
    words = [sys.executable, "-S", "-c", program]  # -S: no site-packages
    subprocess.run(words, cwd=REPO, env=env, capture_output=True, timeout=60, check=True)
