"""Which driver an environment has, and what each says when it cannot go on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from infra.local import drivers, engine, pulumi_env, stack
from infra.local.engine_driver import EngineDriver, Shown
from infra.local.places import Places, write_private
from infra.local.progress import Progress
from infra.local.sdk_driver import SdkDriver
from infra.local.tools import Done
from infra.local.trouble import Trouble
from tests.local.conftest import Tools

ENGINE = Path("/opt/pulumi")


@pytest.fixture
def with_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find", lambda _places: ENGINE)


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find", lambda _places: None)


def _made_with_engine(places: Places) -> None:
    write_private(places.state / ".pulumi/stacks/memorygraph-cloud/local.json", "{}")


def _made_without(places: Places) -> None:
    write_private(places.driver_state, json.dumps({"resources": {}, "outputs": {"api_url": "x"}}))


@pytest.mark.usefixtures("with_engine")
def test_an_engine_drives_a_new_environment(places: Places, progress: Progress) -> None:
    assert isinstance(drivers.choose(places, progress), EngineDriver)


@pytest.mark.usefixtures("without_engine")
def test_without_one_the_sdk_drives(places: Places, progress: Progress) -> None:
    driver = drivers.choose(places, progress)
    assert isinstance(driver, SdkDriver)
    for refused in (driver.preview, driver.refresh):
        with pytest.raises(Trouble, match=r"needs the Pulumi engine.*make engine"):
            refused()


@pytest.mark.usefixtures("with_engine")
def test_an_environment_stays_with_the_driver_without_engine(places: Places, progress: Progress) -> None:
    _made_without(places)
    driver = drivers.choose(places, progress)
    assert isinstance(driver, SdkDriver)
    assert driver.outputs() == {"api_url": "x"}
    with pytest.raises(Trouble, match=r"made without it: `make destroy`, then `make up`, moves over"):
        driver.preview()


@pytest.mark.usefixtures("without_engine")
def test_an_environment_stays_with_the_engine(places: Places, progress: Progress) -> None:
    _made_with_engine(places)
    with pytest.raises(Trouble, match=r"no longer here.*make engine.*make destroy"):
        drivers.choose(places, progress)


def _lock_of(places: Places, pid: int) -> Path:
    lock = places.state / ".pulumi" / "locks" / "organization" / "p" / "local" / "x.json"
    write_private(lock, json.dumps({"pid": pid, "username": "u", "hostname": "h"}))
    return lock


def test_the_lock_of_a_killed_pulumi_is_dropped(places: Places, progress: Progress, fake_tools: Tools) -> None:
    _made_with_engine(places)
    lock = _lock_of(places, os.getpid())  # alive, but no pulumi: the number was given to another process
    EngineDriver(places, progress, ENGINE).up()
    assert not lock.exists()
    assert fake_tools.ran(str(ENGINE), "up", "--yes")


def test_the_lock_of_a_living_pulumi_is_respected(
    places: Places, progress: Progress, fake_tools: Tools, tmp_path: Path
) -> None:
    _made_with_engine(places)
    named = tmp_path / "pulumi"
    named.symlink_to("/bin/cat")
    with subprocess.Popen([str(named)], stdin=subprocess.PIPE) as other:
        lock = _lock_of(places, other.pid)
        with pytest.raises(Trouble, match=f"Another `pulumi` \\(process {other.pid}\\)"):
            EngineDriver(places, progress, ENGINE).up()
        other.communicate()
    assert lock.exists()
    assert fake_tools.calls == []


def test_the_stack_is_made_once(places: Places, progress: Progress, fake_tools: Tools) -> None:
    def answer(words: list[str]) -> Done:
        if "init" in words:
            _made_with_engine(places)
        return Done(0, "")

    fake_tools.answer = answer
    stack.write(places, {})
    driver = EngineDriver(places, progress, ENGINE)
    driver.up()
    driver.up()
    assert [words[1] for words in fake_tools.calls] == ["stack", "up", "up"]
    assert (places.pulumi / "Pulumi.yaml").read_text().startswith("name: memorygraph-cloud\n")


def test_a_failed_up_says_where_it_is_told(places: Places, progress: Progress, fake_tools: Tools) -> None:
    _made_with_engine(places)
    fake_tools.answer = lambda _words: Done(255, "error: update failed")
    with pytest.raises(Trouble, match=r"what it made is kept.*pulumi\.log"):
        EngineDriver(places, progress, ENGINE).up()


def test_what_is_shown_of_the_engine() -> None:
    said = """Updating (local):

 ~  gcp:storage:Bucket archives refresh (0.00s)
@ updating....
    pulumi:pulumi:Stack memorygraph-cloud-local running
 +  gcp:storage:Bucket archives creating (0s)
 +  gcp:storage:Bucket archives created (0.01s)
 ~  gcp:cloudfunctionsv2:Function memories updated (1s) [diff: ~serviceConfig]
    memorygraph-cloud:components:Keys keys
Diagnostics:
  gcp:cloudfunctionsv2:Function (memories):
    error: Permission denied on secret

Resources:
    + 1 created
Duration: 3s
If you want to remove the stack completely, run `pulumi stack rm local`."""
    shown = Shown()
    assert [line for line in said.splitlines() if shown(line)] == [
        " +  gcp:storage:Bucket archives created (0.01s)",
        " ~  gcp:cloudfunctionsv2:Function memories updated (1s) [diff: ~serviceConfig]",
        "Diagnostics:",
        "  gcp:cloudfunctionsv2:Function (memories):",
        "    error: Permission denied on secret",
        "Resources:",
        "    + 1 created",
    ]
    assert Shown()("error: could not load the stack"), "what comes before all of it"


def test_pulumi_env_is_private_and_can_be_sourced(places: Places, tmp_path: Path) -> None:
    odd = Places.of(str(tmp_path / "a folder with 'quotes'"), places.repo)
    pulumi_env.write(odd, ENGINE)
    assert odd.pulumi_env.stat().st_mode & 0o777 == 0o600
    script = (
        'set -a; . "$0"; printf "%s\\n" "$PULUMI_BACKEND_URL" "$PULUMI_STACK" "$PULUMI_CONFIG_PASSPHRASE_FILE" "$PATH"'
    )
    done = subprocess.run(["/bin/sh", "-c", script, str(odd.pulumi_env)], capture_output=True, text=True, check=True)
    backend, name, passphrase, path = done.stdout.splitlines()
    assert backend == odd.state.as_uri()
    assert name == "local"
    assert passphrase == str(odd.passphrase)
    assert path.startswith("/opt:")
