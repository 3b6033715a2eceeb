"""The rows behind the functions of schema `app`, as tests look at them."""

from __future__ import annotations

from typing import Any

import psycopg


class Owner:
    """Looks at the rows, and moves their times, as nobody in production can."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), args)
            return cursor.fetchall() if cursor.description else []

    def state(self, job: str) -> str:
        state: str = self.run("SELECT state FROM app.jobs WHERE id = %s", job)[0][0]
        return state

    def end_leases(self) -> None:
        self.run("UPDATE app.jobs SET locked_until = now() WHERE state = 'running'")

    def make_due(self) -> None:
        self.run("UPDATE app.jobs SET run_at = now() WHERE state = 'waiting'")


class KeptOwner(Owner):
    """The same over one connection, and able to empty the database: for many short tests in one."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._connection = psycopg.connect(url, autocommit=True)

    def run(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(statement.encode(), args or None)
        return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        self.run("; ".join(f"DELETE FROM app.{table}" for table in EMPTIED))

    def close(self) -> None:
        self._connection.close()


EMPTIED = (
    *("jobs", "quota_marks", "usage_daily", "subscriptions", "stripe_events", "disputes", "billing_leases"),
    *("invitations", "audit_log", "seat_changes", "api_keys", "members", "erased", "workspaces", "accounts"),
)


def left(url: str, *ids: str) -> list[str]:
    """Tables of both schemas with a row that names one of the ids, past the ledger, the fences and the outbox."""
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE memory_owner")
        for schema, role in (("app", "app_owner"), ("memory", "memory_owner")):
            connection.execute(f"SET ROLE {role}".encode())
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'", [schema]
            ).fetchall()
            for (table,) in tables:
                if table in ("erased", "fences", "jobs", "schema_migrations"):
                    continue
                for one in ids:
                    connection.execute("SELECT set_config('memory.workspace', %s, false)", [one])
                    statement = f"SELECT count(*) FROM {schema}.{table} t WHERE t::text LIKE %s"
                    (count,) = connection.execute(statement.encode(), [f"%{one}%"]).fetchone() or (0,)
                    if count:
                        found.append(f"{schema}.{table}")
    return found
