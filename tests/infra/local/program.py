"""The resources of one function, as the program declares them, for tests that drive the provider themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from pulumi.runtime import rpc

from tests.infra.local.running import REPOSITORY, Engine, Json

API = "gcp:projects/service:Service"
BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
ACCOUNT = "gcp:serviceaccount/account:Account"
PROJECT_GRANT = "gcp:projects/iAMMember:IAMMember"
BUCKET_GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
SECRET = "gcp:secretmanager/secret:Secret"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
SECRET_GRANT = "gcp:secretmanager/secretIamMember:SecretIamMember"
FUNCTION = "gcp:cloudfunctionsv2/function:Function"
INVOKER = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"
ZONE = "cloudflare:index/zone:Zone"
SCRIPT = "cloudflare:index/workersScript:WorkersScript"
DOMAIN = "cloudflare:index/workersCustomDomain:WorkersCustomDomain"
REDIS = "upstash:index/redisDatabase:RedisDatabase"

PROJECT = "memorygraph-local"
REGION = "us-east4"
APIS = ("cloudfunctions", "cloudbuild", "run", "artifactregistry", "secretmanager")
BUILD_ROLES = ("roles/logging.logWriter", "roles/artifactregistry.writer")
REQUIREMENTS = REPOSITORY / "functions" / "memories" / "requirements.txt"

ECHO = """
import asyncio, os
import functions_framework.aio
from starlette.responses import JSONResponse

@functions_framework.aio.http
async def echo(request):
    if request.url.path == "/sleep":
        await asyncio.sleep(60)
    body = await request.body()
    told = {key: os.environ.get(key) for key in ("K_REVISION", "PLAIN", "SECRET", "HOME", "PORT")}
    return JSONResponse({**told, "bytes": len(body), "pid": os.getpid()})
"""


def asset(**content: str) -> Json:
    """A text or a path, as the engine describes it."""
    digest = hashlib.sha256(str(content).encode()).hexdigest()
    return {rpc._special_sig_key: rpc._special_asset_sig, "hash": digest, **content}


def archive(files: dict[str, Any]) -> Json:
    digest = hashlib.sha256(str(files).encode()).hexdigest()
    return {rpc._special_sig_key: rpc._special_archive_sig, "hash": digest, "assets": files}


def secret(value: str) -> Json:
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


@dataclass
class Deployed:
    """What stands around one function, and the means to change it. `made` is type -> ids, in order."""

    engine: Engine
    name: str
    made: list[tuple[str, str]] = field(default_factory=list)

    @property
    def runner(self) -> str:
        return f"{self.name}-run@{PROJECT}.iam.gserviceaccount.com"

    @property
    def builder(self) -> str:
        return f"{self.name}-build@{PROJECT}.iam.gserviceaccount.com"

    @property
    def bucket(self) -> str:
        return f"{PROJECT}-{self.name}"

    @property
    def secret_id(self) -> str:
        return f"{self.name}-secret"

    def make(self, type_: str, inputs: Json) -> tuple[str, Json]:
        name = f"{self.name}-{hashlib.sha256(str(inputs).encode()).hexdigest()[:8]}"  # the same again for the same
        id_, outputs = self.engine.create(type_, inputs, name=name)
        if (type_, id_) not in self.made:  # made again, it keeps its place in the order
            self.made.append((type_, id_))
        return id_, outputs

    def surroundings(self) -> None:
        """Everything but the grant on the secret, the function and its invoker."""
        for api in APIS:
            if not self.engine.read(API, f"{PROJECT}/{api}.googleapis.com"):
                self.engine.create(API, {"service": f"{api}.googleapis.com"}, name=api)
        self.make(BUCKET, {"name": self.bucket, "location": REGION, "forceDestroy": True})
        for purpose in ("run", "build"):
            self.make(ACCOUNT, {"accountId": f"{self.name}-{purpose}"})
        for role in BUILD_ROLES:
            member = f"serviceAccount:{self.builder}"
            self.make(PROJECT_GRANT, {"project": PROJECT, "role": role, "member": member})
        viewer = {"bucket": self.bucket, "role": "roles/storage.objectViewer"}
        self.make(BUCKET_GRANT, {**viewer, "member": f"serviceAccount:{self.builder}"})
        id_, _ = self.make(SECRET, {"secretId": self.secret_id, "replication": {"auto": {}}})
        self.make(VERSION, {"secret": id_, "secretData": secret("hunter2")})

    def grant(self) -> str:
        id_, _ = self.make(
            SECRET_GRANT,
            {
                "secretId": self.secret_id,
                "role": "roles/secretmanager.secretAccessor",
                "member": f"serviceAccount:{self.runner}",
            },
        )
        return id_

    def upload(self, main: str = ECHO, name: str = "source.zip") -> None:
        files = {"main.py": asset(text=main), "requirements.txt": asset(path=str(REQUIREMENTS))}
        self.make(OBJECT, {"bucket": self.bucket, "name": name, "source": archive(files)})

    def invoker(self) -> str:
        grant = {"name": self.name, "location": REGION, "role": "roles/run.invoker", "member": "allUsers"}
        id_, _ = self.make(INVOKER, grant)
        return id_

    def inputs(self, source: str = "source.zip", **service: Any) -> Json:
        """The function's inputs; `service` goes over its service_config."""
        return {
            "name": self.name,
            "location": REGION,
            "buildConfig": {
                "runtime": "python312",
                "entryPoint": "echo",
                "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{self.builder}",
                "source": {"storageSource": {"bucket": self.bucket, "object": source}},
            },
            "serviceConfig": {
                "availableMemory": "512Mi",
                "availableCpu": "1",
                "timeoutSeconds": 60,
                "maxInstanceRequestConcurrency": 80,
                "serviceAccountEmail": self.runner,
                "environmentVariables": {"PLAIN": "text"},
                "secretEnvironmentVariables": [
                    {"key": "SECRET", "projectId": PROJECT, "secret": self.secret_id, "version": "latest"}
                ],
                **service,
            },
        }

    def remove(self) -> None:
        for type_, id_ in reversed(self.made):
            self.engine.delete(type_, id_)
        self.made.clear()
