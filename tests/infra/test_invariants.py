"""What must hold whatever the program declares: least rights, one reader for each secret, nothing unprotected."""

from __future__ import annotations

import json

import pytest

from declarations import DEPLOYED, FUNCTIONS, PREFIX, ProvisioningSettings
from tests.infra import program
from tests.infra.program import Graph, Resource
from tests.infra.wire import is_secret, plain

ROLES = {
    "roles/artifactregistry.writer",
    "roles/cloudtasks.enqueuer",
    "roles/iam.serviceAccountUser",
    "roles/logging.logWriter",
    "roles/run.invoker",
    "roles/secretmanager.secretAccessor",
    "roles/storage.objectCreator",
    "roles/storage.objectViewer",
}


def _grants(graph: Graph) -> list[Resource]:
    return [resource for resource in graph.resources.values() if "role" in resource.inputs]


def test_every_role_is_one_of_the_few_that_we_need(real: Graph) -> None:
    """Those of the workflows' identities are tests/infra/test_pipeline.py's."""
    ours = [grant for grant in _grants(real) if not grant.name.startswith(("ci-", "github-"))]
    assert {grant["role"] for grant in ours} == ROLES


def test_only_invocation_is_public(real: Graph) -> None:
    public = [grant for grant in _grants(real) if str(grant["member"]).startswith("all")]
    assert {(grant["role"], grant["member"]) for grant in public} == {("roles/run.invoker", "allUsers")}


def test_every_secret_has_one_version_and_one_reader(real: Graph) -> None:
    for secret in real.of("Secret"):
        versions = [item for item in real.of("SecretVersion") if item["secret"] == f"{secret.name}-id"]
        readers = [item for item in real.of("SecretIamMember") if item["secretId"] == secret["secretId"]]
        assert (len(versions), len(readers)) == (1, 1), secret.name


def test_a_function_reads_its_own_secrets_only(real: Graph) -> None:
    for function in DEPLOYED:
        member = f"serviceAccount:{function.name}-run@project.iam.gserviceaccount.com"
        read = {item["secretId"] for item in real.of("SecretIamMember") if item["member"] == member}
        assert read == {
            f"{function.name}-{variable.name.lower().replace('_', '-')}"
            for variable in function.settings.variables()
            if variable.secret
        }


def test_each_function_has_two_identities_of_its_own(real: Graph) -> None:
    for function in DEPLOYED:
        deployed = real.one("Function", function.name)
        runner = deployed["serviceConfig"]["serviceAccountEmail"]
        builder = deployed["buildConfig"]["serviceAccount"]
        assert runner == f"{function.name}-run@project.iam.gserviceaccount.com"
        assert builder.startswith(f"projects/memorygraph-prod/serviceAccounts/{function.name}-build@")


def test_who_runs_may_not_build(real: Graph) -> None:
    for function in DEPLOYED:
        runner = f"serviceAccount:{function.name}-run@project.iam.gserviceaccount.com"
        wakes = "TASKS_URL" in {variable.name for variable in function.settings.variables()}
        more = {"roles/cloudtasks.enqueuer", "roles/iam.serviceAccountUser"} if wakes else set[str]()
        if "BACKUP_BUCKET" in {variable.name for variable in function.settings.variables()}:
            more |= {"roles/storage.objectCreator", "roles/storage.objectViewer"}  # neither may delete or overwrite
        roles = {grant["role"] for grant in _grants(real) if grant["member"] == runner}
        assert roles == {"roles/secretmanager.secretAccessor"} | more, function.name


def test_only_the_caller_of_jobs_invokes_provisioning(real: Graph) -> None:
    caller = "jobs-call@project.iam.gserviceaccount.com"
    assert real.one("ServiceIamMember", "provisioning-invoker")["member"] == f"serviceAccount:{caller}"
    audience = "https://provisioning-abc.a.run.app"
    for target in (real.one("Queue", "jobs")["httpTarget"], *(job["httpTarget"] for job in real.of("Job"))):
        assert target["oidcToken"] == {"serviceAccountEmail": caller, "audience": audience}
    service = real.one("Function", "provisioning")["serviceConfig"]["environmentVariables"]
    assert service["OIDC_CALLER"] == caller


