"""A workspace that gets another owner."""

from __future__ import annotations

from tests.functions.provisioning.world import World

BOB = "bob@example.test"


def hand_over(world: World, workspace: str, account: str, to: str) -> None:
    """As its owner does; the new one gets an address."""
    world.owner.run("UPDATE app.workspaces SET personal = false WHERE id = %s", workspace)
    world.owner.run("UPDATE app.accounts SET email = %s WHERE id = %s AND email IS NULL", BOB, to)
    world.owner.run("SELECT app.change_member(%s, NULL, %s, %s, 'owner')", account, workspace, to)
