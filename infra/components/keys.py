"""Random secrets that the program makes itself: made once, kept encrypted in the state, never written down.

A key is rotated in two steps, because functions that run on must accept what others already use:
`rotation: {NAME: [2, 1]}` makes generation 2 and hands out both, newest first; `[2]` then drops the old one.
"""

from __future__ import annotations

import pulumi

from infra.config import StackConfig
from infra.providers.resources import Key


class Keys(pulumi.ComponentResource):
    """Keys by name. Each is 32 random bytes in URL-safe base64; two are separated by a space, newest first."""

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:Keys", name, None, opts)
        self._protected = config.protect
        self._rotation = config.rotation
        self._values: dict[str, pulumi.Output[str]] = {}
        self.register_outputs({})

    def value(self, name: str) -> pulumi.Output[str]:
        """The secret text of one key, which may hold two generations; made when it is first asked for."""
        if name not in self._values:
            generations = [self._make(name, number) for number in self._rotation.get(name, (1,))]
            self._values[name] = pulumi.Output.secret(pulumi.Output.all(*generations).apply(" ".join))
        return self._values[name]

    def _make(self, name: str, generation: int) -> pulumi.Output[str]:
        key = Key(f"{name}-{generation}", opts=pulumi.ResourceOptions(parent=self, protect=self._protected))
        return key.value
