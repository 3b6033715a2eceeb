"""Secrets that are replaced while the function runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.adapters.secrets import RotatingSecret
from core.problems import Unavailable
from core.settings import Secret
from provisioning import parts, rotation
from provisioning.rotation import Fixed, Rotating
from tests.functions.provisioning.world import settings

PREFIX = "projects/p/secrets/provisioning-"


class Manager:
    """Stands for `RotatingSecret`."""

    def __init__(self) -> None:
        self.values: tuple[str, ...] | None = ("first",)

    async def read(self) -> tuple[str, ...]:
        if self.values is None:
            raise Unavailable("down", part="secret manager")
        return self.values


async def test_the_newest_version_is_used() -> None:
    manager: Any = Manager()
    secret = Rotating(manager, Secret("of the environment"))
    assert (await secret.read()).reveal() == "first"
    manager.values = ("second", "first")
    assert (await secret.read()).reveal() == "second"


async def test_without_secret_manager_the_environment_serves() -> None:
    manager: Any = Manager()
    manager.values = None
    assert (await Rotating(manager, Secret("of the environment")).read()).reveal() == "of the environment"


@pytest.mark.parametrize("field", parts.ROTATING)
async def test_secrets_are_named_as_the_program_names_them(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """infra/components/secrets.py: FUNCTION-VARIABLE, with dashes."""
    made: list[tuple[str, str]] = []

    class Named(RotatingSecret):
        def __init__(self, name: str, endpoint: str = "") -> None:
            made.append((name, endpoint))
            super().__init__(name, endpoint)

    monkeypatch.setattr(rotation, "RotatingSecret", Named)
    held = replace(settings(), secrets_prefix=PREFIX, secret_manager_url="http://secrets.test")
    assert isinstance(rotation.source(held, field), Rotating)
    assert made == [(PREFIX + field.replace("_", "-"), "http://secrets.test")]
    assert isinstance(rotation.source(settings(), field), Fixed)
