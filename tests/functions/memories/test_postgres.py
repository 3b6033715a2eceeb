"""What only the PostgreSQL store has to show: isolation of workspaces, rights of its roles, concurrency."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import orjson
import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from core.adapters.postgres import Answer, Postgres, StatementRefused
from core.ports import SqlValue, Statement, StoreAddress
from core.settings import Secret
from core.urls import workspace_url
from infra.providers import migrations
from infra.providers.schema import Schema
from memories.graph.model import EdgeChanges, Relationship
from memories.graph.ports import Cycle, UnknownEnds
from memories.model import Changes, Memory, Mismatch, Near, Position, Revision, Search
from memories.ports import KeyReused
from memories.quotas import Usage
from memories.stores.postgres import PostgresStore, PostgresStores
from memories.stores.postgres.base import KEY_REUSED, to_json
from memories.stores.postgres.search import wanted as wanted_of
from memories.stores.rows import RELATIONSHIP_COST, VERSIONS_KEPT
from memories.text import fold
from memories.transfer.model import Outcome, Part
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.conftest import Rows
from tests.functions.memories.samples import ANN, BOB, NOW, SECOND, edge, find, found, memory, once, put, relate, search
from tests.functions.postgres import Server

TABLES = (
    *("fences", "idempotency", "import_parts", "journal", "memories", "memory_versions", "relationships"),
    "usage",
)
NOTED = [Statement("SELECT seq, kind, id FROM journal ORDER BY seq")]
Session = AsyncConnection[tuple[object, ...]]


@pytest.fixture
async def session(shared_control_plane: ControlPlaneUrls) -> AsyncIterator[Session]:
    """One connection of the login role, kept for the whole test."""
    async with await AsyncConnection.connect(shared_control_plane.memories, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def moving(shared_control_plane: ControlPlaneUrls) -> AsyncIterator[Session]:
    """The same for `provisioning`."""
    async with await AsyncConnection.connect(shared_control_plane.provisioning, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def other(postgres: Postgres) -> PostgresStore:
    """Another workspace with memories of the same ids as `filled`."""
    store = another(postgres)
    await put(store, memory("a", title="theirs"), memory("b"), memory("theirs", title="secret"))
    await relate(store, edge("a", "theirs", "CAUSES", edge_id="theirs"))
    return store


@pytest.fixture
async def filled(rows: Rows, shared_control_plane: ControlPlaneUrls) -> Rows:
    """A workspace with rows in every table."""
    await rows.store.put(memory("a", title="ours", tags=("ours",)), ANN, once("ours"))
    await put(rows.store, memory("b"))
    await relate(rows.store, edge("a", "b", edge_id="ours"))
    await rows.store.update("b", Changes({"content": "ours"}), NOW, ANN)
    with psycopg.connect(shared_control_plane.provisioning) as connection:
        connection.execute("SELECT memory.open_workspace(%s)", [rows.workspace])
        connection.execute("SELECT memory.begin_journal(%s)", [rows.workspace])
    await rows.store.finish_part("ours", Part(1, "ours", "ours", NOW), forget_before=NOW - SECOND)
    return rows


async def everything(rows: Rows) -> list[list[tuple[SqlValue, ...]]]:
    statements = [Statement(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES]
    return [one.rows for one in await rows.batch(statements, write=False)]


def another(postgres: Postgres) -> PostgresStore:
    return PostgresStores(postgres).open(StoreAddress("postgres", workspace_url(str(uuid.uuid4())), Secret("")))


# Isolation.


async def test_a_workspace_sees_only_its_own(filled: Rows, other: PostgresStore) -> None:
    ours = filled.store
    assert await ours.get("theirs") is None
    assert await found(ours, find("secret")) == []
    assert sorted(await found(ours, Search())) == ["a", "b"]
    assert await ours.search(Search(near=Near("theirs", 2))) is None
    assert await ours.update("theirs", Changes({"title": "x"}), NOW, BOB) is None
    assert not await ours.delete("theirs")
    assert await ours.related("theirs", (), 1, 20) is None
    assert [one.memory.id for one in await ours.related("a", (), 4, 20) or ()] == ["b"]
    assert await ours.relate(edge("a", "theirs"), same_since=NOW, author=ANN) == UnknownEnds(("theirs",))
    assert (await ours.statistics()).relationships == 1
    assert await ours.relate(edge("b", "a", "CAUSES"), same_since=NOW, author=ANN) != Cycle()
    await ours.delete("a")
    assert (await other.statistics()).relationships == 1
    kept = await other.get("a")
    assert kept is not None
    assert kept.title == "theirs"


async def test_the_same_key_in_two_workspaces_is_two_keys(filled: Rows, other: PostgresStore) -> None:
    with pytest.raises(KeyReused):
        await filled.store.put(memory("new"), ANN, once("ours", "another thing"))
    assert (await other.put(memory("new"), ANN, once("ours", "another thing"))).id == "new"


_BY = ", ".join(f'"{verb}_by_{who}": "x"' for verb in ("created", "updated") for who in ("key", "account", "agent"))
_AS_JSON = (
    '{"id": "new", "type": "fix", "title": "t", "content": "c", "tags": "[]", "importance": 0, "confidence": 0, '
    '"title_key": 1, "folded_title": "t", "folded_content": "c", "folded_summary": "", "folded_tags": [], '
    f'"folded_languages": [], "folded_frameworks": [], "created_at": 1, "updated_at": 1, "version": 1, {_BY}}}'
)
_EDGE = (
    '{"id": "e", "type": "SOLVES", "from_id": "a", "to_id": "b", "strength": 0, "confidence": 0, "structure": {}, '
    '"created_at": 1, "updated_at": 1, "valid_from": 1, "recorded_at": 1, "evidence_count": 1, "validation_count": 0, '
    f'"counter_evidence_count": 0, "version": 1, {_BY}}}'
)
_ONCE = '{"key": "ours", "fingerprint": "other", "at": 1, "forget_before": 9999999999999999}'
CALLS = {
    "put": f"put(%s, '{_AS_JSON}', '{_ONCE}')",
    "get": "get(%s, 'a')",
    "get_as_of": "get_as_of(%s, 'b', 9999999999999999)",
    "read": "read(%s, 'b', 9999999999999999)",
    "change": """change(%s, 'a', '{"title": "x"}', NULL, NULL)""",
    "remove": "remove(%s, 'a', NULL, NULL)",
    "search": """search(%s, '{"exact": "ours", "most": 9, "skipped": 0, "count_most": 9}', 9999, 9)""",
    "recent": "recent(%s, 0, NULL, 9, 9, '{problem}', '{SOLVES}', 9999)",
    "statistics": "statistics(%s)",
    "relate": f"relate(%s, '{_EDGE}', 0, '{_ONCE}')",
    "relationship": "relationship(%s, 'ours')",
    "amend": """amend(%s, 'ours', '{"strength": 1}', NULL, NULL)""",
    "unrelate": "unrelate(%s, 'ours', NULL, NULL)",
    "reinforce": f"reinforce(%s, 'ours', 't', true, 1, 1, 0, 1, 1, '{{{_BY}}}', NULL)",
    "invalidate": f"invalidate(%s, 'ours', 1, 'x', 'x', '{{{_BY}}}')",
    "related": "related(%s, 'a', NULL, 3, 9, NULL, 9999)",
    "path": "path(%s, 'a', 'b', NULL, 3, NULL)",
    "history": "history(%s, 'b', NULL, 9, 0, 9999)",
    "changes": "changes(%s, 0, 9, NULL, 9999)",
    "search_context": """search_context(%s, '{"most": 9}', 9999)""",
    "put_many": f"put_many(%s, '[{_AS_JSON}]', '{_ONCE}')",
    "export_page": "export_page(%s, '', '', 9, false, 9999)",
    "totals": "totals(%s)",
    "import_memories": f"import_memories(%s, '[{_AS_JSON}]')",
    "import_relationships": f"import_relationships(%s, '[{_EDGE}]', false)",
    "parts": "parts(%s, 'ours', NULL)",
    "finish_part": "finish_part(%s, 'ours', 1, 'x', 'x', 1, 9999999999999999)",
    "read_usage": "read_usage(%s)",
    "put_rows": f"put_rows(%s, '[{_AS_JSON}]', '{_ONCE}', true)",
    "take_memories": f"take_memories(%s, '[{_AS_JSON}]')",
}
"""One call of every function that the login role may run, which would read or change what `filled` holds."""
MOVES = {
    "fence": "fence(%s, 9, 'closed')",
    "begin_journal": "begin_journal(%s)",
    "read_journal": "read_journal(%s, 0, 9)",
    "end_journal": "end_journal(%s)",
    "read_fence": "read_fence(%s)",
    "raw_page": "raw_page(%s, 'memory', NULL, NULL, NULL, 9, 9999)",
    "put_raw": f"put_raw(%s, 1, 'memory', '[{_AS_JSON}]')",
    "drop_raw": "drop_raw(%s, 1, 'version', '{b}')",
    "digest": "digest(%s)",
    "erase": "erase(%s, 1, 9)",
    "pause": "pause(%s, 1, 9)",
    "prolong_pause": "prolong_pause(%s, 1, 9)",
    "end_pause": "end_pause(%s, 1)",
    "take_over": "take_over(%s, 9, 'w')",
    "hand_over": "hand_over(%s, 1, 'w', 'open')",
}
"""The same for `provisioning`."""
CLOSED = ("put_raw", "drop_raw", "erase")
"""Those that need a closed fence."""


@pytest.mark.parametrize("name", [*CALLS, *MOVES])
@pytest.mark.parametrize("workspace", ["another", "", "nonsense", "' OR TRUE --", None])
async def test_no_function_reaches_another_workspace(
    filled: Rows, session: Session, moving: Session, name: str, workspace: str | None
) -> None:
    asked = str(uuid.uuid4()) if workspace == "another" else workspace
    before = await everything(filled)
    assert all(before)
    call = f"SELECT * FROM memory.{CALLS.get(name) or MOVES[name]}"
    asking = moving if name in MOVES else session
    try:
        if name in CLOSED:
            await all_of(moving, "SELECT memory.fence(%s, 1, 'closed')", asked)
        rows = await all_of(asking, call, asked)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.NotNullViolation):
        assert workspace != "another"  # a row without a workspace
    else:
        assert "ours" not in repr(rows)
    assert await everything(filled) == before


@pytest.mark.parametrize("name", [*CALLS, *MOVES])
async def test_every_call_reaches_its_own_workspace(filled: Rows, session: Session, moving: Session, name: str) -> None:
    """Else the test above would prove nothing."""
    if name in CLOSED:
        await all_of(moving, "SELECT memory.fence(%s, 1, 'closed')", filled.workspace)
    before = await everything(filled)
    call = f"SELECT * FROM memory.{CALLS.get(name) or MOVES[name]}"
    if "'ours', 1, 'x'" in call:  # what is remembered already stays
        call = call.replace("9999999999999999", "0").replace("'ours', 1,", "'ours', 2,")
    try:
        rows = await all_of(moving if name in MOVES else session, call, filled.workspace)
    except psycopg.errors.DatabaseError as error:
        assert error.sqlstate == KEY_REUSED  # noqa: PT017 - the key in this workspace was seen
    else:
        told: tuple[str, ...] = ("statistics", "totals", "read_usage", "digest", "read_fence", "begin_journal")
        told += ("prolong_pause", "end_pause", "hand_over")  # there is no pause, nor a worker
        assert "ours" in repr(rows) or await everything(filled) != before or name in told


@pytest.mark.parametrize("setting", [None, "", "nonsense", "%", "' OR TRUE --", str(uuid.UUID(int=0))])
@pytest.mark.parametrize("role", ["memory_owner", "memory_finder"])
async def test_no_row_without_a_workspace(
    filled: Rows, shared_control_plane: ControlPlaneUrls, role: str, setting: str | None
) -> None:
    """Not even the roles that the functions run as see one."""
    with psycopg.connect(shared_control_plane.owner) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        connection.execute(
            "SELECT set_config('memory.needles', '{%}', true), set_config('memory.tags', '{ours}', true)"
        )
        if setting is not None:
            connection.execute("SELECT set_config('memory.workspace', %s, true)", [setting])
        tables = TABLES if role == "memory_owner" else ("memories", "relationships")
        for table in tables:
            assert connection.execute(f"SELECT count(workspace_id) FROM memory.{table}".encode()).fetchone() == (0,)
        connection.execute("SELECT set_config('memory.workspace', %s, true)", [filled.workspace])
        assert connection.execute("SELECT count(*) FROM memory.memories").fetchone() == (2,)


async def test_the_finder_sees_only_what_it_looks_for(filled: Rows, shared_control_plane: ControlPlaneUrls) -> None:
    with psycopg.connect(shared_control_plane.owner) as connection:
        connection.execute("SET ROLE memory_finder")
        connection.execute("SELECT set_config('memory.workspace', %s, true)", [filled.workspace])
        for setting in ("needles", "tags"):
            for value in (None, "", "{}", "{no such text}"):
                if value is not None:
                    connection.execute("SELECT set_config(%s, %s, true)", [f"memory.{setting}", value])
                assert connection.execute("SELECT id FROM memory.memories").fetchall() == []
        connection.execute("SELECT set_config('memory.tags', '{ours}', true)")
        assert connection.execute("SELECT id FROM memory.memories").fetchall() == [("a",)]
        connection.execute("SELECT set_config('memory.tags', '', true)")
        connection.execute("SELECT set_config('memory.needles', '{%content b%,%ours%}', true)")
        assert connection.execute("SELECT id FROM memory.memories ORDER BY id").fetchall() == [("a",), ("b",)]
        for column in ("id", "context", "strength"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT {column} FROM memory.relationships".encode())


async def test_nobody_can_write_into_another_workspace(filled: Rows, session: Session) -> None:
    """Whatever the values say, the row is the setting's."""
    elsewhere = str(uuid.uuid4())
    values = _AS_JSON.replace("{", f'{{"workspace_id": "{filled.workspace}", "version": 7, ', 1)
    assert len(await all_of(session, "SELECT * FROM memory.put(%s, %s, NULL)", elsewhere, values)) == 1
    await all_of(
        session,
        "SELECT * FROM memory.change(%s, 'new', %s, NULL, NULL)",
        elsewhere,
        f'{{"workspace_id": "{filled.workspace}"}}',
    )
    assert await filled.store.get("new") is None
    assert await all_of(session, "SELECT version FROM memory.get(%s, 'new')", elsewhere) == [(2,)]


