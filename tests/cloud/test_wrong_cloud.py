"""A program attached to the wrong cloud is refused by the real engine, both ways, and nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2_grpc

from tests.cloud.stack import Stack

REAL_ANSWERS: dict[str, dict[str, Any]] = {
    "gcp:organizations/getClientConfig:getClientConfig": {
        "id": "projects/shop-prod",
        "project": "shop-prod",
        "region": "us-east4",
        "zone": "",
        "accessToken": "ya29.a0-not-to-be-shown",
        "defaultLabels": {},
    },
    "cloudflare:index/getIpRanges:getIpRanges": {
        "id": "ips",
        "etag": "e",
        "ipv4CidrBlocks": ["173.245.48.0/20"],
        "ipv6CidrBlocks": ["2400:cb00::/32"],
        "jdcloudCidrs": [],
    },
}


class RealCloud(provider_pb2_grpc.ResourceProviderServicer):
    """Answers as Google Cloud and Cloudflare do when asked who they are; fails the test when anything is declared."""

    def __init__(self) -> None:
        self.declared: list[str] = []

    def Attach(self, _request: Any, _context: Any) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, _request: Any, _context: Any) -> Any:
        return proto.PluginInfo(version="99.0.0")

    def CheckConfig(self, request: Any, _context: Any) -> Any:
        return proto.CheckResponse(inputs=request.news)

    def DiffConfig(self, _request: Any, _context: Any) -> Any:
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    def Configure(self, _request: Any, _context: Any) -> Any:
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Invoke(self, request: Any, _context: Any) -> Any:
        response = proto.InvokeResponse()
        getattr(response, "return").update(REAL_ANSWERS[request.tok])  # a keyword of Python
        return response

    def Check(self, request: Any, _context: Any) -> Any:
        self.declared.append(request.urn)
        return proto.CheckResponse(inputs=request.news)


@pytest.fixture
def real_cloud() -> Iterator[tuple[RealCloud, int]]:
    cloud = RealCloud()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(cloud, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield cloud, port
    server.stop(grace=None)


def test_a_local_stack_is_refused_by_the_real_cloud(stack: Stack, real_cloud: tuple[RealCloud, int]) -> None:
    cloud, port = real_cloud
    done = stack.pulumi("preview", PULUMI_DEBUG_PROVIDERS=f"gcp:{port},cloudflare:{port}")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "This stack is for the local cloud, but" in said
    assert "ya29" not in said
    assert "Traceback" not in said
    assert not [urn for urn in cloud.declared if "pulumi:providers" not in urn]


def test_a_real_stack_is_refused_by_the_local_cloud(stack: Stack) -> None:
    local = (stack.root / "pulumi" / "Pulumi.local.yaml").read_text()
    changed = stack.checkout / "changed.yaml"

    def refused(config: str) -> str:
        changed.write_text(config)
        done = stack.pulumi("preview", PULUMI_OPTION_CONFIG_FILE=str(changed))
        assert done.returncode != 0
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    try:
        # What rehearses cannot be declared real, ...
        real = local.replace('cloud: "local"', 'cloud: "real"')
        assert real != local
        assert "pulumi config set" in refused(real)
        # ... a whole real configuration is told where it is, ...
        real = (
            re.sub(r'"local(@localhost)?"', '"real-name-or-token-of-a-vendor@example.com"', real)
            .replace("memorygraph.localhost", "memorygraph.dev")
            .replace('"memorygraph-local"', '"shop-prod"')
        )
        changed.write_text(re.sub(r"http://127.0.0.1:\d+", "https://api.example.com", real))
        for name in re.findall(r"  ([\w-]+:\w+(?:Token|Key|Password)):", local):
            value = "sk_test_of-a-vendor" if "stripe" in name else "a-token-of-a-vendor"
            words = ("config", "set", "--secret", name, value)
            assert stack.pulumi(*words, PULUMI_OPTION_CONFIG_FILE=str(changed)).returncode == 0
        said = refused(changed.read_text())
        assert "local cloud" in said
        assert "unset PULUMI_DEBUG_PROVIDERS" in said
        # ... and so is a local one that names somebody's project.
        assert "shop-prod" in refused(local.replace('"memorygraph-local"', '"shop-prod"'))
    finally:
        changed.unlink()
    assert stack.pulumi("preview", "--expect-no-changes").returncode == 0
