"""Key records as they lie in the shared cache: sealed, bound to the hash of their key, and with an end of their own.

The end is inside the seal: whoever can write to the cache could otherwise put back a record that was true once. A
person's record is bound to `credentials.person_name` instead.
"""

from __future__ import annotations

import logging
from dataclasses import asdict

import orjson

from core.logs import LOGGER
from core.ports import KeyRecord
from core.seal import SealBroken, Sealer


def seal_record(sealer: Sealer, record: KeyRecord, key_hash: str, *, until: float) -> bytes:
    """`record`, to be believed until the unix time `until`."""
    return sealer.seal(orjson.dumps({"until": until, "record": asdict(record)}), key_hash)


def open_record(sealer: Sealer, sealed: bytes, key_hash: str, now: float) -> tuple[KeyRecord, float] | None:
    """The record and its end, or None when that has passed, or it was not sealed by us for this key, or by another
    release."""
    try:
        value = orjson.loads(sealer.open(sealed, key_hash))
        if now >= value["until"]:
            return None
        fields = value["record"]
        return KeyRecord(**{**fields, "scopes": tuple(fields["scopes"])}), value["until"]
    except SealBroken as error:
        LOGGER.warning("A cached principal does not open (%s); asking the control plane.", error)
    except (KeyError, TypeError):
        LOGGER.log(logging.INFO, "A cached principal has another release's shape; asking the control plane.")
    return None
