"""A local cloud for tests: the real daemon on a folder of its own, and the engine's messages to its provider."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2_grpc

from infra.local.cloud.paths import remove_outside
from infra.local.cloud.provider.wire import plain
from tests.processes import family

REPOSITORY = Path(__file__).resolve().parents[3]
START_SECONDS = 60
HOST = "127.0.0.1"
Json = dict[str, Any]


class Daemon:
    """One daemon on `root`; `start()` waits until it serves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address: Json = {}
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process and do not wait."""
        self.root.mkdir(mode=0o700, exist_ok=True)
        log = self.root / "daemon.log"
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "infra.local.cloud", "--root", str(self.root)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=60)
        (self.root / "cloud.json").unlink(missing_ok=True)
        self._process = self.launch()
        process = self._process
        wait_for(lambda: (self.root / "cloud.json").exists() or process.poll() is not None)
        assert process.poll() is None, (self.root / "daemon.log").read_text()
        self.address = json.loads((self.root / "cloud.json").read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and give the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=60)

    def clean(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        remove_outside(self.root)

    def control(self, method: str, path: str) -> Json:
        status, body = call(self.address["control_port"], method, path, token=self.address["control_token"])
        assert status < 300, body
        return cast(Json, body)

    def parts(self) -> dict[str, Json]:
        """The parts of GET /status by name."""
        return {part["name"]: part for part in self.control("GET", "/status")["parts"]}

    def part(self, kind: str) -> Json:
        """The only part of one kind."""
        found = [part for part in self.parts().values() if part["kind"] == kind]
        assert len(found) == 1, found
        return found[0]

    def api(self, vendor: str) -> Api:
        url = self.control("GET", "/addresses")[f"{vendor}_api"]
        return Api(int(url.rpartition(":")[2]))

    def engine(self) -> Engine:
        return Engine(int(self.address["provider_port"]))

    def descendants(self) -> list[int]:
        """Every process below the daemon."""
        assert self._process is not None
        return family(self._process.pid)[1:]


@dataclass(frozen=True)
class Api:
    """A vendor's management API, with its token."""

    port: int
    token: str = "local"

    def __call__(
        self, method: str, path: str, body: Json | None = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        return call(self.port, method, path, body, token=self.token if token is None else token)


class Refused(Exception):
    """The provider answered with a failure; the message is what an operator would read."""


class Engine:
    """The engine's side of the provider's protocol. Values are plain; what is secret is given in the engine's marks."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"{HOST}:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def check(self, type_: str, inputs: Json, olds: Json | None = None) -> tuple[Json, dict[str, str]]:
        """The checked inputs, and property -> reason of each refusal."""
        request = proto.CheckRequest(urn=urn(type_), type=type_, name="test", news=struct(inputs), randomSeed=b"seed")
        request.olds.CopyFrom(struct(olds or {}))
        answer = self._call(self.stub.Check, request)
        return MessageToDict(answer.inputs), {item.property: item.reason for item in answer.failures}

    def diff(self, type_: str, id_: str, olds: Json, news: Json) -> tuple[list[str], bool]:
        """The replacing properties, and whether the old one goes first."""
        answer = self._call(
            self.stub.Diff,
            proto.DiffRequest(urn=urn(type_), type=type_, id=id_, old_inputs=struct(olds), news=struct(news)),
        )
        return list(answer.replaces), answer.deleteBeforeReplace

    def create(self, type_: str, inputs: Json, *, name: str = "test", preview: bool = False) -> tuple[str, Json]:
        """Check and create; the id and the plain outputs."""
        checked, failures = self.check(type_, inputs)
        if failures:
            raise Refused(str(failures))
        answer = self._call(
            self.stub.Create,
            proto.CreateRequest(urn=urn(type_, name), type=type_, properties=struct(checked), preview=preview),
        )
        return answer.id, plain(MessageToDict(answer.properties))

    def update(self, type_: str, id_: str, olds: Json, news: Json, *, preview: bool = False) -> Json:
        answer = self._call(
            self.stub.Update,
            proto.UpdateRequest(
                urn=urn(type_),
                type=type_,
                id=id_,
                olds=struct(self.read(type_, id_) or {}),
                old_inputs=struct(olds),
                news=struct(news),
                preview=preview,
            ),
        )
        return cast(Json, plain(MessageToDict(answer.properties)))

    def read(self, type_: str, id_: str) -> Json | None:
        """The plain outputs, or None when the resource is gone."""
        answer = self._call(self.stub.Read, proto.ReadRequest(urn=urn(type_), type=type_, id=id_))
        return plain(MessageToDict(answer.properties)) if answer.id else None

    def delete(self, type_: str, id_: str) -> None:
        self._call(self.stub.Delete, proto.DeleteRequest(urn=urn(type_), type=type_, id=id_))

    @staticmethod
    def _call(method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=120)
        except grpc.RpcError as error:
            raise Refused(error.details()) from None


def urn(type_: str, name: str = "test") -> str:
    return f"urn:pulumi:local::memorygraph-cloud::{type_}::{name}"


def struct(value: Json) -> struct_pb2.Struct:
    return ParseDict(value, struct_pb2.Struct())


def call(
    port: int, method: str, path: str, body: Any = None, *, token: str = "", headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One HTTP request on loopback: the status, and the body as JSON or else as text. Bytes are sent as they are."""
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(method, path, content, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def wait_for(condition: Any, seconds: float = START_SECONDS) -> None:
    """Wait until a condition holds; fail after a time that only a broken program needs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def link_parts(root: Path) -> None:
    """Let a root use the npm parts that `make test` installed in LOCAL_ROOT."""
    installed = REPOSITORY / os.environ.get("LOCAL_ROOT", ".local") / "parts"
    assert (installed / "node_modules").is_dir(), f"the npm parts are not in {installed}: `make test` installs them"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / "parts").symlink_to(installed.resolve())
