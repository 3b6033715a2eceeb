"""Getting uv on a machine that has none, in every way that a Python may be crippled."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from infra.local import stamps, uv
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.tools import Done
from infra.local.trouble import Trouble
from tests.local.conftest import Tools

PEP_668 = "error: externally-managed-environment\n\nThis environment is externally managed\n"


@pytest.fixture(autouse=True)
def no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def _without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        if name == "pip" and name not in modules:
            return ModuleSpec(name, None)  # the Python that runs the tests has none
        return None if name in modules else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def _program(path: Path, output: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)


def test_a_uv_on_path_is_used_when_it_is_new_enough(places: Places, tmp_path: Path) -> None:
    _program(tmp_path / "uv", "uv 0.4.30")
    assert uv.present(places) is None
    _program(tmp_path / "uv", "uv 0.9.1 (x86_64)")
    assert uv.present(places) == tmp_path / "uv"
    _program(places.venv / "bin" / "uv", "uv 0.13.9")
    assert uv.present(places) == tmp_path / "uv", "half an environment is about to be removed, and its uv with it"
    stamps.write(places.venv, "whole")
    assert uv.present(places) == places.venv / "bin" / "uv"


def test_it_is_fetched_by_hash_into_a_passing_environment(
    places: Places, progress: Progress, fake_tools: Tools
) -> None:
    with uv.uv(places, progress) as found:
        assert found == places.root / "tools" / "venv" / "bin" / "uv"
        wanted = (places.root / "tools" / "uv.txt").read_text()
    assert wanted.startswith("uv==")
    assert "--hash=sha256:" in wanted
    assert fake_tools.ran("pip", "install")
    assert any("--require-hashes" in words for words in fake_tools.calls)
    assert not (places.root / "tools").exists(), "it is thrown away afterwards"


def test_debian_without_python3_venv(
    places: Places, progress: Progress, fake_tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "ensurepip")
    with uv.uv(places, progress) as found:
        assert found == places.root / "tools" / "packages" / "bin" / "uv"
    assert not fake_tools.ran("-m", "venv")
    assert fake_tools.ran("--target", str(places.root / "tools" / "packages"))


def test_a_pip_that_refuses_a_system_install(
    places: Places, progress: Progress, fake_tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "ensurepip")
    fake_tools.answer = lambda words: Done(0, "") if "--break-system-packages" in words else Done(1, PEP_668)
    with uv.uv(places, progress):
        pass
    assert "--target" in fake_tools.calls[-1], "it breaks no system package: it installs into a folder of ours"


def test_a_python_with_neither_says_what_to_install(
    places: Places, progress: Progress, fake_tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "ensurepip", "pip")
    with pytest.raises(Trouble, match="apt install python3-venv"), uv.uv(places, progress):
        pass
    assert fake_tools.calls == []


def test_no_network_is_a_sentence(places: Places, progress: Progress, fake_tools: Tools) -> None:
    refused = "ERROR: Could not install: NewConnectionError('Failed to establish a new connection: [Errno -3] ...')"
    fake_tools.answer = lambda words: Done(1, refused) if "pip" in words else Done(0, "")
    with pytest.raises(Trouble, match=r"registry cannot be reached.*HTTPS_PROXY"), uv.uv(places, progress):
        pass
    assert not (places.root / "tools").exists()


def test_the_cache_goes_below_the_root_for_a_user_without_a_home(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert uv.environment(places)["UV_CACHE_DIR"].startswith(str(places.root))
    assert uv.environment(places)["UV_PYTHON_DOWNLOADS"] == "never"
