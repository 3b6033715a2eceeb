"""What Auth forgets after a while, on a clock that the test moves; how often it sends; and what comes at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.cloud import peers
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import mails
from infra.local.cloud.vendors.auth.app import application
from infra.local.cloud.vendors.auth.project import Project, new_configuration
from tests.infra.local.auth import PASSWORD

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # both of RFC 7636
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@dataclass
class Bed:
    """One project in this process. `now` is its clock, `sent` the mails that it handed over."""

    folder: Path
    configuration: Json = field(default_factory=new_configuration)
    now: float = 1_800_000_000.0
    sent: list[EmailMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.configuration["settings"] = {"smtp_host": "mail", "smtp_admin_email": "us@example.com"}
        self.project = Project(self.folder, "http://auth.test", lambda: self.configuration, lambda: self.now)
        transport = httpx.ASGITransport(application(self.project))
        keys = {key["type"]: key["api_key"] for key in self.configuration["api_keys"]}
        self.http = httpx.AsyncClient(
            transport=transport, base_url=self.project.issuer, headers={"apikey": keys["publishable"]}
        )

    async def post(self, path: str, **body: Any) -> tuple[int, Json]:
        answer = await self.http.post(path, json=body)
        return answer.status_code, answer.json()

    async def sign_up(self, email: str, **more: Any) -> Json:
        status, user = await self.post("/signup", email=email, password=PASSWORD, **more)
        assert status == 200, user
        return user

    def token(self) -> str:
        """The hash in the newest mail's link."""
        found = re.search(r"[?]token=(\w+)", self.sent[-1].get_content())
        assert found is not None
        return found[1]


@pytest.fixture
async def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bed]:
    bed = Bed(tmp_path / "project")
    monkeypatch.setattr(peers, "allowed", lambda *_: True)
    monkeypatch.setattr(mails, "_hand_over", lambda message, _: bed.sent.append(message))
    async with bed.http:
        yield bed
    bed.project.close()


async def test_a_link_is_good_for_an_hour(bed: Bed) -> None:
    await bed.sign_up("a@example.com")
    token = bed.token()
    bed.now += 3601
    status, told = await bed.post("/verify", type="signup", token_hash=token)
    assert (status, told["error_code"]) == (403, "otp_expired")
    await bed.post("/resend", type="signup", email="a@example.com")
    bed.now += 3599
    assert (await bed.post("/verify", type="signup", token_hash=bed.token()))[0] == 200


async def test_a_user_gets_one_mail_a_minute(bed: Bed) -> None:
    await bed.sign_up("a@example.com")
    bed.now += 20
    status, told = await bed.post("/resend", type="signup", email="a@example.com")
    assert (status, told["error_code"]) == (429, "over_email_send_rate_limit")
    assert told["msg"] == "For security purposes, you can only request this after 40 seconds."
    bed.now += 40
    assert (await bed.post("/resend", type="signup", email="a@example.com"))[0] == 200
    assert len(bed.sent) == 2


async def test_a_project_sends_so_many_mails_an_hour(bed: Bed) -> None:
    bed.configuration["settings"]["rate_limit_email_sent"] = 2
    await bed.sign_up("a@example.com")
    bed.now += 1800
    await bed.sign_up("b@example.com")
    status, told = await bed.post("/signup", email="c@example.com", password=PASSWORD)
    assert (status, told["error_code"], told["msg"]) == (429, "over_email_send_rate_limit", "email rate limit exceeded")
    bed.now += 1801
    await bed.sign_up("c@example.com")


async def test_the_reuse_interval(bed: Bed) -> None:
    bed.configuration["settings"]["mailer_autoconfirm"] = True
    first = (await bed.sign_up("a@example.com"))["refresh_token"]

    async def refresh(token: str) -> tuple[int, Json]:
        return await bed.post("/token?grant_type=refresh_token", refresh_token=token)

    second = (await refresh(first))[1]["refresh_token"]
    third = (await refresh(second))[1]["refresh_token"]
    bed.now += 9.9
    assert (await refresh(first))[0] == 200
    bed.now += 0.2
    status, told = await refresh(second)
    assert (status, told["error_code"]) == (400, "refresh_token_already_used")
    bed.now += 60
    assert (await refresh(third))[0] == 400


