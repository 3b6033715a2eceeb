"""Job `send_mail {template, to, data}`. The operator's mails need not say to whom: that is known here."""

from __future__ import annotations

from provisioning import letters
from provisioning.jobs import GaveUp
from provisioning.letters import LetterRefused
from provisioning.mailer import MailRefused
from provisioning.outbox import Job
from provisioning.parts import Parts


async def send_mail(parts: Parts, job: Job) -> None:
    template, to, data = (job.payload.get(name) for name in ("template", "to", "data"))
    if to is None and template == "operator":
        to = parts.settings.operator_email
    if not isinstance(to, str) or not isinstance(data, dict):
        raise GaveUp("It says no recipient, or no data.")
    try:
        letter = letters.write(str(template), data, parts.settings.site_url)
        await parts.mailer.send(to, letter, job.id)
    except LetterRefused as error:
        raise GaveUp(f"The mail cannot be written: {error}.") from None
    except MailRefused as error:
        raise GaveUp(f"The mail cannot be sent: {error}.") from None
