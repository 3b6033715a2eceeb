"""The accounts and memories functions over one real PostgreSQL, with people who sign in: the real pipelines, without
sockets. Tokens, the shared cache and the queue are twins."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import psycopg
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from accounts import handlers as accounts_handlers
from core.adapters.control import ControlPlane
from core.adapters.postgres import Postgres
from core.admission import Admission
from core.bootstrap import Tools
from core.http import Pipeline
from core.limits import Limits
from core.ports import Claims
from core.principals import Principals
from core.problems import Unauthorized
from core.seal import Sealer
from core.settings import Secret
from core.urls import workspace_url
from declarations import ACCOUNTS, MEMORIES, PREFIX, AccountsSettings, Function
from memories import handlers as memories_handlers
from tests.functions.asgi import Answer, call
from tests.functions.memories.wire import OneFile
from tests.functions.twins import EDGE_SECRET, TAG_SECRET, MemoryCache, seal_key

SITE = "https://site.example"
SETTINGS = AccountsSettings(
    edge_secret=Secret(EDGE_SECRET),
    database_url=Secret("postgresql://accounts@127.0.0.1:1/none"),
    redis_url="http://127.0.0.1:1",
    redis_token=Secret("token"),
    key_tag_secret=Secret(TAG_SECRET),
    principal_seal_key=Secret(seal_key("p")),
    store_seal_key=Secret(seal_key("s")),
    tasks_url="http://127.0.0.1:1/tasks",
    site_url=SITE,
)


class Clock:
    """The time of day is PostgreSQL's; leases and the shared cache end when they are told to."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    @property
    def seconds(self) -> float:
        return time.time() + self._skipped

    def advance(self, seconds: float) -> None:
        self._skipped += seconds


class Queue:
    """Implements `ports.Wake`: counts, and runs what the test has put there."""

    def __init__(self) -> None:
        self.woken = 0
        self.work: Any = None

    async def wake(self) -> bool:
        self.woken += 1
        if self.work is not None:
            await self.work()
        return True


