from tests.functions.billing.test_service import service, subscribed
from tests.functions.billing.world import World
from declarations import TEAM, PRO
async def test_hand(world: World) -> None:
    ada, customer = await subscribed(world, TEAM)
    bob = await world.sign_in("bob@example.com", store=False)
    world.run("UPDATE app.workspaces SET personal=false WHERE id=%s::uuid", ada.workspace)
    world.run("INSERT INTO app.members (workspace_id, account_id, role) VALUES (%s::uuid,%s::uuid,'admin')", ada.workspace, bob.account)
    world.run("SELECT app.change_member(%s::uuid, NULL, %s::uuid, %s::uuid, 'owner')", ada.account, ada.workspace, bob.account)
    url = await service(world).open_portal(world.asker(bob, ada.workspace))
    print("\nPORTAL for bob:", url, "customer of ada:", customer, world.stripe.customers[customer].email)
    try: await service(world).open_portal(world.asker(ada))
    except Exception as e: print("ada:", type(e).__name__, e.detail)
