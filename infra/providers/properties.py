"""Property values between the engine's wire form and plain Python.

On the wire a secret, an unknown or an output is an object or a string with a well-known signature. Resources work on
plain values; this module unwraps them, remembers which were secret, and wraps them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

UNKNOWN: Final = rpc.UNKNOWN
"""Stands for a value that will be known only after the update; legal in previews alone."""

_SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig
_OUTPUT = rpc._special_output_value_sig

Properties = dict[str, Any]


def read(struct: struct_pb2.Struct) -> tuple[Properties, frozenset[str]]:
    """Plain properties, and the names of those that hold a secret anywhere inside."""
    raw = json_format.MessageToDict(struct)
    secret = frozenset(name for name, value in raw.items() if _holds_secret(value))
    return {name: _plain(value) for name, value in raw.items()}, secret


def write(properties: Mapping[str, Any], secret: Iterable[str] = ()) -> struct_pb2.Struct:
    """The wire form; each name in `secret` is wrapped, so that the engine encrypts it in the state."""
    secret = frozenset(secret)
    wrapped = {
        name: {_SIGNATURE: _SECRET, "value": value} if name in secret else value
        for name, value in properties.items()
        if value is not None
    }
    return json_format.ParseDict(wrapped, struct_pb2.Struct())


def is_unknown(value: Any) -> bool:
    """True when a value, or anything inside it, will be known only after the update."""
    if isinstance(value, dict):
        return any(is_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(is_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        signature = value.get(_SIGNATURE)
        if signature == _SECRET:
            return _plain(value.get("value"))
        if signature == _OUTPUT:
            return _plain(value["value"]) if "value" in value else UNKNOWN
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        signature = value.get(_SIGNATURE)
        if signature == _SECRET or (signature == _OUTPUT and value.get("secret")):
            return True
        return any(_holds_secret(item) for item in value.values())
    return isinstance(value, list) and any(_holds_secret(item) for item in value)
