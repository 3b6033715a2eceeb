"""Mail by SMTP: port 465 speaks TLS from the start, any other turns to it (STARTTLS), which only a server on this
machine need not offer.

    refused for good (5xx: no such recipient, not accepted)   -> MailRefused
    refused for now (4xx), unknown name or password           -> Unavailable
    no connection within 10 s, no answer within 10 s, 30 s in all -> Unavailable

A mail may arrive twice, when the process ends before it is written down that it was sent: its id is then the same.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, parseaddr

from core.problems import Unavailable
from core.rotation import SecretSource
from core.settings import Secret
from provisioning.letters import Letter

ANSWER_SECONDS = 10.0
SEND_SECONDS = 30.0
IMPLICIT_TLS_PORT = 465
THREADS = 4

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class MailRefused(Exception):
    """The server will never take this mail; the message names the reply's code only, which quotes no address."""


class Mailer:
    """Sends one mail after the other, each over a connection of its own, from a thread.

    Args:
        user: empty when the server asks for no name.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: SecretSource,
        sender: str,
        *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._sender = sender
        self._send_seconds = send_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="smtp")

    async def send(self, to: str, letter: Letter, mail_id: str) -> None:
        """Send `letter` to one address.

        Raises:
            MailRefused: the server refuses it for good, or `to` is no address.
            Unavailable: see the module.
        """
        message = self._message(to, letter, mail_id)
        sending = _Sending(self._host, self._port, self._user, await self._password.read())
        try:
            async with asyncio.timeout(self._send_seconds):
                await asyncio.get_running_loop().run_in_executor(self._threads, sending.run, message)
        except TimeoutError:
            sending.stop()
            raise _unavailable(f"no answer within {self._send_seconds:g} s") from None
        except smtplib.SMTPAuthenticationError as error:
            raise _unavailable(f"it does not take SMTP_USER and SMTP_PASSWORD ({error.smtp_code})") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(min(code for code, _ in error.recipients.values())) from None
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise _unavailable(type(error).__name__) from None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _message(self, to: str, letter: Letter, mail_id: str) -> EmailMessage:
        if "@" not in parseaddr(to)[1] or not to.isprintable():
            raise MailRefused("the recipient is no address")
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = to
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{mail_id}@{parseaddr(self._sender)[1].rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text)
        message.add_alternative(letter.html, subtype="html")
        return message


class _Sending:
    """One mail on its way. `stop` may be called from another thread: it takes the connection from under it."""

    def __init__(self, host: str, port: int, user: str, password: Secret) -> None:
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._client: smtplib.SMTP | None = None
        self._stopped = False

    def run(self, message: EmailMessage) -> None:
        context = ssl.create_default_context()
        client: smtplib.SMTP
        if self._port == IMPLICIT_TLS_PORT:
            client = smtplib.SMTP_SSL(timeout=ANSWER_SECONDS, context=context)
        else:
            client = smtplib.SMTP(timeout=ANSWER_SECONDS)
        client._host = self._host  # type: ignore[attr-defined]  # the name that the certificate is checked for
        self._client = client
        try:
            code, _ = client.connect(self._host, self._port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, "")
            client.ehlo_or_helo_if_needed()
            if self._port != IMPLICIT_TLS_PORT and (self._host not in _LOOPBACK or client.has_extn("starttls")):
                client.starttls(context=context)
            if self._user:
                client.login(self._user, self._password.reveal())
            if not self._stopped:
                client.send_message(message)
        finally:
            client.close()  # no QUIT: what was taken is taken, and a goodbye may hang

    def stop(self) -> None:
        self._stopped = True
        connection = self._client.sock if self._client is not None else None
        if connection is not None:
            with suppress(OSError):  # it ended by itself
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing would wait for it


def _refused(code: int) -> MailRefused | Unavailable:
    if 500 <= code < 600:
        return MailRefused(f"the mail server refuses it ({code})")
    return _unavailable(f"it says {code}")


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"The mail server takes no mail: {reason}.", part="smtp")
