"""What Google refuses of a workload identity pool and its providers."""

from __future__ import annotations

import asyncio
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.paths import Paths
from infra.local.cloud.provider.gcp import identity
from infra.local.cloud.provider.gcp.identity import Pool, PoolProvider
from infra.local.cloud.provider.kind import Checks, Kind
from infra.local.cloud.provider.registry import kinds
from infra.local.cloud.provider.wire import UNKNOWN
from infra.local.cloud.store import Record

Json = dict[str, Any]
POOL: Json = {"workloadIdentityPoolId": "github-0123abcd", "displayName": "GitHub's workflows"}
PROVIDER: Json = {
    "workloadIdentityPoolId": "github-0123abcd",
    "workloadIdentityPoolProviderId": "github-actions",
    "displayName": "GitHub Actions",
    "attributeMapping": {"google.subject": "assertion.sub", "attribute.environment": "assertion.environment"},
    "attributeCondition": "assertion.repository_id == '1'",
    "oidc": {"issuerUri": "https://token.actions.githubusercontent.com"},
}


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    (tmp_path / "cloud").mkdir()
    loop = asyncio.new_event_loop()
    loop.close()  # nothing here starts a process
    return Cloud(Paths(tmp_path), loop)


@pytest.fixture
def known(cloud: Cloud) -> dict[str, Kind]:
    return kinds(cloud)


def refusals(known: dict[str, Kind], token: str, args: Json) -> dict[str, str]:
    checks = Checks(args)
    known[token].check(checks)
    return checks.failures


def make(cloud: Cloud, known: dict[str, Kind], token: str, args: Json) -> Record:
    made = known[token].create(args)
    record = Record(type=token, id=made.id, urn=f"urn:{made.id}", inputs=args, outputs={**args, **made.outputs})
    cloud.store.put(record)
    return record


@pytest.mark.parametrize(("token", "args"), [(Pool.token, POOL), (PoolProvider.token, PROVIDER)])
def test_what_the_program_declares_passes(known: dict[str, Kind], token: str, args: Json) -> None:
    assert refusals(known, token, args) == {}
    assert refusals(known, token, dict.fromkeys(args, UNKNOWN)) == {}  # in a preview


@pytest.mark.parametrize(
    ("token", "path", "value", "refused", "words"),
    [
        (Pool.token, "workloadIdentityPoolId", None, "workloadIdentityPoolId", "required"),
        (Pool.token, "workloadIdentityPoolId", "git", "workloadIdentityPoolId", "4 to 32"),
        (Pool.token, "workloadIdentityPoolId", "gcp-github", "workloadIdentityPoolId", "Google's own"),
        (Pool.token, "displayName", "x" * 33, "displayName", "at most 32"),
        (Pool.token, "description", "x" * 257, "description", "at most 256"),
        (Pool.token, "mode", "TRUST_DOMAIN", "mode", "federates only"),
        (PoolProvider.token, "workloadIdentityPoolId", None, "workloadIdentityPoolId", "required"),
        (PoolProvider.token, "workloadIdentityPoolProviderId", "GitHub", "workloadIdentityPoolProviderId", "4 to 32"),
        (PoolProvider.token, "displayName", "x" * 33, "displayName", "at most 32"),
        (PoolProvider.token, "oidc", None, "oidc", "required"),
        (PoolProvider.token, "oidc", {"issuerUri": "http://a.b"}, "oidc.issuerUri", "https://"),
        (PoolProvider.token, "aws", {"accountId": "1"}, "aws", "OIDC only"),
        (PoolProvider.token, "attributeMapping", None, "attributeMapping", "google.subject"),
        (PoolProvider.token, "attributeMapping", {"attribute.a": "assertion.a"}, "attributeMapping", "google.subject"),
        (
            PoolProvider.token,
            "attributeMapping",
            {"google.subject": "assertion.sub", "attribute.A": "assertion.a"},
            "attributeMapping.attribute.A",
            "attribute.NAME",
        ),
        (
            PoolProvider.token,
            "attributeMapping",
            {"google.subject": "assertion.sub", **{f"attribute.a{n}": "assertion.a" for n in range(50)}},
            "attributeMapping",
            "at most 50",
        ),
        (PoolProvider.token, "attributeCondition", None, "attributeCondition", "one of the provider's claims"),
        (PoolProvider.token, "attributeCondition", "true", "attributeCondition", "one of the provider's claims"),
        (PoolProvider.token, "attributeCondition", "assertion.a" * 400, "attributeCondition", "4096"),
    ],
)
def test_what_google_refuses(
    known: dict[str, Kind], token: str, path: str, value: Any, refused: str, words: str
) -> None:
    args = deepcopy(POOL if token == Pool.token else PROVIDER)
    args.pop(path, None)
    if value is not None:
        args[path] = value
    assert words in refusals(known, token, args)[refused]


def test_another_issuer_needs_no_condition(known: dict[str, Kind]) -> None:
    args = {**PROVIDER, "oidc": {"issuerUri": "https://issuer.example"}}
    del args["attributeCondition"]
    assert refusals(known, PoolProvider.token, args) == {}


def test_a_pool_comes_before_its_provider(cloud: Cloud, known: dict[str, Kind]) -> None:
    with pytest.raises(NotFound, match="workload_identity_pool_id"):
        known[PoolProvider.token].create(PROVIDER)
    pool = make(cloud, known, Pool.token, POOL)
    made = make(cloud, known, PoolProvider.token, PROVIDER)
    assert made.state["name"] == f"{pool.state['name']}/providers/github-actions"
    assert made.state["name"].startswith("projects/100000000001/")  # as workflows and principals name it


@pytest.mark.parametrize("token", [Pool.token, PoolProvider.token])
def test_an_id_is_held_for_thirty_days(
    cloud: Cloud, known: dict[str, Kind], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    records = {Pool.token: make(cloud, known, Pool.token, POOL)}
    records[PoolProvider.token] = make(cloud, known, PoolProvider.token, PROVIDER)
    known[token].delete(records[token])
    args = POOL if token == Pool.token else PROVIDER
    with pytest.raises(CloudError, match=r"409.*less than 30 days ago"):
        known[token].create(args)
    later = time.time() + identity.HELD_SECONDS + 1
    monkeypatch.setattr("time.time", lambda: later)
    assert known[token].create(args).id == records[token].id
