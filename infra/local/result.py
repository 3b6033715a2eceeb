"""What a client needs to know: printed by `make up`, and kept in LOCAL_ROOT/env."""

from __future__ import annotations

import json

from infra.local.places import Places, write_private

API_URL = "MEMORYGRAPH_API_URL"
API_KEY = "MEMORYGRAPH_API_KEY"


def read(places: Places) -> dict[str, str]:
    """The values of LOCAL_ROOT/env; empty when there is none."""
    try:
        lines = places.env.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def write(places: Places, url: str, key: str) -> None:
    text = f"# The local cloud, for clients. Written by `make up`.\n{API_URL}={url}\n{API_KEY}={key}\n"
    if not places.env.exists() or places.env.read_text() != text:
        write_private(places.env, text)


def client_variables(url: str, key: str) -> dict[str, str]:
    """The three variables that point memorygraphMCP at an API (client contract, section 1.2)."""
    return {"MEMORY_BACKEND": "cloud", API_URL: url, API_KEY: key}


def text(places: Places, url: str, key: str) -> str:
    """The last words of `make up`."""
    variables = client_variables(url, key)
    lines = "\n".join(f"  {name}={value}" for name, value in variables.items())
    server = {"mcpServers": {"memorygraph": {"command": "memorygraph", "args": [], "env": variables}}}
    return f"""
API URL  {url}
API key  {key}   (kept in {places.env})

Point memorygraphMCP at it by its environment:
{lines}

or in the configuration of an MCP client:
{json.dumps(server, indent=2)}

make key PLAN=free|pro|team  a key of a fresh account      make status  what runs
make down  stop, keep all                                  make help    everything else"""
