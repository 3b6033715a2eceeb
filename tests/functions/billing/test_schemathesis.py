"""What openapi.json says is what this function does, for the owner of a workspace on a paid plan: see
tests/functions/described.py. Stripe is in memory."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import pytest
from schemathesis import Case, Response
from starlette.types import ASGIApp

from core import logs
from core.credentials import WORKSPACE
from core.once import HEADER
from declarations import BILLING, PRO
from tests.functions.billing.serving import Serving
from tests.functions.billing.world import World
from tests.functions.conftest import ControlPlaneUrls
from tests.functions.described import Caller, findings, only_excused
from tests.functions.memories.serving import behind_edge, serving

PHASES = ("examples", "coverage")
"""What is made up besides finds nothing more in bodies of one or two fields."""
EXCUSED = ((r"seats", r"must be 1: so many people|is for plans that are paid by seat"),)
"""See `described.Excuses`."""


def test_the_document_is_true(
    control_plane: ControlPlaneUrls, accounts_login: str, billing_login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "request_line", lambda *_fields: None)
    database = control_plane.database
    logins = {"accounts": f"{accounts_login}/{database}", "billing": f"{billing_login}/{database}"}
    owned: list[str] = []
    turns = itertools.count()

    @asynccontextmanager
    async def prepare() -> AsyncIterator[tuple[ASGIApp, str]]:
        world = World({**asdict(control_plane), **logins})
        try:
            ada = await world.sign_in("ada@example.com")
            customer = await world.customer(ada.workspace)
            world.stripe.subscribe(customer, PRO)
            await world.settler.settle(customer)
            owned.append(ada.workspace)
            yield behind_edge(Serving(world).pipeline), ada.token
        finally:
            await world.close()

    def put_real_ids(case: Case[Any]) -> None:
        headers: Any = case.headers or {}
        if len(str(headers.get(WORKSPACE, ""))) == len(owned[0]):
            headers[WORKSPACE] = owned[0]
        if len(str(headers.get(HEADER, ""))) > 30:  # a good one: that of another request is refused
            headers[HEADER] = f"request-{next(turns)}"

    with serving(prepare) as served:
        found = findings(
            BILLING, served.url, Caller.by_token(served.key), PHASES, excused=_excused, prepare=put_real_ids
        )
    assert found == []


def _excused(check: str, case: Case[Any], response: Response) -> bool:
    if check != "positive_data_acceptance" or response.status_code != 400:
        return False
    return case.operation.path.endswith("/webhooks/stripe") or only_excused(response, EXCUSED)
