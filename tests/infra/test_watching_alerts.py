"""Each alert on sample series, firing and silent, by Prometheus's own engine.

The numbers in `fires` are minutes; each was reckoned by hand before the engine was asked.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.promql import PROMQL, Case, NoSuchQuery, evaluate
from infra.watching.board import charts
from tests.infra.watching import FACTS, RULES, Story, checks, first_minutes, latencies, lines, requests

PLACES = Places.of(".local")
HOUR, SWEEPS = 60, range(5, 90, 5)


def databases(*, many: int) -> list[str]:
    """What the sweeps say."""
    return [
        lines("databases", SWEEPS, until=90, suffix="_sum", each=many),
        lines("databases", SWEEPS, until=90, suffix="_count"),
    ]


STORIES = (
    Story(
        rule="uptime",
        told="nobody is served from minute 31",
        series=checks({place: [1] * 7 + [0] * 12 for place in "abc"}),
        fires=40,  # of the two checks of the last ten minutes none passed; at 35 it is one of two
    ),
    Story(
        rule="uptime",
        told="one place of three cannot reach us",
        series=checks({"a": [0] * 19, "b": [1] * 19, "c": [1] * 19}),
        fires=None,
    ),
    Story(
        rule="uptime",
        told="one round of checks fails",
        series=checks({place: [1] * 7 + [0] + [1] * 11 for place in "abc"}),
        fires=None,
    ),
    Story(
        rule="errors",
        told="one request in eleven fails from minute 30",
        series=[requests("0+100x90"), requests("0x30 10+10x59", "5xx")],
        fires=38,  # more than 5% of a window of five minutes from minute 33, and for five more
    ),
    Story(
        rule="errors",
        told="three in a hundred fail",
        series=[requests("0+100x90"), requests("0+3x90", "5xx")],
        fires=None,
    ),
    Story(
        rule="errors",
        told="every other request fails, of two a minute",
        series=[requests("0+1x90"), requests("0+1x90", "5xx")],
        fires=None,
    ),
    Story(
        rule="errors",
        told="one minute of failures",
        series=[requests("0+100x90"), requests("0x30 50x59", "5xx")],
        fires=None,
    ),
    Story(
        rule="errors",
        told="only provisioning fails, which nobody calls from outside",
        series=[requests("0+100x90"), requests("0+50x90", "5xx", "provisioning")],
        fires=None,
    ),
    Story(
        rule="slow",
        told="one in ten takes up to a second",
        series=[
            requests("0+50x90"),
            *latencies({"250": "0+45x90", "500": "0+45x90", "1000": "0+50x90", "+Inf": "0+50x90"}),
        ],
        fires=12,  # a rate needs two samples (minute 1), a hundred requests are there at 2, and ten minutes more
    ),
    Story(
        rule="slow",
        told="one in thirty does",
        series=[
            requests("0+60x90"),
            *latencies({"250": "0+58x90", "500": "0+58x90", "1000": "0+60x90", "+Inf": "0+60x90"}),
        ],
        fires=None,
    ),
    Story(
        rule="slow",
        told="cold starts of a quiet hour: half of one call a minute",
        series=[
            requests("0+1x90"),
            *latencies({"250": "0+0.5x90", "500": "0+0.5x90", "5000": "0+1x90", "+Inf": "0+1x90"}),
        ],
        fires=None,
    ),
    Story(rule="unhandled", told="one failure", series=[lines("unhandled", [30], until=90)], fires=30),
    Story(rule="unhandled", told="none", series=[lines("unhandled", [], until=90)], fires=None),
    Story(
        rule="control-plane",
        told="a process lost it",
        series=[lines("control_plane_down", [30], until=90)],
        fires=30,
    ),
    Story(rule="control-plane", told="no line", series=[], fires=None),
    Story(rule="redis", told="calls are admitted uncounted", series=[lines("limits_open", [30], until=90)], fires=30),
    Story(rule="redis", told="the cache is gone", series=[lines("redis_down", [41], until=90)], fires=41),
    Story(
        rule="redis",
        told="all is well",
        series=[lines("redis_down", [], until=90), lines("limits_open", [], until=90)],
        fires=None,
    ),
    Story(
        rule="parts",
        told="Stripe refuses each minute",
        series=[lines("unavailable", range(30, 90), until=90, labels='part="stripe"')],
        fires=34,  # the fifth one
    ),
    Story(
        rule="parts",
        told="four refusals of one part and four of another",
        series=[
            lines("unavailable", range(30, 34), until=90, labels='part="stripe"'),
            lines("unavailable", range(30, 34), until=90, labels='part="auth"'),
        ],
        fires=None,
    ),
    Story(
        rule="parts",
        told="writes wait for a move, imports for each other",
        series=[
            lines("unavailable", range(30, 90), until=90, labels='part="store (fenced)"'),
            lines("unavailable", range(30, 90), until=90, labels='part="import"'),
        ],
        fires=None,
    ),
    Story(
        rule="webhooks",
        told="an event fails, and again after 5 and after 30 minutes",
        series=[lines("webhooks_failed", [10, 15, 45], until=120)],
        fires=70,
        minutes=120,
    ),
    Story(
        rule="webhooks",
        told="an event fails twice, and is then handled",
        series=[lines("webhooks_failed", [10, 15], until=120)],
        fires=None,
        minutes=120,
    ),
    Story(
        rule="sweep",
        told="the last one is at minute 30",
        series=[lines("sweeps", range(5, 31, 5), until=90)],
        fires=49,  # of the window of minute 39 it is the first sample, so nothing grew in it; and for ten minutes
    ),
    Story(
        rule="sweep",
        told="there are no numbers at all",
        series=[],
        fires=10,
    ),
    Story(rule="sweep", told="every five minutes", series=[lines("sweeps", range(0, 91, 5), until=90)], fires=None),
    Story(
        rule="sweep",
        told="one was lost, and one was late",
        series=[lines("sweeps", [0, 5, 10, 20, 25, 38, 40, *range(45, 91, 5)], until=90)],
        fires=None,
    ),
    Story(
        rule="sweep-steps",
        told="a step fails in each",
        series=[lines("sweep_steps_failed", range(10, 91, 5), until=90)],
        fires=40,
    ),
    Story(
        rule="sweep-steps",
        told="it fails three times in a row",
        series=[lines("sweep_steps_failed", [10, 15, 20], until=90)],
        fires=None,
    ),
    Story(rule="jobs", told="one is given up", series=[lines("jobs_dead", [30], until=90)], fires=30),
    Story(rule="jobs", told="none is", series=[lines("jobs_dead", [], until=90)], fires=None),
    Story(rule="backup", told="one fails", series=[lines("backups_failed", [30], until=90)], fires=30),
    Story(rule="backup", told="a restore fails", series=[lines("restores_failed", [30], until=90)], fires=30),
    Story(rule="backup", told="none fails", series=[], fires=None),
    Story(rule="databases", told="80 of 100", series=databases(many=80), fires=5),
    Story(rule="databases", told="79 of 100", series=databases(many=79), fires=None),
    Story(
        rule="edge",
        told="80 requests a minute for a day",
        series=[requests("0+4800x30")],
        fires=15 * HOUR,
        minutes=24 * HOUR,
        every_minutes=HOUR,
    ),
    Story(
        rule="edge",
        told="48 a minute: 69,120 in a day",
        series=[requests("0+2880x30")],
        fires=None,
        minutes=30 * HOUR,
        every_minutes=HOUR,
    ),
)


@pytest.fixture(scope="module", autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is built once for all checkouts (infra/local/go.py), in under a minute; its log is nobody's."""
    PROMQL.build(Places.of(str(tmp_path_factory.mktemp("root"))), Progress(quiet=True))


