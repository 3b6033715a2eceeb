"""The stack's configuration file: our values, and what Pulumi put there."""

from __future__ import annotations

from infra.local import stack
from infra.local.places import Places
from infra.local.stack import ADDRESSES, LOCAL_CONFIG

SERVED = {"edge_url": None, **{name: f"value of {name}" for name in ADDRESSES.values()}}


def test_every_key_is_written_in_full(places: Places) -> None:
    values = stack.config(places, SERVED)
    assert values["memorygraph-cloud:cloud"] == "local"
    assert values["gcp:project"] == "memorygraph-local"
    assert values["memorygraph:supabaseApi"] == "value of supabase_api"
    assert values["memorygraph-cloud:smtpPort"] == "value of smtp_port"
    assert len(values) == len(LOCAL_CONFIG) + len(ADDRESSES)


def test_what_pulumi_wrote_is_kept_and_ours_is_replaced(places: Places) -> None:
    stack.write(places, {"a:b": "old", "c:d": "gone"})
    text = places.stack_config.read_text()
    places.stack_config.write_text("encryptionsalt: v1:abc=\n" + text + "secretsprovider: passphrase\n")
    stack.write(places, {"a:b": 'new "quoted": value'})
    assert places.stack_config.read_text().splitlines() == [
        "encryptionsalt: v1:abc=",
        "secretsprovider: passphrase",
        "config:",
        '  a:b: "new \\"quoted\\": value"',
    ]


def test_the_passphrase_is_made_once_and_private(places: Places) -> None:
    stack.write(places, {})
    first = places.passphrase.read_text()
    stack.write(places, {})
    assert places.passphrase.read_text() == first
    for path in (places.passphrase, places.stack_config):
        assert path.stat().st_mode & 0o777 == 0o600
