"""Only one package speaks to Stripe, and only when it is asked: its library takes half a second to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from declarations import BILLING
from tests.functions.billing.serving import SETTINGS

FUNCTIONS = Path(__file__).parents[3] / "functions"
NOT_BEFORE_NEED = ("httpx", "requests", "google.cloud.secretmanager", "pydantic", "psycopg")


def names(module: Path) -> set[str]:
    """The packages that a module imports, or has imported later."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called in ("lazy", "import_module", "__import__"):
                found.add(str(node.args[0].value).partition(".")[0])
    return found


def test_only_the_package_of_stripe_imports_its_library() -> None:
    users = {str(path.relative_to(FUNCTIONS).parent) for path in FUNCTIONS.rglob("*.py") if "stripe" in names(path)}
    assert users == {"billing/stripe"}


def test_the_library_is_imported_when_stripe_is_asked() -> None:
    environment = {}
    for variable in BILLING.settings.variables():
        value = getattr(SETTINGS, variable.field)
        environment[variable.name] = value.reveal() if variable.secret else value
    program = "import sys, billing.main; print('stripe._error' in sys.modules); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    imported, loaded = done.stdout.splitlines()
    assert imported == "False"
    assert [name for name in NOT_BEFORE_NEED if name in loaded.split()] == []
