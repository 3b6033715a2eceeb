"""Without an engine: runs infra/local/sdk_run.py in the virtual environment and tells what it cannot do."""

from __future__ import annotations

import json
from typing import Any

from infra.local import control, engine, processes, stack, tools
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Trouble

PACKAGES = ("gcp", "cloudflare", "upstash")
"""What the daemon's provider is attached as."""


class SdkDriver:
    name = "without an engine"
    needs_host = False

    def __init__(self, places: Places, progress: Progress, *, engine_waits: bool) -> None:
        self._places = places
        self._progress = progress
        self._way_out = (
            "An engine is here, but this environment was made without it: `make destroy`, then `make up`, moves over."
            if engine_waits
            else engine.HINT
        )

    def up(self) -> None:
        self._progress.say(
            "Applying the program without the Pulumi engine: it is created and kept, not updated. " + self._way_out
        )
        cloud = control.running(self._places)
        given = {
            "config": stack.config(self._places, control.addresses(cloud)),
            "providers": dict.fromkeys(PACKAGES, cloud.values["provider_port"]),
        }
        words = [str(self._places.python), "-m", "infra.local.sdk_run", "--root", str(self._places.root)]
        with self._progress.step("applying the program"):
            done = tools.run(
                words,
                cwd=self._places.repo,
                env=processes.clean_environment() | {"GRPC_VERBOSITY": "NONE"},
                stdin=json.dumps(given),
                log=self._places.logs / "up.log",
                on_line=self._progress.line,
            )
        if done.code != 0:
            raise Trouble("`make up` did not finish; what was made is kept. Mend the above and run `make up` again.")

    def preview(self) -> None:
        raise Trouble(f"A preview needs the Pulumi engine. {self._way_out}")

    def refresh(self) -> None:
        raise Trouble(f"A refresh needs the Pulumi engine. {self._way_out}")

    def destroy(self) -> None:
        """Nothing to ask of anyone: all resources are in the daemon's data, which the command removes."""

    def outputs(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._places.driver_state.read_text())["outputs"]
        except FileNotFoundError:
            raise Trouble("Nothing has been applied yet. Run `make up`.") from None
        return found
