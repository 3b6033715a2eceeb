"""The guard against the wrong cloud, both ways, on the whole program: it ends before anything is declared."""

from __future__ import annotations

import pytest

from infra.cloud import WrongCloud
from tests.infra import program
from tests.infra.program import LOCAL, LOCAL_ANSWERS, REAL, REAL_ANSWERS, Answers, Graph

HALF_LOCAL = [
    Answers(gcp=LOCAL_ANSWERS.gcp, cloudflare=REAL_ANSWERS.cloudflare),
    Answers(gcp=REAL_ANSWERS.gcp, cloudflare=LOCAL_ANSWERS.cloudflare),
]


def _refused(config: dict[str, str], answers: Answers) -> str:
    graph = Graph()
    with pytest.raises(WrongCloud) as failure:
        program.run(config, answers, graph=graph)
    assert graph.resources == {}
    return str(failure.value)


@pytest.mark.parametrize("answers", [LOCAL_ANSWERS, *HALF_LOCAL])
def test_a_real_stack_does_not_meet_the_local_cloud(answers: Answers) -> None:
    said = _refused(REAL, answers)
    assert said.startswith("This stack is for the real cloud, but the ")
    assert "unset PULUMI_DEBUG_PROVIDERS" in said


@pytest.mark.parametrize("answers", [REAL_ANSWERS, *HALF_LOCAL])
def test_a_local_stack_does_not_meet_the_real_cloud(answers: Answers) -> None:
    said = _refused(LOCAL, answers)
    assert said.startswith("This stack is for the local cloud, but the ")
    assert "make up" in said


def test_the_token_of_the_real_cloud_is_never_shown() -> None:
    assert "ya29" not in _refused(LOCAL, REAL_ANSWERS)


def test_a_real_project_behind_the_local_token_is_still_local() -> None:
    answers = Answers(gcp={**LOCAL_ANSWERS.gcp, "project": "memorygraph-prod"}, cloudflare=LOCAL_ANSWERS.cloudflare)
    assert "gcp and cloudflare" in _refused(REAL, answers)
