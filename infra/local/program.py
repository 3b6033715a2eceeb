"""Runs infra/__main__.py inside this process, afresh, and says what went wrong in it without our own frames."""

from __future__ import annotations

import asyncio
import importlib
import runpy
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pulumi

from infra.local.places import REPO, Places

_KEPT = ("infra", "infra.local")  # ourselves, and the package that we are in


def run(places: Places) -> None:
    """Run the program's own code: everything that it declares before its first `apply`."""
    runpy.run_path(str(places.repo / "infra"), run_name="__main__")


async def run_in_stack(function: Callable[[], Awaitable[None] | None]) -> None:
    """The SDK's `run_in_stack`, but what fails in the program is told in its own words.

    Raises:
        pulumi.RunError: its text reaches the user as it is; a configuration mistake is one already.
        grpc.RpcError: the engine has gone or refused, and has said why itself.
    """
    try:
        await pulumi.runtime.run_in_stack(function)
    except (pulumi.RunError, grpc.RpcError, KeyboardInterrupt, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise pulumi.RunError(blame(error)) from error


def forget() -> None:
    """Drop the project's own modules, so that the next run sees the files as they are now."""
    for name in project_modules():
        module = sys.modules.pop(name)
        parent, _, child = name.rpartition(".")
        if getattr(sys.modules.get(parent), child, None) is module:
            delattr(sys.modules[parent], child)
    importlib.invalidate_caches()


def project_modules() -> list[str]:
    """Names of the loaded modules that belong to the checkout, but for the local cloud's and the installed ones."""
    installed = REPO / ".venv"
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
        if name in ("__main__", *_KEPT) or name.startswith("infra.local.") or not isinstance(file, str):
            continue
        path = Path(file)
        if path.is_relative_to(REPO) and not path.is_relative_to(installed):
            found.append(name)
    return found


def blame(error: BaseException) -> str:
    """The error, and the lines of the checkout that led to it: what one needs to mend the program."""
    frames = [
        f"  {Path(frame.filename).relative_to(REPO)}:{frame.lineno} in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(REPO)
        and not Path(frame.filename).is_relative_to(REPO / ".venv")
        and not Path(frame.filename).is_relative_to(REPO / "infra" / "local")
    ]
    reason = "".join(traceback.format_exception_only(error)).strip()
    return "\n".join((f"The program failed: {reason}", *frames))
