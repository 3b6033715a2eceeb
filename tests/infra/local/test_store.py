"""The file that holds everything: whole at any time, unchanged when a write fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from infra.local.cloud.errors import CloudError
from infra.local.cloud.store import Record, Store


def record(name: str) -> Record:
    return Record(type="t", id=name, urn="u", inputs={"name": name}, outputs={"name": name})


def test_what_is_put_is_there_for_the_next_daemon(tmp_path: Path) -> None:
    store = Store(tmp_path / "resources.json")
    store.put(record("a"))
    store.edit("ports", lambda section: section.update(redis=20000))
    again = Store(tmp_path / "resources.json")
    assert again.of("t") == [record("a")]
    assert again.section("ports") == {"redis": 20000}


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "The disk is full"), (errno.EROFS, "cannot be written")])
def test_a_write_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    store = Store(tmp_path / "resources.json")
    store.put(record("a"))
    content = (tmp_path / "resources.json").read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CloudError, match=words):
        store.put(record("b"))
    with pytest.raises(CloudError, match=words):
        store.edit("ports", lambda section: section.update(redis=1))
    assert store.get("t", "b") is None
    assert store.section("ports") == {}
    assert (tmp_path / "resources.json").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["resources.json"]


def test_reads_are_copies(tmp_path: Path) -> None:
    store = Store(tmp_path / "resources.json")
    store.edit("a", lambda section: section.update(b={"c": 1}))
    section: dict[str, Any] = store.section("a")
    section["b"]["c"] = 2
    assert store.section("a") == {"b": {"c": 1}}
