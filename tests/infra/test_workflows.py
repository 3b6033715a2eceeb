"""The workflows in .github: what each may do, and that the shell in them does what it says.

What actionlint and zizmor find is found by `make check`; here is what neither knows: our own rules, and the steps run.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from infra.local import workflows, workshop
from infra.local.engine import PROGRAM as ENGINE
from infra.local.go import Program
from infra.local.places import REPO, Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble
from infra.providers.schema import Schema

FOLDER = REPO / ".github" / "workflows"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}
ALL = {name: yaml.safe_load(path.read_text()) for name, path in FILES.items()}


def on(workflow: dict[Any, Any]) -> dict[str, Any]:
    """YAML 1.1 reads the key `on` as true."""
    found: dict[str, Any] = workflow[True]
    return found


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, workflow in ALL.items():
        for job, what in workflow["jobs"].items():
            yield name, job, what


def steps() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, job, what in jobs():
        for step in what.get("steps", ()):
            yield name, job, step


def test_these_are_all() -> None:
    assert set(ALL) == {"deploy", "drift", "preview", "preview-comment", "preview-real", "rollback", "stack", "test"}


def test_every_action_is_pinned_by_its_commit_and_one_action_everywhere_by_the_same() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES.values():
        for line in path.read_text().splitlines():
            match = re.match(r"\s*(?:- )?uses: (.*)", line)
            if match and not match[1].startswith("./"):
                pin = re.fullmatch(r"([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", match[1])
                assert pin, f"{path.name}: {line.strip()}"
                pins.setdefault(pin[1], set()).add(f"{pin[2]} {pin[3]}")
    assert {name: len(found) for name, found in pins.items()} == dict.fromkeys(pins, 1)
    assert pins


def test_no_workflow_may_do_anything_and_each_job_says_what_it_may() -> None:
    assert {name: workflow["permissions"] for name, workflow in ALL.items()} == {name: {} for name in ALL}
    writes = {
        (name, job, scope)
        for name, job, what in jobs()
        for scope, level in what["permissions"].items()
        if level == "write"
    }
    assert writes == {
        ("stack", "pulumi", "id-token"),  # and those that call it
        ("deploy", "staging", "id-token"),
        ("deploy", "production", "id-token"),
        ("rollback", "apply", "id-token"),
        ("drift", "look", "id-token"),
        ("preview-real", "preview", "id-token"),
        ("drift", "tell", "issues"),
        ("preview-comment", "comment", "pull-requests"),
    }


def test_who_becomes_an_identity_or_holds_a_secret_is_behind_an_environment() -> None:
    for name, job, what in jobs():
        if "uses" in what:
            continue  # the called workflow's own job has one
        text = yaml.safe_dump(what)
        if "id-token" in what["permissions"] or "secrets." in text or "vars." in text.replace("vars.DEPLOY_", ""):
            assert "environment" in what, f"{name}: {job}"
    for name in ("preview", "preview-comment", "test"):
        assert not re.search(r"secrets\.|secrets: inherit", FILES[name].read_text()), name


def test_a_pull_requests_code_runs_without_a_token() -> None:
    assert not [name for name, workflow in ALL.items() if "pull_request_target" in on(workflow)]
    assert [name for name, workflow in ALL.items() if "pull_request" in on(workflow)] == ["preview", "test"]
    assert [name for name, workflow in ALL.items() if "workflow_run" in on(workflow)] == ["preview-comment"]
    for name in ("preview", "test"):
        assert all(what["permissions"] == {"contents": "read"} for what in ALL[name]["jobs"].values())
    for name, job, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert name != "preview-comment"
            assert step["with"]["persist-credentials"] is False, f"{name}: {job}"


def test_no_job_with_a_credential_restores_a_cache() -> None:
    cached = {name for name, _, step in steps() if step.get("uses", "").startswith("actions/cache@")}
    assert cached == {"preview", "test"}


def test_no_step_is_written_by_who_calls() -> None:
    """What GitHub puts into a script before the shell reads it may hold anybody's text; a variable is only text."""
    for name, job, step in steps():
        assert "${{" not in step.get("run", ""), f"{name}: {job}: {step.get('name')}"


