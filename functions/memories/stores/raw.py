"""Rows as a move carries them: which columns they have, what follows from them, and how they are summed up.

The same in both stores. Only the answers to idempotency keys are kept in two forms; here they have that of PostgreSQL:
an object for one thing, a list of objects for many.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from core.ports import SqlValue
from memories.stores.ports_move import Kind, Raw
from memories.stores.rows import MEMORY_COLUMNS, RELATIONSHIP_COLUMNS, changed_values, context_values

_CREATED = ("created_by_key", "created_by_account", "created_by_agent")
_UPDATED = ("updated_by_key", "updated_by_account", "updated_by_agent")

COLUMNS: Mapping[Kind, Sequence[str]] = {
    Kind.MEMORY: (*MEMORY_COLUMNS, *_CREATED, *_UPDATED),
    Kind.VERSION: (*MEMORY_COLUMNS, *_UPDATED),
    Kind.RELATIONSHIP: (*RELATIONSHIP_COLUMNS, "reinforced_as", *_CREATED, *_UPDATED),
    Kind.KEY: ("key", "fingerprint", "at", "answer"),
    Kind.PART: ("import_id", "part", "fingerprint", "answer", "at"),
}
FLOATS = ("importance", "confidence", "strength")
SUMMED = (Kind.MEMORY, Kind.VERSION, Kind.RELATIONSHIP)

_WEIGHTS = {"memory": "importance", "relationship": "strength"}
_MANY = ("id", "version", "created_at", "updated_at")
_REFUSED = ("id", "refused")


def following(kind: Kind, row: Raw) -> dict[str, SqlValue]:
    """The columns that follow from others."""
    if kind is Kind.MEMORY:
        texts = {name: row[name] for name in ("title", "content", "summary")}
        context = None if row["context"] is None else orjson.loads(row["context"])
        values = changed_values({**texts, "tags": orjson.loads(row["tags"]), "context": context})
        return {name: value for name, value in values.items() if name not in row}
    if kind is Kind.RELATIONSHIP:
        return {"structure": context_values(row["context"])["structure"]}
    return {}


def summed(kind: Kind, row: Raw) -> int:
    """What a row adds to a checksum, modulo 2**64: half of the MD5 of its values, each with its length before it.

    memory.digest does the same (0015_store_moves.sql). It finds what went wrong, not who meant harm.
    """
    text = kind.value + "".join(_field(row[name], name) for name in COLUMNS[kind])
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8])


def _field(value: SqlValue, name: str) -> str:
    if value is None:
        return "-"
    text = struct.pack(">d", value).hex() if name in FLOATS else str(value)
    return f"{len(text.encode())}:{text}"


# Answers to idempotency keys, as SQLite keeps them (sqlite/base.py): lists without names, and two numbers beside.


def answer_from_list(text: str, weight: float | None, confidence: float | None) -> Any:
    listed = orjson.loads(text)
    if listed and isinstance(listed[0], list):
        return [dict(zip(_MANY if len(one) == len(_MANY) else _REFUSED, one, strict=True)) for one in listed]
    columns = MEMORY_COLUMNS if len(listed) == len(MEMORY_COLUMNS) else RELATIONSHIP_COLUMNS
    exact = {_weight(columns): weight, "confidence": confidence}
    return {name: exact.get(name, value) for name, value in zip(columns, listed, strict=True)}


def answer_to_list(answer: Any) -> tuple[str, float | None, float | None]:
    if isinstance(answer, list):
        many = [[one[name] for name in (_REFUSED if one.get("refused") else _MANY)] for one in answer]
        return orjson.dumps(many).decode(), None, None
    columns = RELATIONSHIP_COLUMNS if "from_id" in answer else MEMORY_COLUMNS
    weight = _weight(columns)
    listed = [None if name in (weight, "confidence") else answer[name] for name in columns]
    return orjson.dumps(listed).decode(), float(answer[weight]), float(answer["confidence"])


def _weight(columns: Sequence[str]) -> str:
    return _WEIGHTS["relationship" if columns is RELATIONSHIP_COLUMNS else "memory"]
