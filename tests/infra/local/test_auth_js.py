"""The stand-in of Supabase Auth, through @supabase/supabase-js, unmodified, in a node of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from tests.infra.local.auth import PASSWORD, Auth, consent, follow, fragment, query
from tests.infra.local.running import REPOSITORY, Json

PARTS = REPOSITORY / os.environ.get("LOCAL_ROOT", ".local") / "parts"
DRIVER = Path(__file__).with_name("supabase_driver.mjs")
BACK = "https://app.example.com/welcome"


class Node:
    """The process, one call at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **asked: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "fault" not in answer, answer["fault"]
        return answer["value"]


@dataclass(frozen=True)
class Client:
    """One client of supabase-js; each call gives {data, error}."""

    node: Node
    number: int

    def __call__(self, method: str, *args: Any) -> Json:
        found = self.node.ask(client=self.number, path=["auth", *method.split(".")], args=args)
        return cast(Json, found)

    def good(self, method: str, *args: Any) -> Any:
        found = self(method, *args)
        assert found["error"] is None, found
        return found.get("data")


Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    command = [str(PARTS / "bin" / "node"), str(DRIVER), str(PARTS / "node_modules")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Node(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def connect(auth: Auth, node: Node) -> Connect:
    numbers = count()

    def make(flow: str = "implicit", *, secret: bool = False) -> Client:
        number = next(numbers)
        key = auth.secret if secret else auth.publishable
        node.ask(client=number, url=auth.address, key=key, auth={"flowType": flow, "detectSessionInUrl": False})
        return Client(node, number)

    return make


def test_from_sign_up_to_session(auth: Auth, connect: Connect) -> None:
    client = connect()
    options = {"emailRedirectTo": BACK, "data": {"name": "Ada"}}
    asked = {"email": "js@example.com", "password": PASSWORD, "options": options}
    made = client.good("signUp", asked)
    assert (made["session"], made["user"]["email"]) == (None, "js@example.com")
    refused = client("signInWithPassword", {"email": "js@example.com", "password": PASSWORD})["error"]
    assert (refused["name"], refused["status"], refused["code"]) == ("AuthApiError", 400, "email_not_confirmed")
    told = fragment(follow(auth.link("js@example.com")))
    tokens = {name: told[name] for name in ("access_token", "refresh_token")}
    assert client.good("setSession", tokens)["user"]["id"] == made["user"]["id"]
    assert client.good("getUser")["user"]["user_metadata"]["name"] == "Ada"
    assert client.good("getClaims")["claims"]["iss"] == auth.issuer  # checked against the JWKS, in the client
    again = connect().good("signUp", asked)["user"]
    assert (again["identities"], again["id"] != made["user"]["id"]) == ([], True)


def test_errors_have_the_words_that_the_client_looks_for(auth: Auth, connect: Connect) -> None:
    auth.person("js-errors@example.com")
    client = connect()
    wrong = client("signInWithPassword", {"email": "js-errors@example.com", "password": "wrong"})["error"]
    assert wrong == {
        "name": "AuthApiError",
        "message": "Invalid login credentials",
        "status": 400,
        "code": "invalid_credentials",
    }
    weak = client("signUp", {"email": "js-weak@example.com", "password": "short"})["error"]
    assert (weak["name"], weak["code"], weak["reasons"]) == ("AuthWeakPasswordError", "weak_password", ["length"])
    assert client("verifyOtp", {"token_hash": "guessed", "type": "email"})["error"]["code"] == "otp_expired"


def test_refresh_rotates_and_signing_out_ends_it(auth: Auth, connect: Connect) -> None:
    auth.person("js-refresh@example.com")
    client = connect()
    login = {"email": "js-refresh@example.com", "password": PASSWORD}
    first = client.good("signInWithPassword", login)["session"]
    second = client.good("refreshSession")["session"]
    assert second["refresh_token"] != first["refresh_token"]
    client.good("signOut", {"scope": "global"})
    gone = connect()("refreshSession", {"refresh_token": second["refresh_token"]})["error"]
    assert gone["code"] == "refresh_token_not_found"


def test_recovery_with_pkce(auth: Auth, connect: Connect) -> None:
    auth.person("js-lost@example.com")
    client = connect("pkce")
    client.good("resetPasswordForEmail", "js-lost@example.com", {"redirectTo": BACK})
    back = follow(auth.link("js-lost@example.com"))
    assert back.startswith(f"{BACK}?code=")
    assert client.good("exchangeCodeForSession", query(back)["code"])["user"]["email"] == "js-lost@example.com"
    client.good("updateUser", {"password": "a new password"})
    auth.session("js-lost@example.com", "a new password")


def test_a_provider_signs_in(connect: Connect) -> None:
    client = connect("pkce")
    options = {"redirectTo": BACK, "skipBrowserRedirect": True}
    asked = client.good("signInWithOAuth", {"provider": "github", "options": options})
    code = query(consent(asked["url"], email="js-github@example.com", name="Grace"))["code"]
    user = client.good("exchangeCodeForSession", code)["user"]
    assert (user["email"], user["user_metadata"]["name"]) == ("js-github@example.com", "Grace")
    assert [identity["provider"] for identity in client.good("getUserIdentities")["identities"]] == ["github"]
    again = connect("pkce")("exchangeCodeForSession", code)["error"]
    assert again is not None


def test_an_administrator(auth: Auth, connect: Connect) -> None:
    client = connect(secret=True)
    asked = {"email": "js-managed@example.com", "password": PASSWORD, "email_confirm": True}
    made = client.good("admin.createUser", asked)["user"]
    page = client.good("admin.listUsers", {"page": 1, "perPage": 1})
    assert (len(page["users"]), page["nextPage"], page["total"] >= 2) == (1, 2, True)
    changed = client.good("admin.updateUserById", made["id"], {"user_metadata": {"name": "x"}})["user"]
    assert changed["user_metadata"]["name"] == "x"
    token = auth.session("js-managed@example.com")["access_token"]
    client.good("admin.signOut", token)
    assert auth.call("GET", "/user", token=token)[0] == 403
    client.good("admin.deleteUser", made["id"])
    assert client("admin.getUserById", made["id"])["error"]["status"] == 404
    assert connect()("admin.listUsers")["error"]["code"] == "not_admin"
