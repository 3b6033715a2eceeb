"""The whole program, run without an engine: what it would register, with the options that matter.

One run costs seconds (importing pulumi_cloudflare), so tests share it (`conftest.py`). Providers' computed values are
made up here, in `COMPUTED`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, set_all_config, set_mocks, settings
from pulumi.runtime.proto import resource_pb2

from infra import cloud
from tests.infra.wire import dictionary, plain, secret, struct

INFRA = Path(__file__).resolve().parents[2] / "infra"
PROJECT, STACK = "memorygraph-cloud", "prod"

LOCAL = {
    "memorygraph-cloud:cloud": "local",
    "memorygraph-cloud:domain": "memorygraph.localhost",
    "memorygraph-cloud:cloudflareAccountId": "local",
    "memorygraph-cloud:supabaseOrganization": "local",
    "memorygraph-cloud:tursoOrganization": "local",
    "gcp:project": "memorygraph-local",
    "gcp:region": "us-east4",
    "cloudflare:apiToken": "local",
    "upstash:email": "local@localhost",
    "upstash:apiKey": "local",
    "memorygraph:supabaseApi": "http://127.0.0.1:20001",
    "memorygraph:supabaseToken": "local",
    "memorygraph:tursoApi": "http://127.0.0.1:20002",
    "memorygraph:tursoToken": "local",
    "memorygraph:stripeApi": "http://127.0.0.1:20005",
    "memorygraph:stripeToken": "local",
    "memorygraph-cloud:googleApi": "http://127.0.0.1:20003",
    "memorygraph-cloud:sentryDsn": "http://hidden@127.0.0.1:20006/1",
    "memorygraph-cloud:smtpHost": "127.0.0.1",
    "memorygraph-cloud:smtpPort": "20004",
    "memorygraph-cloud:smtpUser": "local",
    "memorygraph-cloud:smtpPassword": "hidden-local-smtp",
    "memorygraph-cloud:mailSpf": "include:localhost",
    "memorygraph-cloud:mailDkim": '{"s1": "s1.dkim.localhost"}',
    "memorygraph-cloud:operatorEmail": "operator@memorygraph.localhost",
    "memorygraph-cloud:billingAccount": "000000-000000-000000",
    "memorygraph-cloud:githubRepositoryId": "123456789",
}
REAL = {
    "memorygraph-cloud:cloud": "real",
    "memorygraph-cloud:domain": "memorygraph.dev",
    "memorygraph-cloud:cloudflareAccountId": "0123456789abcdef",
    "memorygraph-cloud:supabaseOrganization": "acme-supabase",
    "memorygraph-cloud:tursoOrganization": "acme-turso",
    "gcp:project": "memorygraph-prod",
    "cloudflare:apiToken": "hidden-cloudflare",
    "upstash:email": "ops@memorygraph.dev",
    "upstash:apiKey": "hidden-upstash",
    "memorygraph:supabaseToken": "hidden-supabase",
    "memorygraph:tursoToken": "hidden-turso",
    "memorygraph-cloud:billing": "true",
    "memorygraph:stripeToken": "sk_test_hidden-stripe",
    "memorygraph-cloud:stripeKey": "rk_test_hidden-stripe",
    "memorygraph-cloud:sentryDsn": "https://hidden@o1.ingest.sentry.io/1",
    "memorygraph-cloud:emailForwarding": "true",
    "memorygraph-cloud:mailSpf": "include:spf.example.com",
    "memorygraph-cloud:mailDkim": '{"s1": "s1.dkim.example.com"}',
    "memorygraph-cloud:smtpHost": "smtp.example.com",
    "memorygraph-cloud:smtpUser": "memorygraph",
    "memorygraph-cloud:smtpPassword": "hidden-smtp",
    "memorygraph-cloud:operatorEmail": "ops@memorygraph.dev",
    "memorygraph-cloud:billingAccount": "0A1B2C-3D4E5F-6A7B8C",
    "memorygraph-cloud:githubRepositoryId": "123456789",
    "memorygraph-cloud:captchaSiteKey": "0x4AAAAAAAsite",
    "memorygraph-cloud:captchaSecret": "0x4AAAAAAAhidden",
}
SECRET_KEYS = [
    "cloudflare:apiToken",
    "upstash:apiKey",
    "memorygraph:supabaseToken",
    "memorygraph:tursoToken",
    "memorygraph:stripeToken",
    "memorygraph-cloud:stripeKey",
    "memorygraph-cloud:sentryDsn",
    "memorygraph-cloud:smtpPassword",
    "memorygraph-cloud:captchaSecret",
]

LOG = logging.getLogger("tests.infra.program")

Wire = dict[str, Any]
"""Properties as the engine sees them: secrets are marked."""


@dataclass(frozen=True)
class Answers:
    """What the attached providers say of themselves."""

    gcp: Mapping[str, Any]
    cloudflare: Mapping[str, Any]


LOCAL_ANSWERS = Answers(
    gcp={"project": cloud.LOCAL_PROJECT, "accessToken": cloud.LOCAL_ACCESS_TOKEN},
    cloudflare={"ipv4Cidrs": list(cloud.LOCAL_RANGES)},
)
REAL_ANSWERS = Answers(
    gcp={"project": "memorygraph-prod", "accessToken": "ya29.token"},
    cloudflare={"ipv4Cidrs": ["173.245.48.0/20", "103.21.244.0/22"]},
)


@dataclass(frozen=True)
class Resource:
    type: str
    name: str
    parent: str
    inputs: Wire
    protect: bool
    depends_on: frozenset[str]

    def __getitem__(self, name: str) -> Any:
        return plain(self.inputs[name])


@dataclass
class Graph:
    """What one run registered. Resources are found by name, `TYPE::NAME` with the type's last word."""

    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: Wire = field(default_factory=dict)

    def of(self, kind: str) -> list[Resource]:
        """All resources of a type, by its last word, e.g. `Secret`."""
        return [resource for resource in self.resources.values() if resource.type.rpartition(":")[2] == kind]

    def one(self, kind: str, name: str) -> Resource:
        (found,) = (resource for resource in self.of(kind) if resource.name == name)
        return found


