"""What a call may say: names, types, and how each is refused, in Stripe's words.

A parameter is honoured, known to Stripe but not done here (`known.json`; refused with a sentence that says so), or
unknown to this version of the API (refused as Stripe does).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from infra.local.cloud.vendors.stripe.errors import StripeError, malformed, unsupported

Json = dict[str, Any]
METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter. `unset`: an empty value clears it (decoded as None)."""

    kind: str
    required: bool = False
    unset: bool = False
    choices: tuple[str, ...] = ()
    fields: Mapping[str, Param] = field(default_factory=dict)
    item: Param | None = None
    least: int | None = None
    most: int | None = None
    words: tuple[str, ...] = ()  # that a timestamp may be instead

    @property
    def needed(self) -> Param:
        return replace(self, required=True)

    @property
    def clearable(self) -> Param:
        return replace(self, unset=True)


Fields = Mapping[str, Param]
TEXT = Param(kind="text")
FLAG = Param(kind="flag")
MOMENT = Param(kind="moment")
METADATA = Param(kind="metadata", unset=True)
ANYTHING = Param(kind="anything", unset=True)
"""Accepted and kept or passed over: it changes nothing that a stand-in shows."""


def integer(least: int | None = None, most: int | None = None) -> Param:
    return Param(kind="integer", least=least, most=most)


def choice(*choices: str) -> Param:
    return Param(kind="choice", choices=choices)


def group(**fields: Param) -> Param:
    return Param(kind="group", fields=fields)


def many(item: Param) -> Param:
    return Param(kind="many", item=item)


def moment_or(*words: str) -> Param:
    return Param(kind="moment", words=words)


RANGE = Param(kind="range", fields=dict.fromkeys(("gt", "gte", "lt", "lte"), MOMENT))
EXPAND = many(TEXT)
PAGING: Fields = {"limit": integer(1, 100), "starting_after": TEXT, "ending_before": TEXT}


def read(fields: Fields, raw: Json, known: frozenset[str], path: str = "") -> Json:
    """The sent parameters with their types; absent ones are absent.

    Raises:
        StripeError: naming the first that is wrong, missing or unknown.
    """
    found: Json = {}
    for name, value in raw.items():
        spot = f"{path}[{name}]" if path else name
        spec = fields.get(name)
        if spec is None:
            if _bare(spot) in known:
                raise unsupported(f"the parameter {spot}", spot)
            raise malformed(f"Received unknown parameter: {spot}", spot, "parameter_unknown")
        found[name] = _value(spec, value, known, spot)
    for name, spec in fields.items():
        if spec.required and name not in found:
            spot = f"{path}[{name}]" if path else name
            raise malformed(f"Missing required param: {spot}.", spot, "parameter_missing")
    return found


def _bare(spot: str) -> str:
    return re.sub(r"\[\d+\]", "[]", spot)


def _value(spec: Param, value: Any, known: frozenset[str], spot: str) -> Any:
    if value == "":
        if spec.unset:
            return None
        if spec.kind in ("text", "many", "group"):
            raise _empty(spot)
    if spec.kind == "anything":
        return value
    if spec.kind == "metadata":
        return _metadata(value, spot)
    if spec.kind == "group":
        if not isinstance(value, dict):
            raise malformed("Invalid object", spot)
        return read(spec.fields, value, known, spot)
    if spec.kind == "many":
        if not isinstance(value, list) or spec.item is None:
            raise malformed("Invalid array", spot)
        return [_value(spec.item, item, known, f"{spot}[{number}]") for number, item in enumerate(value)]
    if spec.kind == "range" and isinstance(value, dict):
        return read(spec.fields, value, known, spot)
    if not isinstance(value, str):
        raise malformed(f"Invalid string: {value}", spot)
    return _leaf(spec, value, spot)


def _leaf(spec: Param, value: str, spot: str) -> Any:
    if spec.kind == "text":
        return value
    if spec.kind == "flag":
        if value not in ("true", "false"):
            raise malformed(f"Invalid boolean: {value}", spot)
        return value == "true"
    if spec.kind == "choice":
        if value not in spec.choices:
            options = ", ".join(spec.choices[:-1]) + " or " + spec.choices[-1] if spec.choices[1:] else spec.choices[0]
            raise malformed(f"Invalid {spot}: must be one of {options}", spot)
        return value
    if value in spec.words:
        return value
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise malformed(f"Invalid integer: {value}", spot, "parameter_invalid_integer")
    number = int(value)
    if spec.least is not None and number < spec.least:
        message = f"This value must be greater than or equal to {spec.least}."
        raise malformed(message, spot, "parameter_invalid_integer")
    if spec.most is not None and number > spec.most:
        message = f"This value must be less than or equal to {spec.most}."
        raise malformed(message, spot, "parameter_invalid_integer")
    return number


def _metadata(value: Any, spot: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise malformed("Invalid metadata: metadata must be a set of key-value pairs of text", spot)
    for name, text in value.items():
        if len(name) > METADATA_KEY or len(text) > METADATA_VALUE:
            raise malformed(
                f"Metadata keys can have up to {METADATA_KEY} characters, and values up to {METADATA_VALUE}.", spot
            )
    return value


def _empty(spot: str) -> StripeError:
    return malformed(
        f"You passed an empty string for '{spot}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{spot}' cannot be unset. You should remove '{spot}' from your request or supply a non-empty value.",
        spot,
        "parameter_invalid_empty",
    )


def merged(held: Json, change: Json | None) -> Json:
    """Metadata after an update: None clears all of it, an empty value removes its key."""
    if change is None:
        return {}
    found = {name: value for name, value in {**held, **change}.items() if value != ""}
    if len(found) > METADATA_KEYS:
        raise malformed(f"Metadata can have up to {METADATA_KEYS} keys.", "metadata")
    return found
