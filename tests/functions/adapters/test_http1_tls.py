"""TLS, on asyncio's loop and on uvloop: their TLS transports differ."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.adapters import http1
from core.adapters.http1 import HttpClient, HttpRefused

Loop = Callable[[], asyncio.AbstractEventLoop]


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "pair.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_tls(loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = certificate(tmp_path, "db.localhost")
    ours = ssl.create_default_context(cafile=str(pair))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pair)

    async def main() -> None:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=theirs)
        port = listener.sockets[0].getsockname()[1]
        client = HttpClient()
        with pytest.raises(HttpRefused, match="CERTIFICATE_VERIFY_FAILED"):
            await client.post(f"https://db.localhost:{port}/", b"", timeout=5, connect_timeout=5)
        monkeypatch.setattr(http1, "_tls_context", lambda: ours)
        for _ in range(2):
            answer = await client.post(f"https://db.localhost:{port}/", b"x", timeout=5, connect_timeout=5)
            assert answer.body == b"ok"
        with pytest.raises(HttpRefused, match="Hostname mismatch"):
            await client.post(f"https://other.localhost:{port}/", b"", timeout=5, connect_timeout=5)
        await client.close()
        listener.close()
        await listener.wait_closed()
        await asyncio.sleep(0.05)  # the server's side of the aborted handshakes

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
