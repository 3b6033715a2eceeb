"""A stand-in of Upstash's REST API over fakeredis: `python -m infra.local.cloud.vendors.redis_rest`.

POST / takes one command as a JSON array; /pipeline and /multi-exec take arrays of commands. Answers are `{"result"}` or
`{"error"}`; 400 for a command that fails, 401 for a wrong token. `Upstash-Encoding: base64` encodes strings in results.
A `#!lua` first line of a script is taken out, as plain Redis refuses it. The read-only token may only read.

Left out: commands in the URL's path, pub/sub, streaming, the Redis protocol, persistence, limits on size and rate.

The commands run on the loop: one client, one command at a time, which is what makes /multi-exec atomic.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
from typing import Any

import fakeredis
import redis
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SHEBANG = re.compile(r"\A#![^\n]*")
SCRIPTS = {"EVAL", "EVAL_RO"}
LOADING = ("SCRIPT", "LOAD")
READING = frozenset(
    [
        "BITCOUNT",
        "DBSIZE",
        "ECHO",
        "EXISTS",
        "EXPIRETIME",
        "GET",
        "GETBIT",
        "GETRANGE",
        "HEXISTS",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HLEN",
        "HMGET",
        "HSTRLEN",
        "HVALS",
        "KEYS",
        "LINDEX",
        "LLEN",
        "LRANGE",
        "MGET",
        "PEXPIRETIME",
        "PING",
        "PTTL",
        "RANDOMKEY",
        "SCAN",
        "SCARD",
        "SISMEMBER",
        "SMEMBERS",
        "SMISMEMBER",
        "STRLEN",
        "TIME",
        "TTL",
        "TYPE",
        "XLEN",
        "XRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZRANGE",
        "ZRANGEBYSCORE",
        "ZRANK",
        "ZREVRANGE",
        "ZSCORE",
    ]
)

Command = list[Any]


class Front:
    """The three routes over one in-memory Redis."""

    def __init__(self, token: str, reader: str) -> None:
        self._tokens = {f"Bearer {token}": False, f"Bearer {reader}": True}
        # protocol=2: in RESP3 a hash would come as a dict. Raw answers: the client library must not reshape them.
        self._redis: Any = fakeredis.FakeRedis(protocol=2)
        self._redis.response_callbacks.clear()

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.one, methods=["POST"]),
                Route("/pipeline", self.pipeline, methods=["POST"]),
                Route("/multi-exec", self.multi_exec, methods=["POST"]),
            ]
        )

    async def one(self, request: Request) -> Response:
        reads_only = self._access(request)
        if reads_only is None:
            return _unauthorized()
        command = await _json(request)
        if not _is_command(command):
            return _bad("ERR failed to parse command: expected a JSON array of a command and its arguments")
        answer = self._run(command, reads_only=reads_only)
        return JSONResponse(_encoded(answer, request), 400 if "error" in answer else 200)

    async def pipeline(self, request: Request) -> Response:
        """Each command on its own: one that fails does not stop the others."""
        reads_only = self._access(request)
        if reads_only is None:
            return _unauthorized()
        commands = await _json(request)
        if not isinstance(commands, list) or not all(_is_command(command) for command in commands):
            return _bad("ERR failed to parse pipeline request: expected an array of commands")
        answers = [self._run(command, reads_only=reads_only) for command in commands]
        return JSONResponse([_encoded(answer, request) for answer in answers])

    async def multi_exec(self, request: Request) -> Response:
        """One transaction: a command that Redis cannot queue discards all of them."""
        reads_only = self._access(request)
        if reads_only is None:
            return _unauthorized()
        commands = await _json(request)
        if not isinstance(commands, list) or not all(_is_command(command) for command in commands):
            return _bad("ERR failed to parse multi-exec request: expected an array of commands")
        for command in commands:
            if reads_only and not _reads(command):
                return _bad(_denied(command))
        transaction = self._redis.pipeline(transaction=True)
        for command in commands:
            transaction.execute_command(*_arguments(command))
        try:
            results = transaction.execute(raise_on_error=False)
        except redis.RedisError as error:
            return _bad(f"EXECABORT Transaction discarded because of previous errors: {error}")
        answers = [_bare_error(item) if isinstance(item, Exception) else {"result": item} for item in results]
        return JSONResponse([_encoded(answer, request) for answer in answers])

    def _run(self, command: Command, *, reads_only: bool) -> dict[str, Any]:
        if reads_only and not _reads(command):
            return {"error": _denied(command)}
        try:
            return {"result": self._redis.execute_command(*_arguments(command))}
        except redis.RedisError as error:
            return _bare_error(error)

    def _access(self, request: Request) -> bool | None:
        """False for the full token, True for the read-only one, None for any other."""
        sent = request.headers.get("authorization", "").encode()
        found = [reads_only for known, reads_only in self._tokens.items() if hmac.compare_digest(known.encode(), sent)]
        return found[0] if found else None


def _arguments(command: Command) -> list[str | bytes | int | float]:
    arguments = [
        json.dumps(item) if isinstance(item, dict | list) else str(item).lower() if isinstance(item, bool) else item
        for item in command
    ]
    name = str(arguments[0]).upper()
    at = (
        1 if name in SCRIPTS else 2 if (name, str(arguments[1]).upper() if len(arguments) > 1 else "") == LOADING else 0
    )
    if at and len(arguments) > at:
        arguments[at] = SHEBANG.sub("", str(arguments[at]))  # the line stays, so that errors name the right one
    return arguments


def _bare_error(error: Exception) -> dict[str, Any]:
    """Redis's own words; the client library takes the code off the front of some of them."""
    text = str(error)
    if isinstance(error, redis.exceptions.NoScriptError) and not text.startswith("NOSCRIPT"):
        text = f"NOSCRIPT {text}"
    elif not re.match(r"[A-Z]{2,} ", text):
        text = f"ERR {text}"
    return {"error": text}


def _encoded(answer: dict[str, Any], request: Request) -> dict[str, Any]:
    in_base64 = request.headers.get("upstash-encoding", "").lower() == "base64"

    def encode(value: Any) -> Any:
        if isinstance(value, list | tuple | set):
            return [encode(item) for item in value]
        if isinstance(value, bool):
            return "OK" if value else None  # what is left of a status answer
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            if value == b"OK" or not in_base64:  # Upstash leaves OK as it is
                return value.decode("utf-8", errors="replace")
            return base64.b64encode(value).decode()
        return str(value) if isinstance(value, float) else value

    return {"result": encode(answer["result"])} if "result" in answer else answer


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError:
        return None


def _is_command(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str) and None not in value


def _reads(command: Command) -> bool:
    return str(command[0]).upper() in READING


def _denied(command: Command) -> str:
    return f"NOPERM this user has no permissions to run the '{str(command[0]).lower()}' command"


def _unauthorized() -> Response:
    return JSONResponse({"error": "Unauthorized"}, 401)


def _bad(message: str) -> Response:
    return JSONResponse({"error": message}, 400)


def main() -> None:
    front = Front(os.environ["REST_TOKEN"], os.environ["READ_ONLY_REST_TOKEN"])
    uvicorn.run(
        front.application(),
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
