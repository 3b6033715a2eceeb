"""Each function is its own service account: what it may call, read and prove, with Google's own libraries."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from core.adapters.http1 import HttpClient
from core.oidc import SIGNATURE_REMOVED, OidcVerifier
from core.problems import Unauthorized
from infra.local.cloud.ports import HOST
from infra.local.cloud.vendors.google.secret_manager import crc32c
from tests.infra.local.google import QUEUE, Made, declare_api, email, google_port, identities_of
from tests.infra.local.program import FUNCTION, INVOKER, PROJECT, REGION, SECRET_GRANT, VERSION, Deployed, secret
from tests.infra.local.running import REPOSITORY, Daemon, Engine, Json, call, wait_for

MAIN = """
import os
import functions_framework.aio
from starlette.responses import JSONResponse

@functions_framework.aio.http
async def echo(request):
    names = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GOOGLE_CLOUD_PROJECT")
    headers = dict(request.headers)
    return JSONResponse({"environment": {name: os.environ.get(name, "") for name in names}, "headers": headers})
"""

LIBRARIES = """
import asyncio, json, sys
import google.auth, google.auth.transport.requests
from google.api_core import exceptions
from google.cloud import secretmanager
from google.oauth2 import id_token
sys.path.insert(0, "functions")
from core.adapters.secrets import RotatingSecret

certs, endpoint, name = sys.argv[1:]
request = google.auth.transport.requests.Request()
credentials, project = google.auth.default()
credentials.refresh(request)
told = {"project": project, "email": credentials.service_account_email, "token": credentials.token}
mine = id_token.fetch_id_token(request, "https://somewhere.example")
told["claims"] = id_token.verify_token(mine, request, "https://somewhere.example", certs_url=certs)
with secretmanager.SecretManagerServiceClient(
    transport="rest", client_options={"api_endpoint": endpoint}, credentials=credentials
) as client:
    for version in ("latest", "1", "99"):
        try:
            found = client.access_secret_version(name=f"{name}/versions/{version}", timeout=5, retry=None)
        except exceptions.GoogleAPICallError as error:
            told[version] = {"status": error.code, "message": error.message}
        else:
            told[version] = {"name": found.name, "text": found.payload.data.decode(), "crc": found.payload.data_crc32c}

async def rotating():
    secret = RotatingSecret(name, endpoint)
    try:
        return await secret.read()
    except Exception as error:
        return [type(error).__name__]
    finally:
        await secret.close()

