"""Ports: chosen once, at random, and kept for as long as the thing lives, so that addresses survive a restart.

A port that another program has taken meanwhile is waited for: others have written it down (secrets, the addresses of
workspaces' databases), and without an engine nobody would tell them. Only those move that are read anew at each start.

20000-31999 lies below the range from which Linux takes ports for outgoing connections.
"""

from __future__ import annotations

import logging
import random
import socket
import threading

from infra.local.cloud import holders
from infra.local.cloud.errors import CloudError, PortTaken
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Store

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 31_999
log = logging.getLogger(__name__)


def listener(port: int) -> socket.socket:
    """A socket that listens on loopback.

    Raises:
        OSError: the port is busy.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    return sock


def is_free(port: int) -> bool:
    try:
        listener(port).close()
    except OSError:
        return False
    return True


class Ports:
    """Ports by the name of what listens there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def of(self, name: str) -> int | None:
        """The port that was last chosen for `name`, if any."""
        port = self._store.section("ports").get(name)
        return int(port) if port is not None else None

    def claim(self, name: str, *, moves: bool = False) -> int:
        """The port of `name`: the kept one; a new one when there is none yet, or when it is taken and `moves`.

        Raises:
            PortTaken: it is taken and must not move.
        """
        with self._lock:
            kept = self.of(name)
            if kept is not None and is_free(kept):
                return kept
            if kept is not None and not moves:
                raise PortTaken(
                    f"Port {kept} of {name} is held by {holders.named(kept)}, and cannot move: what is stored names "
                    "it. Stop that program and run `make up` again; or begin anew, without the data, by `make destroy` "
                    "and `make up`."
                )
            port = self._choose()
            if kept is not None:
                log.warning("port %d of %s is taken by another program; it moved to %d", kept, name, port)
            self._keep(name, port)
            return port

    def listen(self, name: str, *, moves: bool = False) -> tuple[socket.socket, int]:
        """Like `claim`, and listening already: nobody can take the port in between."""
        while True:
            port = self.claim(name, moves=moves)
            try:
                return listener(port), port
            except OSError:
                continue

    def release(self, name: str) -> None:
        def forget(section: Json) -> None:
            section.pop(name, None)

        self._store.edit("ports", forget)

    def _keep(self, name: str, port: int) -> None:
        def keep(section: Json) -> None:
            section[name] = port

        self._store.edit("ports", keep)

    def _choose(self) -> int:
        taken = set(self._store.section("ports").values())
        for _ in range(500):
            port = random.randint(FIRST, LAST)  # noqa: S311  not a secret
            if port not in taken and is_free(port):
                return port
        raise CloudError(f"No free port between {FIRST} and {LAST} on {HOST}: stop some programs and try again.")