async def test_without_rotation_a_token_that_is_used_again_ends_nothing(bed: Bed) -> None:
    bed.configuration["settings"] |= {"mailer_autoconfirm": True, "refresh_token_rotation_enabled": False}
    first = (await bed.sign_up("a@example.com"))["refresh_token"]
    second = (await bed.post("/token?grant_type=refresh_token", refresh_token=first))[1]["refresh_token"]
    third = (await bed.post("/token?grant_type=refresh_token", refresh_token=second))[1]["refresh_token"]
    bed.now += 60
    assert (await bed.post("/token?grant_type=refresh_token", refresh_token=first))[0] == 400
    assert (await bed.post("/token?grant_type=refresh_token", refresh_token=third))[0] == 200


@pytest.mark.parametrize(("name", "hours"), [("sessions_timebox", 2), ("sessions_inactivity_timeout", 1)])
async def test_sessions_end_where_settings_say_so(bed: Bed, name: str, hours: int) -> None:
    bed.configuration["settings"] |= {"mailer_autoconfirm": True, name: hours}
    token = (await bed.sign_up("a@example.com"))["refresh_token"]
    bed.now += hours * 3600
    status, fresh = await bed.post("/token?grant_type=refresh_token", refresh_token=token)
    assert status == 200
    bed.now += 3601
    status, told = await bed.post("/token?grant_type=refresh_token", refresh_token=fresh["refresh_token"])
    assert (status, told["error_code"]) == (400, "session_expired")


async def test_a_code_of_pkce_is_good_for_five_minutes(bed: Bed) -> None:
    begun = {"code_challenge": CHALLENGE, "code_challenge_method": "s256"}
    await bed.sign_up("a@example.com", **begun)
    assert bed.token().startswith("pkce_")
    answer = await bed.http.get("/verify", params={"type": "signup", "token": bed.token()})
    code = answer.headers["location"].partition("?code=")[2]
    bed.now += 301
    status, told = await bed.post("/token?grant_type=pkce", auth_code=code, code_verifier=VERIFIER)
    assert (status, told["error_code"]) == (422, "flow_state_expired")
    await bed.post("/recover", email="a@example.com", **begun)
    answer = await bed.http.get("/verify", params={"type": "recovery", "token": bed.token()})
    code = answer.headers["location"].partition("?code=")[2]
    bed.now += 299
    status, session = await bed.post("/token?grant_type=pkce", auth_code=code, code_verifier=VERIFIER)
    assert (status, session["user"]["email"]) == (200, "a@example.com")


async def test_an_access_token_says_what_it_was_made_for(bed: Bed) -> None:
    """Without a signing key it is signed with the shared secret, and the JWKS is empty."""
    bed.configuration["settings"] |= {"mailer_autoconfirm": True, "jwt_exp": 60}
    session = await bed.sign_up("a@example.com")
    assert (session["expires_in"], session["expires_at"]) == (60, bed.now + 60)
    assert (await bed.http.get("/.well-known/jwks.json")).json() == {"keys": []}


async def test_a_failure_inside_tells_nothing(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(bed.project.users, "by_email", fail)
    transport = httpx.ASGITransport(application(bed.project), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=bed.project.issuer, headers=bed.http.headers) as http:
        answer = await http.post("/recover", json={"email": "a@example.com"})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "unexpected_failure")
    assert "a secret" not in answer.text


async def test_two_refreshes_at_once_give_one_successor(bed: Bed) -> None:
    bed.configuration["settings"] |= {"mailer_autoconfirm": True, "security_refresh_token_reuse_interval": 0}
    token = (await bed.sign_up("a@example.com"))["refresh_token"]
    path = "/token?grant_type=refresh_token"
    answers = await asyncio.gather(*(bed.post(path, refresh_token=token) for _ in range(2)))
    assert [status for status, _ in answers] == [200, 200]
    assert len({session["refresh_token"] for _, session in answers}) == 1


async def test_two_sign_ups_at_once_make_one_user(bed: Bed) -> None:
    asked = {"email": "a@example.com", "password": PASSWORD}
    answers = await asyncio.gather(*(bed.post("/signup", **asked) for _ in range(2)))
    assert sorted(status for status, _ in answers) == [200, 429]  # the other one's mail went a moment ago
    assert bed.project.users.page(1, 10)[1] == 1
    assert (await bed.post("/verify", type="signup", token_hash=bed.token()))[0] == 200
