"""Listening sockets that the daemon keeps open and lends to its children.

A function or a Worker that is replaced or restarted keeps its address, and callers who arrive in between wait in the
kernel's queue instead of being refused: as behind a load balancer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from infra.local.cloud.ports import Ports

UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\n"
    b"Connection: close\r\n\r\nService Unavailable: no instance could start\n"
)
HEAD_SECONDS = 2.0


class Listeners:
    """Sockets by the name of the part that serves them."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._lock = threading.Lock()
        self._open: dict[str, socket.socket] = {}

    def open(self, name: str, *, moves: bool = False) -> socket.socket:
        """The socket of `name`, listening; the same one until it is closed. `moves`: see `Ports.claim`."""
        with self._lock:
            if name not in self._open:
                sock, _ = self._ports.listen(name, moves=moves)
                sock.set_inheritable(True)
                self._open[name] = sock
            return self._open[name]

    def port(self, name: str) -> int:
        """The port of `name`, which listens from now on."""
        port: int = self.open(name).getsockname()[1]
        return port

    async def answer_unavailable(self, name: str) -> asyncio.Server:
        """Answer 503 on the socket of `name` until the server that is given back is closed."""
        return await asyncio.start_server(_refuse, sock=self.open(name).dup())

    def close(self, name: str) -> None:
        """Stop listening and forget the port."""
        with self._lock:
            sock = self._open.pop(name, None)
        if sock is not None:
            sock.close()
        self._ports.release(name)

    def close_all(self) -> None:
        """Stop listening; the ports stay reserved for the next start."""
        with self._lock:
            for sock in self._open.values():
                sock.close()
            self._open.clear()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(HEAD_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(UNAVAILABLE)
        await writer.drain()
    writer.close()
