"""What keeps one client from taking all: captchas, and how often an address may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.cloud import peers
from infra.local.cloud.errors import CloudError
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import mails, settings
from infra.local.cloud.vendors.auth.guards import FAILS, GUARDS, PASSES, SPENT
from infra.local.cloud.vendors.auth.rates import BURST
from tests.infra.local.auth import PASSWORD
from tests.infra.local.test_auth_time import Bed

TOKEN = {"gotrue_meta_security": {"captcha_token": "XXXX.DUMMY.TOKEN.XXXX"}}
ADA: Json = {"email": "ada@example.com", "password": PASSWORD}
ASKING = [("/signup", ADA), ("/recover", ADA), ("/resend", {"type": "signup", **ADA})]


@pytest.fixture
async def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bed]:
    bed = Bed(tmp_path / "project")
    monkeypatch.setattr(peers, "allowed", lambda *_: True)
    monkeypatch.setattr(mails, "_hand_over", lambda message, _: bed.sent.append(message))
    async with bed.http:
        yield bed
    bed.project.close()


def turn_on(bed: Bed, secret: str, provider: str = "turnstile") -> None:
    bed.configuration["settings"] |= {
        "security_captcha_enabled": True,
        "security_captcha_provider": provider,
        "security_captcha_secret": secret,
        "mailer_autoconfirm": True,
        "smtp_max_frequency": 0,
    }


async def ask(bed: Bed, path: str, body: Json, **headers: str) -> tuple[int, Any]:
    answer = await bed.http.post(path, json=body, headers={name.replace("_", "-"): to for name, to in headers.items()})
    return answer.status_code, answer.json()


# Captchas.


@pytest.mark.parametrize(("path", "body"), [*ASKING, ("/token?grant_type=password", ADA)])
@pytest.mark.parametrize("token", [None, "", "  "])
async def test_without_a_token_nothing_is_done(bed: Bed, path: str, body: Json, token: str | None) -> None:
    turn_on(bed, PASSES)
    sent = body if token is None else {**body, "gotrue_meta_security": {"captcha_token": token}}
    told = "captcha protection: request disallowed (no captcha_token found)"
    assert await ask(bed, path, sent) == (400, {"code": 400, "error_code": "captcha_failed", "msg": told})
    assert (bed.sent, bed.project.users.page(1, 10)) == ([], ([], 0))


async def test_with_one_it_goes_on(bed: Bed) -> None:
    turn_on(bed, PASSES)
    assert (await ask(bed, "/signup", {**ADA, **TOKEN}))[0] == 200
    assert (await ask(bed, "/token?grant_type=password", {**ADA, **TOKEN}))[0] == 200
    assert (await ask(bed, "/recover", {**ADA, **TOKEN}))[0] == 200


@pytest.mark.parametrize(
    ("secret", "why"),
    [(FAILS, "invalid-input-response"), (SPENT, "timeout-or-duplicate"), ("", "missing-input-secret")],
)
async def test_one_that_is_not_good(bed: Bed, secret: str, why: str) -> None:
    turn_on(bed, secret)
    status, told = await ask(bed, "/signup", {**ADA, **TOKEN})
    assert (status, told["error_code"]) == (400, "captcha_failed")
    assert told["msg"] == f"captcha protection: request disallowed ({why})"


@pytest.mark.parametrize(("secret", "provider"), [("0x4AAAreal", "turnstile"), (PASSES, "hcaptcha")])
async def test_what_only_others_could_judge(
    bed: Bed, secret: str, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    turn_on(bed, secret, provider)
    status, told = await ask(bed, "/signup", {**ADA, **TOKEN})
    assert (status, told["msg"]) == (500, "captcha verification process failed")
    assert PASSES in caplog.text
    assert "0x4AAAreal" not in caplog.text


async def test_who_has_a_session_or_administers_is_not_asked(bed: Bed) -> None:
    turn_on(bed, PASSES)
    session = (await ask(bed, "/signup", {**ADA, **TOKEN}))[1]
    renewed = await ask(bed, "/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})
    assert renewed[0] == 200
    keys = {key["type"]: key["api_key"] for key in bed.configuration["api_keys"]}
    assert (await ask(bed, "/recover", ADA, apikey=keys["secret"]))[0] == 200
    assert (await ask(bed, "/recover", ADA))[0] == 400


def test_settings_of_captchas_are_checked_and_the_secret_is_not_shown() -> None:
    with pytest.raises(CloudError, match="security_captcha_provider must be one of"):
        settings.check({"security_captcha_provider": "recaptcha"})
    changed = settings.check({"security_captcha_provider": "turnstile", "security_captcha_secret": PASSES})
    assert PASSES not in str(settings.shown(changed))


# How often.


@pytest.mark.parametrize(("path", "body"), ASKING)
async def test_an_address_may_ask_so_often(bed: Bed, path: str, body: Json) -> None:
    bed.configuration["settings"] |= {"rate_limit_otp": 2, "smtp_max_frequency": 0, "mailer_autoconfirm": True}

    async def statuses(times: int, address: str) -> list[int]:
        return [(await ask(bed, path, body, x_forwarded_for=address))[0] for _ in range(times)]

    assert 429 not in await statuses(BURST, "203.0.113.7")
    status, told = await ask(bed, path, body, x_forwarded_for="203.0.113.7, 10.0.0.1")
    assert (status, told["error_code"], told["msg"]) == (429, "over_request_rate_limit", "Request rate limit reached")
    assert 429 not in await statuses(1, "203.0.113.8")
    bed.now += 151  # two in five minutes
    assert [status == 429 for status in await statuses(2, "203.0.113.7")] == [False, True]
    bed.now += 86_400  # a bucket holds no more than it did at first
    assert (await statuses(BURST + 1, "203.0.113.7")).count(429) == 1


async def test_who_came_without_an_address_is_not_counted(bed: Bed) -> None:
    bed.configuration["settings"] |= {"rate_limit_verify": 1}
    for _ in range(BURST + 5):
        assert (await ask(bed, "/verify", {"type": "signup", "token_hash": "x"}))[0] == 403


async def test_each_route_has_a_bucket_and_its_setting(bed: Bed) -> None:
    one = "203.0.113.7"
    for _ in range(BURST):
        await ask(bed, "/verify", {"type": "signup", "token_hash": "x"}, x_forwarded_for=one)
    assert (await ask(bed, "/verify", {"type": "signup", "token_hash": "x"}, x_forwarded_for=one))[0] == 429
    link = await bed.http.get("/verify?type=signup&token=x", headers={"X-Forwarded-For": one})
    assert link.status_code == 429  # the same bucket
    assert (await ask(bed, "/recover", ADA, x_forwarded_for=one))[0] == 200
    assert {guard.rate for guard in GUARDS.values()} <= set(settings.DEFAULTS)
