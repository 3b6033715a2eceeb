"""Who is at the other end of a loopback connection.

The provider's port cannot ask for a password (the engine has none to give) and the vendors' APIs take a public word,
yet both can start processes as our user. So callers of other users are turned away, by what the kernel says about the
connection at each call: a port may be another program's by the next one. One that has let go of its end belongs to
nobody and is turned away too. Only where the kernel has no such table is everyone let in.
"""

from __future__ import annotations

import os
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F")  # as IPv4 and as IPv6 sockets have it
REFUSAL = "This local cloud belongs to another user of this machine."
NO_INODE = "0"  # nobody holds this end any more; the kernel shows user 0 then
LOOKS = 5  # a table that changes while it is read may miss a line


def allowed(client_port: int, server_port: int) -> bool:
    """Whether the process that connected from `client_port` runs as our user or as root."""
    for _ in range(LOOKS):
        try:
            uid = _owner(client_port, server_port)
        except OSError:
            return True
        if uid is not None:
            return uid in (0, os.geteuid())
    return False


def allowed_peer(peer: str, server_port: int) -> bool:
    """The same for gRPC's name of a peer (`ipv4:127.0.0.1:40000`)."""
    port = peer.rpartition(":")[2]
    return port.isdigit() and allowed(int(port), server_port)


def _owner(client_port: int, server_port: int) -> int | None:
    ends = [[f"{address}:{client_port:04X}", f"{address}:{server_port:04X}"] for address in LOOPBACK]
    for table in TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except FileNotFoundError:
            if table is TABLES[0]:
                raise
            continue  # a machine without IPv6
        for fields in (line.split() for line in lines):
            if fields[1:3] in ends and fields[9] != NO_INODE:
                return int(fields[7])
    return None
