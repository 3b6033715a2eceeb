"""Failures that nobody foresaw, told to Sentry, when there is a DSN; and what is left out of what is told.

Our own client, which nothing else in the process knows of, and no integration: those gather what requests, queries and
log lines hold. What is sent is written anew from a list of members that hold code and names of ours (`scrub`); like the
log (`core.logs`), it has the types and frames of exceptions and no message, because a message may quote a value. Texts
that are left are searched for keys, tokens and mail addresses once more.

A report is on its way before the answer is, because the platform takes the processor away after the answer. Who waits,
waits `FLUSH_SECONDS`; when Sentry is slower than that it is left alone for a while. Sentry's own code is imported when
the first failure is told (0.1 s), not at a cold start.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core import logs
from core.settings import NO_SECRET, Secret, SettingsError
from declarations import VERSION

if TYPE_CHECKING:
    from sentry_sdk import Client

FLUSH_SECONDS = 1.0
"""How long an answer waits until its report was taken."""
FIRST_SECONDS = 1.0
"""How much longer the first one does, for the import."""
MOST_PER_MINUTE = 10
"""Reports of one process. A fault that every request meets is one fault; each is in the log."""
PAUSE_SECONDS = 60.0
"""How long Sentry is left alone that did not take a report in time."""

REMOVED = "[removed]"
_SENSITIVE = re.compile(
    r"\bmg_[\w-]+"  # our keys
    r"|\b(?:sk|rk|pk|whsec|sb)_\w+"  # Stripe's and Supabase's
    r"|\beyJ[\w-]*(?:\.[\w-]*)*"  # JWTs, whole or cut off
    r"|[^\s@<>\"']+@[^\s@<>\"']+"  # addresses of mail, and of databases with a password
)
_EVENT = frozenset({"event_id", "timestamp", "platform", "level", "release", "sdk"})
_EXCEPTION = frozenset({"type", "module"})
_MECHANISM = frozenset({"type", "handled", "exception_id", "parent_id", "is_exception_group"})
_FRAME = frozenset({"filename", "function", "module", "lineno", "in_app"})
_TAGS = frozenset({"function", "method", "route", "kind", "request_id"})


class Reporter:
    """Tells Sentry of failures of one function.

    Args:
        dsn: where; see `build`.
        monotonic: for tests.
    """

    def __init__(self, dsn: Secret, function: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._dsn = dsn
        self._function = function
        self._monotonic = monotonic
        self._client: Client | None = None
        self._told: deque[float] = deque(maxlen=MOST_PER_MINUTE)
        self._silent_until = 0.0

    async def tell(self, failure: BaseException, tags: Mapping[str, str | None]) -> None:
        """Report `failure`, and wait until it was taken, for `FLUSH_SECONDS` at most. Never raises.

        `tags`: of what it happened at; those that are not in `_TAGS` are left out.
        """
        now = self._monotonic()
        full = len(self._told) == MOST_PER_MINUTE and now - self._told[0] < 60
        if now < self._silent_until or full:
            return
        self._told.append(now)
        most = FLUSH_SECONDS if self._client else FLUSH_SECONDS + FIRST_SECONDS
        sending = asyncio.ensure_future(asyncio.to_thread(self._send, failure, {**tags, "function": self._function}))
        sending.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen, even when it is late
        done, _ = await asyncio.wait({sending}, timeout=most)
        fault = sending.exception() if done else None
        if not done or fault is not None or not sending.result():
            self._silent_until = self._monotonic() + PAUSE_SECONDS
            logs.LOGGER.warning(
                "A failure could not be told to Sentry%s. Nothing more is told for %d s; the log has all.",
                " in time" if fault is None else "",
                PAUSE_SECONDS,
                exc_info=fault,
            )

    def _send(self, failure: BaseException, tags: Mapping[str, str | None]) -> bool:
        """Whether it was taken in time. In a thread: it waits."""
        from sentry_sdk.utils import event_from_exception

        client = self._client = self._client or _client(self._dsn)
        event, hint = event_from_exception(failure, client_options=client.options)
        event["tags"] = {name: value for name, value in tags.items() if value}
        client.capture_event(event, hint)
        late: list[int] = []
        # The callback is called when some are still waiting after a tenth of a second, and nothing says when none was.
        began = self._monotonic()
        client.flush(timeout=FLUSH_SECONDS, callback=lambda pending, _: late.append(pending))
        return not late or self._monotonic() - began < FLUSH_SECONDS


def build(settings: object, function: str) -> Reporter | None:
    """The reporter of a function; None without a DSN.

    Raises:
        SettingsError: the DSN is none.
    """
    dsn: Secret = getattr(settings, "sentry_dsn", NO_SECRET)
    if not dsn.reveal():
        return None
    try:
        parts = urlsplit(dsn.reveal())
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.username and parts.path.strip("/")
    except ValueError:
        sound = ""
    if not sound:
        raise SettingsError("SENTRY_DSN is not like https://KEY@HOST/PROJECT: copy it from the project's Client Keys")
    return Reporter(dsn, function)


def scrub(event: Any, _hint: Any = None) -> Any:
    """What of an event of Sentry's is sent: nothing that a user wrote, and nothing that opens anything."""
    kept = {name: event[name] for name in _EVENT if name in event}
    kept["tags"] = {name: value for name, value in (event.get("tags") or {}).items() if name in _TAGS}
    exceptions = (event.get("exception") or {}).get("values") or ()
    kept["exception"] = {"values": [_exception(one) for one in exceptions if isinstance(one, dict)]}
    return _searched(kept)


def _exception(one: Mapping[str, Any]) -> dict[str, Any]:
    kept = _of(one, _EXCEPTION)
    if isinstance(one.get("mechanism"), dict):
        kept["mechanism"] = _of(one["mechanism"], _MECHANISM)
    frames = one["stacktrace"].get("frames") if isinstance(one.get("stacktrace"), dict) else None
    if frames:
        kept["stacktrace"] = {"frames": [_of(frame, _FRAME) for frame in frames]}
    return kept


def _of(members: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name in names}


def _searched(value: Any) -> Any:
    if isinstance(value, str):
        return _SENSITIVE.sub(REMOVED, value)
    if isinstance(value, dict):
        return {name: _searched(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_searched(member) for member in value]
    return value


def _client(dsn: Secret) -> Client:
    from sentry_sdk import Client

    return Client(
        dsn=dsn.reveal(),
        release=VERSION,
        before_send=scrub,
        before_breadcrumb=lambda _crumb, _hint: None,
        max_breadcrumbs=0,
        integrations=[],
        default_integrations=False,
        auto_enabling_integrations=False,
        traces_sample_rate=None,
        auto_session_tracking=False,
        send_client_reports=False,
        enable_backpressure_handling=False,  # it starts a thread
        # send_default_pii is off when it is not named, and naming it is deprecated
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        propagate_traces=False,
        spotlight=False,
        shutdown_timeout=0,
    )
