"""Sessions and their tokens: issued at a sign-in, refreshed by rotation, ended at a sign-out.

A refresh token is used up by its first use. Used again, it gives the same successor while that one is unused (a client
may have lost the answer), gives a new one within the reuse interval, and later ends the session for everybody.
"""

from __future__ import annotations

import json
import secrets
import string
import uuid
from collections.abc import Callable

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError
from infra.local.cloud.vendors.auth.users import Users

TOKEN_LENGTH = 12
ALPHABET = string.ascii_lowercase + string.digits


class Sessions:
    """The sessions of one project. `sign` makes a token of claims."""

    def __init__(self, users: Users, issuer: str, sign: Callable[[Json], str]) -> None:
        self._users = users
        self._database = users.database
        self._issuer = issuer
        self._sign = sign

    def begin(self, user: Row, method: str, settings: Json) -> Json:
        """A new session: the answer with access token, refresh token and user."""
        now = self._users.clock()
        session: Row = {
            "id": str(uuid.uuid4()),
            "user_id": user["id"],
            "amr": json.dumps([{"method": method, "timestamp": int(now)}]),
            "created_at": now,
            "refreshed_at": now,
        }
        with self._database.change():
            self._database.insert("sessions", session)
            token = self._new_token(session, parent=None)
            user = self._users.set(user, last_sign_in_at=now)
        return self._answer(user, session, token, settings)

    def refresh(self, token: str, settings: Json) -> Json:
        """Trade a refresh token for new ones.

        Raises:
            AuthError: 400, in Supabase's words.
        """
        found = self._database.one("select * from refresh_tokens where token = ?", token)
        session = found and self.find(found["session_id"])
        user = session and self._users.by_id(session["user_id"])
        if found is None or session is None or user is None:
            raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        if self._users.is_banned(user):
            raise AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
        self._check_age(session, settings)
        return self._answer(user, session, self._rotate(found, session, settings), settings)

    def _rotate(self, found: Row, session: Row, settings: Json) -> str:
        now = self._users.clock()
        if found["revoked"]:
            active = self._database.one(
                "select * from refresh_tokens where session_id = ? and not revoked order by rowid desc limit 1",
                session["id"],
            )
            if active is not None and active["parent"] == found["token"]:
                return str(active["token"])
            if now > found["updated_at"] + settings["security_refresh_token_reuse_interval"]:
                if settings["refresh_token_rotation_enabled"]:
                    self._database.run(
                        "update refresh_tokens set revoked = 1, updated_at = ? where session_id = ? and not revoked",
                        now,
                        session["id"],
                    )
                raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
        with self._database.change():
            self._database.run(
                "update refresh_tokens set revoked = 1, updated_at = ? where token = ?", now, found["token"]
            )
            self._database.update("sessions", session["id"], refreshed_at=now)
            return self._new_token(session, parent=found["token"])

    def find(self, id_: str) -> Row | None:
        return self._database.one("select * from sessions where id = ?", id_)

    def end(self, user: Row, session: Row | None, scope: str) -> None:
        """Sign out: `local` this session, `others` all but this one, `global` all."""
        if session is not None and scope == "local":
            self._database.run("delete from sessions where id = ?", session["id"])
        elif session is not None and scope == "others":
            self._database.run("delete from sessions where user_id = ? and id != ?", user["id"], session["id"])
        else:
            self._database.run("delete from sessions where user_id = ?", user["id"])

    def _check_age(self, session: Row, settings: Json) -> None:
        """`sessions_timebox` and `sessions_inactivity_timeout` are hours; 0 is without end."""
        now = self._users.clock()
        for name, since in (("sessions_timebox", "created_at"), ("sessions_inactivity_timeout", "refreshed_at")):
            if settings[name] and now > session[since] + settings[name] * 3600:
                raise AuthError(400, "session_expired", "Invalid Refresh Token: Session Expired")

    def _new_token(self, session: Row, *, parent: str | None) -> str:
        token = "".join(secrets.choice(ALPHABET) for _ in range(TOKEN_LENGTH))
        row = {"token": token, "session_id": session["id"], "parent": parent, "updated_at": self._users.clock()}
        self._database.insert("refresh_tokens", row)
        return token

    def _answer(self, user: Row, session: Row, refresh_token: str, settings: Json) -> Json:
        now = int(self._users.clock())
        seconds = settings["jwt_exp"]
        shown = self._users.shown(user)
        claims = {
            "iss": self._issuer,
            "sub": user["id"],
            "aud": "authenticated",
            "exp": now + seconds,
            "iat": now,
            "email": user["email"] or "",
            "phone": "",
            "app_metadata": shown["app_metadata"],
            "user_metadata": shown["user_metadata"],
            "role": user["role"],
            "aal": "aal1",
            "amr": json.loads(session["amr"]),
            "session_id": session["id"],
            "is_anonymous": False,
        }
        return {
            "access_token": self._sign(claims),
            "token_type": "bearer",
            "expires_in": seconds,
            "expires_at": now + seconds,
            "refresh_token": refresh_token,
            "user": shown,
        }
