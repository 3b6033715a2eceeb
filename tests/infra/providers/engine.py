"""The engine's side of the protocol, for tests: the real gRPC service on loopback, plain values in and out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.providers.provider import MemorygraphProvider
from tests.infra.wire import dictionary, plain, struct


class Failed(Exception):
    """A call that the provider refused; `detail` is there when the resource exists all the same."""

    def __init__(self, error: Any) -> None:  # both an RpcError and a Call, which its types cannot say
        super().__init__(error.details())
        self.detail: provider_pb2.ErrorResourceInitFailed | None = None
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                self.detail = provider_pb2.ErrorResourceInitFailed()
                assert status.details[0].Unpack(self.detail)


@dataclass
class Held:
    """One resource in the state: inputs and properties as the engine keeps them, with secrets marked."""

    id: str
    inputs: dict[str, Any]
    properties: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return plain(self.properties[name])


class Engine:
    """One type of resource, through its life."""

    def __init__(self, stub: provider_pb2_grpc.ResourceProviderStub, token: str) -> None:
        self._stub = stub
        self._type = token
        self._urn = f"urn:pulumi:test::memorygraph-cloud::memorygraph-cloud:components:X${token}::it"

    def check(self, inputs: Mapping[str, Any]) -> dict[str, str]:
        answer = self._call("Check", provider_pb2.CheckRequest(urn=self._urn, news=struct(inputs)))
        return {failure.property: failure.reason for failure in answer.failures}

    def create(self, inputs: Mapping[str, Any]) -> Held:
        assert self.check(inputs) == {}
        answer = self._call("Create", provider_pb2.CreateRequest(urn=self._urn, properties=struct(inputs)))
        assert answer.id
        return Held(answer.id, dict(inputs), dictionary(answer.properties))

    def preview(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        request = provider_pb2.CreateRequest(urn=self._urn, properties=struct(inputs), preview=True)
        return dictionary(self._call("Create", request).properties)

    def diff(self, held: Held, inputs: Mapping[str, Any]) -> provider_pb2.DiffResponse:
        request = provider_pb2.DiffRequest(
            id=held.id,
            urn=self._urn,
            olds=struct(held.properties),
            old_inputs=struct(held.inputs),
            news=struct(inputs),
        )
        answer = self._call("Diff", request)
        assert isinstance(answer, provider_pb2.DiffResponse)
        return answer

    def update(self, held: Held, inputs: Mapping[str, Any], *, preview: bool = False) -> Held:
        request = provider_pb2.UpdateRequest(
            id=held.id,
            urn=self._urn,
            olds=struct(held.properties),
            old_inputs=struct(held.inputs),
            news=struct(inputs),
            preview=preview,
        )
        return Held(held.id, dict(inputs), dictionary(self._call("Update", request).properties))

    def refresh(self, held: Held) -> Held | None:
        request = provider_pb2.ReadRequest(
            id=held.id, urn=self._urn, properties=struct(held.properties), inputs=struct(held.inputs)
        )
        answer = self._call("Read", request)
        return Held(answer.id, dictionary(answer.inputs), dictionary(answer.properties)) if answer.id else None

    def take_over(self, id: str) -> Held | None:
        """`pulumi import`."""
        return self.refresh(Held(id, {}, {}))

    def delete(self, held: Held) -> None:
        request = provider_pb2.DeleteRequest(
            id=held.id, urn=self._urn, properties=struct(held.properties), old_inputs=struct(held.inputs)
        )
        self._call("Delete", request)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=30)
        except grpc.RpcError as error:
            raise Failed(error) from None


@contextmanager
def serving(provider: MemorygraphProvider) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        server.stop(None).wait()


def configure(stub: provider_pb2_grpc.ResourceProviderStub, **settings: Any) -> None:
    stub.GetPluginInfo(empty_pb2.Empty(), timeout=30)
    stub.Configure(provider_pb2.ConfigureRequest(args=struct(settings), acceptSecrets=True), timeout=30)
