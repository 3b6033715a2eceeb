"""What may be asked of a member of a log line: `filter` asks Cloud Logging, `holds` asks here, for tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Like:
    """A text in which this expression (RE2) is found; of a list, one of its texts."""

    pattern: str

    def filter(self, path: str) -> str:
        return f"{path}=~{_quoted(self.pattern)}"

    def holds(self, value: Any) -> bool:
        values = value if isinstance(value, list) else [value]
        return any(isinstance(one, str) and re.search(self.pattern, one) for one in values)


@dataclass(frozen=True)
class Is:
    """One of these values."""

    values: tuple[str | int, ...]

    def filter(self, path: str) -> str:
        shown = [_quoted(value) if isinstance(value, str) else str(value) for value in self.values]
        return f"{path}={shown[0]}" if len(shown) == 1 else f"{path}=({' OR '.join(shown)})"

    def holds(self, value: Any) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Within:
    """A number from `least` up to, but not, `end`."""

    least: int
    end: int

    def filter(self, path: str) -> str:
        return f"{path}>={self.least} AND {path}<{self.end}"

    def holds(self, value: Any) -> bool:
        return isinstance(value, int) and self.least <= value < self.end


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
