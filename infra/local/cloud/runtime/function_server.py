"""The platform around a function: what Cloud Run and its front end do, in the function's own process.

Runs under the interpreter of the function's virtual environment, so it imports only the standard library, and uvicorn
and functions-framework, which every function has. It enforces the invoker grant (401, 403), the 32 MiB limit on
requests (413), the concurrency of one instance (429 after 10 s in the queue) and the timeout (504); each in the
platform's plain text.

Who may call stands in a file: `{"members": [...], "audiences": [URL...], "keys": [JWK...]}`. With `allUsers` every
request passes as it is. Otherwise a caller sends an OpenID Connect token of a member, for one of the function's own
URLs; as on Cloud Run, the function gets it with its signature taken off.

Left out: more instances than one, HTTP/2, the memory limit, X-Forwarded-For and tracing headers.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_LIMIT_BYTES = 32 << 20
QUEUE_SECONDS = 10.0
GRANT_SECONDS = 0.01
KEEP_ALIVE_SECONDS = 75
DRAIN_SECONDS = 8
QUIET_SECONDS = 1.0
"""How long an instance that ends answers what comes by connections it has, each the last: the vendor's front end sends
nothing to an instance that is going away, but our callers may reuse a connection just then."""
HEALTH_PATH = "/_ah/health"  # /_ah/ is reserved by the platform: no function sees it

FORBIDDEN = (403, b"Forbidden: your client does not have permission to call this service (roles/run.invoker).\n")
UNAUTHORIZED = (401, b"Unauthorized: the access token could not be verified: it is no valid OpenID Connect token.\n")
WRONG_AUDIENCE = (
    401,
    b"Unauthorized: the access token could not be verified: its audience is another one than this URL.\n",
)
TOO_LARGE = (413, b"Request Entity Too Large: HTTP/1 requests are limited to 32 MiB.\n")
NO_INSTANCE = (429, b"Rate exceeded.\n")
TIMED_OUT = (504, b"upstream request timeout\n")

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")  # PKCS #1 v1.5, RFC 8017 section 9.2
AUTHORIZATIONS = (b"authorization", b"x-serverless-authorization")
SIGNATURE_REMOVED = b"SIGNATURE_REMOVED_BY_GOOGLE"


class Invokers:
    """Who may call, as of a moment ago: the vendor takes minutes to notice a change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._look_again = 0.0
        self._known: tuple[int, int, int] | None = None
        self._everyone = False
        self._members: set[str] = set()
        self._audiences: list[str] = []
        self._keys: dict[str, tuple[int, int]] = {}

    def refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        """The platform's answer to a request that may not pass; None lets it pass, without its token's signature."""
        now = time.monotonic()
        if now >= self._look_again:
            self._look()
            self._look_again = now + GRANT_SECONDS
        return None if self._everyone else self._checked(scope)

    def _look(self) -> None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  one quick stat
        except FileNotFoundError:
            self._everyone, self._members, self._known = False, set(), None
            return
        # A file system's clock is coarse; each version of the file is another inode.
        version = (found.st_mtime_ns, found.st_ino, found.st_size)
        if version == self._known:
            return
        known = json.loads(Path(self._path).read_bytes())
        self._members = set(known["members"])
        self._everyone = "allUsers" in self._members
        self._audiences = known["audiences"]
        self._keys = {key["kid"]: (_number(key["n"]), _number(key["e"])) for key in known["keys"]}
        self._known = version

    def _checked(self, scope: Scope) -> tuple[int, bytes] | None:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        sent = [(name, place) for place, (name, _) in enumerate(headers) if name in AUTHORIZATIONS]
        if not sent:
            return FORBIDDEN
        if len(dict(sent)) < len(sent):  # which of them the function would read is anybody's guess
            return UNAUTHORIZED
        place = max(sent)[1]  # X-Serverless-Authorization goes before Authorization, which then passes as it is
        name, value = headers[place]
        scheme, _, token = value.partition(b" ")
        try:
            if scheme.lower() != b"bearer":
                return UNAUTHORIZED
            claims = self._claims(token.decode("ascii"))
        except (ValueError, KeyError, TypeError, RecursionError):
            return UNAUTHORIZED
        if claims.get("aud") not in self._audiences:
            return WRONG_AUDIENCE
        if not {f"serviceAccount:{claims.get('email')}", "allAuthenticatedUsers"} & self._members:
            return FORBIDDEN
        headers[place] = (name, value.rpartition(b".")[0] + b"." + SIGNATURE_REMOVED)
        scope["headers"] = headers
        return None

    def _claims(self, token: str) -> dict[str, Any]:
        """What a good token says. Raises ValueError, KeyError or TypeError for any other."""
        signed, _, signature = token.rpartition(".")
        head, _, payload = signed.partition(".")
        header = json.loads(_decoded(head))
        n, e = self._keys[header["kid"]]
        size = (n.bit_length() + 7) // 8
        digest = SHA256_PREFIX + hashlib.sha256(signed.encode()).digest()
        expected = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
        found = pow(int.from_bytes(_decoded(signature), "big"), e, n).to_bytes(size, "big")
        claims: dict[str, Any] = json.loads(_decoded(payload))
        good = header["alg"] == "RS256" and found == expected and claims["iss"] in ISSUERS
        if not good or claims["exp"] <= time.time() or claims.get("email_verified") is not True:
            raise ValueError("not a good token")
        return claims


