"""What a key of Stripe's tells of itself: whether it moves money; and where such a key may be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

_KEY = re.compile(r"[sr]k_(live|test)_\S+")


class Mode(StrEnum):
    LIVE = "live"
    TEST = "test"


def mode(key: str) -> Mode | None:
    """The mode of a secret (`sk_`) or restricted (`rk_`) key; None when it is neither."""
    match = _KEY.fullmatch(key)
    return Mode(match[1]) if match else None


def faults(keys: Mapping[str, str], *, local: bool, frugal: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with configured keys, by setting, and what sets it right (after `pulumi config set`). Shows none.

    The local cloud takes no live key, nor does the profile whose stores are too small for what would be sold.
    """
    modes = {name: mode(key) for name, key in keys.items()}
    for name, kind in modes.items():
        if kind is None and not local:
            what = "is no secret or restricted key of Stripe's (sk_live_, rk_live_, sk_test_, rk_test_)"
            yield f"{name} {what}", f"--secret {name}  # asks for the value"
        if kind is Mode.LIVE and local:
            yield f"{name} is a live key, but cloud is local, where no money is taken", f"{name} local"
        elif kind is Mode.LIVE and frugal:
            what = "is a live key, but profile is frugal, whose 500 MB of storage cannot be sold as 5 GB"
            yield f"{name} {what}", f"profile production  # or a test key: --secret {name}"
    if set(modes.values()) >= set(Mode):
        names = " and ".join(modes)
        yield f"{names}: one is a live key, the other a test key", f"--secret {next(reversed(modes))}"
