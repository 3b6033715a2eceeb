"""The stand-in of Supabase Auth, through Supabase's own Python client, unmodified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from supabase import Client, ClientOptions, create_client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError
from supabase_auth.types import AuthFlowType, AuthResponse
from supabase_auth.types import SignUpWithEmailAndPasswordCredentialsOptions as Options

from tests.infra.local.auth import PASSWORD, SITE, Auth, consent, follow, fragment, query
from tests.infra.local.running import Json

Connect = Callable[..., Client]
BACK = "https://app.example.com/welcome?x=1"


@pytest.fixture
def connect(auth: Auth) -> Iterator[Connect]:
    """Makes a client, as an application has one; with the secret key, an administrator's."""
    with ExitStack() as stack:

        def make(flow: AuthFlowType = "implicit", *, secret: bool = False) -> Client:
            http = stack.enter_context(httpx.Client(trust_env=False))
            options = ClientOptions(flow_type=flow, auto_refresh_token=False, httpx_client=http)
            return create_client(auth.address, auth.secret if secret else auth.publishable, options)

        yield make


def exchange(client: Client, code: str) -> AuthResponse:
    asked: Any = {"auth_code": code}  # the client itself adds the verifier, which its types ask for
    return client.auth.exchange_code_for_session(asked)


def at_provider(client: Client, provider: str, back: str = "") -> str:
    """Where the client sends a browser to sign in with a provider."""
    asked: Any = {"provider": provider, "options": {"redirect_to": back} if back else {}}
    return client.auth.sign_in_with_oauth(asked).url


def test_from_sign_up_to_session(auth: Auth, connect: Connect) -> None:
    client = connect()
    options: Options = {"data": {"name": "Ada"}, "email_redirect_to": BACK}
    made = client.auth.sign_up({"email": "Ada@Example.com", "password": PASSWORD, "options": options})
    assert made.session is None
    assert made.user is not None
    assert (made.user.email, made.user.email_confirmed_at) == ("ada@example.com", None)
    with pytest.raises(AuthApiError, match="Email not confirmed"):
        client.auth.sign_in_with_password({"email": "ada@example.com", "password": PASSWORD})
    link = auth.link("ada@example.com")
    back = follow(link)
    assert back.startswith(f"{BACK}#")
    told = fragment(back)
    assert (told["type"], told["token_type"]) == ("signup", "bearer")
    set_ = client.auth.set_session(told["access_token"], told["refresh_token"])
    assert set_.user is not None
    assert set_.user.id == made.user.id
    assert set_.user.user_metadata["name"] == "Ada"
    assert set_.user.email_confirmed_at is not None
    assert [(i.provider, i.identity_data["email_verified"]) for i in set_.user.identities or []] == [("email", True)]
    again = fragment(follow(link))
    assert (again["error"], again["error_code"]) == ("access_denied", "otp_expired")


def test_signing_up_again_tells_nothing_about_a_user(auth: Auth, connect: Connect) -> None:
    known = auth.person("known@example.com", user_metadata={"name": "Secret"})
    again = connect().auth.sign_up({"email": "known@example.com", "password": "another password"})
    assert again.user is not None
    assert again.user.id != known["id"]
    assert (again.user.identities, again.user.user_metadata) == ([], {})
    assert auth.mails("known@example.com") == []
    assert auth.session("known@example.com")["user"]["id"] == known["id"]


def test_a_code_from_the_mail_confirms_too(auth: Auth, connect: Connect) -> None:
    auth.set(mailer_templates_confirmation_content="{{ .Token }} {{ .SiteURL }} {{ .Email }} {{ .Data.name }}")
    try:
        options: Options = {"data": {"name": "<Eve>"}}
        connect().auth.sign_up({"email": "code@example.com", "password": PASSWORD, "options": options})
    finally:
        auth.set(mailer_templates_confirmation_content=None)
    code, *rest = auth.mails("code@example.com")[0]["html"].split()
    assert rest == [SITE, "code@example.com", "&lt;Eve&gt;"]
    client = connect()
    with pytest.raises(AuthApiError) as failure:
        client.auth.verify_otp({"email": "code@example.com", "token": "no", "type": "signup"})
    assert (failure.value.status, failure.value.code) == (403, "otp_expired")
    done = client.auth.verify_otp({"email": "code@example.com", "token": code, "type": "signup"})
    assert done.session is not None
    assert done.session.user.email == "code@example.com"


