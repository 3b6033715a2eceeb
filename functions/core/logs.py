"""Structured logs for Google Cloud Logging: one JSON object a line on stdout, one line for each request.

No line holds what a user stored, or a key: a failure is logged as the types and frames of its exceptions, without
their messages, because those may quote a value ("invalid literal: ..."). Our own messages are fixed texts.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import orjson

from core.problems import Problem

LOGGER = logging.getLogger("memorygraph")

_SEVERITY = {logging.WARNING: "WARNING", logging.ERROR: "ERROR", logging.CRITICAL: "CRITICAL"}
_TRACE = re.compile(r"[0-9a-f]{32}")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON. `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "severity": _SEVERITY.get(record.levelno, "INFO" if record.levelno >= logging.INFO else "DEBUG"),
            "message": record.getMessage(),
        }
        if record.name != LOGGER.name:
            entry["logger"] = record.name
        if record.exc_info and record.exc_info[1]:
            entry["stack_trace"] = stack(record.exc_info[1])
        entry.update(getattr(record, "fields", {}))
        return _render(entry)


class _StdoutHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write(self.format(record))
        except Exception:
            self.handleError(record)


def configure() -> None:
    """Send all logs of this process through `JsonFormatter`; a second call changes nothing."""
    root = logging.getLogger()
    if any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        return
    handler = _StdoutHandler()
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    LOGGER.setLevel(logging.INFO)


def request_line(status: int, latency_seconds: float, fields: Mapping[str, Any], failure: BaseException | None) -> None:
    """The one line of a request. Members without a value are left out.

    It goes past `logging`, which costs as much as the rest of the pipeline.
    """
    entry: dict[str, Any] = {
        "severity": "INFO" if status < 400 else "NOTICE" if status < 500 else "ERROR",
        "message": f"{fields['method']} {fields['route'] or '(no route)'} {status}",
        "status": status,
        "latency_ms": round(latency_seconds * 1000, 2),
    }
    for name, value in fields.items():
        if value:
            entry[name] = value
    if isinstance(failure, Problem):  # foreseen: what led to it, in a few words
        entry["cause"] = " <- ".join(_name(error) for error in _chain(failure))
    elif failure is not None:
        entry["stack_trace"] = stack(failure)
    try:
        _write(_render(entry))
    except OSError as error:  # nobody reads our output: no reason to fail a request
        print(f"cannot log: {error}", file=sys.stderr)  # noqa: T201  the last resort


def trace_fields(header: str) -> dict[str, str]:
    """Cloud Logging's link to a trace, from `X-Cloud-Trace-Context: TRACE/SPAN;o=1`; it needs the project's name."""
    if not header:
        return {}
    trace = header.partition("/")[0]
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    if not _TRACE.fullmatch(trace) or not project:
        return {}
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{trace}"}


def _render(entry: Mapping[str, Any]) -> str:
    return orjson.dumps(entry, default=str).decode()


def _write(line: str) -> None:
    """One line to whatever stdout is at that moment."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def stack(failure: BaseException) -> str:
    """Frames and types of an exception and of those that led to it, oldest first, without their messages."""
    parts = []
    for error in _chain(failure):
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{_name(error)}")
    return "\n\nled to:\n\n".join(reversed(parts))


def _chain(failure: BaseException) -> list[BaseException]:
    """An exception, what it was raised from, and so on."""
    chain: list[BaseException] = []
    error: BaseException | None = failure
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