told["rotating"] = asyncio.run(rotating())
print(json.dumps(told))
"""


def deploy(engine: Engine, name: str) -> Deployed:
    deployed = Deployed(engine, name)
    deployed.surroundings()
    deployed.grant()
    deployed.upload(MAIN)
    deployed.make(FUNCTION, deployed.inputs())
    return deployed


@pytest.fixture(scope="module")
def public(engine: Engine) -> Iterator[Deployed]:
    """A function that everybody may call."""
    deployed = deploy(engine, "opened")
    deployed.invoker()
    yield deployed
    deployed.remove()


@pytest.fixture(scope="module")
def private(engine: Engine) -> Iterator[Deployed]:
    """A function that nobody may call yet."""
    deployed = deploy(engine, "internal")
    yield deployed
    deployed.remove()


@pytest.fixture
def made(engine: Engine) -> Iterator[Made]:
    made = Made(engine)
    yield made
    made.remove()


def port_of(deployed: Deployed) -> int:
    outputs = deployed.engine.read(FUNCTION, dict(deployed.made)[FUNCTION])
    assert outputs is not None
    return int(outputs["url"].rpartition(":")[2])


@pytest.fixture(scope="module")
def environment(public: Deployed) -> dict[str, str]:
    found: dict[str, str] = call(port_of(public), "GET", "/")[1]["environment"]
    return found


def metadata(host: str, path: str, flavor: str = "Google") -> tuple[int, Any]:
    address, _, own = host.partition("/")
    headers = {"Metadata-Flavor": flavor} if flavor else {}
    return call(int(address.rpartition(":")[2]), "GET", f"/{own}/computeMetadata/v1/{path}", headers=headers)


ACCOUNT = "instance/service-accounts/default"


def test_a_function_is_told_who_it_is(environment: dict[str, str], public: Deployed) -> None:
    host = environment["GCE_METADATA_HOST"]
    assert environment["GOOGLE_CLOUD_PROJECT"] == PROJECT
    assert metadata(host, f"{ACCOUNT}/email") == (200, public.runner)
    assert metadata(host, f"instance/service-accounts/{public.runner}/email") == (200, public.runner)
    assert metadata(host, "project/project-id") == (200, PROJECT)
    status, token = metadata(host, f"{ACCOUNT}/token")
    assert (status, token["token_type"]) == (200, "Bearer")
    assert 3000 < token["expires_in"] <= 3600


def test_the_metadata_server_refuses_as_googles(environment: dict[str, str]) -> None:
    host = environment["GCE_METADATA_HOST"]
    status, text = metadata(host, f"{ACCOUNT}/token", flavor="")
    assert (status, text) == (403, "Missing Metadata-Flavor:Google header.\n")
    assert metadata(host, f"{ACCOUNT}/identity")[0] == 400
    assert metadata(host, "instance/service-accounts/other@x.y/token")[0] == 404
    assert metadata(host, "nothing")[0] == 404


def test_no_function_gets_anothers_token_by_guessing(
    environment: dict[str, str], private: Deployed, daemon: Daemon
) -> None:
    address, _, own = environment["GCE_METADATA_HOST"].partition("/")
    mac = own.partition(".")[2]
    name = base64.urlsafe_b64encode(private.runner.encode()).decode().rstrip("=")
    for guess in (f"{name}.{mac}", f"{name}.", name, "", private.runner, "default", f"{own}x", own[:-1]):
        assert metadata(f"{address}/{guess}", f"{ACCOUNT}/token")[0] == 404, guess
    # What it is not told would do: the address is another one.
    right = identities_of(daemon).environment(private.runner)["GCE_METADATA_HOST"]
    assert metadata(right, f"{ACCOUNT}/email") == (200, private.runner)


def libraries(environment: dict[str, str], daemon: Daemon, secret_id: str) -> Json:
    """What Google's libraries find out in the environment of a function."""
    base = f"http://{HOST}:{google_port(daemon)}"
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES, f"{base}/oauth2/v3/certs", base, f"projects/{PROJECT}/secrets/{secret_id}"],
        env={"PATH": "", **environment},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: Json = json.loads(done.stdout)
    return told


def test_googles_libraries_work_unmodified(
    environment: dict[str, str], public: Deployed, daemon: Daemon, engine: Engine
) -> None:
    told = libraries(environment, daemon, public.secret_id)
    assert (told["project"], told["email"]) == (PROJECT, public.runner)
    assert identities_of(daemon).account_of(told["token"]) == public.runner
    assert told["claims"]["email"] == public.runner
    assert told["claims"]["iss"] == "https://accounts.google.com"
    assert told["latest"]["text"] == "hunter2"
    assert told["latest"]["crc"] == crc32c(b"hunter2")
    assert told["latest"]["name"].endswith(f"/secrets/{public.secret_id}/versions/1")
    assert told["99"]["status"] == 404
    assert told["rotating"] == "hunter2"

    # A rotation: a second version, then the first one is switched off.
    name = f"projects/{PROJECT}/secrets/{public.secret_id}"
    newer, _ = engine.create(VERSION, {"secret": name, "secretData": secret("newer")}, name="newer")
    first = dict(public.made)[VERSION]
    inputs = {"secret": name, "secretData": secret("hunter2")}
    try:
        told = libraries(environment, daemon, public.secret_id)
        assert (told["latest"]["text"], told["1"]["text"]) == ("newer", "hunter2")
        assert told["rotating"] == "newer"
        engine.update(VERSION, first, inputs, {**inputs, "enabled": False})
        told = libraries(environment, daemon, public.secret_id)
        assert (told["1"]["status"], told["rotating"]) == (400, "newer")
        assert "DISABLED" in told["1"]["message"]
    finally:
        engine.update(VERSION, first, inputs, {**inputs, "enabled": True})
        engine.delete(VERSION, newer)


