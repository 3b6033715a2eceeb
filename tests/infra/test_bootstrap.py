"""`make bootstrap-prod`: the list, what is missing, and no secret."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # a dependency of the SDK, which reads these files with it

from infra.bootstrap import stack_file
from infra.bootstrap.__main__ import main
from infra.bootstrap.steps import steps
from infra.components.google import APIS
from infra.config import Cloud, Profile
from infra.config.settings import BY_KEY, NEEDED, SETTINGS
from infra.local import commands
from tests.infra import program

HERE = program.INFRA.parent
KEY = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"
CIPHER = "v1:0123456789abcdef:hidden-ciphertext"


def write(folder: Path, values: dict[str, object], *, stack: str = "prod", key: str | None = KEY) -> None:
    sealed = {name: {"secure": CIPHER} if name in program.SECRET_KEYS else value for name, value in values.items()}
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"secretsprovider": key, "config": sealed}))


def run(folder: Path, *words: str, installed: bool = True) -> int:
    return main(list(words), folder, lambda name: f"/bin/{name}" if installed else None)


def test_the_repositorys_own_file_lacks_what_each_operator_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(HERE / "Pulumi.prod.yaml", tmp_path)
    assert run(tmp_path, installed=False) == 1
    shown = capsys.readouterr().out
    plain = yaml.safe_load((HERE / "Pulumi.prod.yaml").read_text())["config"]
    for setting in SETTINGS:
        full = setting.key if ":" in setting.key else f"memorygraph-cloud:{setting.key}"
        asked = f"- {setting.key} is missing: {setting.meaning}" in shown
        assert asked == (setting.otherwise == NEEDED and full not in plain), setting.key
    assert {"gcloud is not installed", "pulumi is not installed"} <= {line.strip(" -.") for line in shown.splitlines()}
    assert "the stack has no key of Google's yet" in shown


@pytest.mark.parametrize("profile", ["frugal", "production"])
def test_a_complete_file_lacks_nothing_and_what_is_sealed_stays_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: str
) -> None:
    write(tmp_path, {**program.REAL, "memorygraph-cloud:profile": profile, "memorygraph-cloud:mailDkim": {"s1": "t"}})
    assert run(tmp_path) == 0
    captured = capsys.readouterr()
    assert "nothing is missing" in captured.out
    assert "hidden" not in captured.out + captured.err
    assert "Nobody pays" not in captured.err  # a sealed key is not taken for a test key
    config = stack_file.check("prod", stack_file.read(tmp_path / "Pulumi.prod.yaml"))
    assert (config.cloud, config.profile, config.mail_dkim) == (Cloud.REAL, Profile(profile), {"s1": "t"})


def test_a_secret_in_plain_text_is_named_and_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, dict(program.REAL))
    path = tmp_path / "Pulumi.prod.yaml"
    text = yaml.safe_load(path.read_text())
    text["config"]["memorygraph:tursoToken"] = "hidden-turso"
    path.write_text(yaml.safe_dump(text))
    assert run(tmp_path) == 1
    captured = capsys.readouterr()
    assert "memorygraph:tursoToken is stored as plain text" in captured.out
    assert "hidden" not in captured.out + captured.err


def test_what_was_set_wrong_is_named_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {**program.REAL, "memorygraph-cloud:protect": "maybe", "memorygraph-cloud:emailForwarding": True})
    assert run(tmp_path) == 1
    shown = capsys.readouterr().out
    assert "- protect is 'maybe', not true or false.\n      pulumi config set protect true" in shown
    assert "emailForwarding" not in shown.partition("Seen from here")[2]


def test_a_passphrase_is_no_key_of_googles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, dict(program.REAL), key="passphrase")
    assert run(tmp_path) == 1
    assert "no key of Google's" in capsys.readouterr().out


def test_another_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {**program.REAL, "gcp:project": "other-project"}, stack="staging")
    assert run(tmp_path, "staging") == 0
    shown = capsys.readouterr().out
    assert "pulumi stack init staging" in shown
    assert "gcloud projects create other-project" in shown
    assert run(tmp_path, "nowhere") == 1
    assert "Pulumi.nowhere.yaml is not there" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["config: [1]", "- 1", "config: 'x", "1"])
def test_what_is_no_stacks_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text(text)
    assert run(tmp_path) == 1
    assert "Pulumi.prod.yaml is no stack's file" in capsys.readouterr().err


def test_a_name_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, "../prod")


def test_the_list_names_settings_that_there_are_and_every_needed_one() -> None:
    lines = [line for step in steps("prod", "p", "r", "d") for line in step.how]
    named = {
        line.split("config set ")[1].replace("--secret ", "").replace("--path ", "").split()[0].partition(".")[0]
        for line in lines
        if "config set " in line
    }
    assert named - {"gcp:userProjectOverride", "gcp:billingProject"} <= set(BY_KEY)
    in_the_file = {"cloud", "domain", "gcp:project"}
    assert {one.key for one in SETTINGS if one.otherwise == NEEDED} - in_the_file <= named
    (enabled,) = (line for line in lines if line.startswith("gcloud services enable"))
    assert {"iam.googleapis.com", "storage.googleapis.com", "sts.googleapis.com"} <= set(APIS) & set(enabled.split())


def test_the_command() -> None:
    assert commands.parse(["bootstrap-prod", "--", "staging"]).arguments == ["staging"]
