"""The state of the driver without an engine: what was created, and the stack's outputs."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.local.places import write_private


@dataclass
class Held:
    """One resource. `inputs` are the program's, `checked` the provider's; both with secrets marked as Pulumi does."""

    type: str
    name: str
    id: str
    inputs: dict[str, Any]
    checked: dict[str, Any]
    outputs: dict[str, Any]


@dataclass
class State:
    """Every change is on disk before the program learns of it: an interrupted run carries on where it stopped."""

    path: Path
    resources: dict[str, Held] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(cls, path: Path) -> State:
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return cls(path)
        return cls(path, {urn: Held(**held) for urn, held in found["resources"].items()}, found["outputs"])

    def put(self, urn: str, held: Held) -> None:
        with self._lock:
            self.resources[urn] = held
            self._save()

    def set_outputs(self, outputs: dict[str, Any]) -> None:
        with self._lock:
            self.outputs = outputs
            self._save()

    def _save(self) -> None:
        resources = {urn: asdict(held) for urn, held in self.resources.items()}
        write_private(self.path, json.dumps({"resources": resources, "outputs": self.outputs}, indent=1))
