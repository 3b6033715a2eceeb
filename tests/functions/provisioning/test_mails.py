"""Mails: what they say, and how they go to a real SMTP server that takes, refuses, hangs, or is none."""

from __future__ import annotations

import asyncio
import email
import re
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from core.problems import Unavailable
from core.rotation import Fixed
from core.settings import Secret
from provisioning import letters, mailer, posting
from provisioning.jobs import GaveUp
from provisioning.letters import Letter, LetterRefused
from provisioning.mailer import Mailer, MailRefused
from provisioning.outbox import Job
from provisioning.parts import Parts
from tests.functions.provisioning import world as worlds
from tests.functions.provisioning.world import World

SITE = "https://example.test"
QUOTA = {
    "workspace": "Notes",
    "what": "memories",
    "used": "80",
    "most": "100",
    "plan": "free",
    "consequence": "When it is full, nothing more is stored.",
}
PLAN = {"workspace": "Notes & more", "plan": "Pro"}
DATA: dict[str, dict[str, Any]] = {
    "invitation": {
        "inviter": "Ada <b>",
        "workspace": 'R&D "x"',
        "role": "member",
        "link": f"{SITE}/join?token=t&x=1",
        "expires_at": "2026-12-04T10:00:00Z",
    },
    "erasure": {"link": f"{SITE}/erase?token=t", "expires_at": "2026-12-04T10:00:00Z"},
    "erased": {},
    "quota_80": QUOTA,
    "quota_100": QUOTA,
    "payment_failed": {**PLAN, "grace_until": "11 December 2026"},
    "payment_ending": {**PLAN, "grace_until": "11 December 2026", "left": "7 days"},
    "payment_recovered": PLAN,
    "plan_begun": PLAN,
    "plan_ended": PLAN,
    "plan_handed_over": {
        **PLAN,
        "standing": "It is paid until 11 December 2026.",
        "until": "11 December 2026",
        "ends": "25 December 2026",
    },
    "plan_stays": {**PLAN, "used": "5,000 memories and 12 MB", "most": "100 memories and 500 MB"},
    "operator": {"headline": "2 jobs were given up", "lines": ["one: <reason>", "two"]},
}
LETTER = Letter("A subject", "A text.\n", "<p>A text.</p>")


@pytest.mark.parametrize("name", letters.names())
def test_every_letter_says_the_same_in_both_forms(name: str) -> None:
    letter = letters.write(name, DATA[name], SITE)
    assert "$" not in letter.subject + letter.text + letter.html
    assert letter.subject
    assert "\n" not in letter.subject
    assert "<" not in re.sub(r"Ada <b>|<reason>", "", letter.text)
    assert SITE in letter.html
    for value in DATA[name].values():
        for text in value if isinstance(value, list) else [value]:
            assert text in letter.text or text in letter.subject
    assert len(letter.html) > len(letter.text)


BILLING = [name for name in letters.names() if name.startswith(("payment_", "plan_"))]


@pytest.mark.parametrize("name", BILLING)
def test_letters_of_billing_lead_to_the_billing_page(name: str) -> None:
    assert f"{SITE}/dashboard/billing" in letters.write(name, DATA[name], SITE).text


def test_values_are_text_never_markup() -> None:
    letter = letters.write("invitation", DATA["invitation"], SITE)
    assert "Ada &lt;b&gt;" in letter.html
    assert 'href="https://example.test/join?token=t&amp;x=1"' in letter.html
    assert letter.subject == 'You are invited to the workspace R&D "x"'
    assert "Accept the invitation: https://example.test/join?token=t&x=1" in letter.text


def test_a_value_breaks_no_header() -> None:
    data = {**DATA["invitation"], "workspace": "x\r\nBcc: everyone@example.test"}
    assert letters.write("invitation", data, SITE).subject.endswith("x Bcc: everyone@example.test")


@pytest.mark.parametrize("name", ["nothing", "layout", "../mails/erased", ""])
def test_only_templates_are_read(name: str) -> None:
    with pytest.raises(LetterRefused, match="there is no template"):
        letters.write(name, {}, SITE)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(LetterRefused, match="'link'"):
        letters.write("erasure", {"expires_at": ""}, SITE)


