"""One real PostgreSQL server as Supabase hands it out: its roles, passwords, and a `postgres` that is no superuser.

Left out: TLS, the pooler (clients reach the server itself, so prepared statements and session state work here and not
on Supabase's port 6543), per-role statement timeouts, and the extensions that need more than contrib (vector,
pg_cron, pgjwt, vault).

PostgreSQL refuses root. When the daemon is root, the server runs as `nobody` in `paths.outside(ROOT)`, with a copy of
the programs there if `nobody` cannot reach them where they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import stat
from pathlib import Path

import psycopg
from psycopg import sql

from infra.local.cloud import processes
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import CloudError, disk_sentence
from infra.local.cloud.paths import make_outside, outside
from infra.local.cloud.ports import HOST
from infra.local.cloud.probes import TIMEOUT_SECONDS, Unwell
from infra.local.cloud.processes import Launch, User
from infra.local.cloud.supervisor import Plan

ADMIN = "supabase_admin"
DATABASE = "postgres"
INITDB_SECONDS = 60

SETUP = """
    create role postgres login createdb createrole replication bypassrls password {password};
    create role anon nologin noinherit;
    create role authenticated nologin noinherit;
    create role service_role nologin noinherit bypassrls;
    grant anon, authenticated, service_role to postgres with admin option;
    alter database postgres owner to postgres;
    create schema extensions authorization postgres;
    grant usage on schema extensions to anon, authenticated, service_role;
    create extension pgcrypto with schema extensions;
    create extension "uuid-ossp" with schema extensions;
    alter role postgres set search_path to "$user", public, extensions;
"""
"""Supabase's roles, as its own image makes them, cut down to what a program that brings its own schema meets."""


class Postgres:
    """The server of one project. `admin_password` is the superuser's; the project's owner gets only `postgres`."""

    def __init__(self, cloud: Cloud, ref: str, admin_password: str) -> None:
        self._cloud = cloud
        self._admin_password = admin_password
        self.name = f"postgres-{ref}"
        self._user = _nobody() if os.geteuid() == 0 else None
        self._folder = (outside(cloud.paths.root) if self._user else cloud.paths.postgres) / self.name

    @property
    def port(self) -> int | None:
        return self._cloud.ports.of(self.name)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    async def create(self, password: str) -> None:
        """Make the cluster, start it, and set it up with `password` for the role `postgres`.

        Raises:
            CloudError: with the last words of initdb or the server; nothing is left behind then.
        """
        try:
            package = await asyncio.to_thread(self._make_folders)
            await self._initdb(package)
            await self._cloud.supervisor.start(self.plan())
            await asyncio.to_thread(self._set_up, password)
        except BaseException:
            await self._cloud.supervisor.stop(self.name)  # its log stays: it says why
            await self._remove_data()
            raise

    def bring_back(self) -> None:
        """Start what an earlier daemon left, in the background."""
        self._cloud.supervisor.bring_back(self.plan())

    async def delete(self) -> None:
        """Stop the server and remove its data; already gone is done."""
        await self._cloud.supervisor.remove(self.name)
        await self._remove_data()

    async def _remove_data(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._cloud.ports.release(self.name)

    def plan(self) -> Plan:
        return Plan(
            name=self.name,
            kind="postgres",
            prepare=self._launch,
            probe=self.probe,
            port=lambda: self.port,
            stop_signal=signal.SIGINT,  # fast shutdown: open sessions are ended
            stop_seconds=15,
            start_seconds=60,  # it may have to recover
        )

    async def probe(self) -> None:
        """It answers a query."""
        await asyncio.to_thread(self._query)

    def _query(self) -> None:
        try:
            with self._connect() as connection:
                connection.execute("set statement_timeout = 1000")
                connection.execute("select 1")
        except psycopg.Error as error:
            raise Unwell(str(error).strip().splitlines()[-1] if str(error).strip() else "no answer") from None

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user=ADMIN,
            password=self._admin_password,
            dbname=DATABASE,
            connect_timeout=int(TIMEOUT_SECONDS),
            autocommit=True,
            tcp_user_timeout=int(TIMEOUT_SECONDS * 1000),
        )

    def _set_up(self, password: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.SQL(SETUP).format(password=sql.Literal(password)))

    async def _launch(self, _ready: int) -> Launch:
        package = await asyncio.to_thread(self._make_folders)
        await asyncio.to_thread(_clear_lock, self._data)
        port = self._cloud.ports.claim(self.name)
        return Launch(
            argv=(
                str(package / "native" / "bin" / "postgres"),
                *("-D", str(self._data), "-p", str(port), "-c", f"listen_addresses={HOST}"),
                *("-c", "unix_socket_directories=", "-c", "synchronous_commit=on", "-c", "timezone=UTC"),
            ),
            env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
            cwd=self._folder,
            user=self._user,
        )

    async def _initdb(self, package: Path) -> None:
        secret = self._folder / "password"
        log = self._cloud.paths.log(self.name)
        try:
            _write_for(secret, self._admin_password, self._user)
            code = await processes.run(
                Launch(
                    argv=(
                        str(package / "native" / "bin" / "initdb"),
                        *("-D", str(self._data), "-U", ADMIN, f"--pwfile={secret}", "-A", "scram-sha-256"),
                        *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
                    ),
                    env={"LC_ALL": "C.UTF-8", "PATH": os.defpath, "TZ": "UTC"},
                    cwd=self._folder,
                    user=self._user,
                ),
                log,
                timeout=INITDB_SECONDS,
            )
        except OSError as error:
            raise CloudError(disk_sentence(error, "making a PostgreSQL database")) from None
        finally:
            with contextlib.suppress(OSError):
                secret.unlink()
        if code != 0:
            raise CloudError(f"PostgreSQL could not make its database. Its last words:\n{processes.tail(log)}")

    def _make_folders(self) -> Path:
        """Create what the server needs and give the package folder from which it can run."""
        package = self._cloud.binaries.postgres()
        try:
            if self._user:
                around = make_outside(self._cloud.paths.root)
                if not _everyone_reaches(package / "native" / "bin" / "postgres"):
                    package = _copied(package, around / "programs")
            else:
                self._cloud.paths.postgres.mkdir(mode=0o700, exist_ok=True)
            _link_libraries(package)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._user:
                os.chown(self._folder, self._user.uid, self._user.gid)
        except OSError as error:
            raise CloudError(disk_sentence(error, "preparing PostgreSQL")) from None
        return package


