"""The program runs afresh in a process that stays, and is blamed in its own words."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pulumi
import pytest

from infra.local import program
from infra.local.places import Places


@pytest.fixture
def checkout(places: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of its own, so that the tests' own modules are not forgotten."""
    monkeypatch.setattr(program, "REPO", places.repo)
    monkeypatch.syspath_prepend(str(places.repo))
    before = set(sys.modules)
    yield places.repo
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _load(checkout: Path, name: str, text: str) -> ModuleType:
    (checkout / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def test_a_changed_file_is_seen_by_the_next_run(checkout: Path) -> None:
    assert _load(checkout, "sizes_of_the_test", "VALUE = 1\n").VALUE == 1
    program.forget()
    assert _load(checkout, "sizes_of_the_test", "VALUE = 12345\n").VALUE == 12345


def test_installed_packages_stay_imported(checkout: Path) -> None:
    installed = checkout / ".venv" / "lib"
    installed.mkdir(parents=True)
    (installed / "installed_of_the_test.py").write_text("")
    sys.path.insert(0, str(installed))
    try:
        module = importlib.import_module("installed_of_the_test")
        _load(checkout, "own_of_the_test", "")
        assert program.project_modules() == ["own_of_the_test"]
        program.forget()
        assert sys.modules["installed_of_the_test"] is module
    finally:
        sys.path.remove(str(installed))


def test_we_do_not_forget_ourselves() -> None:
    assert not [name for name in program.project_modules() if name in ("infra", "infra.local", program.__name__)]


def test_blame_names_the_line_of_the_program(checkout: Path) -> None:
    module = _load(checkout, "broken_of_the_test", "def build():\n    return {}['domain']\n")
    with pytest.raises(KeyError) as raised:
        module.build()
    assert program.blame(raised.value).splitlines() == [
        "The program failed: KeyError: 'domain'",
        "  broken_of_the_test.py:2 in build: return {}['domain']",
    ]


async def test_a_mistake_in_the_configuration_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run_in_stack(function: object) -> None:
        assert callable(function)
        function()

    def misconfigured() -> None:
        raise pulumi.RunError("The configuration needs 1 change")

    def broken() -> None:
        raise KeyError("x")

    monkeypatch.setattr(pulumi.runtime, "run_in_stack", run_in_stack)
    with pytest.raises(pulumi.RunError, match=r"^The configuration needs 1 change$"):
        await program.run_in_stack(misconfigured)
    with pytest.raises(pulumi.RunError, match=r"^The program failed: KeyError: 'x'"):
        await program.run_in_stack(broken)
