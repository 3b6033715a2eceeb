"""`make rotate SECRET=NAME`: a secret that the program makes, or has Stripe make, replaced without a failed request.

    1. `rotation: {NAME: [2, 1]}`  both are accepted, the new one is used
    2. `rotation: {NAME: [2]}`     the old one is gone

Each is one `pulumi up`, as an operator does it on the real cloud (docs/rotation.md). What was reached is kept in
LOCAL_ROOT/rotation.json, so the next `make up` declares the same, and a rotation that was interrupted is taken up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from infra.local import drivers, lifecycle
from infra.local.install import install
from infra.local.places import Places, write_private
from infra.local.progress import Progress
from infra.local.trouble import Interrupted, Trouble

LASTING = "lasting"
"""What the program says of a key whose old generation cannot be dropped."""


def rotate(places: Places, progress: Progress, name: str) -> None:
    """Rotate one key. Raises Trouble with the names that there are."""
    install(places, progress)
    driver = drivers.choose(places, progress)
    if not driver.needs_host:
        raise Trouble("Rotating changes what is there, which needs the Pulumi engine: `make engine`, once.")
    lifecycle.start(places, progress, driver)
    keys: Mapping[str, str] = driver.outputs().get("keys", {})
    if name not in keys:
        known = ", ".join(sorted(keys)) or "none yet: `make up` makes them"
        raise Trouble(f"Say which secret: `make rotate SECRET=NAME`. There are: {known}.")
    generations = read(places).get(name, [1])
    lasting = keys[name] == LASTING
    if lasting and len(generations) == 2:
        raise Trouble(
            f"{name} has two generations already, and the older one cannot be dropped: what was made with it would be "
            "worthless. docs/rotation.md says when it can."
        )
    try:
        if len(generations) == 1:
            generations = [generations[0] + 1, generations[0]]
        _apply(places, progress, driver, name, generations)  # again, when an earlier one stopped here
        if not lasting:
            _apply(places, progress, driver, name, generations[:1])
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. `make rotate` with the same name carries on.") from None
    kept = "; the old one is accepted as long as something was made with it" if lasting else ""
    progress.say(f"{name} is rotated to generation {generations[0]}{kept}.")


def read(places: Places) -> dict[str, list[int]]:
    """Key -> its generations, newest first; what is missing has generation 1."""
    try:
        found: dict[str, list[int]] = json.loads(places.rotation.read_text())
    except FileNotFoundError:
        return {}
    return found


def _apply(places: Places, progress: Progress, driver: drivers.Driver, name: str, generations: list[int]) -> None:
    write_private(places.rotation, json.dumps({**read(places), name: generations}))
    lifecycle.start(places, progress, driver)
    driver.up()
