"""The memories function over a file, as both clients see it: the real pipeline, without sockets.

`check_memory` and its like hold what the clients' parsers need (client contract, section 3).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from core import keys
from core.adapters.postgres import Postgres
from core.bootstrap import Tools
from core.http import Pipeline
from core.ports import Database, KeyRecord, StoreAddress
from core.settings import Secret
from declarations import MEMORIES, PREFIX
from memories import handlers
from tests.functions.asgi import Answer, call
from tests.functions.twins import SETTINGS, Gate

START = datetime(2025, 1, 31, 9, 15, 27, 123456, tzinfo=UTC)


class TickingClock:
    """Every look is a microsecond later; `advance` skips some time."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        self.moment += timedelta(microseconds=1)
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


class OneFile:
    """Implements `ports.Databases`: each address has its own database. Counts batches."""

    def __init__(self, databases: dict[str, Database]) -> None:
        self.databases = databases
        self.batches = 0

    def open(self, address: StoreAddress) -> Database:
        return _Counted(self, self.databases[address.url])


class _Counted:
    def __init__(self, files: OneFile, database: Database) -> None:
        self._files = files
        self._database = database

    async def batch(self, *args: Any, **more: Any) -> Any:
        self._files.batches += 1
        return await self._database.batch(*args, **more)


class Wire:
    """One API with one key for each database; the keys are of one plan."""

    def __init__(self, databases: dict[str, Database], *, plan: str = "team") -> None:
        self.clock = TickingClock()
        self.files = OneFile(databases)
        self.gate = gate = Gate()
        self.keys = {}
        for url in databases:
            self.keys[url] = gate.add_key()
            record = gate.directory.keys[keys.hash_key(self.keys[url])]
            assert isinstance(record, KeyRecord)
            gate.directory.keys[keys.hash_key(self.keys[url])] = replace(record, store_url=url, plan=plan)
        self.key = next(iter(self.keys.values()))
        self._pipeline = Pipeline(
            MEMORIES,
            handlers,
            Tools(
                settings=SETTINGS,
                clock=self.clock,
                databases=self.files,
                postgres=Postgres(Secret("")),
                admission=gate.admission,
            ),
        )

    async def __call__(self, method: str, path: str, body: Any = b"", **more: Any) -> Answer:
        return await call(self._app, method, PREFIX + path, **{"key": self.key, "body": body, **more})

    async def ok(self, method: str, path: str, body: Any = b"", status: int = 200) -> Any:
        """The JSON of an answer that must be good."""
        answer = await self(method, path, body)
        assert answer.status == status, answer.body
        return answer.json() if answer.body else None

    async def memory(self, path: str, **more: Any) -> Any:
        """The memory that `GET /memories/{path}` answers, without its author."""
        answer = await self("GET", f"/memories/{path}", **more)
        assert answer.status == 200, answer.body
        body = answer.json()
        assert set(body.pop("author")) == {"key", "account", "agent"}
        return body

    async def bad(self, method: str, path: str, body: Any = b"", status: int = 400) -> dict[str, str]:
        """The messages by field of an answer that must be a refusal."""
        answer = await self(method, path, body)
        assert answer.status == status, answer.body
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["detail"]
        return {fault["field"]: fault["message"] for fault in problem.get("errors", [])}

    async def store(self, **fields: Any) -> Any:
        answer = await self("POST", "/memories", {"type": "general", "title": "T", "content": "C", **fields})
        assert answer.status in (200, 201), answer.body
        return answer.json()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._pipeline.answer(Request(scope, receive))
        await response(scope, receive, send)


class _Context(BaseModel):
    """What the MCP client takes; other keys are not looked at."""

    model_config = ConfigDict(strict=True)

    project_path: str | None = None
    files_involved: list[str] = []
    languages: list[str] = []
    frameworks: list[str] = []
    technologies: list[str] = []
    git_commit: str | None = None
    git_branch: str | None = None
    working_directory: str | None = None
    additional_metadata: dict[str, Any] = {}


class _Memory(BaseModel):
    model_config = ConfigDict(strict=True)

    id: str
    type: str
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    content: Annotated[str, StringConstraints(min_length=1)]
    summary: Annotated[str, StringConstraints(max_length=500)] | None
    tags: list[str]
    importance: Annotated[float, Field(ge=0, le=1)]
    confidence: Annotated[float, Field(ge=0, le=1)]
    context: _Context | None
    created_at: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")]
    updated_at: str


class _Edge(BaseModel):
    model_config = ConfigDict(strict=True)

    type: str
    strength: float
    confidence: float
    context: str | None


class _RelatedOfMcp(BaseModel):
    memory: _Memory
    relationship: _Edge


class _RelatedOfSdk(BaseModel):
    model_config = ConfigDict(strict=True)

    memory: _Memory
    relationship_type: str
    strength: float
    depth: int


class _Relationship(BaseModel):
    model_config = ConfigDict(strict=True)

    id: str
    from_memory_id: str
    to_memory_id: str
    relationship_type: str
    strength: float
    confidence: float
    context: str | None
    created_at: str
    valid_until: Literal[None]


def check_memory(value: Any) -> Any:
    """`value`, which must be a full Memory that both clients can read."""
    _Memory.model_validate(value)
    assert all(item is not None for item in (value["context"] or {}).values())
    return value


def check_related(body: Any) -> Any:
    for item in body["related_memories"]:
        _RelatedOfMcp.model_validate(item)
    for item in body["related"]:
        _RelatedOfSdk.model_validate(item)
    return body


def check_relationship(value: Any) -> Any:
    _Relationship.model_validate(value)
    return value
