"""Which browser the tests get, in which order, and what is said when there is none. No real one is started here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.local import browser
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a browser, whose home is empty."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(browser.VARIABLE, raising=False)
    monkeypatch.delenv("PLAYWRIGHT_BROWSERS_PATH", raising=False)


def executable(path: Path, says: str = "Chromium 156.0", code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def find(tmp_path: Path) -> Path:
    return browser.find(Places(tmp_path, tmp_path / ".local"), Progress(quiet=True))


def test_the_one_that_is_named_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin" / "chromium")
    named = executable(tmp_path / "mine")
    monkeypatch.setenv(browser.VARIABLE, str(named))
    assert find(tmp_path) == named


def test_one_that_is_named_and_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin" / "chromium")
    monkeypatch.setenv(browser.VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(Trouble, match=r"names .*gone, which does not run"):
        find(tmp_path)


def test_one_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "google-chrome", code=1)
    executable(tmp_path / "bin" / "chromium", says="run: snap install chromium", code=3)  # Ubuntu's stub
    good = executable(tmp_path / "bin" / "chromium-browser")
    assert find(tmp_path) == good


def test_playwrights_own_newest_first(tmp_path: Path) -> None:
    cache = tmp_path / "home" / ".cache" / "ms-playwright"
    executable(cache / "chromium-1100" / "chrome-linux" / "chrome")
    newest = executable(cache / "chromium-1200" / "chrome-linux64" / "chrome")
    assert find(tmp_path) == newest


def test_root_gets_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "bin" / "chromium"
    apt = executable(tmp_path / "bin" / "apt-get")
    install = f"printf '#!/bin/sh\\necho Chromium\\n' > {installed}; /bin/chmod +x {installed}"
    apt.write_text(f'#!/bin/sh\ncase "$*" in *install*) {install};; esac\n')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find(tmp_path) == installed


def test_else_the_one_from_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    bundled = executable(tmp_path / "bundled")
    monkeypatch.setattr(browser, "_install_bundled", lambda *_: bundled)
    assert find(tmp_path) == bundled


def test_a_package_that_is_refused_leads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin" / "apt-get", code=100)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    bundled = executable(tmp_path / "bundled")
    monkeypatch.setattr(browser, "_install_bundled", lambda *_: bundled)
    assert find(tmp_path) == bundled
