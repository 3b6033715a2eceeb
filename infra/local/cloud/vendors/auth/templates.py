"""The texts of mails: `{{ .Name }}` is filled in, as Go's templates do with Supabase's variables.

Left out: Go's other actions (`if`, `range`, functions). A template that has one is refused when it is set.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

NAMES = frozenset(["ConfirmationURL", "Token", "TokenHash", "SiteURL", "RedirectTo", "Email", "NewEmail", "Data"])
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_VARIABLE = re.compile(r"\.(\w+)((?:\.\w+)*)")


@dataclass(frozen=True)
class Template:
    """What one kind of mail says."""

    subject: str
    content: str


def _link(text: str) -> str:
    return f'<p>{text}</p><p><a href="{{{{ .ConfirmationURL }}}}">{{{{ .ConfirmationURL }}}}</a></p>'


DEFAULTS = {
    "confirmation": Template("Confirm your e-mail address", _link("Open this link to confirm your e-mail address:")),
    "recovery": Template("Set a new password", _link("Open this link to set a new password:")),
    "email_change": Template(
        "Confirm the change of your e-mail address",
        _link("Open this link to change your e-mail address from {{ .Email }} to {{ .NewEmail }}:"),
    ),
    "magic_link": Template("Your link to sign in", _link("Open this link to sign in:")),
    "invite": Template("You are invited", _link("Open this link to accept the invitation:")),
    "reauthentication": Template("Your code", "<p>Your code is {{ .Token }}.</p>"),
}


def fault(name: str, text: str) -> str | None:
    """What cannot be filled in, or None."""
    for action in _ACTION.findall(text):
        variable = _VARIABLE.fullmatch(action)
        if variable is None:
            return f"{name}: the local cloud fills in variables only, not {{{{ {action} }}}}"
        if variable[1] not in NAMES:
            return f"{name}: there is no variable .{variable[1]}; there are {', '.join(sorted(NAMES))}"
    return None


def fill(text: str, values: Mapping[str, object]) -> str:
    """The text with every variable replaced, safe in HTML; what has no value becomes empty."""

    def value(match: re.Match[str]) -> str:
        variable = _VARIABLE.fullmatch(match[1])
        assert variable is not None  # checked when it was set
        found: object = values.get(variable[1], "")
        for part in filter(None, variable[2].split(".")):
            found = found.get(part, "") if isinstance(found, Mapping) else ""
        return html.escape(str(found))

    return _ACTION.sub(value, text)
