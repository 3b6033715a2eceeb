"""What clients send: Pydantic models. Strict, unknown fields are ignored, every fault is named by its field, as 400."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from declarations import PLANS, SCOPES, Access
from memories.fields import BLANK, NO_NUL, NOT_BLANK, Filled, Moment, Rule, Text, Whole, at_most, member_of, null_is
from memories.schemas import Request

NAME_MOST = 100
TOKEN_MOST = 100
EMAIL_MOST = 254
PROJECT_MOST = 1_000
CALLS_MOST = max(plan.calls_per_day for plan in PLANS.values())
KEY_DAYS_MOST = 3650
OVERLAP_HOURS_MOST = 168
DAYS_MOST = 90
SETTINGS_MOST = 50
SETTING_MOST = 500
WHOLE_MOST = 1 << 53
"""Larger whole numbers are other ones for half of the world's JSON parsers."""

_EMAIL_PART = rf'[^@<>()\[\],;:\\"\u0000-\u001f\u007f{BLANK}]+'
_EMAIL = rf"^[{BLANK}]*{_EMAIL_PART}@{_EMAIL_PART}\.{_EMAIL_PART}[{BLANK}]*$"
_SCOPES = tuple(scope.value for scope in SCOPES)
_DEFAULT_SCOPES = (Access.READ.value, Access.WRITE.value)
_SETTING = r"^[a-z][a-z0-9_.]{0,49}$"


def _email(text: str) -> str:
    if not re.fullmatch(_EMAIL, text):
        raise ValueError("must be an e-mail address, such as ada@example.com")
    return text.strip()


def _scopes(names: list[str]) -> list[str]:
    if not names or not set(names) <= set(_SCOPES):
        raise ValueError(f"must be some of {', '.join(_SCOPES)}")
    return [name for name in _SCOPES if name in names]


def _project(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank: leave it out for a key that sees all of its workspace")
    return text


def _setting(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # for JSON, 20.0 is a whole number too
    if isinstance(value, str):
        good = len(value) <= SETTING_MOST and "\0" not in value
    else:
        good = value is None or (isinstance(value, int) and abs(value) <= WHOLE_MOST)  # a flag is a whole number
    if not good:
        raise ValueError(f"must be text of at most {SETTING_MOST} characters, a whole number, true, false or null")
    return value


_SETTING_WORDS = {
    "type": ["string", "integer", "boolean", "null"],
    "pattern": NO_NUL,
    "maxLength": SETTING_MOST,
    "minimum": -WHOLE_MOST,
    "maximum": WHOLE_MOST,
}


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    if not all(re.fullmatch(_SETTING, name) for name in settings):
        raise ValueError("must have names of 1 to 50 of the characters a-z 0-9 _ . that begin with a letter")
    return settings


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class InvitedRole(StrEnum):
    ADMIN = "admin"
    MEMBER = "member"


Name = Annotated[Text, at_most(NAME_MOST), AfterValidator(str.strip), Filled]
Project = Annotated[
    Text,
    at_most(PROJECT_MOST),
    Rule(AfterValidator(_project), lambda schema: {**schema, "pattern": NOT_BLANK}),
]
"""As memories have it in `context.project_path`, letter for letter: not stripped."""
Token = Annotated[Text, at_most(TOKEN_MOST), AfterValidator(str.strip), Filled]
Email = Annotated[str, at_most(EMAIL_MOST), Rule(AfterValidator(_email), lambda schema: {**schema, "pattern": _EMAIL})]
Scopes = Annotated[
    list[str],
    Rule(
        AfterValidator(_scopes),
        lambda schema: {**schema, "items": {"type": "string", "enum": list(_SCOPES)}, "minItems": 1},
    ),
]
Setting = Annotated[Any, Rule(AfterValidator(_setting), lambda _any: dict(_SETTING_WORDS))]
NamedSettings = Annotated[
    dict[str, Setting],
    Field(max_length=SETTINGS_MOST),
    Rule(AfterValidator(_settings), lambda schema: {**schema, "propertyNames": {"pattern": _SETTING}}),
]


class KeyCreate(Request):
    """POST /api-keys. By default it reads and writes all memories of its workspace, and does not end."""

    name: Name
    scopes: Annotated[Scopes, null_is(list(_DEFAULT_SCOPES))] = Field(default_factory=lambda: list(_DEFAULT_SCOPES))
    expires_at: Moment | None = None
    expires_in_days: Annotated[Whole, Field(ge=1, le=KEY_DAYS_MOST)] | None = None
    project: Project | None = None
    calls_per_day: Annotated[Whole, Field(ge=1, le=CALLS_MOST)] | None = None


class KeyRename(Request):
    """PATCH /api-keys/{id}."""

    name: Name


class KeyRotate(Request):
    """POST /api-keys/{id}/rotate. 0: the old key ends at once."""

    overlap_hours: Annotated[Whole, Field(ge=0, le=OVERLAP_HOURS_MOST), null_is(24)] = 24


class AccountUpdate(Request):
    """PATCH /account. What is absent stays; a setting that is null goes."""

    name: Name | None = None
    settings: NamedSettings | None = None


class ErasureConfirm(Request):
    """POST /account/erasure/confirm."""

    token: Token


class WorkspaceName(Request):
    """POST /workspaces, PATCH /workspaces/{id}."""

    name: Name


class MemberChange(Request):
    """PATCH /workspaces/{id}/members/{account}. `owner` hands the workspace over."""

    role: Annotated[Role, member_of(Role)]


class InvitationCreate(Request):
    """POST /workspaces/{id}/invitations."""

    email: Email
    role: Annotated[InvitedRole, member_of(InvitedRole), null_is(InvitedRole.MEMBER)] = InvitedRole.MEMBER


class InvitationAccept(Request):
    """POST /invitations/accept."""

    token: Token


class UsageRequest(Request):
    """GET /usage."""

    days: Annotated[Whole, Field(ge=1, le=DAYS_MOST), null_is(30)] = 30
