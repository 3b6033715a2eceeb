"""Jobs on a real PostgreSQL: who may take which, when, and what becomes of those that fail or are left."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from core.adapters.postgres import Postgres, StatementRefused
from core.settings import Secret
from provisioning.outbox import Job, Outbox
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.provisioning.rows import Owner

LEASE = 60.0


@pytest.fixture
def owner(control_plane: ControlPlaneUrls) -> Owner:
    return Owner(control_plane.owner)


@pytest.fixture
async def outbox(control_plane: ControlPlaneUrls) -> AsyncIterator[Outbox]:
    postgres = Postgres(Secret(control_plane.provisioning))
    yield Outbox(postgres)
    await postgres.close()


def new() -> str:
    return str(uuid.uuid4())


async def claim(outbox: Outbox) -> Job | None:
    return await outbox.claim(new(), LEASE)


async def test_a_job_from_its_beginning_to_its_end(outbox: Outbox, owner: Owner) -> None:
    subject = new()
    made = await outbox.enqueue("send_mail", subject, {"to": "a@b.test", "data": {"n": 1}}, dedupe="one")
    job = await claim(outbox)
    assert job is not None
    assert (job.id, job.kind, job.subject, job.attempts) == (made, "send_mail", subject, 1)
    assert job.payload == {"to": "a@b.test", "data": {"n": 1}}
    assert await claim(outbox) is None
    assert await outbox.finish(job)
    assert await outbox.finish(job)  # the answer may have been lost
    assert owner.run("SELECT state, payload FROM app.jobs") == [("done", {})]  # no address is kept


async def test_an_open_job_is_not_doubled(outbox: Outbox) -> None:
    first = await outbox.enqueue("send_mail", None, dedupe="same")
    assert await outbox.enqueue("send_mail", None, dedupe="same") == first
    assert await outbox.enqueue("other", None, dedupe="same") != first
    job = await claim(outbox)
    assert job is not None
    assert await outbox.enqueue("send_mail", None, dedupe="same") == first  # it is running
    await outbox.finish(job)
    assert await outbox.enqueue("send_mail", None, dedupe="same") != first


async def test_enqueueing_the_same_at_once(control_plane: ControlPlaneUrls) -> None:
    boxes = [Postgres(Secret(control_plane.provisioning)) for _ in range(4)]
    ids = await asyncio.gather(*(Outbox(box).enqueue("k", None, dedupe="d") for box in boxes for _ in range(4)))
    assert len(set(ids)) == 1
    for box in boxes:
        await box.close()


async def test_a_claim_that_is_made_again_gives_the_same_job(outbox: Outbox) -> None:
    await outbox.enqueue("k", None, dedupe="1")
    await outbox.enqueue("k", None, dedupe="2")
    name = new()
    first, again = await outbox.claim(name, LEASE), await outbox.claim(name, LEASE)
    assert first == again
    assert again is not None
    assert again.attempts == 1


async def test_many_claim_at_once_and_none_gets_what_another_has(control_plane: ControlPlaneUrls) -> None:
    boxes = [Postgres(Secret(control_plane.provisioning)) for _ in range(5)]
    outboxes = [Outbox(box) for box in boxes]
    for number in range(30):
        await outboxes[0].enqueue("k", None, dedupe=str(number))
    claimed = await asyncio.gather(*(claim(outboxes[number % 5]) for number in range(40)))
    found = [job.id for job in claimed if job]
    assert len(found) == len(set(found)) == 30
    for box in boxes:
        await box.close()


async def test_what_is_not_due_waits(outbox: Outbox, owner: Owner) -> None:
    assert await outbox.next_in() is None
    await outbox.enqueue("k", None, dedupe="later", delay_seconds=600)
    assert await claim(outbox) is None
    seconds = await outbox.next_in()
    assert seconds is not None
    assert 500 < seconds <= 600
    owner.make_due()
    assert await claim(outbox) is not None


async def test_a_lease_that_ended_is_taken_over_and_its_holder_has_no_say(outbox: Outbox, owner: Owner) -> None:
    await outbox.enqueue("k", None, dedupe="1")
    lost = await claim(outbox)
    assert lost is not None
    assert await outbox.hold(lost, LEASE)
    owner.end_leases()
    taken = await claim(outbox)
    assert taken is not None
    assert (taken.id, taken.attempts) == (lost.id, 2)
    assert not await outbox.hold(lost, LEASE)
    assert not await outbox.finish(lost)
    assert await outbox.fail(lost, "late", final=True) is None
    assert owner.state(lost.id) == "running"
    assert await outbox.finish(taken)


async def test_a_failure_waits_longer_each_time_and_ends_dead(outbox: Outbox, owner: Owner) -> None:
    made = await outbox.enqueue("k", None, dedupe="1")
    pauses = []
    for attempt in range(1, 16):
        owner.make_due()
        job = await claim(outbox)
        assert job is not None
        assert job.attempts == attempt
        became = await outbox.fail(job, f"reason {attempt}", final=False)
        assert await outbox.fail(job, "again", final=False) == became  # the answer may have been lost
        assert became == ("waiting" if attempt < 15 else "dead")
        pauses.append(owner.run("SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM app.jobs")[0][0])
    for attempt, pause in enumerate(pauses, 1):
        nominal = min(5 * 2 ** (attempt - 1), 3600)
        assert nominal * 0.4 < pause < nominal * 1.6
    assert owner.run("SELECT state, last_error, attempts FROM app.jobs") == [("dead", "reason 15", 15)]
    assert await outbox.next_in() is None
    listed = owner.run("SELECT id::text, kind, last_error FROM app.list_jobs('dead')")
    assert listed == [(made, "k", "reason 15")]


async def test_a_job_that_kills_its_process_every_time_ends_dead_too(outbox: Outbox, owner: Owner) -> None:
    await outbox.enqueue("k", None, dedupe="1")
    for _ in range(15):
        owner.end_leases()
        assert await claim(outbox) is not None
    owner.end_leases()
    assert await claim(outbox) is None
    (row,) = owner.run("SELECT state, last_error FROM app.jobs")
    assert row[0] == "dead"
    assert "process ended" in row[1]


async def test_what_no_attempt_would_help_is_dead_at_once_and_can_be_revived(outbox: Outbox, owner: Owner) -> None:
    made = await outbox.enqueue("k", None, {"kept": True}, dedupe="1")
    job = await claim(outbox)
    assert job is not None
    assert await outbox.fail(job, "never", final=True) == "dead"
    assert owner.run("SELECT app.revive_job(%s)", made) == [(True,)]
    assert owner.run("SELECT app.revive_job(%s)", made) == [(False,)]
    again = await claim(outbox)
    assert again is not None
    assert (again.attempts, again.payload) == (1, {"kept": True})


async def test_nothing_is_kept_of_a_mail_that_could_not_be_sent(outbox: Outbox, owner: Owner) -> None:
    """Its link may open something."""
    made = await outbox.enqueue("send_mail", None, {"template": "erasure", "to": "a@b.test", "data": {}}, dedupe="1")
    job = await claim(outbox)
    assert job is not None
    assert await outbox.fail(job, "no", final=False) == "waiting"
    assert owner.run("SELECT payload ->> 'to' FROM app.jobs") == [("a@b.test",)]
    owner.make_due()
    job = await claim(outbox)
    assert job is not None
    assert await outbox.fail(job, "never", final=True) == "dead"
    assert owner.run("SELECT payload FROM app.jobs") == [({"template": "erasure"},)]
    assert owner.run("SELECT app.revive_job(%s)", made) == [(False,)]


async def test_a_dead_job_is_not_revived_beside_one_that_does_the_same(outbox: Outbox, owner: Owner) -> None:
    made = await outbox.enqueue("k", None, dedupe="1")
    job = await claim(outbox)
    assert job is not None
    await outbox.fail(job, "never", final=True)
    await outbox.enqueue("k", None, dedupe="1")
    assert owner.run("SELECT app.revive_job(%s)", made) == [(False,)]


async def test_jobs_of_one_store_run_one_at_a_time_in_order(outbox: Outbox, owner: Owner) -> None:
    workspace = new()
    opening = await outbox.enqueue("open_store", workspace, dedupe="o")
    await outbox.enqueue("close_store", workspace, dedupe="c")
    await outbox.enqueue("send_mail", workspace, dedupe="m")
    elsewhere = await outbox.enqueue("close_store", new(), dedupe="e")
    first = await claim(outbox)
    assert first is not None
    assert first.id == opening
    others = [job.id if job else None for job in (await claim(outbox), await claim(outbox), await claim(outbox))]
    assert elsewhere in others
    assert others[2] is None  # a mail and another workspace's job do not wait
    await outbox.fail(first, "later", final=False)
    assert await claim(outbox) is None  # closing does not overtake opening, which is tried again
    owner.make_due()
    first = await claim(outbox)
    assert first is not None
    assert first.id == opening
    await outbox.finish(first)
    last = await claim(outbox)
    assert last is not None
    assert last.kind == "close_store"


async def test_what_is_meant_for_later_bars_nothing(outbox: Outbox) -> None:
    workspace = new()
    await outbox.enqueue("drop_database", workspace, dedupe="d", delay_seconds=900)
    await outbox.enqueue("renew_token", workspace, dedupe="r")
    job = await claim(outbox)
    assert job is not None
    assert job.kind == "renew_token"


async def test_somebody_waits_for_a_store_so_it_is_opened_first(outbox: Outbox) -> None:
    for number in range(3):
        await outbox.enqueue("upgrade_schema", new(), dedupe=str(number))
    made = await outbox.enqueue("open_store", new(), dedupe="o")
    job = await claim(outbox)
    assert job is not None
    assert job.id == made


async def test_the_operator_is_told_once_of_what_died(outbox: Outbox) -> None:
    assert await outbox.report_dead("op@example.test") == 0
    for number in range(2):
        await outbox.enqueue("k", None, dedupe=str(number))
        job = await claim(outbox)
        assert job is not None
        await outbox.fail(job, f"reason {number}", final=True)
    assert await outbox.report_dead("op@example.test") == 2
    assert await outbox.report_dead("op@example.test") == 0
    mail = await claim(outbox)
    assert mail is not None
    assert (mail.kind, mail.payload["template"], mail.payload["to"]) == ("send_mail", "operator", "op@example.test")
    assert "reason 1" in " ".join(mail.payload["data"]["lines"])
    await outbox.fail(mail, "no mail server", final=True)
    assert await outbox.report_dead("op@example.test") == 0  # a mail about a mail that cannot be sent


async def test_old_jobs_are_forgotten_dead_ones_later(outbox: Outbox, owner: Owner) -> None:
    for number in range(2):
        await outbox.enqueue("k", None, dedupe=str(number))
        job = await claim(outbox)
        assert job is not None
        await (outbox.finish(job) if number else outbox.fail(job, "e", final=True))
    owner.run("UPDATE app.jobs SET finished_at = now() - interval '31 days'")
    assert await outbox.forget(30) == 1
    assert owner.run("SELECT state FROM app.jobs") == [("dead",)]
    owner.run("UPDATE app.jobs SET finished_at = now() - interval '121 days'")
    assert await outbox.forget(30) == 1


@pytest.mark.parametrize(
    "statement",
    ["SELECT app.enqueue('k', NULL)", "SELECT app.claim_job(gen_random_uuid(), '1s')", "SELECT * FROM app.jobs"],
)
async def test_the_hot_path_may_do_nothing_with_jobs(control_plane: ControlPlaneUrls, statement: str) -> None:
    postgres = Postgres(Secret(control_plane.memories))
    with pytest.raises(StatementRefused, match="42501"):
        await postgres.fetch(statement)
    await postgres.close()


async def test_provisioning_reaches_jobs_by_their_functions_only(control_plane: ControlPlaneUrls) -> None:
    postgres = Postgres(Secret(control_plane.provisioning))
    with pytest.raises(StatementRefused, match="42501"):
        await postgres.fetch("SELECT * FROM app.jobs")
    await postgres.close()
