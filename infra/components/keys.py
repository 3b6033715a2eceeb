"""Random secrets that the program makes itself: made once, kept encrypted in the state, never written down.

A key is rotated in two steps, because functions that run on must accept what others already use:
`rotation: {NAME: [2, 1]}` makes generation 2 and hands out both, newest first; `{NAME: [2]}` then drops the old one.
"""

from __future__ import annotations

import pulumi

from infra.config import StackConfig
from infra.providers.resources import Key

LASTING = frozenset({"key-tag-secret", "store-seal-key"})
"""Issued API keys and sealed store tokens are worthless without these. They are protected: dropping a generation, after
everything was sealed anew, needs `pulumi state unprotect`."""


class Keys(pulumi.ComponentResource):
    """Keys by name; each is 32 random bytes in URL-safe base64, made when it is first asked for."""

    def __init__(self, name: str, config: StackConfig, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("memorygraph-cloud:components:Keys", name, None, opts)
        self._protected = LASTING if config.protect else frozenset[str]()
        self._rotation = config.rotation
        self._generations: dict[str, list[pulumi.Output[str]]] = {}
        self.register_outputs({})

    def newest(self, name: str) -> pulumi.Output[str]:
        """The secret text of one key, for those who can know only one: passwords."""
        return self._made(name)[0]

    def all(self, name: str) -> pulumi.Output[str]:
        """The secret text of all generations of one key, newest first, separated by a space."""
        return pulumi.Output.secret(pulumi.Output.all(*self._made(name)).apply(" ".join))

    @property
    def kinds(self) -> dict[str, str]:
        """Every key that was asked for: `lasting` when its old generation cannot be dropped, else `passing`."""
        return {name: "lasting" if name in LASTING else "passing" for name in self._generations}

    def generations(self, name: str) -> dict[int, pulumi.Output[str]]:
        """The secret text of each generation of one key, by its number, newest first."""
        return dict(zip(self._numbers(name), self._made(name), strict=True))

    def _numbers(self, name: str) -> tuple[int, ...]:
        return self._rotation.get(name, (1,))

    def _made(self, name: str) -> list[pulumi.Output[str]]:
        if name not in self._generations:
            opts = pulumi.ResourceOptions(parent=self, protect=name in self._protected)
            keys = [Key(f"{name}-{number}", opts=opts) for number in self._numbers(name)]
            self._generations[name] = [key.value for key in keys]
        return self._generations[name]