def test_each_job_ends_and_pipes_fail() -> None:
    for name, job, what in jobs():
        assert "uses" in what or 0 < what["timeout-minutes"] <= 60, f"{name}: {job}"
    for name, job, step in steps():
        if "|" in re.sub(r"\|\|", "", step.get("run", "")):
            assert ALL[name]["defaults"]["run"]["shell"] == "bash", f"{name}: {job}: {step['name']}"


def test_deploys_are_never_cut_off_and_previews_are() -> None:
    cancels = {name: workflow["concurrency"]["cancel-in-progress"] for name, workflow in ALL.items() if name != "stack"}
    assert cancels == {
        "deploy": False,
        "rollback": False,
        "drift": False,
        "preview": True,
        "preview-comment": True,
        "preview-real": True,
        "test": "${{ github.event_name == 'pull_request' }}",
    }
    applying = ALL["stack"]["jobs"]["pulumi"]["concurrency"]
    assert applying["cancel-in-progress"] is False
    assert applying["group"].startswith("stack-${{ inputs.stack }}-"), "two of one stack take turns, whoever calls"
    assert "(inputs.command == 'up' || inputs.command == 'rollback') && 'up'" in applying["group"]


def test_production_waits_for_the_tests_and_for_staging() -> None:
    production = ALL["deploy"]["jobs"]["production"]
    assert production["needs"] == ["test", "staging"]
    assert "!failure()" in production["if"]
    assert "needs.test.result == 'success'" in production["if"]
    assert production["with"]["environment"] == "production"
    smoke = ALL["stack"]["jobs"]["smoke"]
    assert (smoke["needs"], smoke["if"]) == ("pulumi", "inputs.command == 'up' || inputs.command == 'rollback'")


def test_only_what_reads_runs_at_night_and_for_a_branch() -> None:
    commands = {(n, j): what["with"]["command"] for n, j, what in jobs() if what.get("uses", "").endswith("stack.yml")}
    assert commands == {
        ("deploy", "staging"): "up",
        ("deploy", "production"): "up",
        ("rollback", "apply"): "rollback",
        ("drift", "look"): "drift",
        ("preview-real", "preview"): "preview",
    }


def test_what_a_rollback_leaves_alone_is_there() -> None:
    """A name that nothing has would exclude nothing, and the rollback be refused."""
    assert Schema.token == "memorygraph:postgres:Schema"


def test_the_real_stack_has_the_engine_that_the_rehearsal_has() -> None:
    (install,) = (step for _, _, step in steps() if step.get("uses", "").startswith("pulumi/actions@"))
    assert install["with"] == {"pulumi-version": ENGINE.pinned_version(Places.of(".local")).removeprefix("v")}


# The shell


def run(workflow: str, job: str, name: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """One step as a runner runs it; `folder` is its work tree, and folder/bin comes first on its PATH."""
    (script,) = (step["run"] for step in ALL[workflow]["jobs"][job]["steps"] if step.get("name") == name)
    temp = folder / "temp"
    temp.mkdir(exist_ok=True)
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "RUNNER_TEMP": str(temp),
        "GITHUB_OUTPUT": str(temp / "output"),
        "GITHUB_STEP_SUMMARY": str(temp / "summary"),
        **variables,
    }
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path


def tool(folder: Path, name: str, script: str = "") -> Path:
    """A program that keeps its words, and then does `script`."""
    calls = folder / f"{name}.calls"
    path = folder / "bin" / name
    keep = f"{{ printf '%s\\x1f' \"$@\"; printf '\\x1e'; }} >> '{calls}'"
    path.write_text(f"#!/bin/bash\n{keep}\n{script}\n")
    path.chmod(0o755)
    return calls


def called(calls: Path) -> list[list[str]]:
    """The words of each call."""
    text = calls.read_text() if calls.exists() else ""
    return [call.split("\x1f")[:-1] for call in text.split("\x1e")[:-1]]


HOSTILE = "fine\n```\n<img src=x>\n@everyone [a](b)\r\n# title\x1b[31m red\n\n::error::no\n"