def test_wrong_passwords_and_unknown_people_look_alike(auth: Auth, connect: Connect) -> None:
    auth.person("grace@example.com")
    for email in ("grace@example.com", "nobody@example.com"):
        with pytest.raises(AuthApiError) as failure:
            connect().auth.sign_in_with_password({"email": email, "password": "wrong password"})
        told = failure.value
        assert (told.status, told.code, told.message) == (400, "invalid_credentials", "Invalid login credentials")


def test_a_weak_password_is_refused_with_its_reason(connect: Connect) -> None:
    with pytest.raises(AuthWeakPasswordError) as failure:
        connect().auth.sign_up({"email": "weak@example.com", "password": "short"})
    assert failure.value.reasons == ["length"]


def test_recovery_sets_a_new_password_and_ends_the_other_sessions(auth: Auth, connect: Connect) -> None:
    auth.person("lost@example.com")
    before = auth.session("lost@example.com")
    client = connect()
    client.auth.reset_password_for_email("lost@example.com", {"redirect_to": BACK})
    told = fragment(follow(auth.link("lost@example.com")))
    assert told["type"] == "recovery"
    client.auth.set_session(told["access_token"], told["refresh_token"])
    with pytest.raises(AuthApiError, match="should be different"):
        client.auth.update_user({"password": PASSWORD})
    client.auth.update_user({"password": "a new password"})
    assert auth.call("GET", "/user", token=before["access_token"])[1]["error_code"] == "session_not_found"
    assert client.auth.get_user() is not None
    assert (
        auth.call("POST", "/token?grant_type=password", {"email": "lost@example.com", "password": PASSWORD})[0] == 400
    )
    auth.session("lost@example.com", "a new password")


def test_recovery_of_nobody_looks_alike(auth: Auth, connect: Connect) -> None:
    connect().auth.reset_password_for_email("stranger@example.com")
    assert auth.mails("stranger@example.com") == []


def test_resend_makes_the_earlier_link_useless(auth: Auth, connect: Connect) -> None:
    client = connect()
    client.auth.sign_up({"email": "twice@example.com", "password": PASSWORD})
    first = auth.link("twice@example.com")
    client.auth.resend({"type": "signup", "email": "twice@example.com"})
    assert len(auth.mails("twice@example.com")) == 2
    assert fragment(follow(first))["error_code"] == "otp_expired"
    assert "access_token" in fragment(follow(auth.link("twice@example.com")))


def test_pkce_confirms_with_a_code_for_the_same_client(auth: Auth, connect: Connect) -> None:
    client = connect("pkce")
    options: Options = {"email_redirect_to": BACK}
    client.auth.sign_up({"email": "pkce@example.com", "password": PASSWORD, "options": options})
    back = follow(auth.link("pkce@example.com"))
    assert urlsplit(back).fragment == ""
    code = query(back)["code"]
    assert auth.call("POST", "/token?grant_type=pkce", {"auth_code": code, "code_verifier": "guessed"})[0] == 400
    session = exchange(client, code)
    assert session.user is not None
    assert session.user.email == "pkce@example.com"
    assert auth.call("POST", "/token?grant_type=pkce", {"auth_code": code, "code_verifier": "x"})[0] == 404


@pytest.mark.parametrize("provider", ["github", "google"])
def test_a_provider_signs_in_through_the_page_in_its_place(connect: Connect, provider: str) -> None:
    client = connect("pkce")
    url = at_provider(client, provider, BACK)
    email = f"{provider}@example.com"
    back = consent(url, email=email, name="Margaret")
    assert back.startswith(f"{BACK}&code=")
    session = exchange(client, query(back)["code"])
    assert session.user is not None
    assert (session.user.email, session.user.app_metadata["provider"]) == (email, provider)
    assert session.user.user_metadata["full_name"] == "Margaret"
    again = connect("pkce")
    url = at_provider(again, provider)
    back = consent(url, email=email, name="Margaret")
    assert back.startswith(f"{SITE}?code=")
    second = exchange(again, query(back)["code"])
    assert second.user is not None
    assert second.user.id == session.user.id


def test_a_provider_joins_the_user_with_the_same_address(auth: Auth, connect: Connect) -> None:
    known = auth.person("both@example.com")
    told = fragment(consent(at_provider(connect(), "github"), email="both@example.com"))
    user = auth.call("GET", "/user", token=told["access_token"])[1]
    assert user["id"] == known["id"]
    assert user["app_metadata"]["providers"] == ["email", "github"]


