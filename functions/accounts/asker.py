"""Who asks, as the control plane's functions take it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from accounts.refusals import only_person
from core.ports import Principal
from core.problems import NotFound


@dataclass(frozen=True, slots=True)
class Asker:
    """`via`: the key's id; None: a person who is signed in. `workspace` is that of the key, or the one they chose."""

    account: str
    via: str | None
    workspace: str

    @classmethod
    def of(cls, caller: Principal) -> Asker:
        return cls(caller.account_id, caller.key_id or None, caller.workspace_id)

    @classmethod
    def person(cls, caller: Principal) -> Asker:
        """Raises: Forbidden: it is an API key."""
        if not caller.is_person:
            raise only_person()
        return cls.of(caller)


def known_id(text: str, what: str) -> str:
    """An id in a path. One that is none is simply unknown.

    Raises:
        NotFound
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f"There is no {what} of that id.") from None