def test_a_preview_is_a_block_that_nothing_in_it_ends(folder: Path) -> None:
    calls = tool(folder, "gh")
    (folder / "temp" / "preview").mkdir(parents=True)
    (folder / "temp" / "preview" / "preview.txt").write_text(HOSTILE + "x" * 100_000)
    done = run("preview-comment", "comment", "comment", folder, NUMBER="7", COMMIT="c" * 40, RUN="https://run")
    assert done.returncode == 0, done.stderr
    text = (folder / "temp" / "comment.md").read_text()
    head, *block, tail = text.rstrip("\n").split("\n")
    assert head == f"### What {'c' * 12} changes on the local cloud"
    assert tail == "[The whole run](https://run)"
    assert all(line.startswith("    ") for line in block if line), "each line is code"
    assert "\r" not in text
    assert "\x1b" not in text
    assert "    ```" in block
    assert len(text) < 65_536, "GitHub takes no longer comment"
    ((*words, body),) = called(calls)
    assert words == ["pr", "comment", "7", "--edit-last", "--create-if-none", "--body-file"]
    assert Path(body) == folder / "temp" / "comment.md"


def test_the_summary_is_the_same_block(folder: Path) -> None:
    (folder / "temp").mkdir()
    (folder / "temp" / "preview.txt").write_text(HOSTILE)
    done = run("preview", "local", "put it into the summary", folder, COMMIT="c" * 40)
    assert done.returncode == 0, done.stderr
    _, *lines = (folder / "temp" / "summary").read_text().splitlines()
    assert all(line.startswith("    ") for line in lines if line)


def _git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _commit(folder: Path, text: str) -> str:
    (folder / "file").write_text(text)
    _git(folder, "add", "file")
    _git(folder, "commit", "-m", text)
    return _git(folder, "rev-parse", "HEAD")


def test_the_base_is_brought_up_and_the_pull_request_previewed(folder: Path) -> None:
    """In a clone of depth 2 of what GitHub merges, as the step before makes it."""
    origin = folder / "origin"
    origin.mkdir()
    _git(origin, "init", "--quiet", "--initial-branch=main")
    _commit(origin, "root")
    base = _commit(origin, "base")
    _git(origin, "checkout", "--quiet", "-b", "change", "HEAD^")
    _commit(origin, "change: one")
    _git(origin, "checkout", "--quiet", "main")
    _git(origin, "merge", "--no-ff", "--strategy=ours", "--no-edit", "change")
    merged = _git(origin, "rev-parse", "HEAD")
    _git(folder, "clone", "--quiet", "--depth=2", origin.as_uri(), "work")
    work = folder / "work"
    (work / "bin").mkdir()
    calls = tool(work, "make", 'echo "$(git rev-parse HEAD)" >> commits; echo "made by $*"')
    for name in ("bring up the base", "preview the pull request"):
        done = run("preview", "local", name, work, MERGED=merged)
        assert done.returncode == 0, done.stderr
    assert called(calls) == [["engine"], ["up"], ["-s", "preview"]]
    assert (work / "commits").read_text().split() == [base, base, merged]
    assert (work / "temp" / "preview.txt").read_text() == "made by -s preview\n"
    tool(work, "make", "exit 3")
    assert run("preview", "local", "preview the pull request", work, MERGED=merged).returncode == 3


def test_a_rollback_finds_releases_of_main_only(folder: Path) -> None:
    _git(folder, "init", "--quiet", "--initial-branch=main")
    release = _commit(folder, "one")
    _git(folder, "tag", "-a", "v1.0.0", "-m", "release")
    _git(folder, "branch", "v9")
    _git(folder, "checkout", "--quiet", "-b", "aside")
    _commit(folder, "two")
    _git(folder, "tag", "v1.1.0-aside")
    _git(folder, "checkout", "--quiet", "main")
    _commit(folder, "three")
    assert run("rollback", "tag", "find it", folder, TAG="v1.0.0").returncode == 0
    assert (folder / "temp" / "output").read_text() == f"commit={release}\n"
    for tag, why in (("v1.1.0-aside", "never on main"), ("v9", "no tag"), ("", "no tag"), ("$(id)", "no tag")):
        done = run("rollback", "tag", "find it", folder, TAG=tag)
        assert (done.returncode, why in done.stdout) == (1, True), tag


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("up", ["up", "--yes", "--skip-preview", "--refresh"]),
        ("rollback", ["up", "--yes", "--skip-preview", "--refresh", "--exclude", "**memorygraph:postgres:Schema**"]),
        ("preview", ["preview", "--diff"]),
        ("drift", ["preview", "--diff", "--refresh", "--expect-no-changes"]),
    ],
)
def test_pulumi_is_called_with_the_operators_configuration(folder: Path, command: str, words: list[str]) -> None:
    calls = tool(folder, "pulumi", 'echo "the result"')
    variables = {"COMMAND": command, "PULUMI_STACK": "prod", "STACK_CONFIG": 'config:\n  a: "b $HOME"'}
    assert run("stack", "pulumi", "pulumi", folder, **variables).returncode == 0
    config = folder / "temp" / "Pulumi.prod.yaml"
    assert called(calls) == [[*words, "--non-interactive", "--suppress-outputs", "--config-file", str(config)]]
    assert yaml.safe_load(config.read_text()) == {"config": {"a": "b $HOME"}}
    assert run("stack", "pulumi", "put it into the summary", folder).returncode == 0
    assert "    the result\n" in (folder / "temp" / "summary").read_text()


