"""Makes a local database as the real package does: what somebody has who used it without the cloud.

Runs in the client's own environment, like `conversation.py`. `local_memories.py FILE` writes an SQLite database with
100 memories and 270 relationships, without cycles of one type, and prints the package's own export of it.
"""

# mypy: disable-error-code="import-not-found"
# (memorygraph is installed in the environment of the real client only.)

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from memorygraph.backends.sqlite_fallback import SQLiteFallbackBackend
from memorygraph.models import Memory, MemoryContext, MemoryType, RelationshipProperties, RelationshipType
from memorygraph.sqlite_database import SQLiteMemoryDatabase
from memorygraph.utils.export_import import export_to_json

MEMORIES = 100
RELATIONSHIPS = 270
TYPES, EDGE_TYPES = list(MemoryType), list(RelationshipType)
WORDS = ("cache", "Straße", "東京", "100%", 'a "quoted" word', "naïve", "\U0001f600", "line\nbreak")


def memory(number: int) -> Any:
    word = WORDS[number % len(WORDS)]
    context = MemoryContext(
        project_path=f"/projects/{number % 3}", languages=["python"], files_involved=[f"src/{word.split()[0]}.py"]
    )
    return Memory(
        id=f"00000000-0000-4000-8000-{number:012d}",
        type=TYPES[number % len(TYPES)],
        title=f"Memory {number} about {word}",
        content=f"{word} " * (number + 1),
        summary=f"About {word}" if number % 2 else None,
        tags=["migrated", f"Tag {number % 5}"],
        importance=number % 11 / 10,
        context=context if number % 4 else None,
    )


async def make(file: Path) -> dict[str, Any]:
    backend = SQLiteFallbackBackend(db_path=str(file))
    await backend.connect()
    await backend.initialize_schema()
    database = SQLiteMemoryDatabase(backend)
    await database.initialize_schema()
    ids = [await database.store_memory(memory(number)) for number in range(MEMORIES)]
    # Every edge leads to a later memory, so none closes a cycle; no two have the same ends.
    pairs = [(start, start + step) for step in (1, 2, 3) for start in range(MEMORIES - step)]
    for number, (start, end) in enumerate(pairs[:RELATIONSHIPS]):
        await database.create_relationship(
            ids[start],
            ids[end],
            EDGE_TYPES[number % len(EDGE_TYPES)],
            RelationshipProperties(
                strength=number % 9 / 8,
                confidence=number % 5 / 4,
                context=(None, f"since v{number}", json.dumps({"text": "partly", "scope": "partial"}))[number % 3],
            ),
        )
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "export.json"
        await export_to_json(database, str(exported))
        await backend.disconnect()
        found: dict[str, Any] = json.loads(exported.read_text())
        return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(make(Path(sys.argv[1])))))