def _email(inputs: Wire) -> Wire:
    email = f"{inputs['accountId']}@project.iam.gserviceaccount.com"
    return {"email": email, "name": f"projects/project/serviceAccounts/{email}"}


COMPUTED: dict[str, Callable[[Wire], Wire]] = {
    "Account": _email,
    "Bucket": lambda _: {"projectNumber": 100000000001},
    "WorkloadIdentityPool": lambda inputs: {
        "name": f"projects/100000000001/locations/global/workloadIdentityPools/{inputs['workloadIdentityPoolId']}"
    },
    "WorkloadIdentityPoolProvider": lambda inputs: {
        "name": "projects/100000000001/locations/global/workloadIdentityPools/"
        f"{inputs['workloadIdentityPoolId']}/providers/{inputs['workloadIdentityPoolProviderId']}"
    },
    "NotificationChannel": lambda _: {"name": "projects/project/notificationChannels/1"},
    "SecretVersion": lambda _: {"version": "1"},
    "Function": lambda inputs: {
        "serviceConfig": {**inputs["serviceConfig"], "uri": f"https://{inputs['name']}-abc.a.run.app"}
    },
    "RedisDatabase": lambda _: {"endpoint": "test.upstash.io", "restToken": secret("hidden-redis")},
    "Zone": lambda _: {"nameServers": ["a.ns.cloudflare.com", "b.ns.cloudflare.com"]},
    "Project": lambda _: {
        "ref": "ref",
        "sessionUrl": secret("hidden-session"),
        "transactionUrl": secret("hidden-transaction"),
    },
    "AuthSettings": lambda _: {
        "apiUrl": "https://ref.supabase.co",
        "issuer": "https://ref.supabase.co/auth/v1",
        "publishableKey": "sb_publishable_test",
        "secretKey": secret("hidden-auth"),
    },
    "WebhookEndpoint": lambda inputs: {"secret": secret(f"whsec_hidden-{inputs['metadata']['generation']}")},
    "Queue": lambda _: {"name": "jobs-0123456"},
    "Schema": lambda inputs: {
        "version": 1,
        "urls": secret({role: f"postgresql://{role}:hidden" for role in plain(inputs["roles"])}),
    },
}


class _Monitor(mocks.MockMonitor):
    """Keeps what is registered as it comes over the wire."""

    def __init__(self, graph: Graph, answers: Answers) -> None:
        super().__init__(_NoMocks())
        self._graph, self._answers = graph, answers

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        kind = request.type.rpartition(":")[2]
        inputs = dictionary(request.object)
        if kind != "Stack":
            assert urn not in self._graph.resources, f"two resources have the name {urn}"
            self._graph.resources[urn] = Resource(
                request.type,
                request.name,
                request.parent,
                inputs,
                request.protect,
                frozenset(request.dependencies) - {request.parent},
            )
        computed = COMPUTED.get(kind)
        outputs = {**inputs, **(computed(inputs) if computed else {})}
        if kind == "Key":
            outputs["value"] = secret(f"hidden-{request.name}")
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id", object=struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if "pulumi:pulumi:Stack" in request.urn:
            self._graph.outputs = dictionary(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:
        answer = self._answers.gcp if request.tok.startswith("gcp:") else self._answers.cloudflare
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").update(answer)
        return response


class _NoMocks(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise NotImplementedError(args.typ)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(args.token)


def run(
    config: Mapping[str, str],
    answers: Answers,
    *,
    plain_keys: Sequence[str] = (),
    graph: Graph | None = None,
    function: Callable[[], object] = lambda: runpy.run_path(str(INFRA), run_name="__main__"),
) -> Graph:
    """Run the program (or another function in its place) to its end, as `pulumi up` would.

    `graph` is filled even when the program fails. `plain_keys` are credentials that someone stored without --secret.
    Messages go to the logger LOG. Raises whatever the program raises.
    """
    found = Graph() if graph is None else graph
    secret_keys = [key for key in SECRET_KEYS if key not in plain_keys]

    def isolated() -> None:
        loop = asyncio.new_event_loop()  # before set_mocks: the other way round hangs
        asyncio.set_event_loop(loop)
        try:
            set_all_config(dict(config), secret_keys)
            monitor = _Monitor(found, answers)
            set_mocks(_NoMocks(), project=PROJECT, stack=STACK, preview=False, monitor=monitor, logger=LOG)
            settings.set_root_resource(None)  # type: ignore[arg-type]  # what resets it
            loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _nothing(function())))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            asyncio.set_event_loop(None)

    # The SDK keeps configuration and settings in context variables: a copy keeps one run out of the next.
    contextvars.copy_context().run(isolated)
    return found


def _nothing(_: object) -> None:
    """The SDK takes what a program returns for its outputs."""
