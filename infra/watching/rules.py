"""All rules that wake somebody. Google counts lines of a log from nothing: the first one ever is an increase of one."""

from __future__ import annotations

from infra.watching.parts import parts
from infra.watching.rule import Facts, Rule
from infra.watching.serving import serving
from infra.watching.work import ceilings, work


def rules(facts: Facts) -> tuple[Rule, ...]:
    """All rules of a stack."""
    return (*serving(facts), *parts(), *work(), *ceilings(facts))
