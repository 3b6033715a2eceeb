"""The provider as the engine starts it: the executable that Pulumi.yaml names, its port on the first line, gRPC."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.infra.local.running import wait_for
from tests.infra.wire import UNKNOWN, dictionary, is_secret, secret, struct
from tests.processes import alive

REPOSITORY = Path(__file__).resolve().parents[3]
ENGINE = """
import subprocess, sys, time
provider = subprocess.Popen([sys.argv[1], "127.0.0.1:1"], stdout=subprocess.PIPE, text=True)
print(provider.pid, provider.stdout.readline().strip(), flush=True)
time.sleep(120)
"""
Stub = provider_pb2_grpc.ResourceProviderStub


def executable() -> Path:
    project = (REPOSITORY / "Pulumi.yaml").read_text()
    match = re.search(r"- name: (\w+)\n\s+path: (\S+)", project)
    assert match is not None
    return REPOSITORY / match[2] / f"pulumi-resource-{match[1]}"


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    process = subprocess.Popen(
        [executable(), "127.0.0.1:1"],  # the engine's address; nobody listens there, and progress is only a courtesy
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


def test_it_makes_a_key(stub: Stub) -> None:
    assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=30).version
    stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"), timeout=30)
    assert stub.Handshake(
        provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:1"), timeout=30
    ).accept_secrets
    configured = stub.Configure(provider_pb2.ConfigureRequest(args=struct({})), timeout=30)
    assert (configured.acceptSecrets, configured.supportsPreview) == (True, True)
    urn = "urn:pulumi:test::memorygraph-cloud::memorygraph:random:Key::it"
    made = stub.Create(provider_pb2.CreateRequest(urn=urn, properties=struct({})), timeout=30)
    assert made.id
    assert is_secret(dictionary(made.properties)["value"])


def test_an_unknown_resource_is_named(stub: Stub) -> None:
    urn = "urn:pulumi:test::memorygraph-cloud::memorygraph:x:Y::it"
    with pytest.raises(grpc.RpcError, match="has no resource memorygraph:x:Y; it has memorygraph:random:Key"):
        stub.Create(provider_pb2.CreateRequest(urn=urn), timeout=30)


@pytest.mark.parametrize("url", ["http://api.turso.tech", "ftp://127.0.0.1", "api.turso.tech"])
def test_configuration_is_checked(stub: Stub, url: str) -> None:
    answer = stub.CheckConfig(provider_pb2.CheckRequest(news=struct({"tursoApi": url})), timeout=30)
    assert [failure.property for failure in answer.failures] == ["tursoApi"]


@pytest.mark.parametrize("url", ["https://api.turso.tech", "http://127.0.0.1:20001", UNKNOWN])
def test_good_configuration_passes(stub: Stub, url: str) -> None:
    news = struct({"tursoApi": url, "tursoToken": secret("x")})
    answer = stub.CheckConfig(provider_pb2.CheckRequest(news=news), timeout=30)
    assert (list(answer.failures), answer.inputs) == ([], news)


def test_another_address_or_token_replaces_nothing(stub: Stub) -> None:
    request = provider_pb2.DiffRequest(
        olds=struct({"tursoApi": "http://127.0.0.1:1"}), news=struct({"tursoToken": "x"})
    )
    answer = stub.DiffConfig(request, timeout=30)
    assert (answer.changes, list(answer.replaces)) == (answer.DIFF_SOME, [])


def test_it_ends_when_the_engine_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ENGINE, executable()], stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout is not None
        pid, port = (int(word) for word in engine.stdout.readline().split())
        assert port
        engine.kill()
    wait_for(lambda: not alive(pid))
