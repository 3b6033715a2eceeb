"""Secrets that are replaced while the function runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core import rotation
from core.adapters.secrets import RotatingSecret
from core.problems import Unavailable
from core.rotation import Fixed, Rotating
from core.secret_names import secret_id, secrets_prefix
from core.settings import Secret
from provisioning import parts
from tests.functions.provisioning.world import settings


class Manager:
    """Stands for `RotatingSecret`."""

    def __init__(self) -> None:
        self.value: str | None = "first"

    async def read(self) -> str:
        if self.value is None:
            raise Unavailable("down", part="secret manager")
        return self.value


async def test_the_newest_version_is_used() -> None:
    manager: Any = Manager()
    secret = Rotating(manager, Secret("of the environment"))
    assert (await secret.read()).reveal() == "first"
    manager.value = "second"
    assert (await secret.read()).reveal() == "second"


async def test_without_secret_manager_the_environment_serves() -> None:
    manager: Any = Manager()
    manager.value = None
    assert (await Rotating(manager, Secret("of the environment")).read()).reveal() == "of the environment"


@pytest.mark.parametrize("field", parts.ROTATING)
async def test_secrets_are_named_as_the_program_names_them(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """infra/components/secrets.py makes one of each variable, infra/bindings.py tells the prefix."""
    made: list[tuple[str, str]] = []

    class Named(RotatingSecret):
        def __init__(self, name: str, endpoint: str = "") -> None:
            made.append((name, endpoint))
            super().__init__(name, endpoint)

    monkeypatch.setattr(rotation, "RotatingSecret", Named)
    held = replace(
        settings(), secrets_prefix=secrets_prefix("p", "provisioning"), secret_manager_url="http://secrets.test"
    )
    assert isinstance(rotation.source(held, field), Rotating)
    assert made == [(f"projects/p/secrets/{secret_id('provisioning', field.upper())}", "http://secrets.test")]
    assert made[0][0] == f"projects/p/secrets/provisioning-{field.replace('_', '-')}"
    assert isinstance(rotation.source(settings(), field), Fixed)
