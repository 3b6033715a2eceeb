"""What is not needed any more goes, as late as it is kept, a part at a time; and nothing that still says something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from provisioning import sweep
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.provisioning.world import LocalDatabases, Outside, World

HASH = "e" * 64


@pytest.fixture
async def world(control_plane: ControlPlaneUrls, tmp_path: Path) -> AsyncIterator[World]:
    world = World(control_plane, Outside(), LocalDatabases(tmp_path))
    yield world
    await world.close()


async def forget(world: World, most: int = 1000) -> int:
    return await world.parts.ledger.forget_old(sweep.AUDIT_DAYS, sweep.KEY_DAYS, sweep.LINK_DAYS, most)


def names(world: World, statement: str) -> list[str]:
    return sorted(str(row[0]) for row in world.owner.run(statement))


async def test_what_was_done_is_kept_400_days(world: World) -> None:
    for days in (500, 401, 399, 1):
        world.owner.run(
            "INSERT INTO app.audit_log (at, action) VALUES (now() - make_interval(days => %s), %s)", days, f"{days}"
        )
    assert await forget(world) == 2
    assert names(world, "SELECT action FROM app.audit_log") == ["1", "399"]


async def test_keys_are_kept_400_days_after_their_end(world: World) -> None:
    account, workspace = world.new_workspace()
    ends = {
        "live": (None, None),
        "ends later": (None, "1 day"),
        "just revoked": ("-399 days", None),
        "just expired": (None, "-399 days"),
        "revoked": ("-401 days", "1 day"),
        "expired": (None, "-401 days"),
    }
    for number, (name, (revoked, expires)) in enumerate(ends.items()):
        world.owner.run(
            "INSERT INTO app.api_keys"
            " (workspace_id, account_id, name, prefix, key_hash, scopes, revoked_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, '{}', now() + %s::interval, now() + %s::interval)",
            workspace,
            account,
            name,
            f"mg_{number:012d}",
            f"{number:064d}",
            revoked,
            expires,
        )
    assert await forget(world) == 2
    assert names(world, "SELECT name FROM app.api_keys") == ["ends later", "just expired", "just revoked", "live"]


async def test_links_of_mails_are_kept_a_month_after_their_use(world: World) -> None:
    account, workspace = world.new_workspace()
    for number, (email, accepted, expires) in enumerate(
        [
            ("open", None, "1 day"),
            ("expired", None, "-29 days"),
            ("accepted", "-29 days", "-31 days"),
            ("long expired", None, "-31 days"),
            ("long accepted", "-31 days", "1 day"),
        ]
    ):
        world.owner.run(
            "INSERT INTO app.invitations (id, workspace_id, email, role, token_hash, accepted_at, expires_at)"
            " VALUES (gen_random_uuid(), %s, %s, 'member', %s, now() + %s::interval, now() + %s::interval)",
            workspace,
            email,
            f"{number:064d}",
            accepted,
            expires,
        )
    for number, expires in enumerate(["1 day", "-29 days", "-31 days"]):
        world.owner.run(
            "INSERT INTO app.erasure_requests (token_hash, account_id, expires_at)"
            " VALUES (%s, %s, now() + %s::interval)",
            f"{number:064d}",
            account,
            expires,
        )
    for hours in (23, 25):
        world.owner.run(
            "INSERT INTO app.invitation_mails (address_hash, at) VALUES (%s, now() - make_interval(hours => %s))",
            HASH,
            hours,
        )
    assert await forget(world) == 4
    assert names(world, "SELECT email FROM app.invitations") == ["accepted", "expired", "open"]
    assert world.owner.run("SELECT count(*) FROM app.erasure_requests") == [(2,)]
    assert world.owner.run("SELECT count(*) FROM app.invitation_mails") == [(1,)]


async def test_how_many_seats_there_were_can_be_told_for_400_days(world: World) -> None:
    _, one = world.new_workspace()
    _, other = world.new_workspace(email="eve@example.test")
    world.owner.run("DELETE FROM app.seat_changes")
    for workspace, seats, days in [(one, 1, 900), (one, 2, 500), (one, 3, 450), (one, 4, 10), (other, 7, 800)]:
        world.owner.run(
            "INSERT INTO app.seat_changes (workspace_id, seats, at) VALUES (%s, %s, now() - make_interval(days => %s))",
            workspace,
            seats,
            days,
        )
    assert await forget(world) == 2
    assert world.owner.run("SELECT seats FROM app.seat_changes ORDER BY seats") == [(3,), (4,), (7,)]
    assert await forget(world) == 0


async def test_so_many_at_a_time(world: World) -> None:
    world.owner.run(
        "INSERT INTO app.audit_log (at, action) SELECT now() - interval '500 days', 'x' FROM generate_series(1, 7)"
    )
    assert [await forget(world, 3) for _ in range(4)] == [3, 3, 1, 0]


async def test_the_sweep_does_it(world: World) -> None:
    world.owner.run("INSERT INTO app.audit_log (at, action) VALUES (now() - interval '401 days', 'x')")
    said = await sweep.sweep(world.parts, world.runner)
    assert said["old rows"] == 1


def test_only_provisioning_forgets(shared_control_plane: ControlPlaneUrls) -> None:
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(shared_control_plane.memories) as connection, refused:
        connection.execute("SELECT app.forget_old('1 day', '1 day', '1 day', 1)")
