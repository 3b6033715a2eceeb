"""A real PostgreSQL 17 from the local cloud's parts, with `postgres` as Supabase has it: owner, but no superuser."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.infra import parts

ADMIN, OWNER, PASSWORD = "supabase_admin", "postgres", "p/w@rd:%"


@dataclass
class Server:
    """`log` has every statement as the server got it."""

    port: int
    log: Path
    counter: int = 0

    @contextmanager
    def database(self) -> Iterator[str]:
        self.counter += 1
        name = f"test_{self.counter}"
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            )
        yield f"postgresql://{OWNER}:p%2Fw%40rd%3A%25@127.0.0.1:{self.port}/{name}?sslmode=disable"
        with self.admin() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=ADMIN, password=PASSWORD, dbname="postgres", autocommit=True
        )


@contextmanager
def serving() -> Iterator[Server]:
    native = parts.find("@embedded-postgres/linux-*/native/bin/postgres").parents[1]
    with tempfile.TemporaryDirectory(prefix="memorygraph-test-") as name:
        folder = Path(name)
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses root, and nobody may not reach where root installed it
            native = Path(shutil.copytree(native, folder / "native", symlinks=True))
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(PASSWORD)
        libraries = {"LD_LIBRARY_PATH": str(native / "lib"), "LC_ALL": "C.UTF-8", "PATH": os.defpath}
        _link(native)
        data = folder / "data"
        subprocess.run(
            [native / "bin/initdb", "-D", data, "-U", ADMIN, f"--pwfile={secret}", "-A", "scram-sha-256", "--no-sync"],
            env=libraries,
            check=True,
            capture_output=True,
            cwd=folder,
            **identity,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
            "-c",
            "log_statement=all",
        ]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [native / "bin/postgres", "-D", data, "-p", str(port), *settings],
                env=libraries,
                stdout=output,
                stderr=output,
                cwd=folder,
                **identity,
            )
        try:
            yield _ready(Server(port, log))
        finally:
            process.send_signal(2)  # SIGINT: fast shutdown
            process.wait(timeout=20)


def _ready(server: Server) -> Server:
    deadline = time.monotonic() + 30
    while True:
        try:
            with server.admin() as connection:
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(OWNER), sql.Literal(PASSWORD)))
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)
        else:
            return server


def _link(native: Path) -> None:
    """The library links that the package's install script would make; npm runs no scripts."""
    for library in (native / "lib").glob("*.so.*.*"):
        link = library.with_name(library.name.rpartition(".")[0])
        if not link.exists():
            link.symlink_to(library.name)
