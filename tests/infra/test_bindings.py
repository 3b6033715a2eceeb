"""Variables read = declared = bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from core.settings import Secret, Settings
from declarations import DEPLOYED, FUNCTIONS, PROVISIONING, FunctionSettings, ProvisioningSettings
from infra.bindings import Bindings, Unbound

OWNERS: dict[str, type[Settings]] = {
    **{function.name: function.settings for function in DEPLOYED},
    "the operator": ProvisioningSettings,
}
OFFERED = ("BACKUP_BUCKET", "OIDC_CALLER", "TASKS_URL")
"""Those whose values come from what is made between the functions (infra/__main__.py)."""

PARTS = ("config", "keys", "control_plane", "people", "limiter", "store", "billing")


class _Anything:
    """Stands in for the components: whatever is asked of it is a text that says what was asked."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name in ("smtp_port", "databases_most"):
            return 25
        if name in ("all", "newest", "url", "session_url") and self._path in ("keys", "control_plane"):
            return lambda owner: f"{self._path}.{name}({owner})"
        return f"{self._path}.{name}"


@pytest.fixture
def bindings() -> Bindings:
    parts = {name: _Anything(name) for name in PARTS}
    found = Bindings(**cast(Any, parts))
    for name in OFFERED:
        found.offer(name, name.lower())
    return found


@pytest.mark.parametrize("owner", OWNERS)
def test_every_declared_variable_is_bound(bindings: Bindings, owner: str) -> None:
    environment = bindings.bind(owner, OWNERS[owner])
    for variable in OWNERS[owner].variables():
        assert variable.name in (environment.secret if variable.secret else environment.plain)


def test_every_binding_is_declared_by_someone(bindings: Bindings) -> None:
    declared = {variable.name for settings in OWNERS.values() for variable in settings.variables()}
    assert bindings.names == declared


@pytest.mark.parametrize("owner", OWNERS)
def test_what_is_bound_loads(bindings: Bindings, owner: str) -> None:
    """The environment that the program makes is one that the function accepts at its start."""
    environment = bindings.bind(owner, OWNERS[owner])
    OWNERS[owner].load(cast(dict[str, str], {**environment.plain, **environment.secret}))


def test_each_owner_has_its_own_edge_secret_and_database_role(bindings: Bindings) -> None:
    for owner, settings in OWNERS.items():
        secret = bindings.bind(owner, settings).secret
        if issubclass(settings, FunctionSettings):
            assert secret["EDGE_SECRET"] == f"keys.all({owner}-edge-secret)"
        assert secret["DATABASE_URL"] == f"control_plane.url({owner})"


def test_nobody_holds_a_secret_of_another_trade(bindings: Bindings) -> None:
    """The provisioning function is behind no edge, admits nobody and issues no key; the operator only issues keys."""
    held = {owner: set(bindings.bind(owner, settings).secret) for owner, settings in OWNERS.items()}
    admission = {"EDGE_SECRET", "KEY_TAG_SECRET", "PRINCIPAL_SEAL_KEY"}
    assert all(held[function.name] >= admission for function in FUNCTIONS)
    assert not held[PROVISIONING.name] & admission
    assert held["the operator"] & admission == {"KEY_TAG_SECRET"}


def test_a_variable_without_a_value_fails_by_name(bindings: Bindings) -> None:
    @dataclass(frozen=True, kw_only=True)
    class NewSettings(Settings):
        redis_url: str
        new_flag: str = "off"
        new_token: Secret

    with pytest.raises(Unbound, match=r"NewSettings declares NEW_FLAG, NEW_TOKEN, but infra/bindings\.py"):
        bindings.bind("new", NewSettings)
