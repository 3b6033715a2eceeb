"""One run of the whole program for each cloud, shared by all tests."""

from __future__ import annotations

import pytest

from tests.infra import program
from tests.infra.program import Graph


@pytest.fixture(scope="session")
def local() -> Graph:
    return program.run(program.LOCAL, program.LOCAL_ANSWERS)


@pytest.fixture(scope="session")
def real() -> Graph:
    return program.run(program.REAL, program.REAL_ANSWERS)