async def test_a_failed_call_leaves_no_workspace_behind(filled: Rows, session: Session) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        await all_of(
            session,
            "SELECT * FROM memory.change(%s, 'a', %s, NULL, NULL)",
            filled.workspace,
            '{"created_at": 1, "importance": "x"}',
        )
    await check_nothing_left(session, filled)


async def test_a_cancelled_call_leaves_no_workspace_behind(
    filled: Rows, session: Session, shared_control_plane: ControlPlaneUrls
) -> None:
    async with await AsyncConnection.connect(shared_control_plane.owner) as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [filled.workspace + "SOLVES"])
        waiting = asyncio.create_task(
            all_of(session, "SELECT * FROM memory.relate(%s, %s, 0, NULL)", filled.workspace, _EDGE)
        )
        waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await all_of(holder, waits):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.01)
        await session.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await waiting
    await check_nothing_left(session, filled)
    assert (await filled.store.statistics()).relationships == 1


async def check_nothing_left(session: Session, filled: Rows) -> None:
    """On the same connection: the next call works, for its own workspace, and the setting is gone."""
    settings = (
        "SELECT current_setting('memory.workspace', true), "
        "current_setting('memory.needles', true), current_setting('memory.tags', true)"
    )
    assert set((await all_of(session, settings))[0]) <= {None, ""}
    assert await all_of(session, "SELECT * FROM memory.get(%s, 'a')", str(uuid.uuid4())) == []
    assert await all_of(session, "SELECT title FROM memory.get(%s, 'a')", filled.workspace) == [("ours",)]
    assert set((await all_of(session, settings))[0]) <= {None, ""}


