"""A checkout in a temporary folder, with the files that the commands read, and tools that only record their calls."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.local import tools
from infra.local.places import REPO, Places
from infra.local.progress import Progress


@pytest.fixture
def places(tmp_path: Path) -> Places:
    repo = tmp_path / "checkout"
    for name in ("requirements.lock", "pyproject.toml", "Pulumi.yaml", "infra/local/engine/go.mod"):
        _copy(repo, name)
    for name in ("infra/local/engine/go.sum", "infra/local/engine/requirements.txt", "tests/client/requirements.txt"):
        _copy(repo, name)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        _copy(repo, f"infra/local/parts/{name}")
    return Places.of(".local", repo)


def _copy(repo: Path, name: str) -> None:
    (repo / name).parent.mkdir(parents=True, exist_ok=True)
    (repo / name).write_bytes((REPO / name).read_bytes())


@pytest.fixture
def said() -> io.StringIO:
    """What was shown on standard error."""
    return io.StringIO()


@pytest.fixture
def progress(said: io.StringIO) -> Progress:
    return Progress(said)


@dataclass
class Tools:
    """Stands in for `tools.run`: `answer(words)` decides how each tool ends; every call is kept."""

    answer: Callable[[list[str]], tools.Done] = lambda _words: tools.Done(0, "")
    calls: list[list[str]] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, words: list[str], **options: Any) -> tools.Done:
        self.calls.append(words)
        self.options.append(options)
        return self.answer(words)

    def ran(self, *part: str) -> bool:
        """Whether a call held these words, in this order and side by side."""
        return any(
            list(part) == words[start : start + len(part)] for words in self.calls for start in range(len(words))
        )


@pytest.fixture
def fake_tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    fake = Tools()
    monkeypatch.setattr(tools, "run", fake)
    return fake