def test_only_who_was_granted_it_reads_a_secret(
    environment: dict[str, str], private: Deployed, public: Deployed, daemon: Daemon, made: Made
) -> None:
    told = libraries(environment, daemon, private.secret_id)
    assert told["latest"]["status"] == 403
    assert "secretmanager.versions.access" in told["latest"]["message"]
    assert told["rotating"] == ["Unavailable"]
    member = f"serviceAccount:{public.runner}"
    role = "roles/secretmanager.secretAccessor"
    made.make(SECRET_GRANT, {"secretId": private.secret_id, "role": role, "member": member})
    assert libraries(environment, daemon, private.secret_id)["latest"]["text"] == "hunter2"
    status, answer = call(
        google_port(daemon), "GET", f"/v1/projects/{PROJECT}/secrets/{private.secret_id}/versions/1:access"
    )
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")


# private functions


def test_a_private_function_is_for_its_invokers(
    private: Deployed, public: Deployed, environment: dict[str, str], made: Made
) -> None:
    port = port_of(private)
    url = f"http://{HOST}:{port}"
    host = environment["GCE_METADATA_HOST"]
    status, token = metadata(host, f"{ACCOUNT}/identity?audience={url}")
    assert status == 200
    status, text = call(port, "GET", "/")
    assert status == 403
    assert "run.invoker" in text
    assert call(port, "GET", "/", token=token)[0] == 403
    made.make(
        INVOKER,
        {
            "name": private.name,
            "location": REGION,
            "role": "roles/run.invoker",
            "member": f"serviceAccount:{public.runner}",
        },
    )
    status, told = call(port, "GET", "/", token=token)
    assert status == 200
    head, _, signature = told["headers"]["authorization"].rpartition(".")
    assert (head, signature) == (f"Bearer {token.rpartition('.')[0]}", SIGNATURE_REMOVED)
    assert call(port, "GET", "/")[0] == 403
    mine = {"X-Serverless-Authorization": f"Bearer {token}", "Authorization": "Bearer of the caller's own"}
    status, told = call(port, "GET", "/", headers=mine)
    assert (status, told["headers"]["authorization"]) == (200, "Bearer of the caller's own")

    access = metadata(host, f"{ACCOUNT}/token")[1]["access_token"]
    by_name = f"https://{REGION}-{PROJECT}.cloudfunctions.net/{private.name}"
    assert call(port, "GET", "/", token=metadata(host, f"{ACCOUNT}/identity?audience={by_name}")[1])[0] == 200
    elsewhere = metadata(host, f"{ACCOUNT}/identity?audience={url}/other")[1]
    for bad in (
        access,
        elsewhere,
        token[:-4] + "AAAA",
        f"{token.rpartition('.')[0]}.{SIGNATURE_REMOVED}",
        "x",
        "x.y.z",
    ):
        assert call(port, "GET", "/", token=bad)[0] == 401, bad
    assert call(port, "GET", "/", headers={"Authorization": "Basic eDp5"})[0] == 401
    assert (
        call(port, "GET", "/", headers={"Authorization": f"Bearer {token}", "authorization": f"Bearer {token}"})[0]
        == 401
    )


def test_a_private_function_takes_no_forged_token(
    private: Deployed, public: Deployed, daemon: Daemon, made: Made
) -> None:
    port = port_of(private)
    grant = {"name": private.name, "location": REGION, "role": "roles/run.invoker"}
    made.make(INVOKER, {**grant, "member": f"serviceAccount:{public.runner}"})
    identities = identities_of(daemon)
    good = identities.identity_token(public.runner, f"http://{HOST}:{port}")
    claims = jwt.decode(good, options={"verify_signature": False})
    kid = jwt.get_unverified_header(good)["kid"]
    own_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    real_key = identities._signing_key()[1]

    def signed(key: Any = real_key, algorithm: str = "RS256", kid: str = kid, **changed: Any) -> str:
        return jwt.encode({**claims, **changed}, key, algorithm=algorithm, headers={"kid": kid})

    assert call(port, "GET", "/", token=signed())[0] == 200
    for bad in (
        signed(own_key),
        signed(own_key, kid="mine"),
        signed(None, "none"),
        signed("k" * 64, "HS256"),
        signed(real_key, "RS512"),
        signed(exp=int(time.time()) - 1),
        signed(iss="https://evil.example"),
        signed(email_verified=False),
    ):
        assert call(port, "GET", "/", token=bad)[0] == 401
    assert call(port, "GET", "/", token=signed(email=private.runner))[0] == 403


