"""Each thing that a machine can lack has its own sentence, with the way out."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.local import machine
from infra.local.machine import Facts, faults
from infra.local.trouble import Trouble

GOOD = Facts(system="Linux", machine="x86_64", glibc=(2, 36), disk_mb=50_000, memory_mb=8_000)


def test_a_good_machine_has_no_faults() -> None:
    assert faults(GOOD, installing=True) == []
    assert faults(replace(GOOD, machine="aarch64"), installing=True) == []
    assert faults(replace(GOOD, disk_mb=None, memory_mb=None), installing=True) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(GOOD, system="Darwin"), ["runs on Linux only", "Darwin", "virtual machine"]),
        (replace(GOOD, machine="riscv64"), ["riscv64", "x86_64 and aarch64"]),
        (replace(GOOD, glibc=None), ["not glibc", "musl", "Ubuntu 22.04"]),
        (replace(GOOD, glibc=(2, 31)), ["glibc here is 2.31", "2.35 or newer", "Debian 12"]),
        (replace(GOOD, disk_mb=900), ["900 MB of disk", "Free some space", "LOCAL_ROOT"]),
        (replace(GOOD, memory_mb=300), ["300 MB of memory", "Close some programs"]),
    ],
)
def test_each_lack_is_one_sentence_with_the_way_out(facts: Facts, words: list[str]) -> None:
    (fault,) = faults(facts, installing=True)
    for word in words:
        assert word in fault


def test_everything_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = replace(GOOD, machine="i686", glibc=(2, 17), memory_mb=100)
    monkeypatch.setattr(machine, "gather", lambda _folder: bad)
    with pytest.raises(Trouble) as trouble:
        machine.check(tmp_path, installing=False)
    assert len(str(trouble.value).splitlines()) == 3


def test_what_is_installed_needs_less_disk() -> None:
    little = replace(GOOD, disk_mb=machine.RUN_DISK_MB)
    assert faults(little, installing=False) == []
    assert len(faults(little, installing=True)) == 1


def test_facts_of_this_machine_are_found(tmp_path: Path) -> None:
    facts = machine.gather(tmp_path / "not" / "yet" / "there")
    assert facts.system == os.uname().sysname
    assert facts.disk_mb
    assert facts.memory_mb


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, ["read-only", "LOCAL_ROOT"]),
        (errno.ENOSPC, ["disk is full", "Free some space"]),
        (errno.EACCES, ["permission is denied", "owner"]),
        (errno.EDQUOT, ["quota", "Free some space"]),
    ],
)
def test_a_folder_that_cannot_be_written(
    number: int, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_options: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(Trouble) as trouble:
        machine.check_writable(tmp_path / "root")
    for word in [*words, str(tmp_path / "root"), "run the same command again"]:
        assert word in str(trouble.value)


def test_the_root_is_private(tmp_path: Path) -> None:
    machine.check_writable(tmp_path / "root")
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
