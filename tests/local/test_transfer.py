"""`make export` and `make import` against a real HTTP server over a file store."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from core import migrations
from core.adapters.sqlite import SqliteDatabase
from declarations import IMPORT_PART_BYTES, PREFIX
from infra.local import result
from infra.local.places import REPO, Places
from infra.local.progress import Progress
from infra.local.transfer import api, fetching, parts, sending
from infra.local.transfer.api import Api
from infra.local.trouble import Interrupted, Trouble
from tests.functions.asgi import signed
from tests.functions.memories.transfers import DOCUMENT, EDGE, MEMORY, edge, lines, memory
from tests.functions.memories.wire import Wire

HEADER = {"kind": "header", "format_version": "memorygraph-cloud/1", "exported_at": "2024-01-01T00:00:00+00:00"}
END = {"kind": "end", "next_cursor": None}
Fault = Callable[[Scope, Receive, Send], Any]


@dataclass
class Server:
    """The memories function behind a socket, signed as the edge signs. `faults`: what happens to the next requests."""

    wire: Wire
    port: int = 0
    faults: list[Fault | None] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def key(self) -> str:
        return self.wire.key

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        self.seen.append(f"{scope['method']} {target}")
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            await fault(scope, receive, send)
        else:
            await self.serve(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = self.seen[-1].partition(" ")[2]
        scope["headers"] += [
            (name.lower().encode(), value.encode()) for name, value in signed(scope["method"], target).items()
        ]
        await self.wire._app(scope, receive, send)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    database = SqliteDatabase(tmp_path / "memories.db")
    asyncio.run(migrations.apply(database, migrations.load("sqlite")))
    with socket.socket() as listener, _running(Server(Wire({"http://one.localhost": database})), listener) as running:
        yield running
    asyncio.run(database.close())


class _running:
    def __init__(self, server: Server, listener: socket.socket) -> None:
        listener.bind(("127.0.0.1", 0))
        server.port = listener.getsockname()[1]
        listener.listen()
        self._server = server
        config = uvicorn.Config(
            server.app, interface="asgi3", log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]})

    def __enter__(self) -> Server:
        self._thread.start()
        return self._server

    def __exit__(self, *_error: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def target(server: Server, progress: Progress, pauses: list[float]) -> Api:
    return Api(server.url, server.key, progress, pause=pauses.append)


def answering(status: int, headers: dict[str, str] | None = None) -> Fault:
    async def fault(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": b'{"detail": "Not now."}'})

    return fault


async def hanging_up(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """The connection closes before an answer."""
    raise ConnectionResetError


def cutting_off(server: Server, after: int) -> Fault:
    """The answer breaks off after so many messages."""

    async def fault(scope: Scope, receive: Receive, send: Send) -> None:
        left = after

        async def some(message: Message) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError
            await send(message)

        await server.serve(scope, receive, some)

    return fault


def file_of(tmp_path: Path, *rows: Any, name: str = "memories.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(lines(*rows))
    return path


def rows_of(path: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {row["id"]: row for row in rows if "id" in row}


def posts(server: Server) -> list[str]:
    return [re.sub(r"import_id=\w+&", "", one) for one in server.seen if one.startswith("POST")]


# There and back.


def test_there_and_back(target: Api, progress: Progress, tmp_path: Path) -> None:
    path = file_of(tmp_path, HEADER, MEMORY, memory("m2"), EDGE, END)
    tally = sending.send_to(target, progress, path)
    assert tally.counts["memories"]["created"] == 2
    back = tmp_path / "back.jsonl"
    fetching.fetch_from(target, progress, back)
    rows = rows_of(back)
    assert (rows["m1"], rows["r1"]) == (MEMORY, EDGE)
    assert back.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("back")) == ["back.jsonl"]


def test_in_many_requests(target: Api, server: Server, progress: Progress, tmp_path: Path) -> None:
    rows = [memory(f"m{n:03}") for n in range(25)] + [edge("m000", f"m{n:03}", id=f"r{n:03}") for n in range(1, 10)]
    sending.send_to(target, progress, file_of(tmp_path, HEADER, *rows, END), most_bytes=IMPORT_PART_BYTES, most_rows=10)
    assert posts(server) == [f"POST {PREFIX}/import?part={n}" for n in range(1, 5)]
    whole, pieces = tmp_path / "whole.jsonl", tmp_path / "pieces.jsonl"
    fetching.fetch_from(target, progress, whole)
    fetching.fetch_from(target, progress, pieces, step=7)
    assert pieces.read_bytes().split(b"\n", 1)[1] == whole.read_bytes().split(b"\n", 1)[1]
    assert len(whole.read_bytes().splitlines()) == len(rows) + 2


def test_a_document_of_the_local_tool(target: Api, progress: Progress, tmp_path: Path) -> None:
    path = tmp_path / "local.json"
    path.write_text(json.dumps(DOCUMENT, indent=2))
    tally = sending.send_to(target, progress, path)
    assert (tally.counts["memories"]["created"], tally.counts["relationships"]["created"]) == (2, 1)
    back = tmp_path / "back.json"
    fetching.fetch_from(target, progress, back)
    document = json.loads(back.read_text())
    assert document["relationships"] == DOCUMENT["relationships"]
    assert [row["created_at"] for row in document["memories"]] == [
        "2023-01-01T00:00:00.000000+00:00",
        "2024-05-06T07:08:09.000010+00:00",
    ]


# Going on.


def test_parts_that_are_done_are_not_sent_again(
    target: Api,
    server: Server,
    progress: Progress,
    said: io.StringIO,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = file_of(tmp_path, *[memory(f"m{n}") for n in range(5)], memory("bad", title=""))
    server.faults = [None, None, None, answering(400)]
    with pytest.raises(Trouble, match=r"^Part 3 could not be sent\. The API answers 400: Not now\.$"):
        sending.send_to(target, progress, path, most_rows=2)
    server.seen.clear()
    with pytest.raises(Trouble, match="1 rows were refused"):
        sending.send_to(target, progress, path, most_rows=2)
    assert posts(server) == [f"POST {PREFIX}/import?part=3"]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "memories: 5 created, 0 updated, 0 unchanged, 1 refused",
        "relationships: 0 created, 0 updated, 0 unchanged, 0 refused",
    ]
    server.seen.clear()
    with pytest.raises(Trouble, match="1 rows were refused"):  # as it was told then
        sending.send_to(target, progress, path, most_rows=2)
    assert posts(server) == []
    assert said.getvalue().count("refused: line 6 (memory bad): title must not be blank") == 2


def test_ctrl_c_says_how_to_go_on(
    target: Api, server: Server, progress: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, *[memory(f"m{n}") for n in range(6)])
    real = Api.json

    def interrupted(self: Api, method: str, where: str, *more: Any) -> Any:
        if where.endswith("part=2"):
            raise KeyboardInterrupt
        return real(self, method, where, *more)

    monkeypatch.setattr(Api, "json", interrupted)
    with pytest.raises(Interrupted, match="1 parts are done"):
        sending.send_to(target, progress, path, most_rows=2)
    monkeypatch.undo()
    assert sending.send_to(target, progress, path, most_rows=2).counts["memories"]["created"] == 6
    assert posts(server) == [f"POST {PREFIX}/import?part={n}" for n in (1, 2, 3)]


def test_what_passes_is_waited_for(
    target: Api, server: Server, progress: Progress, pauses: list[float], tmp_path: Path
) -> None:
    path = file_of(tmp_path, memory("a"))
    server.faults = [
        answering(503, {"Retry-After": "7"}),
        None,
        answering(429, {"Retry-After": "60"}),
        hanging_up,
        answering(502),
    ]
    assert sending.send_to(target, progress, path).counts["memories"]["created"] == 1
    assert pauses == [7, 60, 2, 4]


def test_an_answer_that_is_lost_costs_nothing(target: Api, server: Server, progress: Progress, tmp_path: Path) -> None:
    server.faults = [None, cutting_off(server, 1)]
    tally = sending.send_to(target, progress, file_of(tmp_path, memory("a")))
    assert tally.counts["memories"] == {"created": 1, "updated": 0, "unchanged": 0, "refused": 0}


def test_it_does_not_try_for_ever(
    target: Api, server: Server, progress: Progress, pauses: list[float], tmp_path: Path
) -> None:
    path = file_of(tmp_path, memory("a"))
    server.faults = [hanging_up] * api.TRIES
    with pytest.raises(Trouble, match=f"Tried {api.TRIES} times"):
        sending.send_to(target, progress, path)
    assert (len(pauses), max(pauses)) == (api.TRIES - 1, 30)
    server.faults = [answering(429, {"Retry-After": "5000"})]
    with pytest.raises(Trouble, match=r"429: Not now\. Run the same command again in 5000 seconds"):
        sending.send_to(target, progress, path)


def test_an_export_that_breaks_off_goes_on(
    target: Api, server: Server, progress: Progress, pauses: list[float], tmp_path: Path
) -> None:
    sending.send_to(target, progress, file_of(tmp_path, *[memory(f"m{n:03}") for n in range(450)]))
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    fetching.fetch_from(target, progress, whole)
    server.faults = [None, cutting_off(server, 3), cutting_off(server, 0), None, answering(503, {"Retry-After": "1"})]
    fetching.fetch_from(target, progress, broken, step=200)
    assert broken.read_bytes().split(b"\n", 1)[1] == whole.read_bytes().split(b"\n", 1)[1]
    assert len(pauses) == 3


def test_an_export_goes_on_in_another_run(
    target: Api, server: Server, progress: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending.send_to(target, progress, file_of(tmp_path, *[memory(f"m{n:03}") for n in range(30)]))
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    fetching.fetch_from(target, progress, whole)

    opened, asked = Api.opened, 0

    def interrupted(self: Api, *arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt
        return opened(self, *arguments)

    monkeypatch.setattr(Api, "opened", interrupted)
    with pytest.raises(Interrupted, match=r"kept in .*broken\.jsonl\.part\. Run the same command to carry on"):
        fetching.fetch_from(target, progress, broken, step=10)
    monkeypatch.undo()
    assert not broken.exists()
    with (tmp_path / "broken.jsonl.part").open("ab") as file:
        file.write(b'{"kind":"memory","id":"m"}\n' * 1_000 + b'{"kind":"mem')  # what came last, half written
    server.seen.clear()
    fetching.fetch_from(target, progress, broken, step=10)
    assert broken.read_bytes().split(b"\n", 1)[1] == whole.read_bytes().split(b"\n", 1)[1]
    assert len(server.seen) == 1, "only what was missing"
    assert {one.name for one in tmp_path.iterdir() if one.name.startswith("broken")} == {"broken.jsonl"}


# What is wrong with files.


def test_rows_are_named_by_their_place_in_the_file(
    target: Api, progress: Progress, said: io.StringIO, tmp_path: Path
) -> None:
    long = b'{"kind":"memory","id":"long","x":"' + b"x" * 2000 + b'"}'
    rows = [HEADER, memory("a"), b"", b"\xff", memory("b"), long, edge("a", "nowhere", id="r"), memory("c"), END]
    with pytest.raises(Trouble, match="3 rows were refused"):
        sending.send_to(target, progress, file_of(tmp_path, *rows), most_bytes=1000, most_rows=2)
    named = re.findall(r"^refused: (.*?):", said.getvalue(), re.MULTILINE)
    assert sorted(named) == ["line 4", "line 6", "line 7 (relationship r)"]
    path = tmp_path / "local.json"
    path.write_text(json.dumps({**DOCUMENT, "memories": [{}, {"id": "x"}, 3]}))
    with pytest.raises(Trouble, match="4 rows were refused"):
        sending.send_to(target, progress, path, most_rows=2)
    assert re.findall(r"^refused: (\w+, number.*?):", said.getvalue(), re.MULTILINE) == [
        "memories, number 1",
        "memories, number 2 (memory x)",
        "memories, number 3",
        "relationships, number 1",
    ]


def test_a_file_that_is_cut_off_is_stored_and_told(target: Api, progress: Progress, tmp_path: Path) -> None:
    for rows in ([HEADER, memory("a")], [HEADER, memory("b"), {**END, "next_cursor": "bTph"}]):
        with pytest.raises(Trouble, match="it has no end"):
            sending.send_to(target, progress, file_of(tmp_path, *rows))
    fetching.fetch_from(target, progress, tmp_path / "back.jsonl")
    assert set(rows_of(tmp_path / "back.jsonl")) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON: see character 1"),
        ("title,content", "is not JSON: see character 1"),
        ('{"a": 1}', "has no memories"),
        ('{"memories": []}', "its version is not 1.0 or 2.0"),
        ('{"format_version": "2.0", "memories": [{"id": "a"}', "is not JSON"),
        ('{"format_version": "2.0", "memories": [{"id": "a"}]} x', "is not JSON: see character 54"),
        ('{"format_version": "2.0", "memories": [{"id": "a"} {}]}', "is not JSON: see character 52"),
        ('{"format_version": "2.0", "memories": [' + "[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_file_of_ours_is_not_sent(
    target: Api, server: Server, progress: Progress, tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(Trouble, match=re.escape(reason)):
        sending.send_to(target, progress, path)
    assert server.seen == []


def test_a_document_is_read_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a piece ends: in a number, in a character of several bytes, in a name."""
    document = {"n": 123456789, **DOCUMENT, "memories": [{"title": "Größe \U0001f600", "n": -1.5e-7}, {}, 12345, "ß"]}
    path = tmp_path / "file.json"
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8-sig")
    monkeypatch.setattr(parts, "BLOCK", 1)
    [part] = parts.read(path).parts()
    header, *rows, relationship = [json.loads(line) for line in bytes(part.body).splitlines()]
    assert header["exported_at"] == DOCUMENT["export_date"]
    assert rows == [{**row, "kind": "memory"} if isinstance(row, dict) else row for row in document["memories"]]  # type: ignore[attr-defined]  # a list
    assert relationship == {**DOCUMENT["relationships"][0], "kind": "relationship"}  # type: ignore[index]  # as well


