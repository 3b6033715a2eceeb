"""The fields of requests: what each takes, and the words for what it does not take.

Client contract 7.1 gives the limits. A `ValueError` here becomes the message beside the field's name in a 400.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from memories.context import coerce_context
from memories.model import (
    FOLDED_LIMIT_BYTES,
    ID_LIMIT,
    SUMMARY_LIMIT,
    TAG_LIMIT,
    TAGS_LIMIT,
    TITLE_LIMIT,
    MemoryType,
    is_id,
)
from memories.relationship_types import RelationshipType
from memories.text import fold, normal_tags

LIST_MOST = 100
"""Items of a list, before repeated and empty ones are dropped: each wrong one is named in the answer."""
LIMIT_MOST = 1000
OFFSET_MOST = 1 << 31


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _not_blank(text: str) -> str:
    if not text:
        raise ValueError("must not be blank")
    return text


def _storable(text: str) -> str:
    # No character grows more than 11-fold.
    if not text.isascii() and len(text) > FOLDED_LIMIT_BYTES // 40 and len(fold(text).encode()) > FOLDED_LIMIT_BYTES:
        raise ValueError("must be shorter: written out for searching, its characters take too much room")
    return text


def at_most(limit: int) -> AfterValidator:
    def check(text: str | None) -> str | None:
        if text is not None and len(text) > limit:
            raise ValueError(f"must be at most {limit} characters; it has {len(text)}")
        return text

    return AfterValidator(check)


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"must be 1 to {ID_LIMIT} of the characters A-Z a-z 0-9 _ . - (and no name of a route)")
    return text


def _tags(tags: list[str]) -> tuple[str, ...]:
    normal = normal_tags(tags)
    if len(normal) > TAGS_LIMIT:
        raise ValueError(f"must be at most {TAGS_LIMIT} tags; there are {len(normal)}")
    if any(len(tag) > TAG_LIMIT for tag in normal):
        raise ValueError(f"must be tags of at most {TAG_LIMIT} characters each")
    return normal


def member_of(kind: type[StrEnum]) -> BeforeValidator:
    names = {member.value.lower(): member for member in kind}

    def check(value: object) -> object:
        if isinstance(value, str) and (member := names.get(value.strip().lower())):
            return member
        raise ValueError(f"must be one of {', '.join(kind)}")

    return BeforeValidator(check)


def null_is(default: object) -> BeforeValidator:
    """Null stands for the default."""
    return BeforeValidator(lambda value: default if value is None else value)


def _moment(value: object) -> object:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("must be a time in ISO 8601")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Text = Annotated[str, AfterValidator(_no_nul)]
Stripped = Annotated[Text, AfterValidator(str.strip)]
Title = Annotated[Stripped, AfterValidator(_not_blank), at_most(TITLE_LIMIT)]
Content = Annotated[Stripped, AfterValidator(_not_blank), AfterValidator(_storable)]
Summary = Annotated[Stripped, AfterValidator(lambda text: text or None), at_most(SUMMARY_LIMIT)]
Id = Annotated[str, AfterValidator(_id)]
Few = Field(max_length=LIST_MOST)
Tags = Annotated[list[Text], Few, AfterValidator(_tags)]
Unit = Annotated[float, Field(ge=0, le=1)]
TypeOfMemory = Annotated[MemoryType, member_of(MemoryType)]
TypeOfRelationship = Annotated[RelationshipType, member_of(RelationshipType)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Context = Annotated[dict[str, Any], AfterValidator(coerce_context)]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MOST)]
Offset = Annotated[int, Field(ge=0, le=OFFSET_MOST)]