def test_denied_at_the_provider(connect: Connect) -> None:
    back = consent(at_provider(connect("pkce"), "github"), decision="deny")
    assert query(back)["error"] == fragment(back)["error"] == "access_denied"


def test_refresh_and_sign_out(auth: Auth, connect: Connect) -> None:
    auth.person("out@example.com")
    client = connect()
    client.auth.sign_in_with_password({"email": "out@example.com", "password": PASSWORD})
    first = client.auth.get_session()
    assert first is not None
    fresh = client.auth.refresh_session().session
    assert fresh is not None
    assert fresh.refresh_token != first.refresh_token
    other = auth.session("out@example.com")
    client.auth.sign_out({"scope": "local"})
    assert client.auth.get_session() is None
    assert auth.call("GET", "/user", token=fresh.access_token)[0] == 403
    assert auth.call("GET", "/user", token=other["access_token"])[0] == 200


def test_the_user_changes_data_and_address(auth: Auth, connect: Connect) -> None:
    auth.person("old@example.com", user_metadata={"a": 1, "b": 2})
    client = connect()
    client.auth.sign_in_with_password({"email": "old@example.com", "password": PASSWORD})
    changed = client.auth.update_user({"data": {"b": None, "c": 3}, "email": "new@example.com"}).user
    assert (changed.email, changed.new_email) == ("old@example.com", "new@example.com")
    assert {"a": 1, "c": 3}.items() <= changed.user_metadata.items()
    assert "b" not in changed.user_metadata
    half = fragment(follow(auth.link("old@example.com")))
    assert half["message"].startswith("Confirmation link accepted")
    assert "access_token" in fragment(follow(auth.link("new@example.com")))
    assert auth.session("new@example.com")["user"]["email"] == "new@example.com"


def test_an_administrator_makes_lists_changes_and_deletes_users(auth: Auth, connect: Connect) -> None:
    admin = connect(secret=True).auth.admin
    made = admin.create_user({"email": "managed@example.com", "password": PASSWORD, "email_confirm": True}).user
    assert made.id in [user.id for user in admin.list_users(per_page=1000)]
    assert admin.get_user_by_id(made.id).user.email == "managed@example.com"
    session = auth.session("managed@example.com")
    admin.update_user_by_id(made.id, {"app_metadata": {"plan": "pro"}, "ban_duration": "1h"})
    assert auth.call("GET", "/user", token=session["access_token"])[1]["error_code"] == "user_banned"
    admin.update_user_by_id(made.id, {"ban_duration": "none"})
    assert auth.call("GET", "/user", token=session["access_token"])[1]["app_metadata"]["plan"] == "pro"
    admin.delete_user(made.id)
    with pytest.raises(AuthApiError) as failure:
        admin.get_user_by_id(made.id)
    assert (failure.value.status, failure.value.code) == (404, "user_not_found")
    assert auth.call("GET", "/user", token=session["access_token"])[1]["error_code"] == "user_not_found"
    refreshed = auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})
    assert (refreshed[0], refreshed[1]["error_code"]) == (400, "refresh_token_not_found")


def test_nobody_else_is_an_administrator(auth: Auth, connect: Connect) -> None:
    auth.person("curious@example.com")
    client = connect()
    with pytest.raises(AuthApiError) as failure:
        client.auth.admin.list_users()
    assert (failure.value.status, failure.value.code) == (403, "not_admin")
    token = auth.session("curious@example.com")["access_token"]
    assert auth.call("GET", "/admin/users", token=token)[1]["error_code"] == "not_admin"


def test_claims_are_checked_by_the_client_without_asking_the_server(auth: Auth, connect: Connect) -> None:
    user = auth.person("claims@example.com", app_metadata={"plan": "pro"})
    client = connect()
    client.auth.sign_in_with_password({"email": "claims@example.com", "password": PASSWORD})
    found = client.auth.get_claims()
    assert found is not None
    claims: Json = {**found["claims"]}
    session = client.auth.get_session()
    assert session is not None
    assert jwt.get_unverified_header(session.access_token)["alg"] == "ES256"
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert claims.pop("session_id")
    assert [entry["method"] for entry in claims.pop("amr")] == ["password"]
    assert claims.pop("user_metadata")["email_verified"] is True
    assert claims == {
        "iss": f"{auth.address}/auth/v1",
        "sub": user["id"],
        "aud": "authenticated",
        "email": "claims@example.com",
        "phone": "",
        "app_metadata": {"plan": "pro", "provider": "email", "providers": ["email"]},
        "role": "authenticated",
        "aal": "aal1",
        "is_anonymous": False,
    }
