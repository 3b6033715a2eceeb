from __future__ import annotations

import base64

import pytest

from tests.infra.providers.conftest import Start
from tests.infra.providers.engine import Failed
from tests.infra.wire import UNKNOWN, is_secret, plain

TOKEN = "memorygraph:random:Key"


def test_a_key_is_32_random_bytes_and_secret(start: Start) -> None:
    key = start(TOKEN)
    one, two = key.create({}), key.create({})
    assert is_secret(one.properties["value"])
    assert len(base64.urlsafe_b64decode(one["value"])) == 32
    assert one["value"] != two["value"]
    assert one.id != two.id
    assert one["value"] not in one.id


def test_a_preview_knows_no_value_and_keeps_it_secret(start: Start) -> None:
    value = start(TOKEN).preview({"keepers": {"generation": "1"}})["value"]
    assert is_secret(value)
    assert plain(value) == UNKNOWN


def test_other_keepers_replace_it_and_the_same_ones_do_not(start: Start) -> None:
    key = start(TOKEN)
    held = key.create({"keepers": {"generation": "1"}})
    assert list(key.diff(held, {"keepers": {"generation": "2"}}).replaces) == ["keepers"]
    same = key.diff(held, {"keepers": {"generation": "1"}})
    assert (same.changes, list(same.replaces)) == (same.DIFF_NONE, [])


def test_a_refresh_keeps_the_value(start: Start) -> None:
    key = start(TOKEN)
    held = key.create({})
    found = key.refresh(held)
    assert found is not None
    assert found.properties == held.properties
    key.delete(held)


def test_it_cannot_be_imported(start: Start) -> None:
    with pytest.raises(Failed, match="cannot be imported"):
        start(TOKEN).take_over("0123")
