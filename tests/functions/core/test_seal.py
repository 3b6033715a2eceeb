"""Sealing: only the right key, for the right place, unchanged."""

from __future__ import annotations

import pytest

from core.seal import SealBroken, Sealer
from core.settings import Secret, SettingsError
from tests.functions.twins import seal_key

OLD, NEW = seal_key("o"), seal_key("n")


def sealer(keys: str) -> Sealer:
    return Sealer(Secret(keys), "STORE_SEAL_KEY")


def test_round_trip() -> None:
    assert sealer(NEW).open(sealer(NEW).seal(b"value", "here"), "here") == b"value"
    assert sealer(NEW).open_text(sealer(NEW).seal_text("välue", "here"), "here") == "välue"


def test_sealing_twice_gives_different_bytes() -> None:
    one = sealer(NEW)
    assert one.seal(b"value", "here") != one.seal(b"value", "here")


def test_another_context_does_not_open() -> None:
    with pytest.raises(SealBroken):
        sealer(NEW).open(sealer(NEW).seal(b"value", "here"), "there")


@pytest.mark.parametrize("place", [0, 4, 16, -1])
def test_one_changed_byte_does_not_open(place: int) -> None:
    sealed = bytearray(sealer(NEW).seal(b"value", "here"))
    sealed[place] ^= 1
    with pytest.raises(SealBroken):
        sealer(NEW).open(bytes(sealed), "here")


@pytest.mark.parametrize("sealed", [b"", b"short", b"x" * 40])
def test_rubbish_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealBroken):
        sealer(NEW).open(sealed, "here")


def test_truncated_value_of_our_key_does_not_open() -> None:
    with pytest.raises(SealBroken):
        sealer(NEW).open(sealer(NEW).seal(b"value", "here")[:20], "here")


def test_both_keys_open_while_rotating_and_the_first_seals() -> None:
    rotating = sealer(f"{NEW} {OLD}")
    assert rotating.open(sealer(OLD).seal(b"value", "here"), "here") == b"value"
    assert sealer(NEW).open(rotating.seal(b"value", "here"), "here") == b"value"
    with pytest.raises(SealBroken):
        sealer(NEW).open(sealer(OLD).seal(b"value", "here"), "here")


@pytest.mark.parametrize("keys", [" ", "no-key!", seal_key("x")[:-8]])
def test_a_bad_key_is_named_but_not_shown(keys: str) -> None:
    with pytest.raises(SettingsError) as caught:
        sealer(keys)
    assert "STORE_SEAL_KEY" in str(caught.value)
    assert keys.strip() == "" or keys not in str(caught.value)
