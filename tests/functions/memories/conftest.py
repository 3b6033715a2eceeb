"""The databases that the suites run on: one sqld process for the whole session, a namespace or a file for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functions.adapters.sqld import Sqld

NAMES = (f"w{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def sqld(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqld]:
    """The one place that decides which sqld the tests talk to."""
    server = Sqld(tmp_path_factory.mktemp("sqld"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
