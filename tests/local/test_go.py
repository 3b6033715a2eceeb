"""A program that is built from its Go module, other than the engine (tests/local/test_engine.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import engine, workflows
from infra.local.places import REPO, Places
from infra.local.progress import Progress
from infra.local.tools import Done
from infra.local.trouble import Trouble
from tests.local.conftest import Tools


@pytest.fixture
def checkout(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """One with the pins of actionlint, a Go that is new enough, and an empty cache."""
    folder = workflows.ACTIONLINT.source(places)
    folder.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (folder / name).write_bytes((REPO / "infra" / "local" / "actionlint" / name).read_bytes())
    _program(tmp_path / "bin" / "go", "echo go version go1.26.8 linux/amd64")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return places


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_it_is_built_from_its_own_folder_and_kept_apart(
    checkout: Places, progress: Progress, fake_tools: Tools
) -> None:
    def build(words: list[str]) -> Done:
        _program(Path(words[words.index("-o") + 1]), "exit 0")
        return Done(0, "")

    fake_tools.answer = build
    built = workflows.ACTIONLINT.build(checkout, progress)
    assert built == workflows.ACTIONLINT.cached(checkout)
    assert built.parent.parent != engine.cached(checkout).parent.parent
    (words,) = fake_tools.calls
    assert words[-1] == "github.com/rhysd/actionlint/cmd/actionlint"
    assert "actionlint.version=v1.7.12" in words[words.index("-ldflags") + 1]
    (options,) = fake_tools.options
    assert options["cwd"] == checkout.repo / "infra" / "local" / "actionlint"
    assert options["env"]["GOFLAGS"] == "-mod=readonly", "no module but those of go.sum"


def test_one_that_does_not_run_is_not_kept(checkout: Places, progress: Progress, fake_tools: Tools) -> None:
    def build(words: list[str]) -> Done:
        _program(Path(words[words.index("-o") + 1]), "exit 1")
        return Done(0, "")

    fake_tools.answer = build
    with pytest.raises(Trouble, match="Of actionlint a build was made that does not run"):
        workflows.ACTIONLINT.build(checkout, progress)
    assert not workflows.ACTIONLINT.cached(checkout).exists()


def test_pins_that_were_lost_are_named(checkout: Places) -> None:
    (workflows.ACTIONLINT.source(checkout) / "go.mod").write_text("module x\n")
    with pytest.raises(Trouble, match=r"actionlint/go\.mod does not pin github\.com/rhysd/actionlint\. Restore it"):
        workflows.ACTIONLINT.pinned_version(checkout)
