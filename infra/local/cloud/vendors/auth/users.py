"""Users, their identities and one-time tokens, as rows; and a user as clients see one."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth.database import Database, Row

EMAIL = "email"
CONFIRMATION, RECOVERY = "confirmation", "recovery"
CHANGE_CURRENT, CHANGE_NEW = "email_change_current", "email_change_new"
PAGE_MOST = 1000
TIMES = (
    "email_confirmed_at",
    "confirmation_sent_at",
    "recovery_sent_at",
    "email_change_sent_at",
    "last_sign_in_at",
    "banned_until",
)
"""Columns of a user that clients see when they are set."""


class Users:
    """All users of one project. `clock` gives unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock

    def by_id(self, id_: str) -> Row | None:
        return self.database.one("select * from users where id = ?", id_)

    def by_email(self, email: str) -> Row | None:
        return self.database.one("select * from users where email = ?", email)

    def reload(self, user: Row) -> Row:
        """The user as it is now; one that was deleted meanwhile is as it was."""
        return self.by_id(user["id"]) or user

    def page(self, page: int, size: int) -> tuple[list[Row], int]:
        """Users, the newest first, and how many there are."""
        rows = self.database.all(
            "select * from users order by created_at desc, id limit ? offset ?", size, (page - 1) * size
        )
        count = self.database.one("select count(*) as n from users")
        assert count is not None
        return rows, int(count["n"])

    def add(self, email: str | None, password: str | None, provider: str, metadata: Json, *, id_: str = "") -> Row:
        now = self.clock()
        user = {
            "id": id_ or str(uuid.uuid4()),
            "email": email,
            "password": password,
            "app_metadata": json.dumps({"provider": provider, "providers": [provider]}),
            "user_metadata": json.dumps(metadata),
            "created_at": now,
            "updated_at": now,
        }
        self.database.insert("users", user)
        return self.reload(user)

    def set(self, user: Row, **values: object) -> Row:
        """Change columns; gives the user as it is then."""
        self.database.update("users", user["id"], **values, updated_at=self.clock())
        return self.reload(user)

    def merge(self, user: Row, column: str, more: Json) -> Row:
        """Merge into `user_metadata` or `app_metadata`; null takes a key out."""
        merged = {**json.loads(user[column]), **more}
        return self.set(user, **{column: json.dumps({k: v for k, v in merged.items() if v is not None})})

    def delete(self, user: Row) -> None:
        self.database.run("delete from users where id = ?", user["id"])

    def confirm(self, user: Row) -> Row:
        """The address is the user's."""
        self.clear_tokens(user)
        user = self.merge(user, "user_metadata", {"email_verified": True})
        for identity in self.identities(user):
            data = json.loads(identity["data"])
            if data.get("email") == user["email"]:
                self.set_identity(user, identity["provider"], {**data, "email_verified": True})
        return self.set(user, email_confirmed_at=user["email_confirmed_at"] or self.clock())

    # Identities

    def identities(self, user: Row) -> list[Row]:
        return self.database.all("select * from identities where user_id = ? order by created_at", user["id"])

    def identity(self, provider: str, provider_id: str) -> Row | None:
        return self.database.one(
            "select * from identities where provider = ? and provider_id = ?", provider, provider_id
        )

    def set_identity(self, user: Row, provider: str, data: Json) -> Row:
        """Add or replace the identity that `data["sub"]` names; gives the user with all providers noted."""
        now, known = self.clock(), self.identity(provider, data["sub"])
        if known is None:
            self.database.insert(
                "identities",
                {
                    "id": str(uuid.uuid4()),
                    "user_id": user["id"],
                    "provider": provider,
                    "provider_id": data["sub"],
                    "data": json.dumps(data),
                    "last_sign_in_at": now,
                    "created_at": now,
                    "updated_at": now,
                },
            )
        else:
            self.database.update("identities", known["id"], data=json.dumps(data), updated_at=now)
        return self.note_providers(user)

    def email_identity(self, user: Row, *, verified: bool = False, more: Json | None = None) -> Row:
        """Let the user sign in with e-mail and password."""
        data = {
            **(more or {}),
            "sub": user["id"],
            "email": user["email"],
            "email_verified": verified,
            "phone_verified": False,
        }
        return self.set_identity(user, EMAIL, data)

    def drop_other_identities(self, user: Row, provider: str) -> Row:
        """Take away what was never confirmed when a provider vouches for the address: a stranger may have set it."""
        self.database.run("delete from identities where user_id = ? and provider != ?", user["id"], provider)
        return self.note_providers(self.set(user, password=None))

    def note_providers(self, user: Row) -> Row:
        names = list(dict.fromkeys(identity["provider"] for identity in self.identities(user)))
        return self.merge(user, "app_metadata", {"provider": names[0], "providers": names}) if names else user

    # One-time tokens

    def set_token(self, user: Row, kind: str, hash_: str) -> None:
        self.drop_token(user, kind)
        token = {"user_id": user["id"], "kind": kind, "hash": hash_, "sent_at": self.clock()}
        self.database.insert("one_time_tokens", token)

    def token(self, kinds: Iterable[str], hash_: str) -> Row | None:
        """The token with this hash, if it is of one of these kinds."""
        for kind in kinds:
            found = self.database.one("select * from one_time_tokens where kind = ? and hash = ?", kind, hash_)
            if found is not None:
                return found
        return None

    def tokens(self, user: Row) -> dict[str, Row]:
        """The user's tokens by kind."""
        rows = self.database.all("select * from one_time_tokens where user_id = ?", user["id"])
        return {row["kind"]: row for row in rows}

    def drop_token(self, user: Row, kind: str) -> None:
        self.database.run("delete from one_time_tokens where user_id = ? and kind = ?", user["id"], kind)

    def clear_tokens(self, user: Row) -> None:
        self.database.run("delete from one_time_tokens where user_id = ?", user["id"])

    # As clients see one

    def shown(self, user: Row) -> Json:
        found: Json = {
            "id": user["id"],
            "aud": "authenticated",
            "role": user["role"],
            "email": user["email"] or "",
            "phone": "",
            **{name: moment(user[name]) for name in TIMES if user[name] is not None},
            "app_metadata": json.loads(user["app_metadata"]),
            "user_metadata": json.loads(user["user_metadata"]),
            "identities": [_shown_identity(identity) for identity in self.identities(user)],
            "created_at": moment(user["created_at"]),
            "updated_at": moment(user["updated_at"]),
            "is_anonymous": False,
        }
        if user["email_confirmed_at"] is not None:
            found["confirmed_at"] = found["email_confirmed_at"]
        if user["email_change"]:
            found["new_email"] = user["email_change"]
        return found

    def is_banned(self, user: Row) -> bool:
        return user["banned_until"] is not None and user["banned_until"] > self.clock()


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _shown_identity(identity: Row) -> Json:
    data = json.loads(identity["data"])
    return {
        "identity_id": identity["id"],
        "id": identity["provider_id"],
        "user_id": identity["user_id"],
        "identity_data": data,
        "provider": identity["provider"],
        **{name: moment(identity[name]) for name in ("last_sign_in_at", "created_at", "updated_at")},
        "email": data.get("email", ""),
    }
