"""What the vendors refuse is refused before anything is made, with the vendor's words and the way out."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.paths import Paths
from infra.local.cloud.provider.kind import Checks, Kind
from infra.local.cloud.provider.registry import kinds
from infra.local.cloud.provider.wire import UNKNOWN
from tests.infra.local import program
from tests.infra.local.program import Deployed

Json = dict[str, Any]
FUNCTION = Deployed(engine=None, name="memories").inputs()  # type: ignore[arg-type]  # only its inputs are read
SCRIPT: Json = {
    "accountId": "a",
    "scriptName": "edge",
    "mainModule": "worker.js",
    "content": "export default {}",
    "compatibilityDate": "2026-10-01",
    "bindings": [{"type": "plain_text", "name": "A", "text": "a"}],
}
VALID: list[tuple[str, Json]] = [
    (program.BUCKET, {"name": "memorygraph-local-archives", "location": "us-east4"}),
    (program.ACCOUNT, {"accountId": "memories-run"}),
    (program.SECRET, {"secretId": "memories-redis_token", "replication": {"auto": {}}}),
    (program.VERSION, {"secret": "projects/p/secrets/s", "secretData": "x"}),
    (program.SECRET_GRANT, {"secretId": "s", "role": "roles/a.b", "member": "serviceAccount:a@b.c"}),
    (program.FUNCTION, FUNCTION),
    (program.ZONE, {"name": "memorygraph.localhost", "account": {"id": "a"}}),
    (program.SCRIPT, SCRIPT),
    (program.DOMAIN, {"accountId": "a", "hostname": "api.memorygraph.localhost", "service": "edge", "zoneId": "z"}),
    (program.REDIS, {"databaseName": "memorygraph", "region": "global", "primaryRegion": "us-east-1", "tls": True}),
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    loop = asyncio.new_event_loop()
    loop.close()  # checks start nothing
    return kinds(Cloud(Paths(tmp_path_factory.mktemp("root")), loop))


def refusals(known: dict[str, Kind], type_: str, inputs: Json) -> dict[str, str]:
    checks = Checks(inputs)
    known[type_].check(checks)
    return checks.failures


@pytest.mark.parametrize(("type_", "inputs"), VALID, ids=[type_ for type_, _ in VALID])
def test_what_the_program_declares_passes(known: dict[str, Kind], type_: str, inputs: Json) -> None:
    assert refusals(known, type_, inputs) == {}


@pytest.mark.parametrize(("type_", "inputs"), VALID, ids=[type_ for type_, _ in VALID])
def test_nothing_unknown_is_refused_in_a_preview(known: dict[str, Kind], type_: str, inputs: Json) -> None:
    assert refusals(known, type_, dict.fromkeys(inputs, UNKNOWN)) == {}


@pytest.mark.parametrize(
    ("type_", "change", "property_", "words"),
    [
        (program.BUCKET, {"name": "Memories"}, "name", "Invalid bucket name"),
        (program.BUCKET, {"name": "my-google-bucket"}, "name", "must not contain 'google'"),
        (program.BUCKET, {"location": None}, "location", "required"),
        (program.ACCOUNT, {"accountId": "short"}, "accountId", "6 to 30"),
        (program.ACCOUNT, {"accountId": "a" * 31}, "accountId", "6 to 30"),
        (program.ACCOUNT, {"accountId": "ends-with-dash-"}, "accountId", "end without a dash"),
        (program.SECRET, {"secretId": "has space"}, "secretId", "1 to 255 letters"),
        (program.SECRET, {"ttl": "1h"}, "ttl", "in seconds"),
        (program.VERSION, {"secretData": "x" * 65537}, "secretData", "65536"),
        (program.SECRET_GRANT, {"member": "a@b.c"}, "member", "IAM members must have"),
        (program.SECRET_GRANT, {"role": "secretAccessor"}, "role", "roles/NAME"),
        (program.FUNCTION, {"name": "Memories"}, "name", "lower-case"),
        (program.FUNCTION, {"serviceConfig.availableMemory": "100Mi"}, "serviceConfig.availableMemory", "128Mi"),
        (program.FUNCTION, {"serviceConfig.availableMemory": "half"}, "serviceConfig.availableMemory", "512Mi"),
        (program.FUNCTION, {"serviceConfig.availableMemory": "8Gi"}, "serviceConfig.availableMemory", "more CPU"),
        (program.FUNCTION, {"serviceConfig.availableCpu": "3"}, "serviceConfig.availableCpu", "1, 2, 4 or 8"),
        (
            program.FUNCTION,
            {"serviceConfig.availableCpu": "0.5"},
            "serviceConfig.maxInstanceRequestConcurrency",
            "Total cpu < 1 is not supported with concurrency > 1",
        ),
        (
            program.FUNCTION,
            {"serviceConfig.availableCpu": None},
            "serviceConfig.maxInstanceRequestConcurrency",
            "Set available_cpu to '1'",
        ),
        (program.FUNCTION, {"serviceConfig.timeoutSeconds": 3601}, "serviceConfig.timeoutSeconds", "1 to 3600"),
        (
            program.FUNCTION,
            {"serviceConfig.environmentVariables": {"K_SERVICE": "x"}},
            "serviceConfig.environmentVariables",
            "reserved",
        ),
        (
            program.FUNCTION,
            {"serviceConfig.environmentVariables": {"SECRET": "x"}},
            "serviceConfig.secretEnvironmentVariables",
            "both a plain and a secret",
        ),
        (program.FUNCTION, {"buildConfig.runtime": "nodejs22"}, "buildConfig.runtime", "Python functions only"),
        (program.ZONE, {"name": "no dots"}, "name", "not a valid domain"),
        (program.SCRIPT, {"scriptName": "Edge"}, "scriptName", "lower-case"),
        (program.SCRIPT, {"bindings": [{"type": "kv_namespace", "name": "A"}]}, "bindings[0]", "plain_text"),
        (
            program.SCRIPT,
            {"bindings": [{"type": "secret_text", "name": "not-a-name", "text": "x"}]},
            "bindings[0]",
            "JavaScript identifier",
        ),
        (
            program.SCRIPT,
            {"bindings": [{"type": "json", "name": "A", "json": "1"}, {"type": "json", "name": "A", "json": "2"}]},
            "bindings",
            "already in use",
        ),
        (program.DOMAIN, {"zoneId": None}, "zoneId", "zone_name"),
        (program.REDIS, {"primaryRegion": None}, "primaryRegion", "required"),
        (program.REDIS, {"primaryRegion": "us-central1"}, "primaryRegion", "us-east-1"),
        (program.REDIS, {"tls": False}, "tls", "cannot be disabled"),
    ],
)
def test_the_vendors_rules(known: dict[str, Kind], type_: str, change: Json, property_: str, words: str) -> None:
    inputs = deepcopy(dict(VALID)[type_])
    for path, value in change.items():
        *folders, last = path.split(".")
        target = inputs
        for folder in folders:
            target = target[folder]
        target[last] = value
        if value is None:
            del target[last]
    found = refusals(known, type_, inputs)
    assert words in found.get(property_, ""), found


def test_a_refusal_of_a_secret_does_not_show_it(known: dict[str, Kind]) -> None:
    found = refusals(known, program.VERSION, {"secret": "s", "secretData": "hunter2" * 10_000})
    assert found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("type_", "replaced"),
    [
        (program.ZONE, {"name", "account"}),
        (program.SECRET, {"secretId", "replication", "project"}),
        (program.VERSION, {"secret", "secretData"}),
        (program.ACCOUNT, {"accountId", "project"}),
        (program.SCRIPT, {"scriptName", "accountId"}),
        (program.FUNCTION, {"name", "location", "project", "kmsKeyName"}),
    ],
)
def test_what_the_vendors_cannot_change_in_place(known: dict[str, Kind], type_: str, replaced: set[str]) -> None:
    assert known[type_].replaces == replaced
