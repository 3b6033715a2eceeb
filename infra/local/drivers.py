"""The two ways to apply the program: the Pulumi engine, or the SDK's own runtime when there is no engine.

An environment stays with the driver that made it: each has a state of its own, and neither can take over the other's.
"""

from __future__ import annotations

from typing import Any, Protocol

from infra.local import engine, engine_driver, sdk_driver
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble


class Driver(Protocol):
    """Applies the program to the running local cloud. Every method raises Trouble with what to do."""

    name: str
    needs_host: bool
    """Whether it needs the language host beside the daemon."""

    def up(self) -> None:
        """Create or update every resource."""

    def preview(self) -> None:
        """Show what `up` would do."""

    def refresh(self) -> None:
        """Read every resource anew into the state."""

    def destroy(self) -> None:
        """Delete every resource."""

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in plain text."""


def choose(places: Places, progress: Progress) -> Driver:
    """The driver of this environment; for a new one the engine, when there is one. Raises Trouble."""
    found = engine.find(places)
    made_without = places.driver_state.exists()
    made_with = engine_driver.has_state(places)
    if made_with and found is None:
        raise Trouble(
            "This environment was made with the Pulumi engine, which is no longer here. "
            f"{engine.HINT} Or start anew without it: `make destroy`, then `make up`."
        )
    if made_without or found is None:
        return sdk_driver.SdkDriver(places, progress, engine_waits=found is not None)
    return engine_driver.EngineDriver(places, progress, found)
