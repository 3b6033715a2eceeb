"""Accounts and keys of the local cloud, opened by the operator's own code (functions/provisioning).

What that code needs is the stack's output `operator`.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from declarations import PREFIX
from infra.local import control, drivers, processes, result, tools
from infra.local.drivers import Driver
from infra.local.install import install
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

FIRST_PLAN = "free"
ANSWER_SECONDS = 15.0  # a function that was just started imports for a while
PATIENCE_SECONDS = 45.0


def key(places: Places, progress: Progress, plan: str) -> None:
    """Open an account and print its key, and nothing else, on standard output."""
    driver = _ready(places, progress)
    print(_provision(places, driver, {"action": "open", "plan": plan}))


def revoke(places: Places, progress: Progress, value: str) -> None:
    if not value:
        raise Trouble("Say which key: `make revoke KEY=mg_...`.")
    driver = _ready(places, progress)
    progress.say(_provision(places, driver, {"action": "revoke", "key": value}))


def jobs(places: Places, progress: Progress, state: str) -> None:
    """Print the jobs in a state."""
    driver = _ready(places, progress)
    progress.say(_provision(places, driver, {"action": "jobs", "state": state or "dead"}))


def revive(places: Places, progress: Progress, job: str) -> None:
    if not job:
        raise Trouble("Say which job: `make revive JOB=...`. `make jobs` lists those that were given up.")
    driver = _ready(places, progress)
    progress.say(_provision(places, driver, {"action": "revive", "job": job}))


def api_url(places: Places) -> str:
    """Where clients reach the API on this machine. Raises Trouble when no Worker serves."""
    edge = control.addresses(control.running(places)).get("edge_url")
    if not edge:
        raise Trouble("The program declared no Worker that serves the API. Run `make up` again, or see `make logs`.")
    return edge.rstrip("/") + PREFIX


def first_key(places: Places, progress: Progress, driver: Driver, url: str) -> str:
    """The key that the environment came with, kept as long as the API accepts it. Waits until the API is healthy."""
    with progress.step("waiting for the API"):
        _wait_until_healthy(url)
        known = result.read(places).get(result.API_KEY)
        if known and _status(url, known) == 200:
            return known
    with progress.step("opening a first account"):
        return _provision(places, driver, {"action": "open", "plan": FIRST_PLAN})


def _ready(places: Places, progress: Progress) -> Driver:
    install(places, progress, servers=False)
    control.check_ports(control.running(places))
    return drivers.choose(places, progress)


def _provision(places: Places, driver: Driver, asked: dict[str, str]) -> str:
    """Run infra/local/provision.py in the virtual environment; secrets go by its standard input."""
    outputs = driver.outputs()
    operator: Any = outputs.get("operator")
    if not isinstance(operator, dict):
        raise Trouble("The stack does not say yet how to open an account: `make up` has not finished. Run it again.")
    words = [str(places.python), "-m", "infra.local.provision"]
    done = tools.run(
        words,
        cwd=places.repo,
        env=processes.clean_environment(),
        stdin=json.dumps({**asked, "settings": operator}),
        separate=True,
    )
    lines = done.output.splitlines()
    answer = json.loads(lines[-1]) if lines else {}
    if done.code != 0 or "said" not in answer:
        raise Trouble(answer.get("trouble") or f"The account could not be handled (exit code {done.code}); see above.")
    said: str = answer["said"]
    return said


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (status := _status(url, None)) != 200:
        if time.monotonic() > deadline:
            reason = f"it answers {status}" if status else "it does not answer"
            raise Trouble(
                f"The API at {url} is not healthy: {reason}. `make status` shows what runs, `make logs` why; "
                "`make down` and `make up` restart all of it and keep the data."
            )
        time.sleep(0.2)


def _status(url: str, api_key: str | None) -> int | None:
    """The status of GET /health, with a key or without; None when nothing answers."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"{target.path}/health", headers={"X-API-Key": api_key} if api_key else {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
