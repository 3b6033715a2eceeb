"""Who is at the other end of a loopback connection.

The provider's port cannot ask for a password (the engine has none to give) and the vendors' APIs take a public word,
yet both can start processes as our user. So callers of other users are turned away, by what the kernel says about the
connection. Where it says nothing (another kind of kernel, a connection that just closed), nobody is turned away.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

TABLE = Path("/proc/net/tcp")
LOOPBACK = "0100007F"


def allowed(client_port: int, server_port: int) -> bool:
    """Whether the process that connected from `client_port` runs as our user or as root."""
    uid = _owner(client_port, server_port)
    return uid is None or uid in (0, os.geteuid())


@functools.lru_cache(maxsize=1024)
def allowed_peer(peer: str, server_port: int) -> bool:
    """The same for gRPC's name of a peer (`ipv4:127.0.0.1:40000`); remembered, as its connections are long."""
    port = peer.rpartition(":")[2]
    return not port.isdigit() or allowed(int(port), server_port)


def _owner(client_port: int, server_port: int) -> int | None:
    ends = [f"{LOOPBACK}:{client_port:04X}", f"{LOOPBACK}:{server_port:04X}"]
    try:
        lines = TABLE.read_text().splitlines()[1:]
    except OSError:
        return None
    for fields in (line.split() for line in lines):
        if fields[1:3] == ends:
            return int(fields[7])
    return None
