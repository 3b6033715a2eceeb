"""The engine's values on the wire: plain JSON with marks for secrets, outputs, assets and unknowns.

Inputs and outputs are kept with their marks, so that what was secret stays secret in the state; a resource's code works
on the plain form. Outputs are never sent as first-class output values (the provider does not accept them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime import rpc

Json = dict[str, Any]

UNKNOWN: str = rpc.UNKNOWN
_SIG: str = rpc._special_sig_key
_SECRET: str = rpc._special_secret_sig
_OUTPUT: str = rpc._special_output_value_sig
_ARCHIVE: str = rpc._special_archive_sig
_ASSET: str = rpc._special_asset_sig


def plain(value: Any) -> Any:
    """Secrets and outputs unwrapped; unknowns stay `UNKNOWN`; whole numbers become ints."""
    if isinstance(value, dict):
        if value.get(_SIG) == _SECRET:
            return plain(value.get("value"))
        if value.get(_SIG) == _OUTPUT:
            return plain(value.get("value", UNKNOWN))
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def secret(value: Any) -> Json:
    """Mark a value as secret: the engine encrypts it in the state."""
    return {_SIG: _SECRET, "value": value}


def is_archive(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_SIG) == _ARCHIVE


def is_asset(value: Any) -> bool:
    return isinstance(value, dict) and value.get(_SIG) == _ASSET


def comparable(value: Any) -> Any:
    """Assets and archives by what they hold: where its files lie on this machine makes no difference."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if (is_archive(value) or is_asset(value)) and value.get("hash"):
        return {_SIG: value[_SIG], "hash": value["hash"]}
    if is_asset(value) and "path" in value:  # without an engine there are no hashes, and the object's name has one
        return {_SIG: _ASSET}
    return {key: comparable(item) for key, item in value.items()}


def merge(marked: Any, computed: Any) -> Any:
    """`computed` laid over `marked`, going into objects and through the mark of a secret."""
    if isinstance(marked, dict) and isinstance(computed, Mapping):
        if marked.get(_SIG) == _SECRET:
            return {**marked, "value": merge(marked.get("value"), computed)}
        return {**marked, **{key: merge(marked.get(key), value) for key, value in computed.items()}}
    return computed


def has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def to_struct(value: Json) -> struct_pb2.Struct:
    return ParseDict(value, struct_pb2.Struct())


def from_struct(value: struct_pb2.Struct) -> Json:
    return dict(MessageToDict(value))