def test_a_failed_pulumi_fails_the_step(folder: Path) -> None:
    tool(folder, "pulumi", "exit 255")
    assert (
        run("stack", "pulumi", "pulumi", folder, COMMAND="up", PULUMI_STACK="prod", STACK_CONFIG="").returncode == 255
    )
    calls = tool(folder, "pulumi")
    calls.unlink()
    done = run("stack", "pulumi", "pulumi", folder, COMMAND="destroy", PULUMI_STACK="prod", STACK_CONFIG="")
    assert (done.returncode, called(calls)) == (1, [])


def test_nothing_to_summarise_is_no_failure(folder: Path) -> None:
    assert run("stack", "pulumi", "put it into the summary", folder).returncode == 0


@pytest.mark.parametrize(
    ("result", "open_", "then"),
    [
        ("failure", "", ["issue", "create", "--title", "Production differs from main", "--body-file"]),
        ("failure", "12", ["issue", "edit", "12", "--body-file"]),
        ("success", "12", ["issue", "close", "12", "--comment", "It is as main declares it again: https://run"]),
        ("success", "", []),
    ],
)
def test_one_issue_says_that_production_drifted(folder: Path, result: str, open_: str, then: list[str]) -> None:
    calls = tool(folder, "gh", f'[ "$2" = list ] && echo "{open_}" || true')
    done = run("drift", "tell", "tell", folder, RESULT=result, RUN="https://run")
    assert done.returncode == 0, done.stderr
    listing, *rest = called(calls)
    assert listing[:4] == ["issue", "list", "--state", "open"]
    assert [words[: len(then)] for words in rest] == ([then] if then else [])
    if result == "failure":
        assert "https://run" in (folder / "temp" / "issue.md").read_text()


# make check


class Asked:
    """Stands in for running the tools: the one named `fails` does."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.words: list[list[str]] = []

    def __call__(self, _places: Places, words: list[str], _more: object = None) -> int:
        self.words.append(words)
        return int(Path(words[0]).name == self.fails)


@pytest.mark.parametrize("fails", ["actionlint", "zizmor", ""])
def test_make_check_looks_at_the_workflows(fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(fails)
    monkeypatch.setattr(workshop, "install", lambda *_, **__: None)
    monkeypatch.setattr(workshop, "_code", asked)
    monkeypatch.setattr(Program, "build", lambda program, *_: tmp_path / program.name)
    places = Places.of(str(tmp_path))
    if fails:
        with pytest.raises(Trouble, match=f"Not passed: {fails}."):
            workshop.check(places, Progress())
    else:
        workshop.check(places, Progress())
    assert {"actionlint", "zizmor", "ruff", "mypy"} <= {Path(words[0]).name for words in asked.words}


def test_actionlint_is_pinned() -> None:
    places = Places.of(".local")
    assert workflows.ACTIONLINT.pinned_version(places) == "v1.7.12"
    assert "github.com/rhysd/actionlint v1.7.12 h1:" in (workflows.ACTIONLINT.source(places) / "go.sum").read_text()


def test_zizmor_passes_and_finds_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both, so that a zizmor that looks at nothing is noticed."""
    monkeypatch.setattr(Program, "build", lambda program, *_: tmp_path / program.name)
    *words, ours = workflows.checks(Places.of(".local"), Progress())["zizmor"]
    bad = tmp_path / "bad.yml"
    bad.write_text(FILES["test"].read_text().replace("make test\n", "echo ${{ github.event.pull_request.title }}\n"))
    codes = [
        subprocess.run([*words, at], capture_output=True, timeout=60, check=False).returncode for at in (ours, bad)
    ]
    assert codes[0] == 0
    assert codes[1] != 0
