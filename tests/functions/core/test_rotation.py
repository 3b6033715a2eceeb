"""Secrets that are replaced while a function runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from core import rotation
from core.adapters.secrets import RotatingSecret
from core.problems import Unavailable
from core.rotation import Fixed, Rotating
from core.settings import Secret


@dataclass(frozen=True)
class Settings:
    stripe_api_key: Secret
    secrets_prefix: str = ""
    secret_manager_url: str = ""


class Manager:
    """Stands for `RotatingSecret`."""

    def __init__(self) -> None:
        self.value: str | None = "first"

    async def read(self) -> str:
        if self.value is None:
            raise Unavailable("down", part="secret manager")
        return self.value


async def test_the_newest_version_is_used_and_the_environment_serves_until_then() -> None:
    manager: Any = Manager()
    secret = Rotating(manager, Secret("of the environment"))
    assert (await secret.read()).reveal() == "first"
    manager.value = "second"
    assert (await secret.read()).reveal() == "second"
    manager.value = None
    assert (await secret.read()).reveal() == "of the environment"


async def test_a_source_is_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str]] = []

    class Named(RotatingSecret):
        def __init__(self, name: str, endpoint: str = "") -> None:
            made.append((name, endpoint))
            super().__init__(name, endpoint)

    monkeypatch.setattr(rotation, "RotatingSecret", Named)
    key = Secret("of the environment")
    there = Settings(key, "projects/p/secrets/billing-", "http://secrets.test")
    assert isinstance(rotation.source(there, "stripe_api_key"), Rotating)
    assert made == [("projects/p/secrets/billing-stripe-api-key", "http://secrets.test")]
    fixed = rotation.source(Settings(key), "stripe_api_key")
    assert isinstance(fixed, Fixed)
    assert await fixed.read() == key
