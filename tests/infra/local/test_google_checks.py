"""What Google refuses of queues, jobs and grants; schedules; and when a failed request is made again."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.paths import Paths
from infra.local.cloud.provider.kind import Checks, Kind
from infra.local.cloud.provider.registry import kinds
from infra.local.cloud.provider.wire import UNKNOWN
from infra.local.cloud.vendors.google import cron
from infra.local.cloud.vendors.google.delivery import Attempt, Backoff, Delivery, Outcome
from infra.local.cloud.vendors.google.identities import Identities
from infra.local.cloud.vendors.google.queues import overridden
from infra.local.cloud.vendors.google.secret_manager import crc32c
from tests.functions.core.answering import Reply, answering
from tests.infra.local.google import ACCOUNT_GRANT, ACT_AS, ENQUEUER, JOB, QUEUE, QUEUE_GRANT

Json = dict[str, Any]
TOKEN = {"serviceAccountEmail": "a@b.c", "audience": "x"}
VALID: list[tuple[str, Json]] = [
    (
        QUEUE,
        {
            "name": "provisioning-1a2b3c4",
            "location": "us-east4",
            "rateLimits": {"maxDispatchesPerSecond": 5, "maxConcurrentDispatches": 1},
            "retryConfig": {"maxAttempts": -1, "minBackoff": "1s", "maxBackoff": "300s", "maxDoublings": 4},
            "httpTarget": {
                "httpMethod": "POST",
                "uriOverride": {
                    "scheme": "HTTPS",
                    "host": "a.run.app",
                    "port": "443",
                    "pathOverride": {"path": "/run"},
                },
                "oidcToken": TOKEN,
            },
        },
    ),
    (QUEUE_GRANT, {"name": "q", "location": "us-east4", "role": ENQUEUER, "member": "serviceAccount:a@b.c"}),
    (
        ACCOUNT_GRANT,
        {"serviceAccountId": "projects/p/serviceAccounts/a@b.c", "role": ACT_AS, "member": "serviceAccount:d@e.f"},
    ),
    (
        JOB,
        {
            "name": "sweep",
            "region": "us-east4",
            "schedule": "*/5 * * * *",
            "timeZone": "Etc/UTC",
            "attemptDeadline": "1800s",
            "retryConfig": {"retryCount": 1},
            "httpTarget": {"uri": "https://a.run.app/sweep", "httpMethod": "POST", "oidcToken": TOKEN},
        },
    ),
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    loop = asyncio.new_event_loop()
    loop.close()  # checks start nothing
    return kinds(Cloud(Paths(tmp_path_factory.mktemp("root")), loop))


def refusals(known: dict[str, Kind], type_: str, inputs: Json) -> dict[str, str]:
    checks = Checks(inputs)
    known[type_].check(checks)
    return checks.failures


@pytest.mark.parametrize(("type_", "inputs"), VALID, ids=[type_ for type_, _ in VALID])
def test_what_the_program_declares_passes(known: dict[str, Kind], type_: str, inputs: Json) -> None:
    assert refusals(known, type_, inputs) == {}
    assert refusals(known, type_, dict.fromkeys(inputs, UNKNOWN)) == {}  # in a preview


@pytest.mark.parametrize(
    ("type_", "change", "property_", "words"),
    [
        (QUEUE, {"name": "with_underscore"}, "name", "hyphens"),
        (QUEUE, {"location": None}, "location", "required"),
        (QUEUE, {"desiredState": "DISABLED"}, "desiredState", "PAUSED"),
        (QUEUE, {"rateLimits.maxDispatchesPerSecond": 501}, "rateLimits.maxDispatchesPerSecond", "0 to 500"),
        (QUEUE, {"rateLimits.maxConcurrentDispatches": 0}, "rateLimits.maxConcurrentDispatches", "1 to 5000"),
        (QUEUE, {"retryConfig.maxAttempts": 0}, "retryConfig.maxAttempts", "-1 is no limit"),
        (QUEUE, {"retryConfig.minBackoff": "1m"}, "retryConfig.minBackoff", "in seconds"),
        (QUEUE, {"retryConfig.minBackoff": "301s"}, "retryConfig.minBackoff", "longer than max_backoff"),
        (QUEUE, {"httpTarget.uriOverride.host": ""}, "httpTarget.uriOverride.host", "empty"),
        (QUEUE, {"httpTarget.uriOverride.host": "https://a.b"}, "httpTarget.uriOverride.host", "host alone"),
        (QUEUE, {"httpTarget.uriOverride.scheme": "https"}, "httpTarget.uriOverride.scheme", "HTTPS"),
        (QUEUE, {"httpTarget.oidcToken": {}}, "httpTarget.oidcToken.serviceAccountEmail", "required"),
        (QUEUE, {"httpTarget.oauthToken": TOKEN}, "httpTarget.oauthToken", "OIDC"),
        (QUEUE_GRANT, {"member": "a@b.c"}, "member", "IAM members must have"),
        (ACCOUNT_GRANT, {"serviceAccountId": "a@b.c"}, "serviceAccountId", "`name` output"),
        (JOB, {"schedule": "* * * *"}, "schedule", "Schedule or time zone is invalid: it has 4 fields"),
        (JOB, {"schedule": "61 * * * *"}, "schedule", "no minute"),
        (JOB, {"schedule": "every 5 minutes"}, "schedule", "3 fields"),
        (JOB, {"timeZone": "Mars/Olympus"}, "timeZone", "tz database"),
        (JOB, {"region": None}, "region", "required"),
        (JOB, {"attemptDeadline": "10s"}, "attemptDeadline", "15 seconds and 30 minutes"),
        (JOB, {"retryConfig.retryCount": 6}, "retryConfig.retryCount", "greater than 5"),
        (JOB, {"httpTarget.uri": "a.run.app"}, "httpTarget.uri", "begin with"),
        (JOB, {"httpTarget.body": "not base64!"}, "httpTarget.body", "base64"),
        (JOB, {"httpTarget.body": "aGk=", "httpTarget.httpMethod": "GET"}, "httpTarget.body", "POST, PUT and PATCH"),
        (JOB, {"pubsubTarget": {"topicName": "t"}}, "pubsubTarget", "HTTP targets"),
    ],
)
def test_what_google_refuses(
    known: dict[str, Kind], type_: str, change: dict[str, Any], property_: str, words: str
) -> None:
    inputs = deepcopy(next(valid for token, valid in VALID if token == type_))
    for path, value in change.items():
        *outer, last = path.split(".")
        inner = inputs
        for key in outer:
            inner = inner[key]
        inner[last] = value
    assert words in refusals(known, type_, inputs)[property_]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("*/5 * * * *", "2026-11-27 20:03:10", "2026-11-27 20:05:00"),
        ("*/5 * * * *", "2026-11-27 20:05:00", "2026-11-27 20:10:00"),
        ("*/5 * * * *", "2026-12-31 23:59:59", "2027-01-01 00:00:00"),
        ("0 * * * *", "2026-11-27 20:00:01", "2026-11-27 21:00:00"),
        ("30 2 * * *", "2026-11-27 02:30:00", "2026-11-28 02:30:00"),
        ("0 9 * * mon-fri", "2026-11-27 10:00:00", "2026-11-30 09:00:00"),
        ("0 0 * * 7", "2026-11-27 10:00:00", "2026-11-29 00:00:00"),
        ("0 0 13 * 5", "2026-11-27 10:00:00", "2026-12-04 00:00:00"),  # the 13th or a Friday
        ("15,45 8-10/2 1 jan,jul *", "2026-11-27 10:00:00", "2027-01-01 08:15:00"),
        ("0 0 29 2 *", "2026-11-27 10:00:00", "2028-02-29 00:00:00"),
        ("0 0 30 2 *", "2026-11-27 10:00:00", None),
    ],
)
def test_schedules(text: str, after: str, expected: str | None) -> None:
    found = cron.parse(text).after(datetime.fromisoformat(f"{after}+00:00"), UTC)
    assert (found.strftime("%Y-%m-%d %H:%M:%S") if found else None) == expected


@pytest.mark.parametrize("text", ["* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "a * * * *", "* * 0 * *", ""])
def test_schedules_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"fields|is no"):
        cron.parse(text)


def test_a_schedule_keeps_the_clock_of_its_zone() -> None:
    zone = cron.zone_of("America/New_York")
    nightly = cron.parse("30 2 * * *")
    winter = nightly.after(datetime(2026, 3, 7, 12, tzinfo=UTC), zone)
    assert winter == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)  # 2:30 is skipped that night; as 3:30 it is 7:30 UTC
    assert nightly.after(datetime(2026, 3, 8, 12, tzinfo=UTC), zone) == datetime(2026, 3, 9, 6, 30, tzinfo=UTC)
    twice = cron.parse("30 1 * * *")
    first = twice.after(datetime(2026, 11, 1, 4, tzinfo=UTC), zone)
    assert first == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert twice.after(first, zone) == datetime(2026, 11, 2, 6, 30, tzinfo=UTC)  # not at the second 1:30


def test_pauses_double_then_grow_then_stay() -> None:
    """The example of Google's documentation of RetryConfig."""
    backoff = Backoff(least=10, most=300, doublings=3, attempts=100)
    assert [backoff.pause(made) for made in range(1, 9)] == [10, 20, 40, 80, 160, 240, 300, 300]