async def all_of(connection: Session, statement: str, *args: object) -> list[tuple[object, ...]]:
    return await (await connection.execute(statement.encode(), args)).fetchall()


# Rights.

FORBIDDEN = [
    *(f"SELECT 1 FROM memory.{table}" for table in TABLES),
    "SELECT set_config('memory.workspace', gen_random_uuid()::text, false), (SELECT count(*) FROM memory.memories)",
    "INSERT INTO memory.fences VALUES (gen_random_uuid(), 1, 'open')",
    "INSERT INTO memory.idempotency VALUES (gen_random_uuid(), 'k', 'f', 1, '{}')",
    "UPDATE memory.memories SET title = 'x'",
    "DELETE FROM memory.relationships",
    "TRUNCATE memory.memories",
    "COPY memory.memories TO STDOUT",
    "SELECT 1 FROM app.accounts",
    "SELECT memory.find(NULL)",
    "SELECT memory.scan(NULL)",
    "SELECT memory.store('[]')",
    "SELECT memory.answer('{}', '{}')",
    "SELECT memory.workspace()",
    "SELECT memory.settle(NULL)",
    "UPDATE memory.usage SET bytes = 0",
    "CREATE TABLE memory.mine (a int)",
    "CREATE FUNCTION memory.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE POLICY mine ON memory.memories USING (true)",
    "ALTER TABLE memory.memories DISABLE ROW LEVEL SECURITY",
    "SET ROLE memory_owner",
    "SET ROLE memory_finder",
    "SET ROLE app_owner",
    "SET ROLE postgres",
    "GRANT memory_owner TO CURRENT_USER",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
@pytest.mark.parametrize("role", ["memories", "provisioning"])
async def test_a_login_role_may_not(shared_control_plane: ControlPlaneUrls, role: str, statement: str) -> None:
    async with await AsyncConnection.connect(getattr(shared_control_plane, role)) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize("statement", [*FORBIDDEN[:9], "SELECT memory.get('x', 'x')"])
async def test_supabases_data_api_reaches_nothing(
    shared_control_plane: ControlPlaneUrls, role: str, statement: str
) -> None:
    async with await AsyncConnection.connect(shared_control_plane.owner) as connection:
        await connection.execute(f"SET ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())


async def test_a_function_that_is_not_the_roles_own(shared_control_plane: ControlPlaneUrls) -> None:
    for url, statement in (
        (shared_control_plane.memories, "SELECT memory.open_workspace(gen_random_uuid()::text)"),
        (shared_control_plane.provisioning, "SELECT memory.get(gen_random_uuid()::text, 'a')"),
    ):
        async with await AsyncConnection.connect(url) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


async def test_tables_are_under_forced_row_security_of_powerless_owners(shared_control_plane: ControlPlaneUrls) -> None:
    async with await AsyncConnection.connect(shared_control_plane.owner) as connection:
        tables = await all_of(
            connection,
            "SELECT relname, pg_get_userbyid(relowner), relrowsecurity, relforcerowsecurity FROM pg_class"
            " WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r' ORDER BY 1",
        )
        assert tables == [(name, "memory_owner", True, True) for name in TABLES]
        powerless = await all_of(
            connection,
            "SELECT rolname FROM pg_roles"
            " WHERE rolname IN ('memory_owner', 'memory_finder', 'memory_bound', 'memories')"
            " AND NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit OR rolreplication)"
            " AND oid NOT IN (SELECT member FROM pg_auth_members) ORDER BY 1",
        )
        assert powerless == [("memories",), ("memory_bound",), ("memory_finder",), ("memory_owner",)]
        callable_ = await all_of(
            connection,
            "SELECT proname, prosecdef, proconfig[1] FROM pg_proc"
            " WHERE pronamespace = 'memory'::regnamespace AND EXISTS (SELECT FROM pg_roles"
            "  WHERE rolname NOT IN ('memory_owner', 'memory_finder', 'memory_bound') AND NOT rolsuper"
            "  AND NOT pg_has_role(oid, 'memory_owner', 'USAGE')"
            "  AND has_function_privilege(oid, pg_proc.oid, 'EXECUTE'))",
        )
        assert sorted(callable_) == sorted(
            (name, True, "search_path=pg_catalog, pg_temp")
            for name in (*CALLS, *MOVES, "end_journal", "enter", "enter", "open_workspace", "working")
        )
        finders = await all_of(
            connection,
            "SELECT proname, prosecdef, array_to_string(proconfig, ';') FROM pg_proc"
            " WHERE proowner = 'memory_finder'::regrole",
        )
        assert finders == [("find", True, "search_path=pg_catalog, pg_temp;enable_seqscan=off")]
        exposed = await all_of(
            connection,
            "SELECT grantee FROM information_schema.role_table_grants WHERE table_schema = 'memory'"
            " AND grantee NOT IN ('memory_owner', 'memory_finder', 'memory_bound')"
            " AND (grantee, privilege_type) <> ('backup', 'SELECT')",
        )
        assert exposed == []


async def test_each_operation_has_a_twin_for_callers_of_one_project(shared_control_plane: ControlPlaneUrls) -> None:
    """The same text and settings. A migration that adds or changes an operation has to renew them (0016)."""
    legacy = {"get", "get_as_of", "put_many", "import_memories"}
    async with await AsyncConnection.connect(shared_control_plane.owner) as connection:
        own, twins = [
            await all_of(
                connection,
                "SELECT proname, replace(prosrc, 'memory_bound.find(', 'memory.find('), proconfig, proargtypes::text,"
                " prosecdef, pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = %s::text::regnamespace"
                " AND has_function_privilege('memories', oid, 'EXECUTE') AND proname <> 'enter' ORDER BY 1",
                schema,
            )
            for schema in ("memory", "memory_bound")
        ]
        assert [(*row[:5], "memory_bound") for row in own if row[0] not in legacy] == twins
        anybodys = await all_of(
            connection,
            "SELECT proname FROM pg_proc WHERE pronamespace = 'memory_bound'::regnamespace AND EXISTS (SELECT FROM"
            " pg_roles WHERE rolname NOT IN ('memories', 'memory_bound') AND NOT rolsuper"
            " AND NOT pg_has_role(oid, 'memory_bound', 'USAGE')"
            " AND has_function_privilege(oid, pg_proc.oid, 'EXECUTE'))",
        )
        assert anybodys == []


async def test_who_runs_the_twins_sees_one_project_by_its_index(
    filled: Rows, shared_control_plane: ControlPlaneUrls
) -> None:
    for one, project in (("p", "P"), ("q", "Q")):
        await filled.store.put(memory(one, context={"project_path": project}), ANN)
    await relate(filled.store, edge("p", "q"), edge("q", "b"))
    with psycopg.connect(shared_control_plane.owner) as connection:
        connection.execute("SET ROLE memory_bound")
        connection.execute("SELECT set_config('memory.workspace', %s, true)", [filled.workspace])
        assert connection.execute("SELECT id FROM memory.memories").fetchall() == []
        for bound, names in (("", []), ("P", [("p",)]), ("Q", [("q",)]), ("p", []), ("P/", [])):
            connection.execute("SELECT set_config('memory.project', %s, true)", [bound])
            assert connection.execute("SELECT id FROM memory.memories").fetchall() == names
            assert connection.execute("SELECT id FROM memory.relationships").fetchall() == []
        connection.execute("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT id FROM memory.memories ORDER BY importance DESC, created_at DESC, id LIMIT 5"
        ).fetchall()
        assert re.search(
            r"memories_of_project.*\n.*Index Cond: .*project_path = \(InitPlan", "\n".join(r[0] for r in plan)
        )


async def test_accounts_may_read_a_workspace_and_nothing_else(
    filled: Rows, shared_control_plane: ControlPlaneUrls
) -> None:
    here = "memory.enter(%s, 1)"
    async with await AsyncConnection.connect(shared_control_plane.owner, autocommit=True) as connection:
        await connection.execute("GRANT accounts TO CURRENT_USER WITH SET TRUE")
        await connection.execute("SET ROLE accounts")
        assert await all_of(connection, f"SELECT * FROM memory.read_usage({here})", filled.workspace)
        assert await all_of(connection, f"SELECT * FROM memory.totals({here})", filled.workspace) == [(2, 1, 1)]
        page = f"SELECT following, (hit).*, (edge).* FROM memory.export_page({here}, '', '', 9, false, 9999)"
        assert "ours" in repr(await all_of(connection, page, filled.workspace))
        for name, call in {**CALLS, **MOVES}.items():
            if name not in ("read_usage", "totals", "export_page"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await all_of(connection, f"SELECT * FROM memory.{call}", filled.workspace)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await all_of(connection, "SELECT memory.enter(%s, 1, NULL, NULL)", filled.workspace)


async def test_what_was_there_before_is_counted(postgres_server: Server, tmp_path: Path) -> None:
    """By the migration that begins to count, in every workspace. An empty one has no row yet."""
    for file in migrations.load()[:9]:
        (tmp_path / f"{file.version:04}_{file.name}.sql").write_text(file.sql)
    url = postgres_server.new_database()
    roles = {"memories": postgres_server.password, "provisioning": postgres_server.password}
    inputs = {
        "databaseUrl": url,
        "runtimeUrl": url,
        "roles": roles,
        "digest": migrations.digest(migrations.load(tmp_path)),
    }
    schema, one, other = Schema(tmp_path), str(uuid.uuid4()), str(uuid.uuid4())
    _, outputs = schema.create(inputs, lambda _message: None)
    with psycopg.connect(outputs["urls"]["memories"], autocommit=True) as connection:
        for workspace, names in ((one, "ab"), (other, "a")):
            for name in names:
                row = _AS_JSON.replace('"new"', f'"{name}"')
                connection.execute("SELECT memory.put(%s, %s, NULL)", [workspace, row])
        connection.execute("SELECT memory.change(%s, 'a', %s, NULL, NULL)", [one, '{"title": "longer"}'])
        connection.execute(
            "SELECT memory.relate(%s, %s, 0, NULL)", [one, _EDGE.replace('"id"', '"context": "c", "id"')]
        )
    Schema().update("", outputs, {**inputs, "digest": migrations.digest()}, lambda _message: None)
    adapter = Postgres(Secret(outputs["urls"]["memories"]))
    counted = []
    for workspace in (one, other, str(uuid.uuid4())):
        address = StoreAddress("postgres", workspace_url(workspace), Secret(""))
        counted.append(await PostgresStores(adapter).open(address).read_usage())
    assert counted == [Usage(2, 1, 4 + 9 + 4 + RELATIONSHIP_COST + 1), Usage(1, 0, 4), Usage(0, 0, 0)]
    await adapter.close()


async def test_the_version_before_is_counted_and_its_changes_are_noted(filled: Rows, session: Session) -> None:
    """It calls without `enter`: unlimited, but nothing that a move or a quota needs to know is lost."""
    before, after = await filled.store.read_usage(), await filled.batch(NOTED, write=False)
    await all_of(session, "SELECT memory.put_many(%s, %s, NULL)", filled.workspace, f"[{_AS_JSON}]")
    imported = _AS_JSON.replace('"new"', '"imported"')
    [(_, created)] = await all_of(
        session, "SELECT * FROM memory.import_memories(%s, %s)", filled.workspace, f"[{imported}]"
    )
    assert created
    await all_of(session, "SELECT memory.remove(%s, 'a', NULL, NULL)", filled.workspace)
    usage, noted = await filled.store.read_usage(), await filled.batch(NOTED, write=False)
    gone = len('oursContent a["ours"]') + RELATIONSHIP_COST
    assert usage == Usage(before.memories + 1, 0, before.bytes + 2 * len("tc[]") - gone)
    assert [row[1:] for row in noted[0].rows[len(after[0].rows) :]] == [
        ("memory", "new"),
        ("memory", "imported"),
        ("memory", "a"),
        ("key", "ours"),
        ("relationship", "ours"),
    ]


async def test_opening_a_workspace_again_changes_nothing(shared_control_plane: ControlPlaneUrls, rows: Rows) -> None:
    provisioning = Postgres(Secret(shared_control_plane.provisioning))
    for _ in range(2):
        await provisioning.fetch("SELECT memory.open_workspace(%s)", [rows.workspace])
    with pytest.raises(StatementRefused):
        await provisioning.fetch("SELECT memory.open_workspace('nonsense')")
    await provisioning.close()
    [fences] = await rows.batch([Statement("SELECT epoch, mode FROM fences")], write=False)
    assert fences.rows == [(1, "open")]


def test_what_is_between_two_texts_is_in_no_folded_text(shared_control_plane: ControlPlaneUrls) -> None:
    """So no needle is found in it, or across it."""
    with psycopg.connect(shared_control_plane.owner) as connection:
        [(between,)] = connection.execute("SELECT memory.separator()").fetchall()
    text = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
    folded = "".join(fold(text[start : start + 500]) for start in range(0, len(text), 500))
    assert between
    assert not set(between) & set(folded)


def test_an_address_names_a_workspace(postgres: Postgres) -> None:
    for url in ("postgres:", "postgres:nonsense", "http://db.localhost:1"):
        with pytest.raises(ValueError, match="UUID"):
            PostgresStores(postgres).open(StoreAddress("postgres", url, Secret("")))


# Plans and concurrency.


@pytest.mark.parametrize(
    ("setting", "value", "operator"), [("needles", "{%secret%}", "~~"), ("tags", "{secret}", "&&")]
)
def test_what_is_rare_is_found_by_the_index(
    control_plane: ControlPlaneUrls, setting: str, value: str, operator: str
) -> None:
    """Below row-level security, which keeps an index of this kind from being used for a condition of the query."""
    with psycopg.connect(control_plane.owner) as connection:
        connection.execute("SET LOCAL ROLE memory_owner")
        connection.execute("SELECT set_config('memory.workspace', %s, true)", [str(uuid.uuid4())])
        connection.execute(
            """
            INSERT INTO memory.memories
            SELECT n.* FROM generate_series(1, 3000) number, memory.new_memory(%s || jsonb_build_object(
                'id', number, 'version', 1, 'folded_tags', ARRAY[number],
                'folded_content', repeat(md5(number::text) || ' ', 10)
            )) n
            """,
            [Jsonb(orjson.loads(_AS_JSON))],
        )
        connection.execute("ANALYZE memory.memories")
        connection.execute("SET LOCAL ROLE memory_finder")
        connection.execute("SELECT set_config(%s, %s, true)", [f"memory.{setting}", value])
        connection.execute("SET LOCAL enable_seqscan = off")  # as `find` does
        plan = "\n".join(str(row[0]) for row in connection.execute("EXPLAIN SELECT id FROM memory.memories"))
    assert re.search(rf"Bitmap Index Scan on memories_by_text.*\n\s+Index Cond: .*workspace_id.* {operator}", plan), (
        plan
    )
    assert set(re.findall(r"Scan on (\w+)", plan)) == {"memories", "memories_by_text"}
    assert "Seq Scan" not in plan


def test_answers_are_found_by_what_they_are_about(control_plane: ControlPlaneUrls) -> None:
    with psycopg.connect(control_plane.owner) as connection:
        connection.execute("SET LOCAL ROLE memory_owner")
        connection.execute("SELECT set_config('memory.workspace', %s, true)", [str(uuid.uuid4())])
        connection.execute(
            """
            INSERT INTO memory.idempotency (workspace_id, key, fingerprint, at, answer)
            SELECT memory.workspace(), number, 'f', 1, jsonb_build_object('id', number, 'content', repeat('c', 1000))
            FROM generate_series(1, 3000) number
            """
        )
        connection.execute("ANALYZE memory.idempotency")
        delete = """EXPLAIN DELETE FROM memory.idempotency i
            WHERE i.about IN (SELECT '7' COLLATE "C" UNION ALL SELECT r.id FROM memory.relationships r LIMIT 20)"""
        plan = "\n".join(str(row[0]) for row in connection.execute(delete))
    assert re.search(r"Index Scan (using|on) idempotency_about.*\n\s+Index Cond: .*workspace_id.*about", plan), plan


async def test_both_ways_of_a_search_give_the_same(rows: Rows, shared_control_plane: ControlPlaneUrls) -> None:
    """Along the order of results, and by the index of texts or of tags: which is taken depends on how many match."""
    words = ("cache", "Cached", "retry", "100%", "snake_case", "Straße", "db")
    many = [
        memory(
            f"m{number:03}",
            title=words[number % 7],
            content=" ".join(words[: number % 5]) + "." * (number % 3),
            tags=(f"t{number % 4}", words[number % 3].lower()),
            importance=number % 4 / 4,
            at=NOW + timedelta(microseconds=number % 6),
        )
        for number in range(180)
    ]
    await rows.store.put_many(many, ANN)
    positions = [None, *(Position(exact, 0.5, NOW + timedelta(microseconds=2), "m050") for exact in (True, False))]
    searches = [
        find(query, tags=tags, every_tag=every_tag, after=after, limit=limit, offset=0 if after else offset)
        for query in ("", "cache", "retry", "100%", "straße", "nowhere")
        for tags, every_tag in (((), False), (("t1", "t2"), False), (("t1", "cache"), True))
        for after in positions
        for limit, offset in ((3, 0), (7, 5), (500, 0))
        if query or tags
    ]
    found_some = 0
    async with await AsyncConnection.connect(shared_control_plane.owner) as connection:
        await connection.execute("SET ROLE memory_owner")
        await connection.execute("SET search_path = pg_catalog")
        await connection.execute("SELECT set_config('memory.workspace', %s, true)", [rows.workspace])
        for one in searches:
            wanted = to_json(wanted_of(one))
            ways = [
                await all_of(
                    connection,
                    f"SELECT (memory.{way}(jsonb_populate_record(NULL::memory.wanted, %s::jsonb || %s))).*",
                    wanted,
                    Jsonb({"by_tag": by_tag}),
                )
                for way, by_tag in (("scan", False), ("find", False), ("find", True))
                if not (way == "find" and not (one.tags if by_tag else one.needles))
            ]
            assert ways[1:] == ways[:1] * (len(ways) - 1), one
            found_some += bool(ways[0][0][1])
    assert found_some > len(searches) / 2


@pytest.mark.parametrize(("every", "along"), [(399, False), (1, True)])
async def test_the_way_depends_on_how_many_match(
    rows: Rows, shared_control_plane: ControlPlaneUrls, every: int, *, along: bool
) -> None:
    many = [memory(f"m{number}", content="retry" if number % every else "cache") for number in range(1, 400)]
    await rows.store.put_many(many, ANN)
    async with await AsyncConnection.connect(shared_control_plane.owner) as connection:
        await connection.execute("SET ROLE memory_owner")
        await connection.execute("SELECT set_config('memory.workspace', %s, true)", [rows.workspace])
        wanted = to_json(wanted_of(find("cache")))
        chosen = await all_of(
            connection, "SELECT scan FROM memory.choose(jsonb_populate_record(NULL::memory.wanted, %s::jsonb))", wanted
        )
    assert chosen == [(along,)]
    assert len(await found(rows.store, find("cache"))) == (50 if along else 1)


def test_a_new_relationship_reads_few_others(control_plane: ControlPlaneUrls) -> None:
    """Whatever the statistics know: here another workspace only, and plans from when the tables were empty."""
    ours, theirs = str(uuid.uuid4()), str(uuid.uuid4())
    sent: dict[str, object] = orjson.loads(_EDGE)

    def new(number: int) -> dict[str, object]:
        return sent | {"id": f"new{number}", "from_id": f"m{number}", "to_id": f"m{number + 1}", "strength": 1}

    with psycopg.connect(control_plane.owner) as connection:
        connection.execute("SET LOCAL ROLE memory_owner")

        def make(workspace: str, number: int) -> None:
            connection.execute("SELECT memory.relate(%s, %s, 0, NULL)", [workspace, Jsonb(new(number))])

        def take_in(*numbers: int, **changed: int) -> None:
            edges = Jsonb([new(number) | changed for number in numbers])
            connection.execute("SELECT memory.import_relationships(%s, %s, false)", [ours, edges])
            connection.execute("SELECT memory.import_relationships(%s, %s, true)", [ours, edges])

        def read() -> int:
            [(count,)] = connection.execute(
                "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
                " WHERE schemaname = 'memory'"
            ).fetchall()
            return int(count)

        make(ours, 0)
        take_in(0)
        for workspace in (theirs, ours):
            connection.execute("SELECT set_config('memory.workspace', %s, true)", [workspace])
            connection.execute(
                """
                INSERT INTO memory.memories SELECT n.* FROM generate_series(0, 3000) number,
                    memory.new_memory(%s || jsonb_build_object('id', 'm' || number, 'version', 1)) n
                """,
                [Jsonb(orjson.loads(_AS_JSON))],
            )
            connection.execute(
                """
                INSERT INTO memory.relationships SELECT n.* FROM generate_series(0, 2998, 2) number,
                    memory.new_relationship(%s || jsonb_build_object(
                        'id', number, 'from_id', 'm' || number, 'to_id', 'm' || number + 1
                    )) n
                """,
                [Jsonb(sent)],
            )
            if workspace == theirs:
                connection.execute("ANALYZE memory.memories, memory.relationships")
        counts = [read()]
        make(ours, 1001)
        counts.append(read())
        make(ours, 1001)  # sent again
        counts.append(read())
        take_in(*range(1, 101, 2))
        counts.append(read())
        take_in(*range(1, 101, 2), updated_at=2)
        counts.append(read())
        [(made,)] = connection.execute("SELECT count(*) FROM memory.relationships WHERE id LIKE 'new%'").fetchall()
    assert made == 51
    one, again, many, changed = (after - before for before, after in pairwise(counts))
    assert one < 20
    assert again < 20
    assert many < 50 * 20
    assert changed < 50 * 20


async def test_a_cycle_is_found_however_long(rows: Rows) -> None:
    """From either end, past what is looked at first."""
    await rows.store.put_many([memory(f"m{number:03}") for number in range(400)], ANN)
    steps = [edge(f"m{number:03}", f"m{number + 1:03}") for number in range(399) if number != 200]
    await rows.store.import_relationships(steps, ANN, timeless=False)
    await relate(rows.store, edge("m200", "m201"))
    for start, end in ((399, 0), (399, 200), (200, 0), (201, 200)):
        closing = edge(f"m{start:03}", f"m{end:03}")
        assert await rows.store.relate(closing, same_since=NOW, author=ANN) == Cycle()
        [outcome] = await rows.store.import_relationships([closing], ANN, timeless=False)
        assert outcome is Outcome.CYCLE
    await relate(rows.store, edge("m000", "m399"), edge("m399", "m000", "CAUSES"))


@pytest.mark.parametrize("offset", [2**31 - 1, 2**31])
async def test_a_page_behind_more_than_a_subscript_counts(rows: Rows, offset: int) -> None:
    await put(rows.store, memory("a", title="cache", tags=("t",)), memory("b", content="cache", tags=("t",)))
    for wanted in (find("cache"), find(""), find("cache", tags=("t",)), find("", tags=("t",), limit=1000)):
        page = await search(rows.store, replace(wanted, offset=offset))
        assert (page.hits, page.total, page.more) == ([], 2, False)
    many = [memory(f"m{number}", content="cache" if number % 40 == 0 else "retry") for number in range(400)]
    await rows.store.put_many(many, ANN)
    assert (await search(rows.store, find("cache", offset=offset))).hits == []
    past = await rows.store.history("a", (), limit=10, offset=offset)
    assert past is not None
    assert past.relationships == []


class Twice(Postgres):
    """Every statement is sent twice, as when a connection breaks before the answer."""

    async def ask(self, statement: str, args: Sequence[object] = ()) -> Answer:
        await super().ask(statement, args)
        return replace(await super().ask(statement, args), repeated=True)


@pytest.mark.parametrize("ahead", [-SECOND, timedelta(0), SECOND])
async def test_a_change_that_was_sent_twice_has_missed_only_itself(
    rows: Rows, shared_control_plane: ControlPlaneUrls, ahead: timedelta
) -> None:
    at = NOW + ahead  # of what is there: it may come from a clock that is ahead
    await rows.store.import_memories([memory("a", at=at), memory("b", at=at)], ANN)
    await rows.store.import_relationships([edge("a", "b", at=at, edge_id="e")], ANN, timeless=False)
    adapter = Twice(Secret(shared_control_plane.memories))
    store = PostgresStores(adapter).open(StoreAddress("postgres", workspace_url(rows.workspace), Secret("")))
    later = max(NOW, at + timedelta(microseconds=1))
    changed = await store.update("a", Changes({"title": "new"}), NOW, ANN, [Revision(1, at)])
    amended = await store.amend("e", EdgeChanges({"strength": 0.9}), NOW, ANN, [Revision(1, at)])
    assert isinstance(changed, Memory)
    assert isinstance(amended, Relationship)
    assert {(one.version, one.updated_at) for one in (changed, amended)} == {(2, later)}
    mismatch = Mismatch(Revision(2, later))
    for revision in (Revision(1, at + 2 * SECOND), Revision(3, at)):
        assert await store.update("a", Changes({"title": "x"}), NOW, ANN, [revision]) == mismatch
        assert await store.amend("e", EdgeChanges({"strength": 0.1}), NOW, ANN, [revision]) == mismatch
    await adapter.close()


async def test_as_many_earlier_states_are_kept_as_the_code_says(rows: Rows) -> None:
    await put(rows.store, memory("a"))
    for number in range(VERSIONS_KEPT + 3):
        await rows.store.update("a", Changes({"title": f"{number}"}), NOW + number * SECOND, ANN)
    [kept] = await rows.batch([Statement("SELECT count(*), min(version) FROM memory_versions")], write=False)
    assert kept.rows == [(VERSIONS_KEPT, 4)]


async def test_writers_of_two_processes(rows: Rows, shared_control_plane: ControlPlaneUrls) -> None:
    """Memories that come and go while relationships between them are made: none outlives its ends, no cycle closes."""
    pools = [Postgres(Secret(shared_control_plane.memories)) for _ in range(2)]
    address = StoreAddress("postgres", workspace_url(rows.workspace), Secret(""))
    stores = [PostgresStores(pool).open(address) for pool in pools]
    names = [f"m{number}" for number in range(6)]
    await put(rows.store, *(memory(name) for name in names))

    async def work(store: PostgresStore, step: int) -> None:
        for turn in range(25):
            one, two = names[(turn * step) % 6], names[(turn + step) % 6]
            await store.relate(edge(one, two, edge_id=f"{step}-{turn}"), same_since=NOW, author=ANN)
            if turn % 4 == 0:
                await store.delete(two)
                await store.put(memory(two), BOB)
            if turn % 4 == 1:
                await store.put_many([memory(name) for name in dict.fromkeys((two, *names)) if name != one], BOB)
            if turn % 4 == 2:
                moved = [edge(two, one, type_, edge_id=f"i{turn}-{type_}") for type_ in ("CAUSES", "SOLVES")]
                await store.import_relationships(moved[:: 1 if step % 2 else -1], BOB, timeless=True)

    await asyncio.gather(*(work(stores[step % 2], step) for step in range(1, 9)))
    for pool in pools:
        await pool.close()
    known = "(SELECT id FROM memories)"
    dangling = f"SELECT id FROM relationships WHERE from_id NOT IN {known} OR to_id NOT IN {known}"
    cycles = """
        WITH RECURSIVE walk (type, start, id) AS (
            SELECT type, from_id, to_id FROM relationships
            UNION SELECT r.type, walk.start, r.to_id
            FROM walk JOIN relationships r ON r.from_id = walk.id AND r.type = walk.type
        ) SELECT start FROM walk WHERE start = id"""
    found = await rows.batch([Statement(dangling), Statement(cycles)], write=False)
    assert [one.rows for one in found] == [[], []]
