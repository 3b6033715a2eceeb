"""Secrets that may be replaced while the function runs: read at use, so that a new one holds within five minutes and
without a deployment. What the environment says serves where there is no Secret Manager, and until it answers."""

from __future__ import annotations

from typing import Protocol

from core.adapters.secrets import RotatingSecret
from core.problems import Unavailable
from core.secret_names import secret_name
from core.settings import Secret
from declarations import ProvisioningFunctionSettings


class SecretSource(Protocol):
    async def read(self) -> Secret:
        """The value as it is now. Never fails."""
        ...

    async def close(self) -> None: ...


class Fixed:
    """Implements `SecretSource`: what the environment says."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def read(self) -> Secret:
        return self._secret

    async def close(self) -> None:
        return None


class Rotating:
    """Implements `SecretSource`: the newest version of a secret."""

    def __init__(self, secret: RotatingSecret, first: Secret) -> None:
        self._secret = secret
        self._first = first

    async def read(self) -> Secret:
        try:
            return Secret(await self._secret.read())
        except Unavailable:  # logged where it was raised
            return self._first

    async def close(self) -> None:
        await self._secret.close()


def source(settings: ProvisioningFunctionSettings, field: str) -> SecretSource:
    """Where the secret `field` of the settings is read."""
    held: Secret = getattr(settings, field)
    if not settings.secrets_prefix:
        return Fixed(held)
    name = secret_name(settings.secrets_prefix, field)
    return Rotating(RotatingSecret(name, settings.secret_manager_url), held)