def test_parts_are_as_large_as_they_may_be_and_always_the_same(tmp_path: Path) -> None:
    rows = [memory(f"m{n}", content="x" * (n % 700)) for n in range(300)]
    path = file_of(tmp_path, HEADER, *rows, END)
    found = list(parts.read(path).parts(most_bytes=5_000, most_rows=20))
    assert [part.sha256 for part in parts.read(path).parts(most_bytes=5_000, most_rows=20)] == [
        part.sha256 for part in found
    ]
    assert [part.number for part in found] == list(range(1, len(found) + 1))
    sent = [json.loads(line) for part in found for line in bytes(part.body).splitlines()[1:]]
    assert sent == rows
    for part, following in pairwise(found):
        assert bytes(part.body).startswith(lines(HEADER))
        following_line = bytes(following.body).splitlines(keepends=True)[1]
        full = len(part.body) + len(following_line) > 5_000 or len(part.labels) == 21
        assert full
        assert len(part.body) <= 5_000
    assert parts.PART_BYTES <= IMPORT_PART_BYTES


# Where to, and as whom.


def test_the_environment_comes_before_the_local_cloud(places: Places, progress: Progress) -> None:
    with pytest.raises(Trouble, match="Set MEMORYGRAPH_API_URL and MEMORYGRAPH_API_KEY"):
        api.of(places, progress, {})
    result.write(places, "http://127.0.0.1:1/api/v1", "mg_local")
    assert api.of(places, progress, {}).url == "http://127.0.0.1:1/api/v1"
    given = {"MEMORYGRAPH_API_URL": "https://api.example.com/api/v1/", "MEMORYGRAPH_API_KEY": "mg_given"}
    assert api.of(places, progress, given).url == "https://api.example.com/api/v1"
    for name in given:
        with pytest.raises(Trouble):  # else the local key would reach another address
            api.of(places, progress, {name: given[name]})
    with pytest.raises(Trouble, match="must be a URL"):
        api.of(places, progress, {**given, "MEMORYGRAPH_API_URL": "file:///etc/passwd"})


