"""Google Cloud Functions (2nd generation): checked, built and started as `runtime/functions.py` says."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import ClassVar

from infra.local.cloud.errors import CloudError, Denied, NotFound
from infra.local.cloud.provider.gcp import secrets
from infra.local.cloud.provider.gcp.grants import holds, invokers, need_secret
from infra.local.cloud.provider.gcp.names import DEFAULT_COMPUTE, labels, project_of, short
from infra.local.cloud.provider.gcp.projects import need_account, need_api
from infra.local.cloud.provider.gcp.storage import object_path
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.runtime.functions import Deployment, Functions, Reference
from infra.local.cloud.store import Record

MADE = "2026-01-01T00:00:00.000000Z"
APIS = (
    ("cloudfunctions.googleapis.com", "Cloud Functions"),
    ("cloudbuild.googleapis.com", "Cloud Build"),
    ("run.googleapis.com", "Cloud Run Admin"),
    ("artifactregistry.googleapis.com", "Artifact Registry"),
)
MEMORY = re.compile(r"(\d+(?:\.\d+)?)(k|K|Ki|M|Mi|G|Gi)?")
UNITS = {"k": 1e3, "K": 1e3, "Ki": 2**10, "M": 1e6, "Mi": 2**20, "G": 1e9, "Gi": 2**30, "": 1}
MEMORY_OF_CPU = {1: 4096, 2: 8192, 4: 16384, 8: 32768}  # the most MiB, by whole vCPUs
RESERVED = re.compile(r"(K_|FUNCTION_TARGET$|FUNCTION_SIGNATURE_TYPE$|PORT$|X_GOOGLE_)")
HTTP_TIMEOUT_SECONDS = 3600
log = logging.getLogger(__name__)


class Function(Kind):
    """A function with an HTTP trigger.

    Left out: event triggers, VPC, secret volumes, other runtimes than this machine's Python, more than one instance,
    regions (one name is one process), and the memory limit. An identity decides which tokens the process can get; it
    runs as the user of the local cloud all the same.
    """

    token = "gcp:cloudfunctionsv2/function:Function"  # noqa: S105  a name, no secret
    name_input = "name"
    replaces = frozenset({"name", "location", "project", "kmsKeyName"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE"}
    computed = tuple(("serviceConfig", key) for key in ("uri", "gcfUri", "service", "serviceAccountEmail"))

    def check(self, checks: Checks) -> None:
        checks.required("location", "buildConfig", "serviceConfig")
        checks.text(
            "name",
            r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
            "a function name has 1 to 63 lower-case letters, digits and dashes, starts with a letter and ends "
            "without a dash",
        )
        for path in ("buildConfig.runtime", "buildConfig.entryPoint", "buildConfig.source.storageSource.bucket"):
            checks.required(path)
        checks.required("buildConfig.source.storageSource.object")
        checks.text(
            "buildConfig.runtime", r"python3\d{1,2}", "the local cloud runs Python functions only: use python312"
        )
        checks.text(
            "buildConfig.entryPoint", r"[A-Za-z_][A-Za-z0-9_]*", "an entry point is the name of a Python function"
        )
        checks.text(
            "buildConfig.serviceAccount",
            r"projects/[^/]+/serviceAccounts/[^@/]+@[^@/]+",
            "expected projects/PROJECT/serviceAccounts/EMAIL",
        )
        checks.text("serviceConfig.serviceAccountEmail", r"[^@/]+@[^@/]+", "expected the email of a service account")
        checks.whole(
            "serviceConfig.timeoutSeconds",
            1,
            HTTP_TIMEOUT_SECONDS,
            f"the timeout of a function called by HTTP is 1 to {HTTP_TIMEOUT_SECONDS} seconds",
        )
        checks.whole("serviceConfig.maxInstanceRequestConcurrency", 1, 1000, "concurrency is 1 to 1000")
        checks.whole("serviceConfig.maxInstanceCount", 1, 1000, "max_instance_count is 1 to 1000")
        checks.whole("serviceConfig.minInstanceCount", 0, 1000, "min_instance_count is 0 to 1000")
        checks.one_of("serviceConfig.ingressSettings", ("ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"))
        for path in ("eventTrigger", "serviceConfig.secretVolumes", "serviceConfig.vpcConnector"):
            if checks.get(path):
                checks.refuse(path, "the local cloud does not have this")
        self._check_size(checks)
        self._check_variables(checks)

    def identify(self, args: Json) -> str | None:
        if not args.get("name") or not args.get("location"):
            return None
        return f"projects/{project_of(args)}/locations/{args['location']}/functions/{args['name']}"

    def create(self, args: Json) -> Made:
        for api, title in APIS:
            need_api(self, api, title)
        return self._deploy(args, revision=1)

    def update(self, record: Record, args: Json) -> Made:
        return self._deploy(args, revision=int(record.data["revision"]) + 1)

    def read(self, record: Record) -> Json:
        return self._addresses(record.args)

    def delete(self, record: Record) -> None:
        name = record.args["name"]
        # All regions are this machine: one that replaced it elsewhere has taken over its process and address.
        if not any(other.args["name"] == name and other.id != record.id for other in self.cloud.store.of(self.token)):
            Functions(self.cloud).delete(str(name))

    async def bring_back(self, record: Record) -> None:
        deployment = self._deployment(record.args, record.data["digest"], int(record.data["revision"]))
        functions, name = Functions(self.cloud), deployment.name
        functions.bring_back(deployment)
        try:
            region = str(record.args["location"])
            await asyncio.to_thread(functions.set_invokers, name, invokers(self.cloud, name), region)
        except CloudError as error:  # what was written before may still hold
            log.warning("%s", error)

    def _deploy(self, args: Json, revision: int) -> Made:
        name = str(args["name"])
        runner = args["serviceConfig"].get("serviceAccountEmail") or DEFAULT_COMPUTE
        self._need_build_rights(name, args)
        if runner != DEFAULT_COMPUTE:
            need_account(self, runner)
        for variable in args["serviceConfig"].get("secretEnvironmentVariables") or []:
            secret, version = short(variable["secret"]), str(variable["version"])
            need_secret(self.cloud, name, runner, secret)
            try:
                secrets.value(self.cloud, secret, version)
            except NotFound as error:
                raise NotFound(
                    f"Could not create or update Cloud Run service {name}: {error}, which variable {variable['key']} "
                    f"of identity {runner} names. Declare a secretmanager.SecretVersion of {secret}, and let "
                    f"function {name} depend on it."
                ) from None
        functions = Functions(self.cloud)
        digest = functions.build(name, object_path(self.cloud, *self._source(args)))
        functions.deploy(self._deployment(args, digest, revision))
        identity = self.identify(args)
        assert identity is not None
        functions.set_invokers(name, invokers(self.cloud, name), str(args["location"]))
        return Made(
            id=identity,
            data={"revision": revision, "digest": digest},
            outputs={
                **labels(args),
                **self._addresses(args),
                "project": project_of(args),
                "environment": "GEN_2",
                "state": "ACTIVE",
                "updateTime": MADE,
            },
        )

    def _addresses(self, args: Json) -> Json:
        name = str(args["name"])
        url = Functions(self.cloud).url(name)
        project, location = project_of(args), args["location"]
        return {
            "url": url,
            "serviceConfig": {
                "uri": url,
                "gcfUri": "",
                "service": f"projects/{project}/locations/{location}/services/{name}",
                "serviceAccountEmail": args["serviceConfig"].get("serviceAccountEmail") or DEFAULT_COMPUTE,
            },
        }

    def _deployment(self, args: Json, digest: str, revision: int) -> Deployment:
        service = args["serviceConfig"]
        references = [
            Reference(variable=item["key"], secret=short(item["secret"]), version=str(item["version"]))
            for item in service.get("secretEnvironmentVariables") or []
        ]
        return Deployment(
            name=str(args["name"]),
            revision=revision,
            digest=digest,
            entry_point=args["buildConfig"]["entryPoint"],
            variables={key: str(value) for key, value in (service.get("environmentVariables") or {}).items()},
            secrets=tuple(references),
            timeout_seconds=int(service.get("timeoutSeconds") or 60),
            concurrency=int(service.get("maxInstanceRequestConcurrency") or 1),
            account=str(service.get("serviceAccountEmail") or DEFAULT_COMPUTE),
        )

    def _need_build_rights(self, name: str, args: Json) -> None:
        bucket, item = self._source(args)
        builder = short(str(args["buildConfig"].get("serviceAccount") or f"/{DEFAULT_COMPUTE}"))
        if builder != DEFAULT_COMPUTE:
            need_account(self, builder)
        if not holds(self.cloud, builder, "roles/storage.objectViewer", bucket=bucket):
            raise Denied(
                f"Error 403: Access to bucket {bucket} denied. You must grant Storage Object Viewer permission to "
                f"{builder}, the build account of function {name}: declare a storage.BucketIAMMember with "
                "roles/storage.objectViewer, and let the function depend on it."
            )
        missing = [
            role
            for role in ("roles/logging.logWriter", "roles/artifactregistry.writer")
            if not holds(self.cloud, builder, role)
        ]
        if missing:
            raise Denied(
                "Build failed with status: FAILURE. Could not build the function due to a missing permission on the "
                f"build service account. Function {name} is built by {builder}, which lacks {' and '.join(missing)}: "
                "declare a projects.IAMMember for each, and let the function depend on them."
            )
        if not object_path(self.cloud, bucket, item).is_file():
            raise NotFound(f"Error 404: the source gs://{bucket}/{item} of function {name} does not exist.")

    @staticmethod
    def _source(args: Json) -> tuple[str, str]:
        source = args["buildConfig"]["source"]["storageSource"]
        return str(source["bucket"]), str(source["object"])

    @staticmethod
    def _check_size(checks: Checks) -> None:
        text = checks.get("serviceConfig.availableMemory")
        match = MEMORY.fullmatch(str(text)) if text is not None else None
        if text is not None and match is None:
            checks.refuse("serviceConfig.availableMemory", f"{text!r}: expected a quantity such as 512Mi or 1Gi")
        mib = float(match[1]) * UNITS[match[2] or ""] / 2**20 if match else 256
        if not 122 <= mib <= 32768:  # 128M, the least, is 122 MiB
            checks.refuse("serviceConfig.availableMemory", f"{text!r}: memory is 128Mi to 32Gi")
        if checks.inputs.get("serviceConfig") is None or checks.get("serviceConfig") is None:
            return
        given = checks.get("serviceConfig.availableCpu")
        try:
            # Without a figure Google gives less than one vCPU below 2 GiB.
            cpu = float(str(given).removesuffix("m")) / (1000 if str(given).endswith("m") else 1) if given else 0.583
        except ValueError:
            checks.refuse("serviceConfig.availableCpu", f"{given!r}: expected a number of vCPUs such as 1 or 0.5")
            return
        if given and not (0.08 <= cpu < 1 or cpu in MEMORY_OF_CPU):
            checks.refuse("serviceConfig.availableCpu", f"{given!r}: expected 0.08 to 1, 2, 4 or 8 vCPUs")
        elif given and mib > MEMORY_OF_CPU.get(int(cpu), 4096):
            checks.refuse("serviceConfig.availableMemory", f"{text!r} needs more CPU than {given}")
        concurrency = checks.get("serviceConfig.maxInstanceRequestConcurrency")
        if isinstance(concurrency, int) and concurrency > 1 and cpu < 1 and (given or mib < 2048):
            checks.refuse(
                "serviceConfig.maxInstanceRequestConcurrency",
                f"{concurrency}: Total cpu < 1 is not supported with concurrency > 1. Set available_cpu to '1'.",
            )

    @staticmethod
    def _check_variables(checks: Checks) -> None:
        plain = checks.get("serviceConfig.environmentVariables") or {}
        secret = checks.get("serviceConfig.secretEnvironmentVariables") or []
        for name in [*plain, *(item.get("key") for item in secret)]:
            if RESERVED.match(str(name)):
                checks.refuse("serviceConfig.environmentVariables", f"{name}: this name is reserved by the platform")
        for item in secret:
            if item.get("key") in plain:
                reason = f"{item['key']}: cannot be both a plain and a secret variable"
                checks.refuse("serviceConfig.secretEnvironmentVariables", reason)
            missing = [key for key in ("key", "projectId", "secret", "version") if not item.get(key)]
            if missing:
                reason = f"{item.get('key') or 'an entry'}: {', '.join(missing)} must be set"
                checks.refuse("serviceConfig.secretEnvironmentVariables", reason)
