"""The mails that a user asks for: confirmation, recovery, change of address. Each makes a one-time token.

The token is stored before its mail goes, so that nobody can be faster than it; a mail that is not taken takes it back.
"""

from __future__ import annotations

import json

from infra.local.cloud.vendors.auth import users
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.mails import Code, Letter, new_code
from infra.local.cloud.vendors.auth.project import Project


async def send_confirmation(project: Project, user: Row, redirect: str, *, pkce: bool) -> Row:
    settings = project.settings
    project.mailer.check_frequency(user["confirmation_sent_at"], settings)
    code = new_code(user["email"], settings, pkce=pkce)
    letter = Letter(
        kind="confirmation",
        action="signup",
        to=user["email"],
        code=code,
        redirect=redirect,
        email=user["email"],
        data=json.loads(user["user_metadata"]),
    )
    return await _send(project, user, {users.CONFIRMATION: code}, [letter], "confirmation_sent_at")


async def send_recovery(project: Project, user: Row, redirect: str, *, pkce: bool) -> Row:
    settings = project.settings
    project.mailer.check_frequency(user["recovery_sent_at"], settings)
    code = new_code(user["email"], settings, pkce=pkce)
    letter = Letter(
        kind="recovery",
        action="recovery",
        to=user["email"],
        code=code,
        redirect=redirect,
        email=user["email"],
        data=json.loads(user["user_metadata"]),
        what="recovery",
    )
    return await _send(project, user, {users.RECOVERY: code}, [letter], "recovery_sent_at")


async def send_change(project: Project, user: Row, new: str, redirect: str, *, pkce: bool) -> Row:
    """To the new address, and to the old one too where `mailer_secure_email_change_enabled`."""
    settings = project.settings
    project.mailer.check_frequency(user["email_change_sent_at"], settings)
    codes = {users.CHANGE_NEW: (new, new_code(new, settings, pkce=pkce))}
    if settings["mailer_secure_email_change_enabled"] and user["email"]:
        codes[users.CHANGE_CURRENT] = (user["email"], new_code(user["email"], settings, pkce=pkce))
    letters = [
        Letter(
            kind="email_change",
            action="email_change",
            to=to,
            code=code,
            redirect=redirect,
            email=user["email"] or "",
            new_email=new,
            data=json.loads(user["user_metadata"]),
            what="email change",
        )
        for to, code in codes.values()
    ]
    before = {"email_change": user["email_change"], "email_change_confirmed": user["email_change_confirmed"]}
    project.users.drop_token(user, users.CHANGE_CURRENT)
    user = project.users.set(user, email_change=new, email_change_confirmed=0)
    try:
        return await _send(
            project, user, {kind: code for kind, (_, code) in codes.items()}, letters, "email_change_sent_at"
        )
    except BaseException:
        project.users.set(user, **before)
        raise


async def _send(project: Project, user: Row, codes: dict[str, Code], letters: list[Letter], sent: str) -> Row:
    before, sent_before = project.users.tokens(user), user[sent]
    for kind, code in codes.items():
        project.users.set_token(user, kind, code.hash)
    user = project.users.set(user, **{sent: project.users.clock()})
    try:
        for letter in letters:
            await project.mailer.send(letter, project.settings)
    except BaseException:
        for kind in codes:
            project.users.drop_token(user, kind)
            if kind in before:
                project.database.insert("one_time_tokens", before[kind])
        project.users.set(user, **{sent: sent_before})
        raise
    return project.users.reload(user)