async def test_behind_iam_the_function_still_knows_who_calls(
    private: Deployed, public: Deployed, daemon: Daemon, made: Made
) -> None:
    """What the platform leaves of a token is what `OidcVerifier(behind_iam=True)` reads, and nothing else does."""
    port = port_of(private)
    grant = {"name": private.name, "location": REGION, "role": "roles/run.invoker"}
    made.make(INVOKER, {**grant, "member": f"serviceAccount:{public.runner}"})
    token = identities_of(daemon).identity_token(public.runner, f"http://{HOST}:{port}")
    passed = call(port, "GET", "/", token=token)[1]["headers"]["authorization"]
    http = HttpClient()
    try:
        certs = f"http://{HOST}:{google_port(daemon)}/oauth2/v3/certs"
        await OidcVerifier(http, certs, "", public.runner, behind_iam=True).verify(passed)
        with pytest.raises(Unauthorized):
            await OidcVerifier(http, certs, f"http://{HOST}:{port}", public.runner).verify(passed)
    finally:
        await http.close()


def test_grants_made_at_the_same_time_all_hold(private: Deployed, daemon: Daemon, made: Made, engine: Engine) -> None:
    accounts = [made.account(f"parallel-{number}") for number in range(6)]
    grant = {"name": private.name, "location": REGION, "role": "roles/run.invoker"}
    port = port_of(private)
    with ThreadPoolExecutor(6) as pool:
        grants = list(
            pool.map(
                lambda account: engine.create(INVOKER, {**grant, "member": f"serviceAccount:{account}"}, name=account)[
                    0
                ],
                accounts,
            )
        )
    made.made += [(INVOKER, id_) for id_ in grants]
    identities = identities_of(daemon)
    tokens = [identities.identity_token(account, f"http://{HOST}:{port}") for account in accounts]
    assert [call(port, "GET", "/", token=token)[0] for token in tokens] == [200] * 6
    made.made.remove((INVOKER, grants[0]))
    engine.delete(INVOKER, grants[0])
    assert [call(port, "GET", "/", token=token)[0] for token in tokens] == [403] + [200] * 5


def test_an_account_that_is_gone_has_no_tokens(daemon: Daemon, made: Made) -> None:
    made.account("leaving-soon")
    host = identities_of(daemon).environment(email("leaving-soon"))["GCE_METADATA_HOST"]
    token = metadata(host, f"{ACCOUNT}/token")[1]["access_token"]
    made.remove()
    assert metadata(host, f"{ACCOUNT}/token")[0] == 404
    assert metadata(host, f"{ACCOUNT}/identity?audience=x")[0] == 404
    path = f"/v1/projects/{PROJECT}/secrets/s/versions/1:access"
    assert call(google_port(daemon), "GET", path, token=token)[0] == 401


def test_a_queue_reaches_a_private_function_as_its_identity(
    private: Deployed, public: Deployed, environment: dict[str, str], daemon: Daemon, made: Made
) -> None:
    """The whole way: a function's own token buffers a task, the queue calls the private function as an invoker."""
    declare_api(made.engine, "cloudtasks")
    port, invoker = port_of(private), made.account("queue-invoker")
    override = {"scheme": "HTTP", "host": HOST, "port": str(port)}
    token = {"serviceAccountEmail": invoker, "audience": f"http://{HOST}:{port}"}
    inputs = {"uriOverride": override, "httpMethod": "POST", "oidcToken": token}
    retries = {"minBackoff": "0.01s", "maxBackoff": "0.02s"}
    queue, _ = made.make(QUEUE, {"name": "inner", "location": REGION, "httpTarget": inputs, "retryConfig": retries})
    made.may_enqueue(public.runner, queue, invoker)
    access = metadata(environment["GCE_METADATA_HOST"], f"{ACCOUNT}/token")[1]["access_token"]

    def waiting() -> list[Json]:
        tasks: list[Json] = call(google_port(daemon), "GET", f"/v2/{queue}/tasks", token=access)[1]["tasks"]
        return tasks

    assert call(google_port(daemon), "POST", f"/v2/{queue}/tasks:buffer", token=access)[0] == 200
    wait_for(lambda: "403" in str(waiting()[0].get("lastAttempt")))  # it may not call yet
    grant = {"name": private.name, "location": REGION, "role": "roles/run.invoker"}
    made.make(INVOKER, {**grant, "member": f"serviceAccount:{invoker}"})
    wait_for(lambda: not waiting())
