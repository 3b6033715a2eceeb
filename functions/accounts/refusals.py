"""What the control plane refuses, in words: the SQLSTATEs that 0009_people.sql raises, and their problems."""

from __future__ import annotations

from core.problems import Conflict, Forbidden, Invalid, NotFound, Problem, TooManyRequests, Unauthorized, Unavailable
from declarations import KEYS_MOST, TEAM

NO_STORE = "MGSTO"
MAILS = "MGMAI"
WORKSPACES = "MGWSD"
TOO_BIG = "MGBIG"
RETRY_SECONDS = 5
DAY_RETRY_SECONDS = 3600

_PLAN = TEAM.name.capitalize()
_NO_LINK = "This link is not valid any more. Ask for the erasure again, and use the newest mail."

_REFUSALS: dict[str, tuple[type[Problem], str]] = {
    "MGNOA": (Unauthorized, "This account is closed."),
    "MGNOW": (NotFound, "There is no workspace of that id that this credential may use."),
    "MGROL": (Forbidden, "Your role in this workspace does not allow that. Ask its owner, or an admin."),
    "MGNOK": (NotFound, "There is no API key of that id in this workspace that you may see."),
    "MGOTH": (
        Forbidden,
        "Only its owner may rotate a key, because the new one acts in their name. Revoke it, or ask them to rotate it.",
    ),
    "MGMOR": (
        Forbidden,
        "A key cannot make one that may more than itself (scopes, project, end), and none when it has a limit of calls "
        "of its own. Use a key that may as much, or sign in.",
    ),
    "MGKEY": (
        Conflict,
        f"This workspace has {KEYS_MOST} API keys, which is the most that it may have. Revoke one that is not used.",
    ),
    "MGDEA": (
        Conflict,
        "This key was rotated before, or has ended. Rotate the key that took its place, or make a new one.",
    ),
    "MGTEA": (
        Forbidden,
        f"Workspaces with several people need the {_PLAN} plan. Upgrade on the billing page of your dashboard.",
    ),
    "MGDUE": (
        Conflict,
        "A payment for this workspace is due, so nobody new can join. Its owner can pay it on the billing page; then "
        "invite again.",
    ),
    "MGWSM": (Conflict, "You own as many workspaces as one person may. Delete one that is not used."),
    "MGPER": (
        Conflict,
        "A personal workspace belongs to its account: it cannot be handed over, and is deleted with the account.",
    ),
    "MGOWN": (
        Conflict,
        "A workspace always has an owner. The owner must hand it over first, by giving another member the role owner.",
    ),
    "MGNOM": (NotFound, "There is no such member in this workspace."),
    "MGMEM": (Conflict, "Somebody with that address is a member of this workspace already."),
    "MGINV": (Conflict, "Too many invitations to this workspace are open. Withdraw some, or wait until they are used."),
    "MGNOI": (NotFound, "This invitation is not known. It may have been withdrawn: ask for a new one."),
    "MGADR": (
        Forbidden,
        "This invitation is for another e-mail address. Sign in with that one, or ask for a new invitation.",
    ),
    "MGUSD": (Conflict, "This invitation was used before. Ask for a new one."),
    "MGEXP": (Conflict, "This invitation has expired. Ask for a new one."),
    "MGHAN": (
        Conflict,
        "Others work in a workspace that you own. Hand it over to one of them, delete it, or remove them first; then "
        "ask again.",
    ),
    "MGNOE": (
        Conflict,
        "No e-mail address is known for this account, so its erasure cannot be confirmed. Sign in on the site once.",
    ),
    "MGTOK": (NotFound, _NO_LINK),
}


def refusal(sqlstate: str | None) -> Problem | None:
    """The problem that a caller gets; None when the control plane raised something else."""
    if sqlstate == NO_STORE:
        return Unavailable(
            "Your workspace is still being set up, so no key was made. Try again in a few seconds.",
            part="provisioning",
            retry_after_seconds=RETRY_SECONDS,
        )
    if sqlstate == MAILS:
        return TooManyRequests(
            "So many mails of this kind went out in the last 24 hours that no more are sent. Try again tomorrow.",
            retry_after_seconds=DAY_RETRY_SECONDS,
        )
    if sqlstate == WORKSPACES:
        return TooManyRequests(
            "You made so many workspaces in the last 24 hours that no more are made. Try again tomorrow.",
            retry_after_seconds=DAY_RETRY_SECONDS,
        )
    if sqlstate == TOO_BIG:
        return Invalid.naming({"settings": "may take 4 KiB together. Remove some by sending them as null"})
    kind, detail = _REFUSALS.get(sqlstate or "", (None, ""))
    return kind(detail) if kind else None


def no_link() -> NotFound:
    """The token of an erasure is none of ours."""
    return NotFound(_NO_LINK)


def only_person() -> Forbidden:
    """An API key asks for what only a signed-in person may do."""
    return Forbidden("An API key cannot do this. Sign in on the site.")


def gone() -> Unauthorized:
    """The workspace or the account was closed, or left, since the caller was admitted."""
    return Unauthorized("This credential is not good any more: its account or workspace was closed, or left.")
