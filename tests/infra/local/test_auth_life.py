"""A project's Auth over the life of the daemon: what it holds comes back, at the same address."""

from __future__ import annotations

import http.client

from infra.local.cloud.ports import listener
from tests.infra.local.auth import PASSWORD, Auth
from tests.infra.local.running import Daemon, wait_for


def serves(auth: Auth) -> bool:
    try:
        return auth.call("GET", "/health")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_users_keys_and_address_outlive_the_daemon(own_daemon: Daemon) -> None:
    own_daemon.start()
    api = own_daemon.api("supabase")
    asked = {"organization_slug": "local", "name": "auth", "region": "us-east-1", "db_pass": "a password"}
    path = f"/v1/projects/{api('POST', '/v1/projects', asked)[1]['ref']}"
    wait_for(lambda: api("GET", path)[1]["status"] == "ACTIVE_HEALTHY")
    api("POST", f"{path}/config/auth/signing-keys", {"algorithm": "ES256", "status": "in_use"})
    publishable, secret = (key["api_key"] for key in api("GET", f"{path}/api-keys?reveal=true")[1])
    auth = Auth(own_daemon, api, path.rpartition("/")[2], api("GET", path)[1]["api_url"], publishable, secret)
    auth.person("stays@example.com")
    session = auth.session("stays@example.com")

    own_daemon.stop()
    taken = listener(int(auth.address.rpartition(":")[2]))
    try:
        own_daemon.start()  # another program has the port: it is waited for, since others know it
        assert own_daemon.api("supabase")("GET", path)[1]["api_url"] == auth.address
    finally:
        taken.close()
    wait_for(lambda: serves(auth))
    assert auth.call("GET", "/user", token=session["access_token"])[1]["email"] == "stays@example.com"
    assert auth.call("POST", "/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]})[0] == 200
    assert auth.session("stays@example.com", PASSWORD)["user"]["id"] == session["user"]["id"]