def test_a_redirect_is_not_followed(target: Api, server: Server, progress: Progress, tmp_path: Path) -> None:
    server.faults = [answering(302, {"Location": server.url + "/health"})]
    with pytest.raises(Trouble, match="The API answers 302"):
        sending.send_to(target, progress, file_of(tmp_path, memory("a")))
    assert len(server.seen) == 1


def test_the_commands(server: Server, tmp_path: Path) -> None:
    """As `make` runs them: results on standard output, a sentence and a status for what was refused, no key in argv."""
    path = file_of(tmp_path, HEADER, memory("a"), memory("bad", title=""), END)
    environment = {
        **os.environ,
        "MEMORYGRAPH_API_URL": server.url,
        "MEMORYGRAPH_API_KEY": server.key,
    }

    def run(command: str, file: str) -> subprocess.CompletedProcess[str]:
        words = ["make", "-s", command, f"FILE={file}", f"PYTHON={sys.executable}", f"LOCAL_ROOT={tmp_path / 'root'}"]
        return subprocess.run(words, cwd=REPO, env=environment, capture_output=True, text=True, check=False, timeout=60)

    done = run("import", str(path))
    assert done.returncode == 2, "make's own, for a command that failed"
    assert "refused: line 3 (memory bad): title must not be blank" in done.stderr
    assert "1 rows were refused" in done.stderr
    assert done.stdout.splitlines()[0] == "memories: 1 created, 0 updated, 0 unchanged, 1 refused"
    back = tmp_path / "back.jsonl"
    done = run("export", str(back))
    assert (done.returncode, done.stdout) == (0, f"{back}: {back.stat().st_size} bytes\n")
    done = run("import", str(back))
    assert done.returncode == 0, done.stderr
    assert "1 unchanged" in done.stdout
    assert "Say which file" in run("import", "").stderr
    assert "Say where to" in run("export", "").stderr
    assert run("import", str(tmp_path / "nowhere.jsonl")).stderr.startswith("There is no file ")
