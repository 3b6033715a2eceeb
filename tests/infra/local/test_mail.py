"""The mail server that delivers nowhere."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from infra.local.cloud.vendors.mail import Mailbox
from tests.infra.local.running import Daemon


@pytest.fixture
def server(daemon: Daemon) -> smtplib.SMTP:
    access = daemon.control("GET", "/mail")
    server = smtplib.SMTP(access["host"], access["port"], timeout=30)
    server.ehlo()
    return server


def message(to: str, subject: str = "Grüße") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Us <us@example.com>", to, subject
    made.set_content("as text, ünd so\n")
    made.add_alternative("<p>as HTML</p>", subtype="html")
    return made


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_message_is_kept_for_whoever_may_read(daemon: Daemon, server: smtplib.SMTP, mechanism: str) -> None:
    access = daemon.control("GET", "/mail")
    to = f"{mechanism.lower()}@example.com"
    with server:
        server.user, server.password = access["user"], access["password"]
        server.auth(mechanism, getattr(server, f"auth_{mechanism.lower()}"))
        server.send_message(message(to), to_addrs=[to, "copy@example.com"])
        server.send_message(message(to, "second"))
    newest, first = daemon.control("GET", f"/mail/messages?to={to}")["messages"]
    assert newest["subject"] == "second"
    assert (first["subject"], first["from"], first["to"]) == ("Grüße", "us@example.com", [to, "copy@example.com"])
    assert first["text"] == "as text, ünd so\n"
    assert first["html"].strip() == "<p>as HTML</p>"
    assert ["From", "Us <us@example.com>"] in first["headers"]


def test_nobody_sends_without_the_password(daemon: Daemon, server: smtplib.SMTP) -> None:
    user = daemon.control("GET", "/mail")["user"]
    with server:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            server.send_message(message("a@example.com"))
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            server.login(user, "guessed")


def test_what_the_server_offers(server: smtplib.SMTP) -> None:
    with server:
        assert {"8bitmime", "smtputf8", "auth"} <= set(server.esmtp_features)
        assert int(server.esmtp_features["size"]) == 10 << 20
        assert not server.has_extn("starttls")


def test_one_that_is_too_big_is_refused(daemon: Daemon, server: smtplib.SMTP) -> None:
    access = daemon.control("GET", "/mail")
    with server:
        server.login(access["user"], access["password"])
        code, _ = server.mail("us@example.com", [f"size={(10 << 20) + 1}"])
        assert code == 552


def test_messages_are_thrown_away(daemon: Daemon, server: smtplib.SMTP) -> None:
    access = daemon.control("GET", "/mail")
    with server:
        server.login(access["user"], access["password"])
        server.send_message(message("gone@example.com"))
    assert daemon.control("GET", "/mail/messages")["messages"]
    daemon.control("DELETE", "/mail/messages")
    assert daemon.control("GET", "/mail/messages") == {"messages": []}


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mail", kept=3)
    for number in range(5):
        box.add("us@example.com", ["a@example.com"], f"Subject: {number}\r\n\r\n".encode())
    assert [kept["subject"] for kept in box.messages()] == ["4", "3", "2"]
    again = Mailbox(tmp_path / "mail", kept=3)
    again.add("us@example.com", ["A@Example.com"], b"Subject: 5\r\n\r\nnot \xff UTF-8")
    assert [kept["id"] for kept in again.messages("a@example.com")] == [6, 5, 4]