@pytest.fixture(scope="module")
def found(engine: None) -> dict[str, int | None]:  # noqa: ARG001  it is there when this one begins
    return dict(zip(map(str, STORIES), first_minutes(PLACES, STORIES), strict=True))


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_an_alert_fires_when_it_should_and_not_before(found: dict[str, int | None], story: Story) -> None:
    assert found[str(story)] == story.fires


def test_every_rule_is_seen_to_fire_and_to_be_silent() -> None:
    for name in RULES:
        fires = {story.fires is not None for story in STORIES if story.rule == name}
        assert fires == {True, False}, name


def test_every_chart_is_promql() -> None:
    evaluate(PLACES, [Case(expr=query) for chart in charts(FACTS) for query in chart.lines.values()])


def test_the_engine_refuses_what_is_no_promql() -> None:
    with pytest.raises(NoSuchQuery, match="unclosed left parenthesis"):
        evaluate(PLACES, [Case(expr="sum(up")])
    with pytest.raises(NoSuchQuery, match="unknown function"):
        evaluate(PLACES, [Case(expr="summ(up)")])


def test_it_is_prometheus_that_answers() -> None:
    """Three things of its documentation: `increase` extrapolates, `and` keeps the left, a comparison filters."""
    series = ['a{x="1"} 0+6x10', 'b{x="1"} 1x10']
    exprs = ("increase(a[5m])", "a and b", "a > 1000", "absent_over_time(c[5m])")
    (increase,), (both,), (none,), (absent,) = evaluate(
        PLACES, [Case(expr=expr, series=series, at_seconds=[600]) for expr in exprs]
    )
    assert increase == {"x=1": pytest.approx(30)}
    assert both == {"__name__=a,x=1": 60}
    assert none == {}
    assert absent == {"": 1}


def test_a_change_of_the_program_is_another_build(tmp_path: Path) -> None:
    folder = tmp_path / "infra" / "local" / "promql"
    shutil.copytree(PROMQL.source(PLACES), folder)
    copy = Places.of(".local", tmp_path)
    assert PROMQL.cached(copy) == PROMQL.cached(PLACES)
    with (folder / "main.go").open("a") as file:
        file.write("// other\n")
    assert PROMQL.cached(copy) != PROMQL.cached(PLACES)
