"""What one kind of resource is, apart from the engine's protocol: its properties, and what is done to it.

A Kind works on plain values (secrets unwrapped, nothing unknown) and raises ProviderError with a sentence for the
operator. `provider.py` does the rest: wrapping, previews, differences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from infra.providers.properties import Properties

Log = Callable[[str], None]
"""Shows one line of progress beside the resource."""


class ProviderError(Exception):
    """What happened, why, and what to do, for the operator."""


class InitFailed(ProviderError):
    """The resource exists but is not usable yet: the engine keeps its id, and the next `pulumi up` goes on with it."""

    def __init__(self, message: str, *, id: str, outputs: Properties) -> None:
        super().__init__(message)
        self.id = id
        self.outputs = outputs
        self.secret: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input. A change of it updates the resource in place, or replaces it. `kind` is its Python type."""

    name: str
    kind: type = str
    required: bool = True
    replaces: bool = False
    secret: bool = False

    def fault(self, value: Any) -> str | None:
        """What is wrong with a known value, or None."""
        if value is None:
            return f"{self.name} is required" if self.required else None
        if not isinstance(value, self.kind) or (self.required and not value):
            return f"{self.name} must be a non-empty {_WORDS.get(self.kind, self.kind.__name__)}"
        return None


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output. `follows`: inputs whose change may change it, so that a preview shows it as unknown."""

    name: str
    secret: bool = False
    follows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A resource as it is: inputs as they would have to be declared, and outputs."""

    id: str
    inputs: Properties
    outputs: Properties


class Kind(ABC):
    """One kind of resource."""

    token: ClassVar[str]
    inputs: ClassVar[tuple[Input, ...]]
    outputs: ClassVar[tuple[Output, ...]]
    delete_before_replace: ClassVar[bool] = False

    @abstractmethod
    def create(self, inputs: Properties, log: Log) -> tuple[str, Properties]:
        """Make it; returns its id and its outputs."""

    @abstractmethod
    def read(self, id: str, inputs: Properties, outputs: Properties, log: Log) -> Found | None:
        """How it is now; None when it is gone. `inputs` and `outputs` are empty at an import."""

    def update(self, id: str, old: Properties, inputs: Properties, log: Log) -> Properties:  # noqa: ARG002  the interface
        """Change it in place; `old` are the old inputs and outputs. Returns all outputs."""
        raise ProviderError(f"{self.token} cannot be changed in place.")

    @abstractmethod
    def delete(self, id: str, old: Properties, log: Log) -> None:
        """Remove it; one that is gone already is success."""


_WORDS: dict[type, str] = {str: "text", dict: "map", list: "list", float: "number"}
