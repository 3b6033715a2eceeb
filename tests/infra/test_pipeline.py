"""As whom GitHub's workflows act: who is believed, and what each of the two identities may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.components.pipeline import DEPLOYING, IMPERSONATE, READING, condition
from infra.config import Repository
from infra.local.cloud.provider.gcp.identity import Pool, PoolProvider
from infra.local.cloud.provider.kind import Checks, Kind
from tests.infra import program
from tests.infra.program import Graph
from tests.infra.wire import plain

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"
BASIC = {"roles/owner", "roles/editor", "roles/viewer"}
DEPLOYS, READS = (f"serviceAccount:ci-{verb}@project.iam.gserviceaccount.com" for verb in ("deploys", "reads"))
CHANGES = re.compile(r"admin|editor|writer|creator|user$|invoker|enqueuer|owner", re.IGNORECASE)


def roles(graph: Graph, member: str) -> set[str]:
    return {one["role"] for one in graph.resources.values() if "member" in one.inputs and one["member"] == member}


def test_no_identity_of_ours_has_a_role_over_everything(real: Graph) -> None:
    granted = {one["role"] for one in real.resources.values() if "role" in one.inputs}
    assert granted
    assert not {role for role in granted if role in BASIC or "*" in role}


def test_who_reads_changes_nothing_and_reads_no_backup(real: Graph) -> None:
    assert roles(real, READS) == {*READING, "roles/storage.objectViewer"}
    assert not [role for role in READING if CHANGES.search(role)]
    opened = [one["bucket"] for one in real.of("BucketIAMMember") if one["member"] == READS]
    assert opened == [real.one("Bucket", "archives")["name"]]
    assert not {role for role in READING if "storage.object" in role or "storage.admin" in role}


def test_who_deploys_does_not_say_who_is_believed(real: Graph) -> None:
    assert roles(real, DEPLOYS) == set(DEPLOYING)
    assert [role for role in DEPLOYING if "workloadIdentity" in role] == ["roles/iam.workloadIdentityPoolViewer"]


def test_each_kind_of_resource_has_a_role_that_may_make_it_and_one_that_may_read_it(real: Graph) -> None:
    """A component with another Google service needs a line in both lists."""
    services = {
        "cloudfunctionsv2": "cloudfunctions",
        "cloudrunv2": "run",
        "projects": "serviceusage",
        "serviceaccount": "iam",
        "billing": None,  # granted on the billing account, by a person
    }
    for kind in {one.type for one in real.resources.values() if one.type.startswith("gcp:")}:
        vendor = kind.split(":")[1].partition("/")[0]
        service = services.get(vendor, vendor)
        for listed in (DEPLOYING, READING):
            assert service is None or any(role.startswith(f"roles/{service}.") for role in listed), kind


@pytest.mark.parametrize(
    ("environment", "account"), [("production", "ci-deploys"), ("preview", "ci-reads"), ("drift", "ci-reads")]
)
def test_runs_of_an_environment_are_one_identity(real: Graph, environment: str, account: str) -> None:
    grant = real.one("IAMMember", f"github-{environment}")
    assert (grant["role"], grant["serviceAccountId"].rpartition("/")[2].partition("@")[0]) == (IMPERSONATE, account)
    pool = real.one("WorkloadIdentityPool", "github")["workloadIdentityPoolId"]
    assert grant["member"] == (
        "principalSet://iam.googleapis.com/projects/100000000001/locations/global/workloadIdentityPools/"
        f"{pool}/attribute.environment/{environment}"
    )


def test_githubs_tokens_are_believed_of_this_repository_its_environments_and_main(real: Graph) -> None:
    provider = real.one("WorkloadIdentityPoolProvider", "github-actions")
    assert provider["oidc"] == {"issuerUri": "https://token.actions.githubusercontent.com"}
    assert provider["attributeMapping"]["attribute.environment"] == "assertion.environment"
    assert provider["attributeCondition"] == (
        "assertion.repository_id == '123456789' && (assertion.environment == 'preview' || "
        "(assertion.environment in ['production', 'drift'] && assertion.ref == 'refs/heads/main'))"
    )
    assert provider["workloadIdentityPoolId"] == real.one("WorkloadIdentityPool", "github")["workloadIdentityPoolId"]
    assert len(provider["workloadIdentityPoolId"]) <= 32


@pytest.mark.parametrize(
    ("claims", "believed"),
    [
        ({"environment": "staging"}, True),
        ({"environment": "drift"}, True),
        ({"environment": "preview"}, True),
        ({"environment": "preview", "ref": "refs/heads/other"}, True),
        ({"environment": "staging", "ref": "refs/heads/other"}, False),
        ({"environment": "drift", "ref": "refs/tags/v1"}, False),
        ({"environment": "production"}, False),
        ({"environment": "preview", "repository_id": "8"}, False),
        ({"environment": "staging", "repository_id": "8"}, False),
    ],
)
def test_what_the_condition_says(claims: dict[str, str], *, believed: bool) -> None:
    """CEL and Python read these operators alike."""
    text = condition(Repository(id="7", environment="staging")).replace("&&", "and").replace("||", "or")
    token = {"repository_id": "7", "ref": "refs/heads/main", **claims}
    text = re.sub(r"assertion\.(\w+)", lambda match: repr(token[match[1]]), text)
    assert eval(text, {"__builtins__": {}}) is believed


def test_the_workflows_run_in_these_environments() -> None:
    used = {
        name for file in WORKFLOWS.glob("*.yml") for name in re.findall(r"environment: (\w+)$", file.read_text(), re.M)
    }
    assert {"preview", "drift", "staging", "production"} <= used
    assert used <= {"preview", "drift", "staging", "production"}


def test_they_outlive_a_destroy_and_what_github_is_told_is_exported(real: Graph, local: Graph) -> None:
    for kind in ("WorkloadIdentityPool", "WorkloadIdentityPoolProvider"):
        assert all(one.protect for one in real.of(kind))
        assert not any(one.protect for one in local.of(kind))
    assert set(real.outputs["github"]) == {"provider", "deploys", "reads"}
    assert real.outputs["github"]["deploys"] == DEPLOYS.partition(":")[2]


@pytest.mark.parametrize("kind", [Pool, PoolProvider])
def test_the_local_cloud_takes_what_is_declared(local: Graph, kind: type[Kind]) -> None:
    (declared,) = (one for one in local.resources.values() if one.type == kind.token)
    checks = Checks(plain(declared.inputs))
    kind.check(kind.__new__(kind), checks)
    assert checks.failures == {}


def test_without_a_repository_nothing_is_declared() -> None:
    config = {key: value for key, value in program.REAL.items() if not key.endswith(":githubRepositoryId")}
    graph = program.run(config, program.REAL_ANSWERS)
    assert not graph.of("WorkloadIdentityPool")
    assert not [one for one in graph.of("Account") if one.name.startswith("ci-")]
    assert graph.outputs["github"] == {}
