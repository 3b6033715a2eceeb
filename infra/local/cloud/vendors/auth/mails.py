"""The mails of Auth: filled in and handed to the SMTP server of the settings.

Without an SMTP server Supabase itself sends, and only to the project's own team; here that is nobody, so such a mail is
refused in Supabase's words.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import smtplib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from hashlib import sha224
from urllib.parse import urlencode

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import templates
from infra.local.cloud.vendors.auth.errors import AuthError

TIMEOUT_SECONDS = 10.0
HOUR = 3600.0
PKCE_PREFIX = "pkce_"
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Code:
    """A one-time password and what is kept of it: its hash together with the address, as links carry it too."""

    code: str
    hash: str


def new_code(address: str, settings: Json, *, pkce: bool) -> Code:
    code = "".join(secrets.choice("0123456789") for _ in range(settings["mailer_otp_length"]))
    return Code(code=code, hash=(PKCE_PREFIX if pkce else "") + hash_of(address, code))


def hash_of(address: str, code: str) -> str:
    return sha224((address + code).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One mail to come. `action` is the type in its link; `what` names it in failures."""

    kind: str  # a name in templates.DEFAULTS
    action: str
    to: str
    code: Code
    redirect: str
    email: str
    new_email: str = ""
    data: Json | None = None
    what: str = "confirmation"


class Mailer:
    """Sends for one project, so many mails an hour."""

    def __init__(self, issuer: str, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._clock = clock
        self._sent: deque[float] = deque()

    def check_frequency(self, sent_at: float | None, settings: Json) -> None:
        """Refuse a mail to a user who got one a moment ago."""
        left = 0.0 if sent_at is None else sent_at + settings["smtp_max_frequency"] - self._clock()
        if left > 0:
            sentence = f"For security purposes, you can only request this after {int(left)} seconds."
            raise AuthError(429, "over_email_send_rate_limit", sentence)

    async def send(self, letter: Letter, settings: Json) -> None:
        """Hand the mail over.

        Raises:
            AuthError: 429 too many mails this hour; 400 no SMTP server is set; 500 the server did not take it.
        """
        if not settings["smtp_host"]:
            sentence = f'Email address "{letter.to}" cannot be used as it is not authorized'
            raise AuthError(400, "email_address_not_authorized", sentence)
        now = self._clock()
        while self._sent and self._sent[0] <= now - HOUR:
            self._sent.popleft()
        if len(self._sent) >= settings["rate_limit_email_sent"]:
            raise AuthError(429, "over_email_send_rate_limit", "email rate limit exceeded")
        self._sent.append(now)
        message = self._message(letter, settings)
        try:
            await asyncio.to_thread(_hand_over, message, settings)
        except (OSError, smtplib.SMTPException) as error:
            log.warning("a mail was not taken: %s", type(error).__name__)
            raise AuthError(500, "unexpected_failure", f"Error sending {letter.what} email") from None

    def _message(self, letter: Letter, settings: Json) -> EmailMessage:
        link = {"token": letter.code.hash, "type": letter.action, "redirect_to": letter.redirect}
        values = {
            "ConfirmationURL": f"{self._issuer}/verify?{urlencode(link)}",
            "Token": letter.code.code,
            "TokenHash": letter.code.hash,
            "SiteURL": settings["site_url"],
            "RedirectTo": letter.redirect,
            "Email": letter.email,
            "NewEmail": letter.new_email,
            "Data": letter.data or {},
        }
        message = EmailMessage()
        message["From"] = formataddr((settings["smtp_sender_name"], settings["smtp_admin_email"]))
        message["To"] = letter.to
        message["Subject"] = " ".join(templates.fill(settings[f"mailer_subjects_{letter.kind}"], values).split())
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="auth.localhost")
        message.set_content(templates.fill(settings[f"mailer_templates_{letter.kind}_content"], values), subtype="html")
        return message


def _hand_over(message: EmailMessage, settings: Json) -> None:
    port = int(settings["smtp_port"] or 587)
    with smtplib.SMTP(settings["smtp_host"], port, timeout=TIMEOUT_SECONDS) as server:
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls()
            server.ehlo()
        if settings["smtp_user"]:
            server.login(settings["smtp_user"], settings["smtp_pass"])
        server.send_message(message)
