"""The HTTP client against a server that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from core.adapters.http1 import HttpBroken, HttpClient, HttpRefused, HttpTimeout, parse_url

Reply = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request head with what the test says; counts connections."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                await self.reply(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[Server]:
    server = Server(reply)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await asyncio.sleep(0)


def say(data: bytes) -> Reply:
    async def reply(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return reply


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(max_answer_bytes=1 << 16)
    yield client
    await client.close()


async def test_sends_the_request_and_reads_the_answer(client: HttpClient) -> None:
    async with serving(say(OK)) as server:
        answer = await client.post(
            f"http://a.b.localhost:{server.port}/v2/x?y=1", b"body", {"Authorization": "Bearer t"}, timeout=5
        )
    assert (answer.status, answer.headers["x-a"], answer.body) == (200, "1, 2", b"ok")
    lines = server.heads[0].decode().split("\r\n")
    assert lines[0] == "POST /v2/x?y=1 HTTP/1.1"
    assert f"Host: a.b.localhost:{server.port}" in lines
    assert "Authorization: Bearer t" in lines
    assert server.bodies == [b"body"]


async def test_one_connection_serves_many_requests(client: HttpClient) -> None:
    async with serving(say(OK)) as server:
        for _ in range(5):
            await client.post(server.url, b"x", timeout=5)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz", b"z"),
    ],
)
async def test_forms_of_an_answer(client: HttpClient, data: bytes, body: bytes) -> None:
    async with serving(say(data)) as server:
        for _ in range(2):
            answer = await client.post(server.url, b"", timeout=5)
            assert answer.body == body
            assert "link" not in answer.headers
    assert server.connections == 1


async def test_an_answer_in_single_bytes(client: HttpClient) -> None:
    async def drip(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(drip) as server:
        assert (await client.post(server.url, b"", timeout=5)).body == b"ok"


async def test_connection_close_is_honoured(client: HttpClient) -> None:
    async with serving(say(OK.replace(b"X-A: 1", b"Connection: close"))) as server:
        for _ in range(2):
            await client.post(server.url, b"", timeout=5)
    assert server.connections == 2


async def test_a_body_that_ends_with_the_connection(client: HttpClient) -> None:
    async def reply(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()

    async with serving(reply) as server:
        assert (await client.post(server.url, b"", timeout=5)).body == b"all of it"


async def test_a_silent_server_times_out_and_its_connection_is_not_kept(client: HttpClient) -> None:
    async def silent(_head: bytes, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    async with serving(silent) as server:
        with pytest.raises(HttpTimeout) as caught:
            await client.post(server.url, b"", timeout=0.05)
        assert caught.value.sent
        server.reply = say(OK)
        assert (await client.post(server.url, b"", timeout=5)).status == 200
        assert server.connections == 2


async def test_nobody_listens(client: HttpClient) -> None:
    async with serving(say(OK)) as server:
        pass
    with pytest.raises(HttpRefused) as caught:
        await client.post(server.url, b"", timeout=5)
    assert not caught.value.sent


async def test_closing_inside_the_answer_is_broken_and_not_sent_again(client: HttpClient) -> None:
    async def half(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
        await writer.drain()
        writer.close()

    async with serving(say(OK)) as server:
        await client.post(server.url, b"", timeout=5)
        server.reply = half
        with pytest.raises(HttpBroken):
            await client.post(server.url, b"", timeout=5)
        assert len(server.heads) == 2


def drops_kept_connections() -> Reply:
    """Answers the first request of a connection; closes on the second, which looks to the client like an idle close."""
    served: set[asyncio.StreamWriter] = set()

    async def reply(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer in served:
            writer.close()
        else:
            served.add(writer)
            writer.write(OK)

    return reply


async def test_a_dropped_kept_connection_is_retried_once_on_a_new_one(client: HttpClient) -> None:
    async with serving(drops_kept_connections()) as server:
        for _ in range(3):
            assert (await client.post(server.url, b"x", timeout=5)).body == b"ok"
        assert server.connections == 3
        assert server.bodies == [b"x"] * 5


async def test_the_retry_does_not_try_other_kept_connections(client: HttpClient) -> None:
    async with serving(drops_kept_connections()) as server:
        await asyncio.gather(*(client.post(server.url, b"", timeout=5) for _ in range(3)))
        assert server.connections == 3
        assert (await client.post(server.url, b"", timeout=5)).body == b"ok"
        assert len(server.heads) == 5  # one on a stale connection, one on a new one


async def test_no_retry_when_the_caller_forbids_it(client: HttpClient) -> None:
    async with serving(drops_kept_connections()) as server:
        await client.post(server.url, b"", timeout=5)
        with pytest.raises(HttpBroken):
            await client.post(server.url, b"", timeout=5, retry=False)


async def test_a_new_connection_that_closes_is_not_retried(client: HttpClient) -> None:
    async def shut(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(shut) as server:
        with pytest.raises(HttpBroken):
            await client.post(server.url, b"", timeout=5)
        assert server.connections == 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (1 << 17),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1000\r\n"
        + b"x" * 4096
        + b"\r\n"
        + b"x" * (1 << 17),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 17),
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    ],
)
async def test_too_large_or_not_http_is_broken(client: HttpClient, data: bytes) -> None:
    async with serving(say(data)) as server:
        with pytest.raises(HttpBroken):
            await client.post(server.url, b"", timeout=5)
        server.reply = say(OK)
        assert (await client.post(server.url, b"", timeout=5)).body == b"ok"


async def test_a_second_answer_never_reaches_the_next_request(client: HttpClient) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    async with serving(say(OK + poison)) as server:
        assert (await client.post(server.url, b"", timeout=5)).body == b"ok"
        server.reply = say(OK)
        assert (await client.post(server.url, b"", timeout=5)).body == b"ok"
        assert server.connections == 2


async def test_callers_queue_for_a_bounded_pool() -> None:
    running, most = 0, 0

    async def slow(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        writer.write(OK)

    client = HttpClient(connections_per_origin=2)
    async with serving(slow) as server:
        answers = await asyncio.gather(*(client.post(server.url, b"", timeout=5) for _ in range(20)))
        assert [answer.body for answer in answers] == [b"ok"] * 20
        assert (server.connections, most) == (2, 2)
        await client.close()


async def test_a_caller_that_queues_too_long_times_out_and_leaves_the_pool_whole() -> None:
    gate = asyncio.Event()

    async def wait(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(OK)

    client = HttpClient(connections_per_origin=1)
    async with serving(wait) as server:
        first = asyncio.create_task(client.post(server.url, b"", timeout=5))
        await asyncio.sleep(0.01)
        with pytest.raises(HttpTimeout) as caught:
            await client.post(server.url, b"", timeout=0.02)
        assert not caught.value.sent
        gate.set()
        await first
        assert (await client.post(server.url, b"", timeout=5)).status == 200
        await client.close()


async def test_a_cancelled_caller_gives_its_place_back() -> None:
    async def silent(_head: bytes, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    client = HttpClient(connections_per_origin=1)
    async with serving(silent) as server:
        tasks = [asyncio.create_task(client.post(server.url, b"", timeout=5)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.reply = say(OK)
        assert (await client.post(server.url, b"", timeout=5)).status == 200
        await client.close()


async def test_idle_connections_are_bounded_over_all_origins() -> None:
    client = HttpClient(kept_connections=2)
    async with serving(say(OK)) as one, serving(say(OK)) as two, serving(say(OK)) as three:
        for server in (one, two, three, one, three):
            await client.post(server.url, b"", timeout=5)
        assert (one.connections, two.connections, three.connections) == (2, 1, 1)
        await client.close()


async def test_an_old_idle_connection_is_not_used_again() -> None:
    client = HttpClient(keep_seconds=-1)
    async with serving(say(OK)) as server:
        for _ in range(2):
            await client.post(server.url, b"", timeout=5)
        assert server.connections == 2
        await client.close()


async def test_headers_cannot_be_injected(client: HttpClient) -> None:
    with pytest.raises(ValueError, match="line break"):
        await client.post("http://localhost:1/", b"", {"A": "x\r\nB: y"}, timeout=1)


@pytest.mark.parametrize("url", ["ftp://x/", "http:///x", "http://u:p@h/", "http://h/a b", "http://h/\u00e4"])
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "address", "port", "tls"),
    [
        ("http://db.localhost:8080/x", "127.0.0.1", 8080, False),
        ("https://localhost/x", "127.0.0.1", 443, True),
        ("https://db-org.turso.io", "db-org.turso.io", 443, True),
        ("http://notlocalhost/x", "notlocalhost", 80, False),
    ],
)
def test_where_a_url_connects_to(url: str, address: str, port: int, *, tls: bool) -> None:
    origin, _ = parse_url(url)
    assert (origin.address, origin.port, origin.tls) == (address, port, tls)