class Tokens:
    """Implements `ports.TokenVerifier`."""

    def __init__(self) -> None:
        self.known: dict[str, Claims] = {}

    async def verify(self, token: str) -> Claims:
        if token not in self.known:
            raise Unauthorized("This token is not valid.")
        return self.known[token]


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in. `workspace`: their own."""

    account: str
    email: str
    token: str
    workspace: str = ""


class World:
    """One deployment. `urls`: database URLs of `postgres` and of the login roles."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.urls = urls
        self.clock = Clock()
        self.cache = MemoryCache(self.clock)  # type: ignore[arg-type]  # it reads `seconds` only
        self.queue = Queue()
        self.tokens = Tokens()
        self.sealer = Sealer(SETTINGS.store_seal_key, "STORE_SEAL_KEY")
        self.postgres = Postgres(Secret(urls["accounts"]))
        self.memories_postgres = Postgres(Secret(urls["memories"]))
        self.provisioning = Postgres(Secret(urls["provisioning"]))
        self.control = ControlPlane(self.provisioning)
        self.accounts = self.process(ACCOUNTS, accounts_handlers, self.postgres)
        self._memories = self.process(MEMORIES, memories_handlers, self.memories_postgres)

    def process(self, function: Function, handlers: ModuleType, postgres: Postgres) -> Pipeline:
        """One process of a function: leases of its own, the same shared cache and control plane."""
        limits = Limits(counter=self.cache, clock=self.clock, instances=10, monotonic=self.clock.monotonic)
        admission = Admission(
            tag_secrets=[TAG_SECRET],
            directory=ControlPlane(postgres),
            principals=Principals(
                cache=self.cache,
                limits=limits,
                sealer=Sealer(SETTINGS.principal_seal_key, "PRINCIPAL_SEAL_KEY"),
                store_sealer=self.sealer,
                clock=self.clock,
                monotonic=self.clock.monotonic,
            ),
            limits=limits,
            clock=self.clock,
            verifier=self.tokens,
            monotonic=self.clock.monotonic,
        )
        tools = Tools(
            settings=SETTINGS,
            clock=self.clock,
            databases=OneFile({}),
            postgres=postgres,
            admission=admission,
            wake=self.queue,
        )
        return Pipeline(function, handlers, tools)

    async def close(self) -> None:
        for postgres in (self.postgres, self.memories_postgres, self.provisioning):
            await postgres.close()

    # Asking.

    async def ask(
        self,
        method: str,
        path: str,
        by: Person | str | None,
        body: Any = b"",
        *,
        workspace: str | None = None,
        memories: bool = False,
    ) -> Answer:
        """One request, by a signed-in person, by a key (its text), or by nobody."""
        headers = {"X-Workspace": workspace} if workspace else {}
        if isinstance(by, Person):
            headers["Authorization"] = f"Bearer {by.token}"
        pipeline = self._memories if memories else self.accounts

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await pipeline.answer(Request(scope, receive))
            await response(scope, receive, send)

        key = by if isinstance(by, str) else None
        return await call(app, method, PREFIX + path, headers=headers, body=body, key=key)

    def forget(self) -> None:
        """Every lease and every shared record ends."""
        self.clock.advance(200.0)

    # People.

    def token(self, account: str, email: str, name: str = "") -> str:
        token = f"e{len(self.tokens.known)}.{account}.signature"
        self.tokens.known[token] = Claims(account_id=account, email=email, name=name, expires_at=time.time() + 3600)
        return token

    async def sign_in(self, email: str, name: str = "", *, store: bool = True) -> Person:
        """Somebody new, with the store of their own workspace unless that is left out."""
        account = str(uuid.uuid4())
        person = Person(account, email, self.token(account, email, name or email.partition("@")[0]))
        answer = await self.ask("GET", "/auth/verify", person)
        assert answer.status == 200, answer.body
        workspace = answer.json()["workspace"]["id"]
        if store:
            await self.open_store(workspace)
            self.forget()
        return Person(account, email, person.token, workspace)

    async def open_store(self, workspace: str) -> None:
        """As the job `open_store` does for a workspace in PostgreSQL."""
        await self.control.open_memories(workspace)
        await self.control.attach_store(
            workspace, "postgres", workspace_url(workspace), self.sealer.seal_text("", workspace)
        )

    def set_plan(self, workspace: str, plan: str) -> None:
        """As billing will."""
        self.run("UPDATE app.workspaces SET plan = %s, version = version + 1 WHERE id = %s", plan, workspace)
        self.forget()

    async def team(self, email: str = "ada@example.com") -> tuple[Person, str]:
        """An owner on Team, and a named workspace on Team of theirs."""
        owner = await self.sign_in(email)
        self.set_plan(owner.workspace, "team")
        answer = await self.ask("POST", "/workspaces", owner, {"name": "The team"})
        assert answer.status == 201, answer.body
        workspace = answer.json()["id"]
        await self.open_store(workspace)
        self.set_plan(workspace, "team")
        return owner, workspace

    async def join(self, owner: Person, workspace: str, person: Person, role: str = "member") -> None:
        """By invitation."""
        sent = await self.ask(
            "POST", f"/workspaces/{workspace}/invitations", owner, {"email": person.email, "role": role}
        )
        assert sent.status == 201, sent.body
        accepted = await self.ask("POST", "/invitations/accept", person, {"token": self.mailed_token(person.email)})
        assert accepted.status == 200, accepted.body
        self.forget()

    async def key(self, by: Person | str, workspace: str | None = None, /, **fields: Any) -> tuple[str, str]:
        """A new key: its text and its id."""
        answer = await self.ask("POST", "/api-keys", by, {"name": "a key", **fields}, workspace=workspace)
        assert answer.status == 201, answer.body
        return answer.json()["key"], answer.json()["id"]

    # What is in the database.

    def run(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls["owner"], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), args)
            return cursor.fetchall() if cursor.description else []

    async def shut(self) -> None:
        """The control plane takes no connections any more, and those that are kept are gone."""
        server, _, name = self.urls["owner"].rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        await self.close()

    def jobs(self, kind: str) -> list[dict[str, Any]]:
        """Payloads of the jobs of a kind, oldest first."""
        return [row[0] for row in self.run("SELECT payload FROM app.jobs WHERE kind = %s ORDER BY number", kind)]

    def mailed_token(self, email: str) -> str:
        """The token of the newest mail to an address."""
        mails = [job for job in self.jobs("send_mail") if job["to"] == email]
        link: str = mails[-1]["data"]["link"]
        assert link.startswith(SITE + "/")
        return link.partition("#token=")[2]
