"""Asking a part whether it works, over the door that its users use. Every probe ends within its timeout."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from infra.local.cloud.ports import HOST

TIMEOUT_SECONDS = 2.0


class Unwell(Exception):
    """The part did not answer, or not as it should; the message is a few words for a status line."""


Probe = Callable[[], Awaitable[None]]


async def tcp(port: int) -> None:
    """It accepts a connection. A frozen process passes this: the kernel accepts for it."""
    await _exchange(port, b"", expect=b"")


async def http(
    port: int, path: str, *, host: str = HOST, method: str = "GET", body: bytes = b"", token: str = ""
) -> None:
    """It answers 200 to one request."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    await _exchange(port, head.encode() + body, expect=b"HTTP/1.1 200")


async def _exchange(port: int, request: bytes, *, expect: bytes) -> None:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(request)
            await writer.drain()
            answer = await reader.readexactly(len(expect)) if expect else b""
    except TimeoutError:
        raise Unwell("no answer") from None
    except OSError:
        raise Unwell("refuses connections") from None
    except asyncio.IncompleteReadError:
        raise Unwell("hung up") from None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    if answer != expect:
        raise Unwell(f"answered {answer.decode(errors='replace')}")
