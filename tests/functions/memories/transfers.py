"""What the tests of export and import share: two workspaces, things to send, dumps to compare."""

from __future__ import annotations

import json
from typing import Any

import orjson

from core.ports import Database, Statement
from tests.functions.asgi import Answer
from tests.functions.memories.wire import Wire

TABLES = ("memories", "relationships")

MEMORY = {
    "kind": "memory",
    "id": "m1",
    "type": "solution",
    "title": "Größe \U0001f600",
    "content": "C\n\ttwo",
    "summary": "S",
    "tags": ["b", "a"],
    "importance": 0.1,
    "confidence": 0.30000000000000004,
    "context": {"project_path": "/p", "session_id": "s", "n": 1, "deep": {"null": None}},
    "created_at": "2020-02-29T23:59:59.000001+00:00",
    "updated_at": "2021-01-01T00:00:00.999999+00:00",
    "version": 7,
}
EDGE = {
    "kind": "relationship",
    "id": "r1",
    "from_memory_id": "m1",
    "to_memory_id": "m2",
    "type": "SOLVES",
    "strength": 0.7,
    "confidence": 1.0,
    "context": '{"text": "partially"}',
    "created_at": "2021-01-01T00:00:00.000001+00:00",
    "updated_at": "2022-01-01T00:00:00.000002+00:00",
    "valid_from": "1815-12-10T00:00:00.000000+00:00",
    "valid_until": "2022-01-01T00:00:00.000000+00:00",
    "recorded_at": "2021-01-01T00:00:00.000003+00:00",
    "invalidated_by": "r2",
    "invalidation_reason": "superseded",
    "evidence_count": 9,
    "validation_count": 5,
    "counter_evidence_count": 3,
    "last_validated": "2021-06-01T00:00:00.000004+00:00",
    "version": 4,
}
DOCUMENT = {
    "format_version": "2.0",
    "export_version": "1.0",
    "export_date": "2024-05-06T07:08:09.000010+00:00",
    "backend_type": "sqlite",
    "memory_count": 2,
    "relationship_count": 1,
    "memories": [
        {
            "id": "m1",
            "type": "problem",
            "title": "One",
            "content": "C1",
            "summary": None,
            "tags": ["A"],
            "importance": 0.5,
            "confidence": 0.8,
            "created_at": "2023-01-01T00:00:00",
            "updated_at": "2023-01-02T00:00:00.5",
            "context": {"project_path": "/p", "languages": []},
        },
        {"id": "m2", "type": "fix", "title": "Two", "content": "C2"},
    ],
    "relationships": [
        {
            "from_memory_id": "m2",
            "to_memory_id": "m1",
            "type": "SOLVES",
            "properties": {"strength": 0.9, "confidence": 0.8, "context": None, "evidence_count": 3},
        }
    ],
}


def lines(*rows: Any) -> bytes:
    """Rows as JSON lines; bytes as they are."""
    return b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows)


def memory(memory_id: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "memory", "id": memory_id, "type": "general", "title": "T", "content": "C", **fields}


def edge(from_id: str, to_id: str, **fields: Any) -> dict[str, Any]:
    ends = {"from_memory_id": from_id, "to_memory_id": to_id}
    return {"kind": "relationship", "type": "SOLVES", **ends, **fields}


def read_lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


async def send(wire: Wire, body: bytes, query: str = "", status: int = 200) -> Any:
    return await wire.ok("POST", f"/import{query}", body, status)


async def dump(database: Database) -> Any:
    """Every row of what is remembered, with who wrote it and the earlier states."""
    names = ("memories", "relationships", "memory_versions")
    tables = await database.batch(
        [Statement("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")], write=False
    )
    known = [str(name) for (name,) in tables[0].rows if name in names]
    assert set(TABLES) <= set(known)
    results = await database.batch([Statement(f"SELECT * FROM {name} ORDER BY 1, 2") for name in known], write=False)
    return {name: result.rows for name, result in zip(known, results, strict=True)}
