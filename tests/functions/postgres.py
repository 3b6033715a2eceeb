"""A real PostgreSQL server for tests: the npm part of the local cloud, with the roles that Supabase gives a project.

As root it runs as `nobody`, from a copy of the programs that `nobody` can reach.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from infra.local.cloud.parts import Binaries
from infra.local.cloud.paths import Paths
from infra.local.cloud.vendors.postgres import ADMIN, SETUP
from infra.local.places import DEFAULT_ROOT, Places
from tests.processes import freeze

HOST = "127.0.0.1"
START_SECONDS = 30


class Server:
    """One running server. `url(role)` logs in as `postgres` or as a role that was given `login`."""

    def __init__(self, programs: Path, folder: Path, user: dict[str, Any]) -> None:
        self._programs, self._folder, self._user = programs, folder, user
        self.password = secrets.token_urlsafe(16)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        self._run("initdb", "-D", "data", "-U", ADMIN, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.start()
        with psycopg.connect(self._url(ADMIN, "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(SETUP).format(password=sql.Literal(self.password)))

    def start(self) -> None:
        options = (f"listen_addresses={HOST}", "unix_socket_directories=", "fsync=off")
        words = [str(self._programs / "bin" / "postgres"), "-D", "data", "-p", str(self.port)]
        deadline = time.monotonic() + START_SECONDS
        while True:
            # After a kill the last session may still be ending, and holds the memory that they shared.
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [*words, *(word for option in options for word in ("-c", option))],
                    cwd=self._folder,
                    env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    **self._user,
                )
            try:
                psycopg.connect(self._url(ADMIN, "postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    @property
    def running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """As a crash: the server and its sessions end at once."""
        self.signal_all(signal.SIGKILL)
        if self._process:
            self._process.wait()
            self._process = None

    def signal_all(self, number: int) -> None:
        """Send a signal to the server and to each of its sessions."""
        if self._process and number == signal.SIGSTOP:
            freeze(self._process.pid, *_children(self._process.pid))
        elif self._process:
            for pid in (self._process.pid, *_children(self._process.pid)):
                with suppress(ProcessLookupError):  # a session may end meanwhile
                    os.kill(pid, number)

    def new_database(self, template: str = "template1") -> str:
        """A new database that `postgres` owns, like another one that nobody is connected to; its URL."""
        name = f"test_{secrets.token_hex(4)}"
        create = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
        with psycopg.connect(self._url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(create)
        return self._url("postgres", name)

    def drop_database(self, name: str) -> None:
        """Whoever is connected to it is thrown out."""
        with psycopg.connect(self._url(ADMIN, "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self.password}@{HOST}:{self.port}/{database}"

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [self._programs / "bin" / program, *args],
            cwd=self._folder,
            check=True,
            capture_output=True,
            **self._user,
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that is gone, with its data, at the end."""
    package = Binaries(Paths(Places.of(os.environ.get("LOCAL_ROOT", DEFAULT_ROOT)).root)).postgres()
    folder = Path(tempfile.mkdtemp(prefix="memorygraph-test-postgres-"))
    user: dict[str, Any] = {}
    programs = package / "native"
    server: Server | None = None
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            programs = folder / "native"
            shutil.copytree(package / "native", programs, symlinks=True)
        _link_libraries(package, programs.parent)
        server = Server(programs, folder, user)
        server.create()
        yield server
    finally:
        if server:
            server.kill()
        # Hundreds of databases are a million files: Python takes minutes for that.
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def _link_libraries(package: Path, target: Path) -> None:
    """What the npm package's install script would do."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        path = target / link["target"]
        if not path.exists():
            path.symlink_to(os.path.relpath(target / link["source"], path.parent))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
