"""Google Cloud Monitoring: whom to tell, the check from outside, dashboards (alerts: alerts.py). Here nobody is told
and nobody comes from outside: what is rehearsed is that Google would take what is declared."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any, ClassVar

from infra.local.cloud.cloud import PROJECT_NUMBER, Cloud
from infra.local.cloud.errors import CloudError, NotFound
from infra.local.cloud.provider.gcp import promql
from infra.local.cloud.provider.gcp.names import project_of
from infra.local.cloud.provider.gcp.projects import need_api
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import Json
from infra.local.cloud.store import Record

API, TITLE = "monitoring.googleapis.com", "Cloud Monitoring"
ALERT_POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
DISPLAY_NAME_MOST = 512
PERIODS = ("60s", "300s", "600s", "900s")
PLACES = {
    "USA": 3,
    "EUROPE": 1,
    "SOUTH_AMERICA": 1,
    "ASIA_PACIFIC": 1,
    "USA_OREGON": 1,
    "USA_IOWA": 1,
    "USA_VIRGINIA": 1,
}
"""Region -> how many places of checkers it has."""
PLACES_LEAST = 3
COLUMNS_MOST = 48


def check_display_name(checks: Checks) -> None:
    if len(str(checks.get("displayName") or "")) > DISPLAY_NAME_MOST:
        checks.refuse("displayName", f"display_name must be at most {DISPLAY_NAME_MOST} characters")


class NotificationChannel(Kind):
    """Somebody who is told, by mail. Left out: all other types, which need a secret or a human's consent."""

    token = "gcp:monitoring/notificationChannel:NotificationChannel"  # noqa: S105  a name, no secret
    replaces = frozenset({"project"})
    defaults: ClassVar[Json] = {"enabled": True, "forceDelete": False, "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("type")
        check_display_name(checks)
        checks.one_of("type", ("email",), "the local cloud has channels of type email only")
        if checks.get("labels") is not None:
            checks.required("labels.email_address")
        else:
            checks.required("labels")
        checks.text(
            "labels.email_address",
            r"[^@\s]+@[^@\s]+",
            "Field \"notification_channel.labels['email_address']\" had an invalid value: expected an e-mail address",
        )

    def create(self, args: Json) -> Made:
        need_api(self, API, TITLE)
        return self._made(f"projects/{project_of(args)}/notificationChannels/{new_number()}", args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(record.id, args)

    def delete(self, record: Record) -> None:
        users = [
            policy.args.get("displayName")
            for policy in self.cloud.store.of(ALERT_POLICY)
            if record.id in (policy.args.get("notificationChannels") or ())
        ]
        if users and record.args.get("forceDelete") is not True:
            raise CloudError(
                f"Error 400: Cannot delete notification channel {record.id}: one or more alerting policies use it "
                f"({', '.join(map(str, users))}). Delete these first, or set force_delete and apply that."
            )

    def _made(self, name: str, args: Json) -> Made:
        return Made(id=name, outputs={"name": name, "project": project_of(args), "verificationStatus": ""})


def need_channels(cloud: Cloud, names: Iterable[Any]) -> None:
    """Refuse as Google does what names a channel that is not there.

    Raises:
        NotFound: naming it.
    """
    known = {record.id for record in cloud.store.of(NotificationChannel.token)}
    for name in names:
        if name not in known:
            raise NotFound(
                f"Error 404: Could not find channel {name}. Name it by the `name` output of its NotificationChannel, "
                "so that it is made first."
            )


class UptimeCheckConfig(Kind):
    """A check of a URL from outside. Left out: TCP, groups, private and synthetic checks."""

    token = "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig"  # noqa: S105  a name, no secret
    replaces = frozenset({"monitoredResource", "project"})
    defaults: ClassVar[Json] = {"period": "300s", "deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("displayName", "timeout", "monitoredResource", "httpCheck")
        check_display_name(checks)
        checks.one_of("period", PERIODS)
        checks.text("timeout", r"([1-9]|[1-5]\d|60)s", "a timeout has between 1 and 60 seconds")
        for path in ("tcpCheck", "resourceGroup", "syntheticMonitor"):
            if checks.get(path) is not None:
                checks.refuse(path, "the local cloud checks URLs only")
        checks.one_of("monitoredResource.type", ("uptime_url",), "the local cloud checks uptime_url only")
        if checks.get("monitoredResource") is not None:
            checks.required("monitoredResource.labels.host", "monitoredResource.labels.project_id")
        checks.text("monitoredResource.labels.host", r"[^\s/:]+", "the host alone, without scheme, port or path")
        checks.text("httpCheck.path", r"/.*", "the path begins with a slash")
        checks.whole("httpCheck.port", 1, 65535, "a port")
        if checks.get("httpCheck.validateSsl") and not checks.get("httpCheck.useSsl"):
            checks.refuse("httpCheck.validateSsl", "validate_ssl without use_ssl has nothing to validate: set use_ssl")
        regions = checks.get("selectedRegions") or ()
        for region in regions:
            if region not in PLACES:
                checks.refuse("selectedRegions", f"{region!r}: expected one of {', '.join(PLACES)}")
        if regions and sum(PLACES.get(region, 0) for region in regions) < PLACES_LEAST:
            checks.refuse("selectedRegions", f"selected regions must have at least {PLACES_LEAST} locations")
        matchers = checks.get("contentMatchers") or ()
        if len(matchers) > 1:
            checks.refuse("contentMatchers", "one matcher of content is supported")
        if any(not matcher.get("content") for matcher in matchers):
            checks.refuse("contentMatchers", "a matcher's content is empty")

    def create(self, args: Json) -> Made:
        need_api(self, API, TITLE)
        return self._made(f"projects/{project_of(args)}/uptimeCheckConfigs/{new_number()}", args)

    def update(self, record: Record, args: Json) -> Made:
        return self._made(record.id, args)

    def _made(self, name: str, args: Json) -> Made:
        short = name.rpartition("/")[2]
        return Made(id=name, outputs={"name": name, "uptimeCheckId": short, "project": project_of(args)})


class Dashboard(Kind):
    """A board. Left out: every layout but the mosaic, and widgets that are no charts."""

    token = "gcp:monitoring/dashboard:Dashboard"  # noqa: S105  a name, no secret
    replaces = frozenset({"project"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE"}

    def check(self, checks: Checks) -> None:
        checks.required("dashboardJson")
        text = checks.get("dashboardJson")
        if text is None:
            return
        try:
            board = json.loads(text)
            reason = _fault(board) if isinstance(board, dict) else "it is no JSON object"
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"Invalid JSON payload received: {type(error).__name__}: {error}"
        if reason:
            checks.refuse("dashboardJson", reason)

    def create(self, args: Json) -> Made:
        need_api(self, API, TITLE)
        return Made(id=f"projects/{PROJECT_NUMBER}/dashboards/{uuid.uuid4()}", outputs={"project": project_of(args)})

    def update(self, record: Record, args: Json) -> Made:
        return Made(id=record.id, outputs={"project": project_of(args)})


def _fault(board: Json) -> str | None:
    """Why Google would not take a board; None when it would."""
    if not board.get("displayName"):
        return "Field displayName is required"
    layout = board.get("mosaicLayout")
    if layout is None or {"gridLayout", "rowLayout", "columnLayout"} & set(board):
        return "the local cloud takes boards with one layout, mosaicLayout"
    columns = layout["columns"]
    if not 1 <= columns <= COLUMNS_MOST:
        return f"mosaicLayout.columns must be between 1 and {COLUMNS_MOST}"
    covered: set[tuple[int, int]] = set()
    for tile in layout["tiles"]:
        title = tile["widget"].get("title")
        x, y = tile.get("xPos", 0), tile.get("yPos", 0)
        if x < 0 or y < 0 or tile["width"] < 1 or tile["height"] < 1 or x + tile["width"] > columns:
            return f"Tile {title!r} is outside of the board's {columns} columns"
        cells = {(x + i, y + j) for i in range(tile["width"]) for j in range(tile["height"])}
        if covered & cells:
            return f"Tile {title!r} overlaps another one"
        covered |= cells
        for data in tile["widget"]["xyChart"]["dataSets"]:
            if refusal := promql.refusal(data["timeSeriesQuery"]["prometheusQuery"]):
                return f"Chart {title!r}: {refusal}"
    return None


def new_number() -> str:
    """An id as Google makes it."""
    return str(uuid.uuid4().int)[:19]
