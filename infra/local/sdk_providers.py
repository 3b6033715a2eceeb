"""The providers as the driver without an engine calls them: configured once, every refusal turned into a sentence."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import grpc
import pulumi
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

CONFIGURE_SECONDS = 60.0
OPERATION_SECONDS = 300.0  # a first function builds its environment, a first database is initialised
_LARGE = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]


class Refused(pulumi.RunError):
    """A provider refused; the message names the resource."""


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    return ParseDict(dict(values), struct_pb2.Struct())


def plain(message: struct_pb2.Struct) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message)
    return found


class Providers:
    """`ports` maps a package to the port of its provider; `config` is the stack's, by full key."""

    def __init__(self, ports: Mapping[str, int], config: Mapping[str, str]) -> None:
        self._ports = ports
        self._config = config
        self._stubs: dict[str, provider_pb2_grpc.ResourceProviderStub] = {}
        self._lock = threading.Lock()

    def configure(self, package: str, inputs: Mapping[str, Any], urn: str) -> None:
        """Give a provider its configuration. Raises Refused."""
        stub = self._stub(package)
        checked = _call(
            f"provider {package}",
            stub.CheckConfig,
            provider_pb2.CheckRequest(urn=urn, news=struct(inputs)),
            CONFIGURE_SECONDS,
        )
        refuse(f"provider {package}", checked.failures)
        variables = {f"{package}:config:{name}": str(value) for name, value in inputs.items()}
        request = provider_pb2.ConfigureRequest(
            variables=variables,
            args=checked.inputs,
            acceptSecrets=True,
            acceptResources=False,
        )
        _call(f"provider {package}", stub.Configure, request, CONFIGURE_SECONDS)

    def call(self, package: str, method: str, request: Any, about: str) -> Any:
        """One operation; `about` names the resource in a refusal. Raises Refused."""
        with self._lock:
            known = package in self._stubs
            if not known:
                name = f"{package}:"
                inputs = {key.removeprefix(name): value for key, value in self._config.items() if key.startswith(name)}
                self.configure(package, inputs, f"urn:pulumi:local::local::pulumi:providers:{package}::default")
        return _call(about, getattr(self._stub(package), method), request, OPERATION_SECONDS)

    def _stub(self, package: str) -> provider_pb2_grpc.ResourceProviderStub:
        if package not in self._stubs:
            if package not in self._ports:
                raise Refused(f"The program uses the provider {package}, which the local cloud does not have.")
            channel = grpc.insecure_channel(f"127.0.0.1:{self._ports[package]}", options=_LARGE)
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            _call(f"provider {package}", stub.GetPluginInfo, empty_pb2.Empty(), CONFIGURE_SECONDS)
            self._stubs[package] = stub
        return self._stubs[package]


def why(error: grpc.RpcError) -> str:
    """What the other side said. (Errors of grpc have `details`, which their type does not tell.)"""
    details = getattr(error, "details", None)
    return str(details() if callable(details) else error)


def refuse(about: str, failures: Any) -> None:
    """Raises Refused when a check found something."""
    reasons = [f"{failure.property}: {failure.reason}" if failure.property else failure.reason for failure in failures]
    if reasons:
        raise Refused(f"{about}: {'; '.join(reasons)}")


def _call(about: str, method: Any, request: Any, seconds: float) -> Any:
    try:
        return method(request, timeout=seconds)
    except grpc.RpcError as error:
        raise Refused(f"{about}: {why(error)}") from None
