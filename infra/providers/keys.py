"""memorygraph:random:Key: a secret that exists only in the stack's encrypted state."""

from __future__ import annotations

import base64
import secrets

from infra.providers.kind import Found, Input, Kind, Log, Output, ProviderError
from infra.providers.properties import Properties

KEY_BYTES = 32


class Key(Kind):
    """32 random bytes in URL-safe base64. It cannot be imported: an id is printed, and a value must not be."""

    token = "memorygraph:random:Key"  # noqa: S105  the type's name
    inputs = (Input(name="keepers", kind=dict, required=False, replaces=True),)
    outputs = (Output(name="value", secret=True),)

    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:  # noqa: ARG002  the interface
        # The id is public (the engine prints it), so it tells nothing of the value.
        return secrets.token_hex(8), {"value": base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()}

    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:  # noqa: ARG002  the interface
        if "value" not in outputs:
            raise ProviderError("A random key cannot be imported: let the program make a new one.")
        return Found(id, inputs, outputs)

    def delete(self, id: str, old: Properties, log: Log) -> None:
        """Nothing holds it but the state."""