def test_a_task_goes_to_provisioning_whatever_address_it_was_added_with(real: Graph) -> None:
    override = real.one("Queue", "jobs")["httpTarget"]["uriOverride"]
    assert override == {
        "scheme": "HTTPS",
        "host": "provisioning-abc.a.run.app",
        "pathOverride": {"path": "/jobs"},
        "uriOverrideEnforceMode": "ALWAYS",
    }
    assert real.one("Job", "sweep")["httpTarget"]["uri"] == "https://provisioning-abc.a.run.app/sweep"


def test_people_sign_in_as_declared(real: Graph) -> None:
    auth = real.one("AuthSettings", "auth")
    settings = auth["settings"]
    assert settings["uri_allow_list"] == "https://memorygraph.dev/**"
    assert settings["mailer_subjects_confirmation"] == "Confirm your e-mail address"
    assert "{{ .ConfirmationURL }}" in settings["mailer_templates_confirmation_content"]
    assert (settings["mailer_autoconfirm"], settings["external_github_enabled"]) == (False, False)
    # Whose address a token says is relied on: no token without a confirmation, neither at first nor for a new address.
    assert settings["mailer_allow_unverified_email_sign_ins"] is False
    assert settings["mailer_secure_email_change_enabled"] is True
    assert settings["external_phone_enabled"] is settings["external_anonymous_users_enabled"] is False
    assert is_secret(auth.inputs["secrets"])
    # One address of a client alone cannot take all mails of an hour: it may ask 30 times at once, and then so often in
    # five minutes, in each of seven ways (infra/components/people.py).
    assert settings["rate_limit_email_sent"] > 7 * (30 + 12 * settings["rate_limit_otp"])
    assert settings["smtp_max_frequency"] == 60
    assert (settings["security_captcha_enabled"], settings["security_captcha_provider"]) == (True, "turnstile")


def test_variables_declared_are_variables_bound(real: Graph) -> None:
    for function in DEPLOYED:
        service = real.one("Function", function.name)["serviceConfig"]
        secret = {item["key"] for item in service["secretEnvironmentVariables"]}
        declared = function.settings.variables()
        assert set(service["environmentVariables"]) == {v.name for v in declared if not v.secret}
        assert secret == {v.name for v in declared if v.secret}


def test_secret_versions_are_named_by_number(real: Graph) -> None:
    """A new version then makes a new revision; `latest` would change under a running one."""
    for function in DEPLOYED:
        for item in real.one("Function", function.name)["serviceConfig"]["secretEnvironmentVariables"]:
            assert item["version"].isdecimal()


def test_a_function_waits_for_its_grants_and_secrets(real: Graph) -> None:
    for function in DEPLOYED:
        waits = {urn.split("::")[-1] for urn in real.one("Function", function.name).depends_on}
        assert {f"{function.name}-build-{right}" for right in ("logwriter", "writer", "source")} <= waits
        kinds = [urn.split("$")[-1].split("::")[0].rpartition(":")[2] for urn in _waits_for(real, function.name)]
        secrets = sum(variable.secret for variable in function.settings.variables())
        assert kinds.count("SecretVersion") == kinds.count("SecretIamMember") == secrets


def _waits_for(graph: Graph, function: str) -> frozenset[str]:
    return graph.one("Function", function).depends_on


def test_google_resources_wait_for_every_api(real: Graph) -> None:
    apis = {urn for urn, resource in real.resources.items() if resource.type == "gcp:projects/service:Service"}
    for kind in ("Account", "Secret", "Bucket"):
        for resource in real.of(kind):
            assert apis <= resource.depends_on, resource.name


def test_sizes_are_the_declared_ones(real: Graph) -> None:
    for function in DEPLOYED:
        service, sizing = real.one("Function", function.name)["serviceConfig"], function.sizing
        assert service["availableMemory"] == f"{sizing.memory_mb}Mi"
        assert service["availableCpu"] == str(sizing.cpu)
        assert service["timeoutSeconds"] == sizing.timeout_seconds
        assert service["maxInstanceRequestConcurrency"] == sizing.concurrency
        assert (service["minInstanceCount"], service["maxInstanceCount"]) == (
            sizing.min_instances,
            sizing.max_instances,
        )


@pytest.mark.parametrize("kind", ["Project", "Group", "Zone", "Secret", "WorkloadIdentityPool"])
def test_data_secrets_and_the_zone_are_protected(real: Graph, local: Graph, kind: str) -> None:
    assert real.of(kind)
    assert all(resource.protect for resource in real.of(kind))
    assert not any(resource.protect for resource in local.of(kind))


def test_keys_that_data_depends_on_are_protected(real: Graph) -> None:
    assert {key.name for key in real.of("Key") if key.protect} == {"key-tag-secret-1", "store-seal-key-1"}