def _nobody() -> User:
    entry = pwd.getpwnam("nobody")
    return User(uid=entry.pw_uid, gid=entry.pw_gid)


def _write_for(path: Path, text: str, user: User | None) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    if user:
        os.chown(path, user.uid, user.gid)


def _clear_lock(data: Path) -> None:
    """Remove the lock file that a killed server left.

    PostgreSQL does so itself, but not while a zombie has the process id, and in a container nobody may ever collect it.

    Raises:
        CloudError: processes of that server still run; without the file nothing would keep a second one off the data.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    if left := processes.working_in(data):
        raise CloudError(f"PostgreSQL of an earlier run is still ending (processes {', '.join(map(str, left))}).")
    lock.unlink()


def _everyone_reaches(path: Path) -> bool:
    """True when any user may pass every folder above `path` and read and run the file."""
    if path.stat().st_mode & 0o005 != 0o005:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def _copied(package: Path, target: Path) -> Path:
    """A copy of the programs that everyone may read; made once for each version of the package."""
    version = json.loads((package / "package.json").read_text())["version"]
    copy = target / str(version)
    if not copy.exists():
        half = target / f".{secrets.token_hex(4)}"
        target.mkdir(mode=0o755, exist_ok=True)
        shutil.copytree(package / "native", half / "native", symlinks=True)
        shutil.copy2(package / "package.json", half)
        for found in (half, *half.rglob("*")):
            if not found.is_symlink():
                found.chmod(0o755 if found.is_dir() or found.stat().st_mode & 0o100 else 0o644)
        half.rename(copy)
        target.chmod(0o755)
    return copy


def _link_libraries(package: Path) -> None:
    """The links that the npm package's install script would make; npm runs with --ignore-scripts."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        if not target.exists():
            source = os.path.relpath(package / link["source"], target.parent)
            with contextlib.suppress(FileExistsError):
                target.symlink_to(source)
