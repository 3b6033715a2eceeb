"""Lists: the newest first, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.local.cloud.vendors.stripe.errors import missing
from infra.local.cloud.vendors.stripe.objects import listed
from infra.local.cloud.vendors.stripe.world import World

Json = dict[str, Any]
PAGE = 10


def page(world: World, kind: str, url: str, params: Json, wanted: Callable[[Json], bool] = lambda _: True) -> Json:
    """The objects of a kind that are wanted, in the page that `params` asks for (limit, starting_after,
    ending_before), kept to `created` if it is asked.

    Raises:
        StripeError: the object after or before which the page lies does not exist.
    """
    found = [
        item
        for item in reversed(world.store.all(kind))
        if not item.get("deleted") and _in(item["created"], params.get("created")) and wanted(item)
    ]
    return paged(found, kind, url, params)


def paged(found: list[Json], kind: str, url: str, params: Json) -> Json:
    limit = params.get("limit", PAGE)
    ids = [item["id"] for item in found]
    if "ending_before" in params:
        end = _place(ids, params["ending_before"], "ending_before", kind)
        start = max(0, end - limit)
        return listed(found[start:end], url, has_more=start > 0)
    start = _place(ids, params["starting_after"], "starting_after", kind) + 1 if "starting_after" in params else 0
    return listed(found[start : start + limit], url, has_more=start + limit < len(found))


def _place(ids: list[str], id: str, param: str, kind: str) -> int:
    if id not in ids:
        raise missing(kind, id, param, 400)
    return ids.index(id)


def _in(created: int, wanted: Any) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return created == wanted
    checks = {
        "gt": lambda limit: created > limit,
        "gte": lambda limit: created >= limit,
        "lt": lambda limit: created < limit,
        "lte": lambda limit: created <= limit,
    }
    return all(checks[name](limit) for name, limit in wanted.items())
