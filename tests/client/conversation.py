"""Talks to the real memorygraphMCP over stdio, as an agent does.

Runs in the client's own environment (`tests/client/requirements.txt`), never in ours: the client needs an older `mcp`.
Reads a JSON list of `[tool, arguments]` from standard input, calls them in order within one session and prints a JSON
list of `{"error": bool, "text": str}`. `"$N.NAME"` in an argument stands for the first match of the
pattern NAME ("id") in the text of call N. The client takes its address and key from the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

PATTERNS = {"id": r"\b([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"}


def _fill(value: Any, answers: list[dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, answers) for key, item in value.items()}
    if isinstance(value, str) and (reference := re.fullmatch(r"\$(\d+)\.(\w+)", value)):
        found = re.search(PATTERNS[reference[2]], answers[int(reference[1])]["text"])
        if found is None:
            raise SystemExit(f"{value}: nothing to take from {answers[int(reference[1])]}")
        return found[1]
    return value


async def converse(calls: list[list[Any]], profile: str) -> list[dict[str, Any]]:
    server = StdioServerParameters(
        command=str(Path(sys.executable).parent / "memorygraph"),
        args=["--profile", profile, "--log-level", "ERROR"],
        env=dict(os.environ),
    )
    answers: list[dict[str, Any]] = []
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        answers.append({"error": False, "text": "\n".join(tool.name for tool in (await session.list_tools()).tools)})
        for tool, arguments in calls:
            result = await session.call_tool(tool, _fill(arguments, answers))
            text = "\n".join(getattr(part, "text", "") for part in result.content)
            answers.append({"error": bool(result.isError), "text": text})
    return answers


if __name__ == "__main__":
    conversation = converse(json.load(sys.stdin), profile=sys.argv[1])
    sys.stdout.write(json.dumps(asyncio.run(conversation)))