def test_what_must_be_replaceable_is_not_protected(real: Graph) -> None:
    """`protect` would go from parent to child: a protected version could never be rotated out."""
    for kind in ("SecretVersion", "BucketObject", "Function", "WorkersScript", "WorkersCustomDomain", "Schema"):
        assert real.of(kind)
        assert not any(resource.protect for resource in real.of(kind)), kind


def test_every_resource_belongs_to_a_component(real: Graph) -> None:
    for urn, resource in real.resources.items():
        ours = resource.type.startswith("memorygraph-cloud:components:")
        assert ours or "memorygraph-cloud:components:" in resource.parent, urn


def test_the_worker_knows_every_route_origin_and_secret(real: Graph) -> None:
    bindings = {item["name"]: plain(item["text"]) for item in real.one("WorkersScript", "worker").inputs["bindings"]}
    assert json.loads(bindings["ROUTES"]) == [
        [route.method, route.path, function.name] for function in FUNCTIONS for route in function.routes
    ]
    assert json.loads(bindings["ORIGINS"]) == {f.name: f"https://{f.name}-abc.a.run.app" for f in FUNCTIONS}
    assert int(bindings["TIMEOUT_SECONDS"]) > max(function.sizing.timeout_seconds for function in FUNCTIONS)
    assert all(bindings[f"EDGE_SECRET_{function.name.upper()}"] for function in FUNCTIONS)


def test_no_variable_of_the_worker_is_too_long_for_cloudflare(real: Graph) -> None:
    for item in real.one("WorkersScript", "worker").inputs["bindings"]:
        assert len(plain(item["text"]).encode()) <= 5 << 10, item["name"]


def test_secret_values_are_secret_wherever_they_go(real: Graph) -> None:
    for resource in real.of("SecretVersion"):
        assert is_secret(resource.inputs["secretData"]), resource.name
    for item in real.one("WorkersScript", "worker").inputs["bindings"]:
        assert is_secret(item["text"]) == (item["type"] == "secret_text"), item["name"]
    schema, project = real.of("Schema")[0], real.of("Project")[0]
    assert all(is_secret(schema.inputs[name]) for name in ("databaseUrl", "runtimeUrl", "roles"))
    assert is_secret(project.inputs["databasePassword"])


def test_each_function_logs_into_the_database_as_itself(real: Graph) -> None:
    for function in DEPLOYED:
        assert (
            real.one("SecretVersion", f"{function.name}-database-url")["secretData"]
            == f"postgresql://{function.name}:hidden"
        )


def test_exports(real: Graph, local: Graph) -> None:
    assert real.outputs["api_url"] == f"https://api.memorygraph.dev{PREFIX}"
    assert local.outputs["api_url"] == f"http://api.memorygraph.localhost{PREFIX}"
    assert set(real.outputs["functions"]) == {function.name for function in FUNCTIONS}
    assert real.outputs["name_servers"]


def test_the_operators_variables_are_exported_as_one_secret(real: Graph) -> None:
    operator = real.outputs["operator"]
    assert is_secret(operator)
    values = plain(operator)
    assert set(values) == {variable.name for variable in ProvisioningSettings.variables()}
    assert all(values.values())
    assert values["DATABASE_URL"] == "postgresql://provisioning:hidden"
    assert values["REDIS_URL"] == "https://test.upstash.io"
    assert values["TURSO_API_TOKEN"] == "hidden-turso"


def test_a_rotation_hands_out_both_generations_and_then_one() -> None:
    def rotated(rotation: str) -> Graph:
        config = {**program.REAL, "memorygraph-cloud:rotation": rotation}
        return program.run(config, program.REAL_ANSWERS)

    between, after = rotated('{"memories-edge-secret": [2, 1]}'), rotated('{"memories-edge-secret": [2]}')
    versions = [graph.one("SecretVersion", "memories-edge-secret")["secretData"] for graph in (between, after)]
    assert versions == ["hidden-memories-edge-secret-2 hidden-memories-edge-secret-1", "hidden-memories-edge-secret-2"]
    assert {key.name for key in after.of("Key")} >= {"memories-edge-secret-2", "key-tag-secret-1"}
    assert "memories-edge-secret-1" not in {key.name for key in after.of("Key")}


def test_both_clouds_get_the_same_resources(real: Graph, local: Graph) -> None:
    assert set(real.resources) == set(local.resources)
