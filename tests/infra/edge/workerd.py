"""The real Worker runtime, with the Worker as Cloudflare would run it: same code, same kind of bindings."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.components.edge import COMPATIBILITY_DATE, WORKER
from tests.infra import parts

BINARY = "@cloudflare/workerd-linux-*/bin/workerd"


@contextmanager
def running(folder: Path, bindings: Mapping[str, str]) -> Iterator[str]:
    """The Worker's base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "worker.js").write_bytes(WORKER.read_bytes())
    (folder / "config.capnp").write_text(_config(port, bindings))
    with (folder / "workerd.log").open("wb") as log:
        process = subprocess.Popen(
            [parts.find(BINARY), "serve", "config.capnp"], cwd=folder, stdout=subprocess.DEVNULL, stderr=log
        )
    try:
        _await(port, process, folder / "workerd.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _config(port: int, bindings: Mapping[str, str]) -> str:
    texts = ", ".join(f"(name = {_quoted(name)}, text = {_quoted(text)})" for name, text in bindings.items())
    return f"""
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "{COMPATIBILITY_DATE}",
      bindings = [{texts}],
    )),
    (name = "internet", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "worker")],
);
"""


def _quoted(text: str) -> str:
    """A string of Cap'n Proto: JSON's escapes, but UTF-8 as it is."""
    return json.dumps(text, ensure_ascii=False)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, f"workerd ended: {log.read_text()}"
            assert time.monotonic() < deadline, "workerd does not listen"
            time.sleep(0.02)
        else:
            return
