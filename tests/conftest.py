"""What all tests need, wherever they are run."""

from __future__ import annotations

import signal

import pytest

# A shell that runs this in the background (`make test &`) has it ignore Ctrl-C. Whatever the tests start would inherit
# that, and what is tested with Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = frozenset(
    {
        "test_daemon.py",
        "test_faults.py",
        "test_lifecycle.py",
        "test_moves_killed.py",
        "test_schemathesis.py",
        "test_stripe_engine.py",
    }
)
"""Files that take a minute or so."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the work, the long files come first, so that none waits for another at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name not in LONG)
