"""One cell of the tables: what a load of one system, size and number of clients measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path


@dataclass(kw_only=True)
class Cell:
    """What one load measured. Latencies in ms, sorted, by operation; `lost` of `acknowledged` stores."""

    system: str
    size: int
    clients: int
    done: int
    """Operations that succeeded within `seconds`; those under way at the end have latencies, too."""
    seconds: float
    latencies: dict[str, list[float]]
    errors: dict[str, int]
    acknowledged: int
    lost: int
    load_cpu: float
    """Processor time of the load generator, as a share of one processor."""
    machine_cpu: float
    """How busy the whole machine was."""
    attempts: int = 0
    """Operations, those of the warm-up included."""
    answer_bytes: dict[str, int] = field(default_factory=dict)
    """Mean size of an answer, by operation."""
    part_ms: dict[str, float] = field(default_factory=dict)
    """Processor time of an operation, by part of the system and of the load itself."""

    @property
    def count(self) -> int:
        return sum(map(len, self.latencies.values()))

    @property
    def rate(self) -> float:
        """Operations that succeeded, a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def percentile(self, share: float, kind: str | None = None) -> float | None:
        """In ms, of one kind of operation or of all; None when there was none."""
        return percentile(self.latencies.get(kind, []) if kind else sorted(chain(*self.latencies.values())), share)

    def record(self) -> dict[str, object]:
        """As JSON: figures, no single latencies."""
        kinds = [*self.latencies, None]
        return {
            "system": self.system,
            "size": self.size,
            "clients": self.clients,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "count": self.count,
            "done": self.done,
            "ms": {
                kind or "all": {f"p{p}": rounded(self.percentile(p / 100, kind)) for p in (50, 95, 99)}
                for kind in kinds
            },
            "errors": self.errors,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "load_cpu": round(self.load_cpu, 2),
            "machine_cpu": round(self.machine_cpu, 2),
            "answer_bytes": self.answer_bytes,
            "part_ms": self.part_ms,
        }


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which `share` of them lie (nearest rank); None of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def counted(in_time: int, everything: int, clients: int, begins: float, ends: float, ended: float) -> tuple[int, float]:
    """The operations that count, and over how many seconds.

    Answers within the time count, whenever they were asked for. Of a system so slow that not every client got one in
    time all count, over all the time that they took.
    """
    if in_time < clients:
        return everything, max(ended - begins, 1e-9)
    return in_time, max(min(ends, ended) - begins, 1e-9)


def machine_busy() -> tuple[int, int]:
    """Ticks that all processors were busy, and all ticks, since the machine started."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)
