"""A mail server that delivers nowhere: what is sent to it is kept for the tests and the operator to read.

SMTP on loopback, by aiosmtpd, as a relay such as Resend or Postmark offers it: AUTH PLAIN or LOGIN with user and
password before anything else, 8BITMIME, SMTPUTF8, a size limit. The newest KEPT messages stay in a folder, across
restarts; the control API shows them (GET /mail/messages) and throws them away (DELETE /mail/messages).

Left out: STARTTLS (clients on this machine talk in the clear), delivery, bounces, limits on rate, checks of the sender.
"""

from __future__ import annotations

import asyncio
import email
import hmac
import json
import secrets
import warnings
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError
from infra.local.cloud.ports import HOST
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import write_whole

SECTION = "mail"
PORT = "smtp"
USER = "memorygraph"
KEPT = 200
MESSAGE_BYTES = 10 << 20
NAME = "mail.localhost"  # what the server calls itself


class Mailbox:
    """The newest messages, one file each, numbered in the order in which they came."""

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        self._folder = folder
        self._kept = kept

    def add(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Keep one message, and let go of the oldest ones.

        Raises:
            CloudError: the disk refuses.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = self._names()
        number = int(names[-1].stem) + 1 if names else 1
        message = {
            "id": number,
            "received_at": datetime.now(UTC).isoformat(),
            "from": sender,
            "to": recipients,
            "raw": content.decode("utf-8", "surrogateescape"),
        }
        write_whole(self._folder / f"{number:08}.json", json.dumps(message), "keeping a mail")
        for old in names[: len(names) + 1 - self._kept]:
            old.unlink(missing_ok=True)

    def messages(self, to: str = "") -> list[Json]:
        """The newest first: id, received_at, from, to, subject, headers, text, html. `to` names one address."""
        found = []
        for path in reversed(self._names()):
            try:
                message = json.loads(path.read_text())
            except FileNotFoundError:  # thrown away meanwhile
                continue
            if not to or to.lower() in (address.lower() for address in message["to"]):
                found.append(_shown(message))
        return found

    def clear(self) -> None:
        for path in self._names():
            path.unlink(missing_ok=True)

    def _names(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))


class Mail:
    """The server, with the login that the store remembers. Runs on the daemon's loop."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.box = Mailbox(cloud.paths.mail)
        self.password = str(cloud.store.edit(SECTION, _with_password)["password"])
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. The port may move: the program reads it anew at each start."""
        loop = asyncio.get_running_loop()
        sock, self.port = self._cloud.ports.listen(PORT, moves=True)
        self._server = await loop.create_server(lambda: self._connection(loop), sock=sock)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def access(self) -> Json:
        """How to send: host, port, user, password."""
        return {"host": HOST, "port": self.port, "user": USER, "password": self.password}

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # aiosmtpd's name
        content = envelope.original_content or b""
        try:
            self.box.add(envelope.mail_from or "", [*envelope.rcpt_tos], content)
        except CloudError:
            return "452 4.3.1 Insufficient system storage"
        return "250 2.0.0 Ok: queued"

    def _connection(self, loop: asyncio.AbstractEventLoop) -> SMTP:
        with warnings.catch_warnings():
            # It warns about passwords in the clear. Here they do not leave the machine.
            warnings.simplefilter("ignore", UserWarning)
            return SMTP(
                self,
                hostname=NAME,
                ident="local mail server",
                data_size_limit=MESSAGE_BYTES,
                enable_SMTPUTF8=True,
                authenticator=self._authenticated,
                auth_required=True,
                auth_require_tls=False,
                timeout=60,
                loop=loop,
            )

    def _authenticated(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        good = (
            isinstance(data, LoginPassword)
            and hmac.compare_digest(data.login, USER.encode())
            and hmac.compare_digest(data.password, self.password.encode())
        )
        return AuthResult(success=good, handled=False)  # not handled: the server itself says 535


def _with_password(section: Json) -> None:
    section.setdefault("password", secrets.token_urlsafe(24))


def _shown(message: Json) -> Json:
    parsed = email.message_from_bytes(message["raw"].encode("utf-8", "surrogateescape"), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return {
        **{name: message[name] for name in ("id", "received_at", "from", "to")},
        "subject": str(parsed["subject"] or ""),
        "headers": [[name, str(value)] for name, value in parsed.items()],
        "text": _body(parsed, "plain"),
        "html": _body(parsed, "html"),
    }


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""
