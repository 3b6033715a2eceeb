"""What is said of an operation beyond its route: the type that operations/ is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from core.problems import Problem


class Tag(StrEnum):
    MEMORIES = "Memories"
    SEARCH = "Search"
    RELATIONSHIPS = "Relationships"
    TRANSFER = "Transfer"
    ACCOUNT = "Account"
    KEYS = "API keys"
    WORKSPACES = "Workspaces"
    USE = "Use"
    BILLING = "Billing"
    SERVICE = "Service"


TAGS = {
    Tag.MEMORIES: "Store, read, change and delete single memories.",
    Tag.SEARCH: "Find memories: by words, by what is recent, by what is near.",
    Tag.RELATIONSHIPS: "How memories hang together, now and in the past.",
    Tag.TRANSFER: "Many memories at once: batches, exports, imports.",
    Tag.ACCOUNT: "Who you are, all that is held of you, and its end.",
    Tag.KEYS: "What programs use to get at the memories of one workspace.",
    Tag.WORKSPACES: "Workspaces, who is in them, and who is invited. An API key sees its own workspace only.",
    Tag.USE: "How much a workspace has used, and how much it may.",
    Tag.BILLING: "What a workspace pays for. Only its owner, signed in, changes that.",
    Tag.SERVICE: "The service itself. No key is needed; one that is sent must be good.",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A good answer. `body`: a typed dictionary; None: nothing. `media`: of others than JSON, with what is in them."""

    text: str
    body: Any = None
    example: Any = None
    etag: bool = False
    media: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`takes`: the parameters of a GET, the body of anything else. `query`: parameters beside a body.

    `signed`: only by Stripe. `person`: only for somebody who is signed in. `grows`: the plan may have no room for it.
    """

    tag: Tag
    summary: str
    text: str = ""
    takes: type[BaseModel] | None = None
    example: Any = None
    body_may_be_empty: bool = False
    query: type[BaseModel] | None = None
    special_body: str | None = None  # the name of one in special.py
    problems: Mapping[type[Problem], str] = field(default_factory=dict)
    if_match: bool = False
    agent: bool = False
    signed: bool = False
    person: bool = False
    grows: bool = False
    answers: Mapping[int, Answer]
