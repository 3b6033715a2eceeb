"""Shows what is being done and for how long, on standard error: standard output is for results.

On a terminal the running step counts its seconds in place. Elsewhere (CI, a pipe) each step is one line when it ends,
and a long one says every half minute that it is still at work.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

HEARTBEAT_SECONDS = 30
QUICK_SECONDS = 0.15  # a step that does nothing (all is installed already) is not worth a line


class Progress:
    """Prints steps; `quiet` prints none of them, but still every `say`."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._quiet = quiet

    def say(self, text: str) -> None:
        """One sentence of ours."""
        print(text, file=self._stream, flush=True)

    def line(self, text: str) -> None:
        """One line of a tool that is at work; a running step's counter makes way for it."""
        self._stream.write(f"\r\033[K    {text}\n" if self._terminal else f"    {text}\n")
        self._stream.flush()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step. A step that fails or is interrupted is closed before the error is told."""
        if self._quiet:
            yield
            return
        done = threading.Event()
        start = time.monotonic()
        watcher = threading.Thread(target=self._watch, args=(name, start, done), daemon=True)
        watcher.start()
        outcome = "stopped"
        try:
            yield
            outcome = "done"
        finally:
            done.set()
            watcher.join()
            elapsed = time.monotonic() - start
            if self._terminal:
                self._stream.write("\r\033[K")
            if outcome != "done" or elapsed >= QUICK_SECONDS:
                self.say(f"  {elapsed:6.1f} s  {name}{'' if outcome == 'done' else ': ' + outcome}")

    def _watch(self, name: str, start: float, done: threading.Event) -> None:
        wait = 1.0 if self._terminal else HEARTBEAT_SECONDS
        if self._terminal:
            self._stream.write(f"  {0:6.1f} s  {name} ...")
            self._stream.flush()
        while not done.wait(wait):
            elapsed = time.monotonic() - start
            if self._terminal:
                self._stream.write(f"\r\033[K  {elapsed:6.1f} s  {name} ...")
                self._stream.flush()
            else:
                self.say(f"  {elapsed:6.1f} s  {name} (still at work)")