class Platform:
    """ASGI app around the function's app."""

    def __init__(self, app: App, *, timeout: float, concurrency: int, invokers: str) -> None:
        self._app = app
        self._timeout = timeout
        self._invokers = Invokers(invokers)
        self._slots = asyncio.Semaphore(concurrency)
        self.ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self.ending:
            send = _last(send)
        if scope["path"].startswith("/_ah/"):
            await _answer(send, (200, b"ok\n") if scope["path"] == HEALTH_PATH else (404, b"Not Found\n"))
        elif refusal := self._invokers.refusal(scope):
            await _answer(send, refusal)
        elif _declared_length(scope) > REQUEST_LIMIT_BYTES:
            await _answer(send, TOO_LARGE)
        elif not await self._slot():
            await _answer(send, NO_INSTANCE)
        else:
            try:
                await self._call(scope, _Exchange(receive, send))
            finally:
                self._slots.release()

    async def _slot(self) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _call(self, scope: Scope, exchange: _Exchange) -> None:
        # As `asyncio.timeout`, which takes four times as long.
        task, late = asyncio.current_task(), False
        assert task is not None, "uvicorn makes one for each request"

        def end() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = asyncio.get_running_loop().call_later(self._timeout, end)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not late or task.uncancel():
                raise
            if exchange.started:
                raise TimeoutError from None  # too late for a status: uvicorn closes the connection
            await exchange.refuse(TIMED_OUT)
        finally:
            timer.cancel()


class _Exchange:
    """One request and its answer: counts the body, and knows whether the answer has begun."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._bytes = 0
        self._refused = False
        self.started = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes <= REQUEST_LIMIT_BYTES:
            return message
        if not self.started:
            await self.refuse(TOO_LARGE)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self._refused:
            self.started = True
            await self._send(message)

    async def refuse(self, answer: tuple[int, bytes]) -> None:
        self._refused = True
        await _answer(self._send, answer)


async def _answer(send: Send, answer: tuple[int, bytes]) -> None:
    status, text = answer
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def _last(send: Send) -> Send:
    """Makes an answer the last of its connection."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--invokers", required=True)
    options = parser.parse_args()
    os.set_inheritable(options.listen_fd, False)  # noqa: FBT003  os's own signature
    os.set_inheritable(options.ready_fd, False)  # noqa: FBT003  os's own signature

    import uvicorn
    from functions_framework.aio import create_asgi_app

    class Server(uvicorn.Server):
        """Says on the pipe that it listens."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            os.write(options.ready_fd, b"1")
            os.close(options.ready_fd)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for server in self.servers:
                server.close()
            platform.ending = True
            quiet = time.monotonic() + QUIET_SECONDS
            while self.server_state.connections and time.monotonic() < quiet:  # noqa: ASYNC110  uvicorn's, and no event
                await asyncio.sleep(0.02)
            await super().shutdown(sockets=sockets)

    make: Callable[[str, str, str], App] = create_asgi_app
    function = make(os.environ["FUNCTION_TARGET"], str(Path("main.py").resolve()), "http")
    platform = Platform(function, timeout=options.timeout, concurrency=options.concurrency, invokers=options.invokers)
    config = uvicorn.Config(
        platform,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    Server(config).run(sockets=[socket.socket(fileno=options.listen_fd)])


if __name__ == "__main__":
    main()
