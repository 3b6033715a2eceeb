"""What a function may import before it first needs it: imports decide its cold start."""

from __future__ import annotations

import subprocess
import sys

from declarations import MEMORIES
from tests.functions.twins import SETTINGS

NOT_BEFORE_NEED = (
    *("psycopg", "pydantic", "supabase", "stripe", "sentry_sdk", "google.cloud.secretmanager", "httpx", "requests"),
)

PROGRAM = """
import sys, types
import memories.main
print("\\n".join(sys.modules))
"""


def test_serving_memories_imports_nothing_it_does_not_need() -> None:
    environment = {}
    for variable in MEMORIES.settings.variables():
        value = getattr(SETTINGS, variable.field)
        environment[variable.name] = value.reveal() if variable.secret else value
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = set(done.stdout.split())
    assert "memories.handlers" in loaded
    assert [name for name in NOT_BEFORE_NEED if name in loaded] == []


def test_models_of_requests_are_built_when_they_are_first_asked() -> None:
    program = "from memories.schemas import MemoryCreate; print(MemoryCreate.__pydantic_complete__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False"]


def test_declarations_need_no_packages() -> None:
    """The Pulumi program and the tools read them without a function's packages."""
    program = "import sys, declarations; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    packages = {"starlette", "functions_framework", "orjson", "pydantic", "cryptography", "httptools", "psycopg"}
    assert packages & set(done.stdout.split()) == set()
