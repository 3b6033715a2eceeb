"""A function started from nothing but its archive, in an environment of its own requirements."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from declarations import Function
from infra import source

EDGE_SECRET = "edge-secret-of-the-test"


def unpack(function: Function, folder: Path) -> None:
    """What the platform has after unzipping the archive."""
    for name, asset in source.files(function).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.contents(asset))


def interpreter(requirements: Path) -> Path:
    """The Python of an environment with these requirements and no more; kept by their hash between runs."""
    key = hashlib.sha256(f"{sys.version}\0{sys.prefix}\0".encode() + requirements.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"memorygraph-tests-{os.getuid()}" / key
    if not folder.exists():
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        half = Path(tempfile.mkdtemp(dir=folder.parent))
        uv = Path(sys.prefix) / "bin" / "uv"
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        base = Path(sys.base_prefix) / "bin" / "python3"
        _run([uv, "venv", "--quiet", "--clear", "--relocatable", "--no-project", "--python", base, half], environment)
        sync: list[str | Path] = [
            uv,
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--python",
            half / "bin" / "python",
            requirements,
        ]
        _run(sync, environment)
        try:
            half.rename(folder)
        except OSError:  # another run was faster
            shutil.rmtree(half)
    return folder / "bin" / "python"


def environment(function: Function) -> dict[str, str]:
    """Every declared variable, well-formed; no store is there."""
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    values = {
        "EDGE_SECRET": EDGE_SECRET,
        "FREE_STORE": "sqlite",
        "SENTRY_DSN": "",
        "DATABASE_URL": "postgresql://memories:x@127.0.0.1:1/postgres?sslmode=disable",
    }
    return {
        variable.name: values.get(variable.name, key if variable.secret else _plain(variable.name))
        for variable in function.settings.variables()
    }


def _plain(name: str) -> str:
    return "1" if name.endswith(("_PORT", "_MOST")) else "http://127.0.0.1:1"


@contextmanager
def booted(function: Function, folder: Path) -> Iterator[int]:
    """The port on which the function answers, under functions-framework and uvicorn as the platform runs it."""
    unpack(function, folder)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        start = (
            "import uvicorn; from functions_framework.aio import create_asgi_app; "
            f"app = create_asgi_app({function.name!r}, 'main.py', 'http'); "
            f"uvicorn.run(app, fd={listener.fileno()}, log_level='warning')"
        )
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [interpreter(folder / "requirements.txt"), "-c", start],
                cwd=folder,
                env={"PATH": os.defpath, "K_SERVICE": function.name, **environment(function)},
                pass_fds=[listener.fileno()],
                stdout=output,
                stderr=output,
            )
        try:
            _await(process, port, log)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it answers: the socket listens before the process does, so ask for an answer."""
    deadline = time.monotonic() + 60
    with socket.create_connection(("127.0.0.1", port), timeout=1) as asking:
        asking.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while True:
            assert process.poll() is None, f"the function ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"the function does not answer:\n{log.read_text()}"
            try:
                assert asking.recv(1), f"the function broke off:\n{log.read_text()}"
            except TimeoutError:
                continue
            return


def _run(words: Sequence[str | Path], environment: dict[str, str]) -> None:
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
