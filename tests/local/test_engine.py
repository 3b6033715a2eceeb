"""Which engine is used, and how one is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import engine, machine
from infra.local.machine import Facts
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.tools import Done
from infra.local.trouble import Trouble
from tests.local.conftest import Tools


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH and cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def _program(path: Path, output: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return path


def test_none(places: Places, path: Path) -> None:
    assert list(path.iterdir()) == []
    assert engine.find(places) is None


def test_pulumi_on_path_comes_first(places: Places, path: Path) -> None:
    built = _program(engine.cached(places), "v3.259.0")
    assert engine.find(places) == built
    own = _program(path / "pulumi", "v3.260.0")
    assert engine.find(places) == own


@pytest.mark.parametrize("output", ["v3.150.0", "v2.25.2", "not a version"])
def test_an_old_one_on_path_is_passed_over(places: Places, path: Path, output: str) -> None:
    _program(path / "pulumi", output)
    assert engine.find(places) is None


def test_other_pins_mean_another_build(places: Places, path: Path) -> None:
    first = engine.cached(places)
    assert first.is_relative_to(path.parent / "cache" / "memorygraph-cloud" / "engine")
    sums = places.repo / "infra" / "local" / "engine" / "go.sum"
    sums.write_text(sums.read_text() + "\n")
    assert engine.cached(places) != first


def test_it_is_built_with_go_from_path(places: Places, path: Path, progress: Progress, fake_tools: Tools) -> None:
    _program(path / "go", "go version go1.26.8 linux/amd64")

    def build(words: list[str]) -> Done:
        _program(Path(words[words.index("-o") + 1]), "v3.259.0")
        return Done(0, "")

    fake_tools.answer = build
    assert engine.build(places, progress) == engine.cached(places)
    assert engine.find(places) == engine.cached(places)
    (words,) = fake_tools.calls
    assert "common/version.Version=v3.259.0" in words[words.index("-ldflags") + 1]
    fake_tools.calls.clear()
    engine.build(places, progress)
    assert fake_tools.calls == [], "it is built once"


def test_an_old_go_is_passed_over_for_the_wheel(
    places: Places, path: Path, progress: Progress, fake_tools: Tools
) -> None:
    _program(path / "go", "go version go1.19.8 linux/amd64")
    _program(path / "uv", "uv 0.13.9")
    fake_tools.answer = lambda words: Done(1, "go: dial tcp: no such host") if "build" in words else Done(0, "")
    with pytest.raises(Trouble, match="registry cannot be reached"):
        engine.build(places, progress)
    fetch, compile_ = fake_tools.calls
    assert fetch[0] == str(path / "uv")
    assert "--require-hashes" in fetch
    assert Path(compile_[0]).parts[-3:] == ("go", "bin", "go")


def test_a_build_that_fails_or_is_interrupted_leaves_nothing(
    places: Places, path: Path, progress: Progress, fake_tools: Tools
) -> None:
    _program(path / "go", "go version go1.26.8 linux/amd64")

    def interrupted(words: list[str]) -> Done:
        Path(words[words.index("-o") + 1]).write_text("half")
        raise KeyboardInterrupt

    fake_tools.answer = interrupted
    with pytest.raises(KeyboardInterrupt):
        engine.build(places, progress)
    assert engine.find(places) is None
    assert [file.name for file in engine.cached(places).parent.iterdir()] == ["lock"]


def test_too_little_disk_is_told_before_six_minutes(
    places: Places, path: Path, progress: Progress, fake_tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(path / "go", "go version go1.26.8 linux/amd64")
    little = Facts(system="Linux", machine="x86_64", glibc=(2, 36), disk_mb=100, memory_mb=8_000)
    monkeypatch.setattr(machine, "gather", lambda _folder: little)
    with pytest.raises(Trouble, match="4000 MB of disk and 100 MB are free"):
        engine.build(places, progress)
    assert fake_tools.calls == []
