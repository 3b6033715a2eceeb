"""One rehearsal environment, seen as a newcomer sees it: a fresh copy of the repository, `make`, and HTTP."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import family, freeze

REPOSITORY = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 40
"""More than any answer may take."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def copy_repository(target: Path) -> Path:
    """What a clone of the working tree would hold: tracked files and new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = REPOSITORY / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll; a test that waits in vain says for what."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.1)


@dataclass
class Stack:
    """A checkout with its local cloud. `make()` runs a target the way a person does."""

    checkout: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.checkout / self.variables.get("LOCAL_ROOT", ".local")

    def environment(self) -> dict[str, str]:
        # The tests' own environment must not leak into the copy: it makes its own.
        dropped = {"VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "LOCAL_ROOT"}
        ours = str(Path(sys.prefix) / "bin")
        path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != ours)
        return {key: value for key, value in os.environ.items() if key not in dropped} | {"PATH": path}

    def make(self, *arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        words = ["make", "-s", *arguments, *(f"{key}={value}" for key, value in self.variables.items())]
        done = subprocess.run(
            words,
            cwd=self.checkout,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def pulumi(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A plain `pulumi`, as the operator calls it after reading LOCAL_ROOT/pulumi.env; `more` are variables."""
        changed = " ".join(f'{name}="{value}"' for name, value in more.items())
        script = f'set -a; . "{self.root}/pulumi.env"; {changed or ":"}; set +a; exec pulumi "$@"'
        return subprocess.run(
            ["sh", "-c", script, "pulumi", *words, "--non-interactive", "--color=never"],
            cwd=self.checkout,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def client_environment(self) -> dict[str, str]:
        lines = (self.root / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    @property
    def api_url(self) -> str:
        return self.client_environment()["MEMORYGRAPH_API_URL"]

    @property
    def key(self) -> str:
        return self.client_environment()["MEMORYGRAPH_API_KEY"]

    def status(self, method: str, url: str, **headers: str) -> int:
        """That of an answer which need not be JSON."""
        target = urllib.parse.urlsplit(url)
        assert target.hostname is not None
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, target.path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def text(self, method: str, path: str, *, key: str) -> str:
        """What a good answer holds, as it came."""
        status, content = self._send(method, path, None, key)
        assert status == 200, content
        return content

    def send(self, path: str, text: str, *, key: str) -> Answer:
        """POST lines of JSON."""
        status, content = self._send("POST", path, text, key)
        return Answer(status, {}, json.loads(content))

    def _send(self, method: str, path: str, text: str | None, key: str) -> tuple[int, str]:
        target = urllib.parse.urlsplit(self.api_url + path)
        assert target.hostname is not None
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=20)
        headers = {"X-API-Key": key} | ({"Content-Type": "application/x-ndjson"} if text else {})
        try:
            connection.request(method, f"{target.path}?{target.query}", text, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        url: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request through the Worker (or to `url`); `path` starts after /api/v1."""
        target = urllib.parse.urlsplit((url or self.api_url) + path)
        assert target.hostname is not None
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=ANSWER_SECONDS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["X-API-Key"] = key
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            where = target.path + (f"?{target.query}" if target.query else "")
            connection.request(method, where, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, json.loads(text) if text else None)
        finally:
            connection.close()

    def daemon(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "cloud.json").read_text())
        return found

    def control(self, path: str, method: str = "GET") -> Any:
        """What the daemon's control API answers."""
        daemon = self.daemon()
        connection = http.client.HTTPConnection("127.0.0.1", daemon["control_port"], timeout=20)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {daemon['control_token']}"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def parts(self) -> list[dict[str, Any]]:
        """The processes of the local cloud, by its own account."""
        found: list[dict[str, Any]] = self.control("/status")["parts"]
        return found

    def mails(self, to: str, about: str = "") -> list[dict[str, Any]]:
        """What was mailed to an address with `about` in its subject, the newest first."""
        found = self.control(f"/mail/messages?to={urllib.parse.quote(to)}")["messages"]
        return [mail for mail in found if about in mail["subject"]]

    def mail(self, to: str, about: str = "", seconds: float = 20) -> dict[str, Any]:
        """The newest of `mails`; waits for the first."""
        wait_until(lambda: bool(self.mails(to, about)), seconds, f"a mail to {to}: {about}")
        return self.mails(to, about)[0]

    def output(self, name: str) -> Any:
        """An output of the stack that is no secret."""
        return json.loads(self.pulumi("stack", "output", name, "--json").stdout)

    def pids(self, kind: str) -> list[int]:
        return [part["pid"] for part in self.parts() if part["kind"] == kind and part["pid"]]

    def well(self, kind: str) -> bool:
        """Whether every process of one part passes the local cloud's own probe."""
        return all(part["state"] == "running" for part in self.parts() if part["kind"] == kind)

    @contextmanager
    def frozen(self, kind: str) -> Iterator[None]:
        """Stop every process of one part as a hung machine would (SIGSTOP), children included."""
        pids = [member for pid in self.pids(kind) for member in family(pid)]
        assert pids, f"no process of kind {kind}"
        try:
            freeze(*pids)
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):  # a PostgreSQL worker may end meanwhile
                    os.kill(pid, signal.SIGCONT)


def processes_of(root: Path) -> list[str]:
    """Command lines of processes that name a folder: what `make destroy` and `make clean` must leave none of."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                where = str((entry / "cwd").readlink())
            except (OSError, ProcessLookupError):
                continue
            if str(root) in line or where.startswith(str(root)):
                found.append(f"{entry.name}: {line}")
    return found
