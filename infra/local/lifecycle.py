"""up, down, destroy, clean, preview, refresh: one environment from nothing to nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from infra.local import (
    accounts,
    control,
    drivers,
    engine,
    engine_driver,
    packages,
    parts,
    processes,
    pulumi_env,
    result,
    stack,
    stamps,
)
from infra.local.cloud.paths import remove_outside
from infra.local.drivers import Driver
from infra.local.install import install
from infra.local.places import Places
from infra.local.progress import Progress
from infra.local.trouble import Interrupted, Trouble


def up(places: Places, progress: Progress) -> None:
    """Install, start, apply, and tell how to point a client at it."""
    install(places, progress)
    driver = drivers.choose(places, progress)
    try:
        start(places, progress, driver)
        control.check_ports(control.running(places))
        driver.up()
        url = accounts.api_url(places)
        key = accounts.first_key(places, progress, driver, url)
    except KeyboardInterrupt:
        raise Interrupted(
            "Interrupted. What was made so far is kept: `make up` carries on, `make down` stops it, "
            "`make destroy` removes it."
        ) from None
    before = result.read(places).get(result.API_URL, url)
    result.write(places, url, key)
    print(result.text(places, url, key))
    if before != url:
        progress.say(f"\nThe API URL changed: it was {before}. Tell your clients the new one.")


def start(places: Places, progress: Progress, driver: Driver) -> None:
    """Bring up the daemon, and the language host where it is needed, and write what Pulumi needs to reach them.

    Both are left alone when they run and come from the packages that are installed now. Raises Trouble.
    """
    installed = stamps.digest(packages.stamp(places).encode(), parts.stamp(places).encode())
    if stamps.read(places.pulumi) != installed:
        down(places, progress)
    with progress.step("starting the local cloud"):
        missing = [module for module in (processes.HOST, processes.CLOUD) if processes.living(places, module) is None]
        if processes.CLOUD in missing:
            missing = [processes.CLOUD, processes.HOST]  # a host without its daemon is on its way out
        for module in missing:
            processes.stop(places, module)  # one without a record is half started
        processes.start(places, *(module for module in missing if module == processes.CLOUD or driver.needs_host))
        addresses = control.addresses(control.running(places))
    stack.write(places, stack.config(places, addresses))
    stamps.write(places.pulumi, installed)
    pulumi_env.write(places, engine.find(places))


def down(places: Places, progress: Progress) -> bool:
    """Stop every process; data, state and keys stay. False when nothing ran."""
    if not any(processes.matching(places, module) for module in (processes.CLOUD, processes.HOST)):
        return False
    with progress.step("stopping the local cloud"):
        # The host first: it needs no farewell, and so never meets a daemon that is going.
        processes.stop(places, processes.HOST)
        processes.stop(places, processes.CLOUD, ask=control.ask_to_stop)
    return True


def stop(places: Places, progress: Progress) -> None:
    stopped = down(places, progress)
    progress.say("Stopped; `make up` brings it back as it was." if stopped else "Nothing was running.")


def destroy(places: Places, progress: Progress) -> None:
    """`pulumi destroy`, then stop the local cloud and remove its data."""
    if not places.pulumi.exists() and not places.cloud.exists():
        down(places, progress)
        progress.say("There is nothing to destroy.")
        return
    orphaned = engine_driver.has_state(places) and engine.find(places) is None
    if not orphaned:
        _with_driver(places, progress, lambda driver: driver.destroy())
    down(places, progress)
    with progress.step("removing the data"):
        remove_data(places)
        if orphaned:  # the engine that made it is gone, and its state would bind the next `make up` to it
            _remove(places.state)
    progress.say("Destroyed. `make up` makes a new environment, `make clean` removes what is installed too.")


def preview(places: Places, progress: Progress) -> None:
    _with_driver(places, progress, lambda driver: driver.preview())


def refresh(places: Places, progress: Progress) -> None:
    _with_driver(places, progress, lambda driver: driver.refresh())


def clean(places: Places, progress: Progress) -> None:
    """Remove everything that make made: processes, data, state, packages. Works on any wreck.

    What the environments of a checkout share goes with the last one.
    """
    down(places, progress)
    with progress.step("removing everything"):
        remove_outside(places.root)
        _remove(places.root)
        shared = processes.using(places) or (places != places.default and places.default.pulumi.exists())
        if not shared:
            _remove(places.default.root)
            _remove(places.venv)
            for name in (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"):
                _remove(places.repo / name)
            for folder in ("infra", "functions", "tests"):
                for cache in list((places.repo / folder).rglob("__pycache__")):
                    _remove(cache)
    kept = (
        "the packages in .venv, which another environment uses"
        if shared
        else "the caches of uv, npm and Go, and a built engine, in your cache folder"
    )
    progress.say(f"Removed. (Kept: {kept}.)")


def remove_data(places: Places) -> None:
    """Remove what the resources held, and the first key; logs stay."""
    remove_outside(places.root)
    for path in places.cloud.iterdir() if places.cloud.exists() else ():
        if path != places.logs:
            _remove(path)
    for path in (places.driver_state, places.env, places.rotation, places.cloud_record, places.host_record):
        path.unlink(missing_ok=True)


def _with_driver(places: Places, progress: Progress, work: Callable[[Driver], None]) -> None:
    install(places, progress)
    driver = drivers.choose(places, progress)
    try:
        start(places, progress, driver)
        work(driver)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. Run the same command again to carry on.") from None


def _remove(path: Path) -> None:
    """Remove a file or a folder. Raises Trouble when something cannot be removed."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Trouble(
            f"{error.filename or path} cannot be removed: {error.strerror}. "
            "Remove it as the user who owns it, then run the same command again."
        ) from None