@pytest.mark.parametrize(
    ("attempts", "seconds", "made", "elapsed", "over"),
    [
        (3, 0, 2, 1e9, False),
        (3, 0, 3, 0, True),
        (3, 60, 3, 59, False),
        (3, 60, 2, 61, False),
        (3, 60, 3, 61, True),
        (-1, 0, 10**6, 1e9, False),
        (-1, 60, 1, 61, True),
    ],
)
def test_attempts_end_when_both_limits_are_reached(
    attempts: int, seconds: float, made: int, elapsed: float, over: object
) -> None:
    backoff = Backoff(least=1, most=1, doublings=0, attempts=attempts, seconds=seconds)
    assert backoff.is_over(made, elapsed) is over


class Accounts(Identities):
    """Knows one account."""

    def __init__(self) -> None:
        pass

    def exists(self, email: str) -> bool:
        return email == "here@x.y"

    def identity_token(self, email: str, audience: str) -> str:
        return f"{email} for {audience}"


async def test_what_goes_wrong_with_a_request_is_told() -> None:
    delivery = Delivery(Accounts())
    replies: dict[str, Reply] = {
        "/hangs": None,
        "/rubbish": b"rubbish\r\n\r\n",
        "/good": (204, {}, b""),
        "/bad": (500, {}, b""),
    }
    async with answering() as target:
        target.reply = lambda sent: replies[sent.path]

        async def send(url: str, email: str = "here@x.y") -> Outcome:
            seconds = 0.1 if url.endswith("/hangs") else 30.0
            return await delivery.send(Attempt(method="POST", url=url, email=email, deadline_seconds=seconds))

        assert (await send(f"{target.url}/good")).good
        assert target.sent[0].headers["authorization"] == f"Bearer here@x.y for {target.url}/good"
        assert str(await send(f"{target.url}/bad")) == "HTTP 500"
        for url, words in (
            (f"{target.url}/hangs", "DEADLINE_EXCEEDED"),
            (f"{target.url}/rubbish", "not HTTP"),
            ("http://127.0.0.1:1/", "refuses connections"),
            ("gopher://x", "URL"),
        ):
            outcome = await send(url)
            assert not outcome.good
            assert words in str(outcome)
        asked = len(target.sent)
        assert "gone@x.y does not exist" in str(await send(f"{target.url}/good", "gone@x.y"))
        assert len(target.sent) == asked
    await delivery.close()


@pytest.mark.parametrize(
    ("url", "override", "expected"),
    [
        ("https://a.b/c?d=1", {}, "https://a.b/c?d=1"),
        ("", {"host": "h.run.app"}, "https://h.run.app/"),
        ("", {"host": "h", "scheme": "HTTP", "port": "8080", "pathOverride": {"path": "/p"}}, "http://h:8080/p"),
        ("http://a.b:1/c?d=1", {"host": "h", "scheme": "HTTPS"}, "https://h/c?d=1"),
        ("http://a.b:1/c?d=1", {"queryOverride": {"queryParams": "e=2"}}, "http://a.b:1/c?e=2"),
        ("http://a.b/c", {"host": "h", "uriOverrideEnforceMode": "IF_NOT_EXISTS"}, "http://a.b/c"),
    ],
)
def test_a_queue_lays_its_target_over_a_tasks(url: str, override: Json, expected: str) -> None:
    assert overridden(url, override) == expected


def test_the_checksum_is_googles() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value
    assert crc32c(b"") == 0
