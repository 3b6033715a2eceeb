"""How much of one kind somebody may have under way in one process: what waits, or sends for long, holds a turn."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Turn:
    """Given back by `end`; by itself at the monotonic time `ends`."""

    ends: float


class Turns:
    """Belongs to one event loop.

    Args:
        most: turns of one name (a workspace, an account) at a time.
        seconds: after which a turn ends by itself. Nothing that holds one takes longer, and an answer that was never
            begun to be sent, because its client was gone, gives none back.
    """

    def __init__(self, most: int, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._monotonic = monotonic
        self._held: defaultdict[str, list[Turn]] = defaultdict(list)

    def begin(self, name: str) -> Turn | None:
        """A turn, or None: there are as many as may be."""
        now = self._monotonic()
        held = [turn for turn in self._held[name] if turn.ends > now]
        turn = Turn(now + self._seconds) if len(held) < self._most else None
        self._held[name] = [*held, turn] if turn else held
        return turn

    def end(self, name: str, turn: Turn) -> None:
        """Again: nothing happens."""
        held = [one for one in self._held.pop(name, []) if one is not turn]
        if held:
            self._held[name] = held
