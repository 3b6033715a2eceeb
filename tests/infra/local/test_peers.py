"""Callers of other users are turned away, over IPv4 and over IPv6 sockets, and with a connection that was let go."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from infra.local.cloud import peers

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
IPV4, IPV6 = "0100007F", "0000000000000000FFFF00000100007F"
CLIENT, SERVER = 0x9C40, 0x4E20


def line(address: str, uid: int, inode: int, client: int = CLIENT) -> str:
    ends = f"{address}:{client:04X} {address}:{SERVER:04X}"
    return f"   0: {ends} 01 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 0 20 4 30 10 -1\n"


@pytest.mark.parametrize("address", [IPV4, IPV6])
@pytest.mark.parametrize(
    ("uid", "inode", "expected"),
    [
        (os.geteuid(), 7, True),
        (0, 7, True),
        (os.geteuid() + 1, 7, False),
        (0, 0, False),  # it hung up after its request: the kernel shows user 0 for what nobody holds
    ],
)
def test_who_may_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, uid: int, inode: int, *, expected: bool
) -> None:
    tables = (tmp_path / "tcp", tmp_path / "tcp6")
    texts = {IPV4: HEAD, IPV6: HEAD}
    texts[address] += line(address, os.geteuid() + 1, 8, client=CLIENT + 1) + line(address, uid, inode)
    for table, text in zip(tables, texts.values(), strict=True):
        table.write_text(text)
    monkeypatch.setattr(peers, "TABLES", tables)
    assert peers.allowed(CLIENT, SERVER) is expected
    assert peers.allowed_peer(f"ipv4:127.0.0.1:{CLIENT}", SERVER) is expected
    assert not peers.allowed(CLIENT + 2, SERVER)  # the kernel does not know it
    assert not peers.allowed_peer("unix:", SERVER)


def test_a_port_that_changed_hands_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = (tmp_path / "tcp", tmp_path / "tcp6")  # there is no IPv6 here
    monkeypatch.setattr(peers, "TABLES", tables)
    tables[0].write_text(HEAD + line(IPV4, os.geteuid(), 7))
    assert peers.allowed_peer(f"ipv4:127.0.0.1:{CLIENT}", SERVER)
    tables[0].write_text(HEAD + line(IPV4, os.geteuid() + 1, 9))
    assert not peers.allowed_peer(f"ipv4:127.0.0.1:{CLIENT}", SERVER)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_our_own_connections_are_known(family: socket.AddressFamily) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        host = "127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1"
        client.connect((host, server.getsockname()[1]))
        assert peers.allowed(client.getsockname()[1], server.getsockname()[1])


def test_a_kernel_without_the_table_lets_everyone_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "TABLES", (tmp_path / "none", tmp_path / "none6"))
    assert peers.allowed(CLIENT, SERVER)
