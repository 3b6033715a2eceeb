"""What provisioning works with in tests: a real control plane, and Turso's Platform API played over real databases."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from billing.settling import Settler
from core.adapters.control import ControlPlane
from core.adapters.http1 import HttpAnswer, HttpClient
from core.adapters.postgres import Answer, Postgres
from core.adapters.sqlite import SqliteDatabase
from core.bootstrap import ProvisioningTools
from core.outdated import Outdated
from core.ports import Database, Databases, Result, Statement, StoreAddress
from core.problems import Unavailable
from core.seal import Sealer
from core.settings import Secret
from declarations import ProvisioningFunctionSettings, StoreOpeningSettings
from provisioning import kinds, parts
from provisioning.jobs import Runner, Tally
from provisioning.outbox import Outbox
from provisioning.placements import Placements
from tests.functions.billing.payments import MemoryPayments
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.provisioning.rows import Owner
from tests.functions.twins import SETTINGS, FakeClock, MemoryCache

TURSO = "http://turso.test"
AUTH = "http://auth.test"
STORE = ("SELECT memory.", "SELECT * FROM memory.")
BILLING = ("SELECT app.hold_c", "SELECT app.release_c", "SELECT app.settle_b", "SELECT workspace_id, plan, seats")
"""What is asked for with `ask`; what `fetch` is asked for counts anyway."""
OPERATOR = "operator@example.test"


class Killed(BaseException):
    """The process is gone: nobody handles this."""


def answer(status: int, body: object) -> HttpAnswer:
    return HttpAnswer(status, {}, orjson.dumps(body))


@dataclass
class Steps:
    """Counts the calls that go out, and kills before one of them; for the outside that is after the one before."""

    kill_at: int | None = None
    reached: int = 0
    passed: list[str] = field(default_factory=list)

    def reach(self, what: str) -> None:
        self.passed.append(what)
        self.reached += 1
        if self.reached == self.kill_at:
            raise Killed(what)


class Outside(HttpClient):
    """HTTP to anywhere, with Turso's Platform API and Supabase Auth's admin API played.

    `faults` maps the beginning of `METHOD path` to what is answered or raised instead; a number is seconds of silence
    first. The databases are made by `create` (name -> host) and opened by tokens of `token` (name -> text).
    """

    def __init__(self, create: Callable[[str], str] | None = None, token: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self.databases: dict[str, dict[str, Any]] = {}
        self.users: set[str] = set()
        self.faults: dict[str, Exception | HttpAnswer | float] = {}
        self.asked: list[str] = []
        self.steps = Steps()
        self._create = create or (lambda name: f"{name}.localhost:1")
        self._token = token or (lambda name: f"token of {name}")
        self.on_delete: Callable[[str], None] = lambda _name: None

    async def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
        connect_timeout: float = 1.0,
        retry: bool = True,
    ) -> HttpAnswer:
        if not url.startswith((TURSO, AUTH)):
            return await super().request(
                method, url, body, headers, timeout=timeout, connect_timeout=connect_timeout, retry=retry
            )
        assert headers is not None
        assert timeout <= 20
        assert connect_timeout <= 2
        what = f"{method} {urlsplit(url).path}"
        self.asked.append(what)
        self.steps.reach(what)
        for start, fault in self.faults.items():
            if not what.startswith(start):
                continue
            if isinstance(fault, float):
                await asyncio.sleep(fault)
            elif isinstance(fault, HttpAnswer):
                return fault
            else:
                raise fault
        play = self._turso if url.startswith(TURSO) else self._auth
        return play(method, urlsplit(url).path, url, orjson.loads(body or b"{}"), headers)

    def _turso(self, method: str, path: str, url: str, asked: dict[str, Any], headers: Mapping[str, str]) -> HttpAnswer:
        assert headers["Authorization"] == "Bearer turso-token"
        base = "/v1/organizations/an-org/databases"
        if (method, path) == ("POST", base):
            name = asked["name"]
            assert asked["group"] == "a-group"
            assert asked["size_limit"] == "1500mb"  # the plan's storage, and room for what is derived from it
            if name in self.databases:
                return answer(409, {"error": f"database with name {name} already exists"})
            self.databases[name] = {"Hostname": self._create(name), "Name": name}
            return answer(200, {"database": self.databases[name]})
        name, _, rest = path.removeprefix(base + "/").partition("/")
        if name not in self.databases:
            return answer(404, {"error": f"could not find database with name {name}: record not found"})
        if (method, rest) == ("GET", ""):
            return answer(200, {"database": self.databases[name]})
        if (method, rest) == ("DELETE", "") and self.databases[name].get("delete_protection"):
            return answer(400, {"error": f"database {name} is protected"})
        if (method, rest) == ("DELETE", ""):
            del self.databases[name]
            self.on_delete(name)
            return answer(200, {"database": name})
        if (method, rest) == ("PATCH", "configuration"):
            self.databases[name].update(asked)
            return answer(200, asked)
        assert (method, rest) == ("POST", "auth/tokens")
        assert parse_qs(urlsplit(url).query) == {"expiration": ["4w"], "authorization": ["full-access"]}
        return answer(200, {"jwt": self._token(name)})

    def _auth(
        self, method: str, path: str, _url: str, _asked: dict[str, Any], headers: Mapping[str, str]
    ) -> HttpAnswer:
        assert headers["apikey"] == "auth-secret"
        assert "Authorization" not in headers
        user = path.removeprefix("/admin/users/")
        if user not in self.users:
            return answer(404, {"code": 404, "error_code": "user_not_found", "msg": "User not found"})
        if method == "DELETE":
            self.users.remove(user)
            return answer(200, {})
        return answer(200, {"id": user})


class LocalDatabases:
    """Each database of Turso is a file. `asleep` is how many more times a database does not answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, SqliteDatabase] = {}
        self.asleep = 0

    def open(self, address: StoreAddress) -> Database:
        name = (urlsplit(address.url).hostname or "").removesuffix(".localhost")
        assert address.token.reveal() == f"token of {name}"
        return Sleepy(self, name)

    def file(self, name: str) -> SqliteDatabase:
        return self._open.setdefault(name, SqliteDatabase(self._folder / name))

    async def close(self) -> None:
        for database in self._open.values():
            await database.close()