class Box:
    """An SMTP server that answers as it is told to."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"
        self.recipient = "250 OK"
        self.port = 0

    async def handle_RCPT(  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # aiosmtpd's name
        message = email.message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        if self.answer.startswith("250"):
            self.mails.append(message)
        return self.answer


@asynccontextmanager
async def serving(make: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    found = Box()

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"smtp-password", handled=False)

    def make() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # passwords in the clear stay on this machine
            return SMTP(found, auth_require_tls=False, auth_required=True, authenticator=authenticate)

    async with serving(make) as found.port:
        yield found


def mailer_to(port: int, password: str = "smtp-password", seconds: float = 20.0) -> Mailer:
    sender = "MemoryGraph <mail@mail.example.test>"
    return Mailer("127.0.0.1", port, "user", Fixed(Secret(password)), sender, send_seconds=seconds)


async def test_a_mail_arrives_whole(box: Box) -> None:
    await mailer_to(box.port).send("ada@example.test", LETTER, "an-id")
    (mail,) = box.mails
    assert mail["To"] == "ada@example.test"
    assert mail["From"] == "MemoryGraph <mail@mail.example.test>"
    assert mail["Subject"] == "A subject"
    assert mail["Message-ID"] == "<an-id@mail.example.test>"
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert page is not None
    assert text.get_content().splitlines() == ["A text."]
    assert page.get_content().strip() == "<p>A text.</p>"


@pytest.mark.parametrize(
    ("place", "reply", "raised", "told"),
    [
        ("recipient", "550 no such user", MailRefused, "550"),
        ("answer", "554 spam", MailRefused, "554"),
        ("recipient", "451 greylisted", Unavailable, "451"),
        ("answer", "452 full", Unavailable, "452"),
    ],
)
async def test_refusals(box: Box, place: str, reply: str, raised: type[Exception], told: str) -> None:
    setattr(box, place, reply)
    with pytest.raises(raised, match=told) as caught:
        await mailer_to(box.port).send("ada@example.test", LETTER, "an-id")
    assert "ada@example.test" not in str(caught.value)
    assert box.mails == []


async def test_a_wrong_password_is_the_operators_to_mend(box: Box) -> None:
    with pytest.raises(Unavailable, match="SMTP_PASSWORD") as caught:
        await mailer_to(box.port, "wrong").send("ada@example.test", LETTER, "an-id")
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("to", ["nobody", "", "a@b.test\r\nBcc: everyone@example.test"])
async def test_what_is_no_address_gets_no_mail(box: Box, to: str) -> None:
    with pytest.raises(MailRefused):
        await mailer_to(box.port).send(to, LETTER, "an-id")


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match="mail server"):
        await mailer_to(unused_tcp_port).send("ada@example.test", LETTER, "an-id")


class Odd(asyncio.Protocol):
    """Greets with something, or nothing, and says no more."""

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._greeting)


@pytest.mark.parametrize("greeting", [b"", b"220 slow", b"220 hello\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"\xff\r\n"])
async def test_a_server_that_hangs_or_talks_nonsense_is_left(
    box: Box, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    """In bounded time, and no thread stays with it: the only one there is sends the next mail."""
    monkeypatch.setattr(mailer, "THREADS", 1)
    one = mailer_to(box.port, seconds=0.3)
    async with serving(lambda: Odd(greeting)) as port:
        monkeypatch.setattr(one, "_port", port)
        with pytest.raises(Unavailable):
            await one.send("ada@example.test", LETTER, "an-id")
        monkeypatch.setattr(one, "_port", box.port)
        monkeypatch.setattr(one, "_send_seconds", mailer.ANSWER_SECONDS / 2)
        await one.send("ada@example.test", LETTER, "an-id")
    assert len(box.mails) == 1


async def test_without_tls_no_password_leaves_the_machine(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """This server offers no STARTTLS, which is good enough on loopback only."""
    monkeypatch.setattr(mailer, "_LOOPBACK", ())
    with pytest.raises(Unavailable):
        await mailer_to(box.port).send("ada@example.test", LETTER, "an-id")
    assert box.mails == []


def job(**payload: Any) -> Job:
    return Job(id="a-job", claim="c", kind="send_mail", subject=None, payload=payload, attempts=1)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"template": "erased", "to": None, "data": {}},
        {"template": "nothing", "to": "a@b.test", "data": {}},
        {"template": "erasure", "to": "a@b.test", "data": {}},
    ],
)
async def test_mails_that_cannot_be_written_are_given_up(payload: dict[str, Any]) -> None:
    class Nothing:
        settings = worlds.settings()

    parts: Parts = Nothing()  # type: ignore[assignment]  # nothing else is asked for
    with pytest.raises(GaveUp):
        await posting.send_mail(parts, job(**payload))


async def test_the_job_sends_once_and_keeps_nothing(served: World, box: Box) -> None:
    object.__setattr__(served.parts, "mailer", mailer_to(box.port))
    await served.outbox.enqueue(
        "send_mail", None, {"template": "erasure", "to": "ada@example.test", "data": DATA["erasure"]}, dedupe="1"
    )
    box.answer = "452 full"
    assert (await served.run()).again == 1
    box.answer = "250 OK"
    served.owner.make_due()
    assert (await served.run()).done == 1
    (mail,) = box.mails
    (identity,) = served.owner.run("SELECT id::text FROM app.jobs")[0]
    assert mail["Message-ID"] == f"<{identity}@mail.example.test>"
    assert served.owner.run("SELECT payload FROM app.jobs") == [({},)]


async def test_a_mail_to_the_operator_need_not_say_to_whom(served: World, box: Box) -> None:
    object.__setattr__(served.parts, "mailer", mailer_to(box.port))
    await served.outbox.enqueue("send_mail", None, {"template": "operator", "data": DATA["operator"]}, dedupe="1")
    assert (await served.run()).done == 1
    assert box.mails[0]["To"] == worlds.OPERATOR
