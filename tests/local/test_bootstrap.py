"""The first file that runs: an old Python must be able to read it, and to say what is needed."""

from __future__ import annotations

import ast
import os
import runpy
import sys
from pathlib import Path

import pytest

from infra.local.places import REPO

BOOTSTRAP = REPO / "infra" / "local" / "bootstrap.py"


def _main(monkeypatch: pytest.MonkeyPatch, path: Path) -> int:
    """Run it as Python 3.9 with only `path` on PATH; restores what it changes in this process."""
    main = runpy.run_path(str(BOOTSTRAP))["main"]
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "status"])
    monkeypatch.setenv("PATH", str(path))
    code: int = main()
    return code


def test_any_python_3_can_read_it() -> None:
    ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 4))


def test_an_old_python_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(monkeypatch, tmp_path) == 1
    said = capsys.readouterr().err
    assert "Python 3.11 or newer is needed, and python3 here is 3.9.2" in said
    assert "make PYTHON=" in said


def test_a_newer_python_beside_it_takes_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Replaced(Exception):
        pass

    def execv(path: str, words: list[str]) -> None:
        raise Replaced(path, words[2:])

    monkeypatch.setattr(os, "execv", execv)
    for name, code in (("python3.13", 127), ("python3.12", 0)):  # pyenv's names are there and do not run
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(Replaced) as replaced:
        _main(monkeypatch, tmp_path)
    assert replaced.value.args == (str(tmp_path / "python3.12"), ["status"])
