"""The mails that the local cloud's mail server holds: what a person would find in their inbox."""

from __future__ import annotations

from infra.local import control
from infra.local.places import Places

SHOWN = 10


def show(places: Places, to: str) -> None:
    """Print the newest mails, the newest last; `to` names one recipient. Raises Trouble when nothing runs."""
    found = control.messages(control.running(places), to)[:SHOWN]
    if not found:
        print(f"No mail to {to}." if to else "No mail yet.")
    for message in reversed(found):
        print(f"{message['received_at'][:19]}  to {', '.join(message['to'])}: {message['subject']}\n")
        print(f"{(message['text'] or message['html']).strip()}\n")
