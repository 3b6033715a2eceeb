"""The fields of requests: what each takes, the words for what it does not take, and what its JSON schema says.

Client contract 7.1 gives the limits. A `ValueError` here becomes the message beside the field's name in a 400. Lengths
and counts are taken as sent, before anything is stripped or folded: so the reference does, and so a schema can say it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from memories.context import coerce_context
from memories.model import (
    FOLDED_LIMIT_BYTES,
    ID_LIMIT,
    RESERVED_IDS,
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
DEPTH_MOST = 10
"""The deepest that a client asks for (client contract, section 5: find_memory_path)."""

BLANK = r"\t-\r\u001c- \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `str.strip` strips, inside a character class: regular expressions differ in what they call white space."""
NO_NUL = r"^[^\u0000]*$"
NOT_BLANK = rf"^[^\u0000]*[^\u0000{BLANK}][^\u0000]*$"
ID = rf"^(?!\.+$)(?!(?:{'|'.join(sorted(RESERVED_IDS))})$)[A-Za-z0-9_.-]{{1,{ID_LIMIT}}}$"
_DAY = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
LOCAL_MOMENT = rf"^(?!0000){_DAY}(?:[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?)?$"
"""A date, or a date and time without an offset. (Of `\\d`, too, regular expressions have different ideas.)"""

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A validator, and how it changes the JSON schema of what it validates."""

    validator: AfterValidator | BeforeValidator
    words: Callable[[Schema], Schema]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.validator.__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return self.words(handler(core))


def _adds(**words: Any) -> Callable[[Schema], Schema]:
    return lambda schema: {**schema, **words}


def _or(schema: Schema, other: Schema) -> Schema:
    return {"anyOf": [*(schema["anyOf"] if set(schema) == {"anyOf"} else [schema]), other]}


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


def at_most(limit: int) -> Rule:
    def check(text: str | None) -> str | None:
        if text is not None and len(text) > limit:
            raise ValueError(f"must be at most {limit} characters; it has {len(text)}")
        return text

    return Rule(AfterValidator(check), _adds(maxLength=limit))


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"must be 1 to {ID_LIMIT} of the characters A-Z a-z 0-9 _ . - (and no name of a route)")
    return text


def _tags(tags: list[str]) -> tuple[str, ...]:
    if len(tags) > TAGS_LIMIT:
        raise ValueError(f"must be at most {TAGS_LIMIT} tags; there are {len(tags)}")
    if any(len(tag) > TAG_LIMIT for tag in tags):
        raise ValueError(f"must be tags of at most {TAG_LIMIT} characters each")
    return normal_tags(tags)


def _tag_words(schema: Schema) -> Schema:
    return {**schema, "items": {**schema["items"], "maxLength": TAG_LIMIT}, "maxItems": TAGS_LIMIT}


def member_of(kind: type[StrEnum]) -> Rule:
    """Names in any case."""
    names = {member.value.lower(): member for member in kind}

    def check(value: object) -> object:
        if isinstance(value, str) and value.isascii() and (member := names.get(value.lower())):
            return member
        raise ValueError(f"must be one of {', '.join(kind)}")

    return Rule(
        BeforeValidator(check), lambda schema: _or(schema, {"type": "string", "pattern": f"^{any_case(kind)}$"})
    )


def any_case(kind: type[StrEnum]) -> str:
    """A regular expression of the names of `kind`. (JSON schemas know no flag for it.)"""
    letters = ("".join(f"[{c}{c.lower()}]" if c.isalpha() else c for c in one.value.upper()) for one in kind)
    return f"(?:{'|'.join(letters)})"


def null_is(default: object) -> Rule:
    """Null stands for the default."""
    return Rule(
        BeforeValidator(lambda value: default if value is None else value), lambda schema: _or(schema, {"type": "null"})
    )


def _whole(value: object) -> object:
    # For JSON, 20.0 is a whole number too.
    return int(value) if isinstance(value, float) and value.is_integer() else value


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII | re.IGNORECASE)


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def _moment(value: object) -> object:
    """A time of RFC 3339, in UTC if it does not say; or a date, which is its midnight."""
    moment = None
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        with suppress(ValueError):
            moment = datetime.fromisoformat(value.upper())
    if moment is None:
        raise ValueError("must be a time in ISO 8601, such as 2025-01-31T09:15:27Z")
    if not moment.tzinfo:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first or the last hours of all years
        return _FIRST if moment.year == 1 else _LAST


def _moments(schema: Schema) -> Schema:
    return _or(schema, {"type": "string", "pattern": LOCAL_MOMENT})


_UNESCAPED_PLUS = re.compile(r"(T.*) (?=\d\d:\d\d$)")
_WITH_SPACE = rf"^(?=.*T){LOCAL_MOMENT.strip('^$')} (?:[01][0-9]|2[0-3]):[0-5][0-9]$"


def _with_plus(value: object) -> object:
    """In a query an unescaped `+` means a space, and clients paste times as they got them."""
    return _UNESCAPED_PLUS.sub(r"\1+", value) if isinstance(value, str) else value


def _spaced(schema: Schema) -> Schema:
    return {"anyOf": [*schema["anyOf"], {"type": "string", "pattern": _WITH_SPACE}]}


Text = Annotated[str, Rule(AfterValidator(_no_nul), _adds(pattern=NO_NUL))]
Filled = Rule(AfterValidator(_not_blank), _adds(pattern=NOT_BLANK))
Title = Annotated[Text, at_most(TITLE_LIMIT), AfterValidator(str.strip), Filled]
Content = Annotated[Text, AfterValidator(str.strip), Filled, AfterValidator(_storable)]
Summary = Annotated[Text, at_most(SUMMARY_LIMIT), AfterValidator(lambda text: text.strip() or None)]
Id = Annotated[str, Rule(AfterValidator(_id), _adds(pattern=ID))]
Few = Field(max_length=LIST_MOST)
Tags = Annotated[list[Text], Few, Rule(AfterValidator(_tags), _tag_words)]
Unit = Annotated[float, Field(ge=0, le=1)]
TypeOfMemory = Annotated[MemoryType, member_of(MemoryType)]
TypeOfRelationship = Annotated[RelationshipType, member_of(RelationshipType)]
Moment = Annotated[datetime, Rule(BeforeValidator(_moment), _moments)]
QueryMoment = Annotated[Moment, Rule(BeforeValidator(_with_plus), _spaced)]
Context = Annotated[dict[str, Any], AfterValidator(coerce_context)]
Whole = Annotated[int, BeforeValidator(_whole)]
Limit = Annotated[Whole, Field(ge=1, le=LIMIT_MOST)]
Offset = Annotated[Whole, Field(ge=0, le=OFFSET_MOST)]
Depth = Annotated[Whole, Field(ge=1, le=DEPTH_MOST)]
