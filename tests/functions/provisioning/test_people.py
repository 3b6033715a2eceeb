"""What `accounts` leaves to do, from the first sign-in to the erasure, as its own SQL functions say it."""

from __future__ import annotations

import hashlib
import uuid

from core.ports import Claims, KeyRecord, KeyRefused
from provisioning import letters
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.memories.samples import ANN, memory
from tests.functions.provisioning.rows import left
from tests.functions.provisioning.world import World

SITE = "https://example.test"


def claims(account: str) -> Claims:
    return Claims(account_id=account, email="ada@example.test", name="Ada", expires_at=4e9)


async def sign_in(world: World, account: str) -> KeyRecord | KeyRefused | None:
    return await world.control.find_member(claims(account), None)


async def test_the_first_sign_in_leads_to_a_store(served: World) -> None:
    account = str(uuid.uuid4())
    first = await sign_in(served, account)
    assert isinstance(first, KeyRecord)
    assert first.store_url is None
    assert (await served.run()).done == 1
    second = await sign_in(served, account)
    assert isinstance(second, KeyRecord)
    assert second.workspace_id == first.workspace_id
    assert second.store_url
    assert second.version > first.version
    assert served.sealer.open_text(second.store_token, second.workspace_id)


async def test_from_the_request_to_the_end_of_an_erasure(served: World, control_plane: ControlPlaneUrls) -> None:
    account = str(uuid.uuid4())
    record = await sign_in(served, account)
    assert isinstance(record, KeyRecord)
    served.outside.users.add(account)
    await served.run()
    placement = await served.parts.stores.placements.read(record.workspace_id)
    assert placement
    store = served.parts.contents.open(served.parts.stores.address(record.workspace_id, placement))
    await store.put(memory("1"), ANN)

    token = hashlib.sha256(b"token").hexdigest()
    link = f"{SITE}/erase?token=token"
    served.owner.run("SELECT app.request_erasure(%s, %s, '1 hour', %s, 5)", account, token, link)
    (mail,) = served.mails()
    letter = letters.write(mail["template"], mail["data"], SITE)
    assert mail["to"] == "ada@example.test"
    assert link in letter.text
    served.owner.run("DELETE FROM app.jobs WHERE kind = 'send_mail'")

    served.owner.run("SELECT app.confirm_erasure(%s)", token)
    await served.settle()
    assert {kind for kind, state in served.jobs() if state == "done"} == {"erase_account", "open_store", "void_keys"}
    assert left(control_plane.owner, account, record.workspace_id, "ada@example.test") == []
    assert not served.outside.databases
    assert not served.outside.users
    assert [mail["template"] for mail in served.mails()] == ["erased"]
    assert await sign_in(served, account) == KeyRefused("erased")
