"""Talks to the cloud daemon over its control port."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import quote

from infra.local import processes
from infra.local.places import Places
from infra.local.processes import Record
from infra.local.trouble import Trouble

ANSWER_SECONDS = 5.0
PORT_SECONDS = 3.0  # the daemon looks every second whether a taken port is free again


def call(cloud: Record, method: str, path: str) -> Any:
    """One request; the JSON answer. Raises OSError when the daemon does not answer, or not as it should."""
    connection = http.client.HTTPConnection("127.0.0.1", int(cloud.values["control_port"]), timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {cloud.values['control_token']}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise ConnectionError(f"{method} {path}: {answer.status}")
        return json.loads(body) if body else None
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"{method} {path}: {error}") from error
    finally:
        connection.close()


def ask_to_stop(cloud: Record) -> None:
    call(cloud, "POST", "/stop")


def addresses(cloud: Record) -> dict[str, str | None]:
    """Where the local cloud serves: `edge_url` (None before a Worker is declared) and what `stack.ADDRESSES` names."""
    found: dict[str, str | None] = _answer(cloud, "/addresses")
    return found


def status(cloud: Record) -> dict[str, Any]:
    """`parts` (name, kind, state, pid, port, restarts, and perhaps detail) and `resources`, how many are held."""
    found: dict[str, Any] = _answer(cloud, "/status")
    return found


def messages(cloud: Record, to: str = "") -> list[dict[str, Any]]:
    """The mails that were sent, the newest first: id, received_at, from, to, subject, headers, text, html."""
    found: list[dict[str, Any]] = _answer(cloud, f"/mail/messages?to={quote(to)}")["messages"]
    return found


def running(places: Places) -> Record:
    """The daemon of this environment. Raises Trouble when there is none."""
    cloud = processes.living(places, processes.CLOUD)
    if cloud is None:
        raise Trouble("The local cloud is not running. `make up` starts it.")
    return cloud


def check_ports(cloud: Record) -> None:
    """Raises Trouble when a part waits for its port, which another program holds, and goes on waiting."""
    deadline = time.monotonic() + PORT_SECONDS
    while blocked := [part["detail"] for part in status(cloud)["parts"] if part["state"] == "blocked"]:
        if time.monotonic() > deadline:
            raise Trouble("\n".join(blocked))
        time.sleep(0.2)


def _answer(cloud: Record, path: str) -> Any:
    try:
        return call(cloud, "GET", path)
    except OSError as error:
        raise Trouble(
            f"The local cloud (process {cloud.pid}) runs but does not answer: {error}. "
            "`make down` stops it and `make up` brings it back with its data."
        ) from None
