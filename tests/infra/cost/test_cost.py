"""The arithmetic of what a month costs, and that nothing that is declared was forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.config import Profile as StackProfile
from infra.cost import prices, resources
from infra.cost.__main__ import main
from infra.cost.model import Profile, bill, ends
from infra.cost.report import plot
from infra.cost.usage import Assumptions, Load, amounts

GIVEN = Assumptions()
GRAPH = Path(__file__).parents[1] / "graph.json"
METERS = {meter.name: meter for options in prices.TIERS for tier in options for meter in tier.meters}


def declared() -> set[str]:
    """Types of the resources that the program declares; components are only folders of others."""
    types = {name.split(" ")[0] for name in json.loads(GRAPH.read_text())["resources"]}
    return {kind for kind in types if not kind.startswith("memorygraph-cloud:components:")}


def test_every_declared_type_has_a_line_or_a_reason() -> None:
    assert declared() - set(resources.COSTS) - set(resources.FREE) == set()
    assert not set(resources.COSTS) & set(resources.FREE)
    assert all(resources.FREE.values())


def test_every_meter_stands_for_something() -> None:
    charged = {name for names in resources.COSTS.values() for name in names} | set(resources.UNDECLARED)
    assert charged == set(METERS) == set(METERS) & set(amounts(Load(users=1, calls=1), GIVEN))


def test_profiles_are_those_of_a_stack() -> None:
    assert [str(one) for one in Profile] == [str(one) for one in StackProfile]


def test_every_price_says_where_it_was_read() -> None:
    for meter in METERS.values():
        assert meter.source
        assert meter.read_on.startswith("2026-")


def test_what_is_free_is_taken_off_before_the_price() -> None:
    requests = METERS["function requests"]
    assert requests.cost(2_000_000) == 0
    assert requests.cost(3_500_000) == pytest.approx(0.60)


def test_the_hundred_and_first_database_takes_a_larger_plan() -> None:
    def turso(users: int) -> str:
        tiers = bill(Load(users=users, calls=1000), Profile.FRUGAL, GIVEN).tiers
        return next(tier.name for tier in tiers if tier.vendor == "Turso")

    assert [turso(100), turso(101)] == ["Free", "Developer"]
    end = next(end for end in ends(Load(users=1000, calls=0), Profile.FRUGAL, GIVEN) if end.meter.name == "databases")
    assert (end.users, end.calls) == (101, None)


def test_production_has_no_free_plans_of_data() -> None:
    names = {tier.vendor: tier.name for tier in bill(Load(users=1, calls=1), Profile.PRODUCTION, GIVEN).tiers}
    assert names["Supabase"] == "Pro"
    assert names["Upstash"] == "pay as you go"


def test_more_use_never_costs_less() -> None:
    for profile in Profile:
        costs = [bill(Load(users=users, calls=users * 1000), profile, GIVEN).usd for users in (1, 100, 101, 1000, 9000)]
        assert costs == sorted(costs)


def test_what_the_largest_plan_does_not_serve_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--users", "10", "--calls", "20000000"]) == 0
    assert "more than the 2,500,000,000 that the largest plan we know serves" in capsys.readouterr().out


def test_the_report_and_the_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "cost.svg"
    assert main(["--users", "1000", "--calls", "1000000", "--plot", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "FRUGAL: 1,000 users, 1,000,000 calls a month: $" in said
    assert "Turso, databases" in said
    assert said.count("at most $") == 4
    assert picture.read_text() == plot(1000, GIVEN)


def test_bad_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--users", "0"])
    assert "at least 1" in capsys.readouterr().err
