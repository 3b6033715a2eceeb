"""What Supabase Auth insists on, by single requests: keys, errors, redirects, refresh tokens, signing keys."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import jwt
import pytest

from tests.infra.local.auth import PASSWORD, SITE, Auth, consent, follow, fragment, open_page, query
from tests.infra.local.running import call

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # of RFC 7636


def test_every_caller_needs_an_api_key(auth: Auth) -> None:
    port = int(auth.address.rpartition(":")[2])
    status, body = call(port, "GET", "/auth/v1/settings")
    assert (status, body["message"]) == (401, "No API key found in request")
    status, body = auth.call("GET", "/settings", key="sb_publishable_guessed")
    assert (status, body["message"]) == (401, "Unregistered API key")
    assert auth.call("GET", "/settings")[1]["external"]["github"] is True
    assert call(port, "GET", f"/auth/v1/health?apikey={auth.publishable}")[0] == 200
    browser = {"apikey": auth.secret, "User-Agent": "Mozilla/5.0"}
    assert call(port, "GET", "/auth/v1/settings", headers=browser)[0] == 401


def test_web_pages_of_any_origin_may_call(auth: Auth) -> None:
    port = int(auth.address.rpartition(":")[2])
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "apikey,authorization,content-type,x-client-info,x-supabase-api-version"
    assert call(port, "OPTIONS", "/auth/v1/signup", headers=asked) == (200, "OK")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/signup", {"email": "no address", "password": PASSWORD}, 400, "validation_failed"),
        ("POST", "/signup", {"email": "a@example.com"}, 400, "validation_failed"),
        ("POST", "/signup", {"email": "a@example.com", "password": "x" * 73}, 400, "validation_failed"),
        ("POST", "/signup", {}, 422, "anonymous_provider_disabled"),
        ("POST", "/signup", {"email": "a@b.c", "password": PASSWORD, "code_challenge": "x"}, 400, "validation_failed"),
        ("POST", "/signup", b"{", 400, "bad_json"),
        ("POST", "/signup", [], 400, "bad_json"),
        ("POST", "/signup", {"email": 1, "password": PASSWORD}, 400, "bad_json"),
        ("POST", "/token?grant_type=magic", {}, 400, "invalid_credentials"),
        ("POST", "/token?grant_type=password", {"password": "x"}, 400, "validation_failed"),
        ("POST", "/token?grant_type=refresh_token", {"refresh_token": "short"}, 400, "validation_failed"),
        ("POST", "/token?grant_type=refresh_token", {"refresh_token": "a" * 12}, 400, "refresh_token_not_found"),
        ("POST", "/token?grant_type=pkce", {"auth_code": "a", "code_verifier": "b"}, 404, "flow_state_not_found"),
        ("POST", "/verify", {"type": "signup", "token_hash": "a"}, 403, "otp_expired"),
        ("POST", "/verify", {"type": "signup", "token": "1", "token_hash": "a"}, 400, "validation_failed"),
        ("POST", "/verify", {"type": "nonsense", "token_hash": "a"}, 400, "validation_failed"),
        ("POST", "/resend", {"type": "sms", "email": "a@example.com"}, 400, "validation_failed"),
        ("GET", "/user", None, 401, "no_authorization"),
        ("GET", "/authorize?provider=apple", None, 400, "validation_failed"),
        ("GET", "/authorize?provider=github&code_challenge_method=s256", None, 400, "validation_failed"),
    ],
)
def test_refusals(auth: Auth, method: str, path: str, body: Any, status: int, code: str) -> None:
    answered, old = auth.call(method, path, body)
    assert (answered, old["code"], old["error_code"]) == (status, status, code)
    assert old["msg"]
    answered, new = auth.call(method, path, body, version="2024-01-01")
    assert (answered, new) == (status, {"code": code, "message": old["msg"]})


def test_a_token_that_is_not_ours(auth: Auth) -> None:
    for token in ("nonsense", jwt.encode({"sub": "x"}, "k" * 32), auth.publishable):
        status, body = auth.call("GET", "/user", token=token)
        assert (status, body["error_code"]) == (403, "bad_jwt")


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (f"{SITE}/anything?x=1", True),
        ("http://127.0.0.1:5000/cli", True),
        ("https://app.example.com/deep/down?x=1#there", True),
        ("https://one.preview.example.com/done", True),
        ("https://one.preview.example.com/done/not", False),
        ("https://a.b.preview.example.com/done", False),
        ("https://app.example.com.evil.test/", False),
        ("https://evil.test/https://app.example.com/", False),
        ("https://10.0.0.1/", False),
        ("http://2130706433/", False),
        ("javascript:alert(1)", False),
    ],
)
def test_where_a_browser_may_be_sent(auth: Auth, asked: str, allowed: bool) -> None:  # noqa: FBT001  a table
    email = f"{uuid4()}@example.com"
    body = {"email": email, "password": PASSWORD}
    assert auth.call("POST", f"/signup?redirect_to={quote(asked, safe='')}", body)[0] == 200
    link = auth.link(email)
    assert query(link)["redirect_to"] == (asked if allowed else SITE)
    assert follow(link).startswith(asked.partition("#")[0] if allowed else f"{SITE}#")


def test_a_link_that_was_tampered_with_goes_to_the_site(auth: Auth) -> None:
    link = f"{auth.issuer}/verify?token=guessed&type=recovery&redirect_to=https://evil.test/"
    assert follow(link).startswith(f"{SITE}#error=access_denied&error_code=otp_expired")


def test_a_refresh_token_that_is_used_again_ends_the_session(auth: Auth) -> None:
    auth.person("thief@example.com")

    def refresh(token: str) -> tuple[int, Any]:
        return auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": token})

    first = auth.session("thief@example.com")["refresh_token"]
    second = refresh(first)[1]["refresh_token"]
    assert refresh(first)[1]["refresh_token"] == second  # its answer was lost: the same successor
    third = refresh(second)[1]["refresh_token"]
    within = refresh(first)[1]["refresh_token"]  # two tabs at once, within ten seconds
    assert len({first, second, third, within}) == 4
    auth.set(security_refresh_token_reuse_interval=0)
    try:
        status, body = refresh(second)
        assert (status, body["error_code"]) == (400, "refresh_token_already_used")
        assert body["msg"] == "Invalid Refresh Token: Already Used"
        for token in (third, within):
            assert refresh(token)[1]["error_code"] == "refresh_token_already_used"
    finally:
        auth.set(security_refresh_token_reuse_interval=None)


@pytest.mark.parametrize(("scope", "this", "other"), [("local", 403, 200), ("others", 200, 403), ("global", 403, 403)])
def test_scopes_of_signing_out(auth: Auth, scope: str, this: int, other: int) -> None:
    auth.person(f"{scope}@example.com")
    tokens = [auth.session(f"{scope}@example.com")["access_token"] for _ in range(2)]
    assert auth.call("POST", f"/logout?scope={scope}", token=tokens[0]) == (204, "")
    assert [auth.call("GET", "/user", token=token)[0] for token in tokens] == [this, other]
    assert auth.call("POST", "/logout?scope=moon", token=tokens[0])[0] in (400, 403)


def test_signing_keys_rotate_and_the_jwks_follows(auth: Auth) -> None:
    auth.person("rotation@example.com")
    keys = f"{auth.path}/config/auth/signing-keys"
    client = jwt.PyJWKClient(f"{auth.issuer}/.well-known/jwks.json", cache_keys=False, lifespan=1)

    def verified(token: str) -> Any:
        key = client.get_signing_key_from_jwt(token)
        client.jwk_set_cache = None  # another look at the next token
        return jwt.decode(token, key, algorithms=["ES256"], audience="authenticated", issuer=auth.issuer)

    before = auth.session("rotation@example.com")["access_token"]
    status, standby = auth.api("POST", keys, {"algorithm": "ES256"})
    assert (status, standby["status"]) == (201, "standby")
    assert "d" not in standby["public_jwk"]
    published = auth.call("GET", "/.well-known/jwks.json")[1]["keys"]
    assert standby["id"] in [key["kid"] for key in published]
    assert auth.api("POST", keys, {"algorithm": "ES256"})[0] == 400  # one stands by already
    assert auth.api("PATCH", f"{keys}/{standby['id']}", {"status": "in_use"})[1]["status"] == "in_use"
    after = auth.session("rotation@example.com")["access_token"]
    assert jwt.get_unverified_header(after)["kid"] == standby["id"]
    assert verified(before)["sub"] == verified(after)["sub"]
    old = jwt.get_unverified_header(before)["kid"]
    assert auth.api("DELETE", f"{keys}/{old}")[0] == 400
    assert auth.api("GET", f"{keys}/{old}")[1]["status"] == "previously_used"
    assert auth.api("PATCH", f"{keys}/{old}", {"status": "revoked"})[0] == 200
    assert auth.call("GET", "/user", token=before)[1]["error_code"] == "bad_jwt"
    assert auth.call("GET", "/user", token=after)[0] == 200
    with pytest.raises(jwt.PyJWKClientError):
        verified(before)
    assert auth.api("DELETE", f"{keys}/{old}")[0] == 200
    assert auth.api("GET", f"{keys}/{old}")[0] == 404
    assert auth.api("PATCH", f"{keys}/{standby['id']}", {"status": "revoked"})[0] == 400  # it is in use


def test_settings_are_checked_and_secrets_are_not_shown(auth: Auth) -> None:
    path = f"{auth.path}/config/auth"
    shown = auth.api("GET", path)[1]
    assert (shown["site_url"], shown["jwt_exp"]) == (SITE, 3600)
    assert shown["smtp_pass"] != auth.daemon.control("GET", "/mail")["password"]
    assert len(shown["smtp_pass"]) == len(shown["external_github_secret"]) == 64
    refused = {
        "site_ulr": ("x", "property site_ulr should not exist"),
        "jwt_exp": ("3600", "jwt_exp must be an integer"),
        "disable_signup": (1, "disable_signup must be a boolean"),
        "mailer_otp_length": (3, "mailer_otp_length must be from 6 to 10"),
        "mailer_templates_recovery_content": ("{{ if .Email }}", "variables only"),
        "mailer_subjects_recovery": ("{{ .Nmae }}", "there is no variable .Nmae"),
    }
    for name, (value, sentence) in refused.items():
        status, body = auth.api("PATCH", path, {name: value, "jwt_exp": 60} if name != "jwt_exp" else {name: value})
        assert status == 400
        assert sentence in body["message"]
    assert auth.api("GET", path)[1]["jwt_exp"] == 3600
    assert auth.set(jwt_exp=60)["jwt_exp"] == 60
    assert auth.set(jwt_exp=None)["jwt_exp"] == 3600


def test_api_keys_are_hidden_revealed_added_and_withdrawn(auth: Auth) -> None:
    path = f"{auth.path}/api-keys"
    assert auth.secret not in str(auth.api("GET", path)[1])
    assert auth.publishable in str(auth.api("GET", path)[1])
    status, made = auth.api("POST", f"{path}?reveal=true", {"type": "secret", "name": "jobs"})
    assert status == 201
    assert made["api_key"].startswith("sb_secret_")
    assert auth.api("POST", path, {"type": "secret", "name": "jobs"})[0] == 409
    assert auth.api("POST", path, {"type": "legacy", "name": "jobs"})[0] == 400
    assert auth.call("GET", "/admin/users", key=made["api_key"])[0] == 200
    assert auth.api("DELETE", f"{path}/{made['id']}")[0] == 200
    assert auth.call("GET", "/admin/users", key=made["api_key"])[0] == 401


def test_the_consent_page_says_what_it_is(auth: Auth) -> None:
    page = follow(f"{auth.issuer}/authorize?provider=google&redirect_to={SITE}/")
    status, headers, text = open_page(page)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "This is the local cloud, not Google." in text
    forged = open_page(f"{auth.issuer}/local/consent?provider=google&state=%22%3E%3Cscript%3E")
    assert "<script>" not in forged[2]


def test_an_address_that_the_provider_does_not_vouch_for_is_confirmed_by_mail(auth: Auth) -> None:
    auth.person("victim@example.com")
    url = f"{auth.issuer}/authorize?provider=github&redirect_to={SITE}/"
    assert fragment(consent(url, email="victim@example.com", verified="no"))["error_code"] == (
        "provider_email_needs_verification"
    )
    assert auth.session("victim@example.com")["user"]["app_metadata"]["providers"] == ["email"]
    back = fragment(consent(url, email="unvouched@example.com", verified="no"))
    assert back["error_code"] == "provider_email_needs_verification"
    assert "access_token" in fragment(follow(auth.link("unvouched@example.com")))


def test_a_state_works_once(auth: Auth) -> None:
    url = f"{auth.issuer}/authorize?provider=github&code_challenge={CHALLENGE}&code_challenge_method=s256"
    page = follow(url)
    chosen = f"{page}&decision=allow&verified=yes&email=state@example.com"
    assert "code" in query(follow(follow(chosen)))
    assert query(follow(follow(chosen)))["error_code"] == "bad_oauth_state"
    assert query(follow(f"{auth.issuer}/callback?state=none&code=none"))["error_code"] == "bad_oauth_state"


def test_of_two_who_move_to_one_address_the_first_gets_it(auth: Auth) -> None:
    auth.set(mailer_secure_email_change_enabled=False)
    try:
        links = []
        for email in ("one@example.com", "two@example.com"):
            auth.person(email)
            token = auth.session(email)["access_token"]
            assert auth.call("PUT", "/user", {"email": "shared@example.com"}, token=token)[0] == 200
            links.append(auth.link("shared@example.com"))
        assert auth.mails("one@example.com") == []
        assert "access_token" in fragment(follow(links[0]))
        assert fragment(follow(links[1]))["error_code"] == "email_exists"
        assert auth.session("two@example.com")["user"]["new_email"] == "shared@example.com"
        auth.person("three@example.com")
        token = auth.session("three@example.com")["access_token"]
        status, body = auth.call("PUT", "/user", {"email": "shared@example.com"}, token=token)
        assert (status, body["error_code"]) == (422, "email_exists")
    finally:
        auth.set(mailer_secure_email_change_enabled=None)


def test_a_project_without_smtp_mails_nobody(auth: Auth) -> None:
    host = auth.daemon.control("GET", "/mail")["host"]
    auth.set(smtp_host="")
    try:
        status, body = auth.call("POST", "/signup", {"email": "nomail@example.com", "password": PASSWORD})
        assert (status, body["error_code"]) == (400, "email_address_not_authorized")
    finally:
        auth.set(smtp_host=host)
    assert auth.call("POST", "/signup", {"email": "nomail@example.com", "password": PASSWORD})[0] == 200


def test_a_mail_that_is_not_taken_makes_no_user(auth: Auth) -> None:
    password = auth.daemon.control("GET", "/mail")["password"]
    auth.set(smtp_pass="wrong")
    try:
        status, body = auth.call("POST", "/signup", {"email": "untaken@example.com", "password": PASSWORD})
        assert (status, body["error_code"], body["msg"]) == (
            500,
            "unexpected_failure",
            "Error sending confirmation email",
        )
    finally:
        auth.set(smtp_pass=password)
    users = auth.call("GET", "/admin/users?per_page=1000", key=auth.secret)[1]["users"]
    assert "untaken@example.com" not in [user["email"] for user in users]


def test_without_confirmation_a_sign_up_is_a_session(auth: Auth) -> None:
    auth.set(mailer_autoconfirm=True)
    try:
        body = {"email": "auto@example.com", "password": PASSWORD}
        status, session = auth.call("POST", "/signup", body)
        assert (status, session["user"]["email"]) == (200, "auto@example.com")
        assert session["access_token"]
        assert auth.call("POST", "/signup", body)[1]["error_code"] == "user_already_exists"
    finally:
        auth.set(mailer_autoconfirm=None)


def test_closed_sign_up(auth: Auth) -> None:
    auth.set(disable_signup=True)
    try:
        status, body = auth.call("POST", "/signup", {"email": "late@example.com", "password": PASSWORD})
        assert (status, body["error_code"]) == (422, "signup_disabled")
    finally:
        auth.set(disable_signup=None)