class Sleepy:
    def __init__(self, owner: LocalDatabases, name: str) -> None:
        self._owner, self._name = owner, name

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        if self._owner.asleep:
            self._owner.asleep -= 1
            raise Unavailable("asleep", part="store")
        return await self._owner.file(self._name).batch(statements, write=write)


class SteppingPostgres(Postgres):
    """Counts its statements as steps."""

    def __init__(self, url: Secret, steps: Steps) -> None:
        super().__init__(url)
        self.steps = steps

    async def fetch(self, statement: str, args: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        self.steps.reach(statement[:60])
        return await super().fetch(statement, args)

    async def ask(self, statement: str, args: Sequence[object] = ()) -> Answer:
        if statement.startswith((*STORE, *BILLING)):  # `fetch` asks, too
            self.steps.reach(statement[:60])
        return await super().ask(statement, args)


class SteppingDatabases:
    """Counts batches as steps."""

    def __init__(self, inner: Databases, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    def open(self, address: StoreAddress) -> Database:
        return _SteppingDatabase(self._inner.open(address), self._steps)


class _SteppingDatabase:
    def __init__(self, inner: Database, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    async def batch(self, statements: Sequence[Statement], *, write: bool) -> list[Result]:
        self._steps.reach("a batch")
        return await self._inner.batch(statements, write=write)


class World:
    """Provisioning as a whole. The runner's own statements are no steps; those of the work are."""

    def __init__(self, urls: ControlPlaneUrls, outside: Outside, databases: Databases) -> None:
        self.outside = outside
        self.steps = outside.steps
        self.clock = FakeClock()
        self.cache = MemoryCache(self.clock)
        self.owner = Owner(urls.owner)
        self.settings = settings()
        self.plain = Postgres(Secret(urls.provisioning))
        self.postgres = SteppingPostgres(Secret(urls.provisioning), self.steps)
        self.sealer = Sealer(self.settings.store_seal_key, "STORE_SEAL_KEY")
        self.control = ControlPlane(self.postgres)
        self.tools = ProvisioningTools(
            http=outside,
            postgres=self.postgres,
            control=self.control,
            cache=self.cache,
            databases=SteppingDatabases(databases, self.steps),
            store_sealer=self.sealer,
        )
        built = parts.build(self.settings, self.tools)
        self.payments = MemoryPayments(self.clock)
        self.payments.reach = self.steps.reach
        outdated = Outdated(self.cache, None)
        self.parts = replace(
            built,
            clock=self.clock,
            stores=replace(built.stores, clock=self.clock),
            payments=self.payments,
            settler=Settler(self.payments, built.billing, outdated, self.clock, wait_seconds=0.2),
        )
        self.outbox = Outbox(self.plain)
        self.placements = Placements(self.plain)
        self.plain_databases = databases
        self.runner = Runner(self.outbox, kinds.works(self.parts), linger_seconds=0.0)

    async def run(self) -> Tally:
        return await self.runner.run()

    def new_workspace(self, plan: str = "free", email: str = "ada@example.test") -> tuple[str, str]:
        """An account that signed in and its own workspace, without a store; their ids."""
        account, workspace = str(uuid.uuid4()), str(uuid.uuid4())
        self.owner.run("INSERT INTO app.accounts (id, name, email) VALUES (%s, 'Ada', %s)", account, email)
        self.owner.run("INSERT INTO app.workspaces (id, name, plan) VALUES (%s, 'Notes', %s)", workspace, plan)
        self.owner.run(
            "INSERT INTO app.members (workspace_id, account_id, role) VALUES (%s, %s, 'owner')", workspace, account
        )
        self.outside.users.add(account)
        return account, workspace

    async def open(self, plan: str = "free") -> tuple[str, str]:
        """The same, with its store."""
        account, workspace = self.new_workspace(plan)
        await self.outbox.enqueue("open_store", workspace, {"plan": plan}, dedupe=workspace)
        assert (await self.run()).done >= 1
        return account, workspace

    def confirm(self, account: str, *workspaces: str) -> None:
        """What app.confirm_erasure leaves, without its job."""
        own = list(workspaces)
        self.owner.run("INSERT INTO app.erased (account_id, workspaces) VALUES (%s, %s::uuid[])", account, own)
        self.owner.run("UPDATE app.accounts SET closed_at = now() WHERE id = %s", account)
        self.owner.run("UPDATE app.workspaces SET closed_at = now() WHERE id = ANY (%s::uuid[])", own)

    async def settle(self) -> None:
        """Run until only mails wait: there is no mail server."""
        due = "UPDATE app.jobs SET run_at = now() WHERE state = 'waiting' AND kind <> 'send_mail' RETURNING 1"
        await self.run()
        while self.owner.run(due):
            await self.run()

    def jobs(self) -> list[tuple[str, str]]:
        """Kind and state of every job, in order."""
        return [(row[0], row[1]) for row in self.owner.run("SELECT kind, state FROM app.jobs ORDER BY number")]

    def mails(self) -> list[dict[str, Any]]:
        """What is still to be sent."""
        rows = self.owner.run(
            "SELECT payload FROM app.jobs WHERE kind = 'send_mail' AND state <> 'done' ORDER BY number"
        )
        return [row[0] for row in rows]

    async def close(self) -> None:
        await self.parts.close()
        await self.plain.close()


def settings() -> ProvisioningFunctionSettings:
    fields = [variable.field for variable in StoreOpeningSettings.variables()]
    shared: dict[str, Any] = {field: getattr(SETTINGS, field) for field in fields if hasattr(SETTINGS, field)}
    return ProvisioningFunctionSettings(
        **shared,
        auth_url=AUTH,
        turso_api_url=TURSO,
        turso_api_token=Secret("turso-token"),
        turso_organization="an-org",
        turso_group="a-group",
        turso_databases_most=100,
        smtp_host="127.0.0.1",
        smtp_port=1,
        smtp_password=Secret("smtp-password"),
        mail_from="MemoryGraph <mail@mail.example.test>",
        operator_email=OPERATOR,
        site_url="https://example.test",
        auth_secret_key=Secret("auth-secret"),
        oidc_certs_url="http://127.0.0.1:1/certs",
        oidc_caller="scheduler@project.iam.gserviceaccount.com",
    )
