"""A stack's file, Pulumi.STACK.yaml, read without its key: what is sealed stays so, and is only known to be there."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # a dependency of the SDK, which reads these files with it
from pulumi.runtime import set_all_config, settings

from infra.config import ConfigError, StackConfig, load

PROJECT = "memorygraph-cloud"
SEALED = "sealed"


class Unreadable(Exception):
    """The file is not there, or is no stack's. The message says what to do."""


@dataclass(frozen=True)
class StackFile:
    """`values` by full key; those in `sealed` are not the values, but stand for them."""

    values: Mapping[str, str]
    sealed: frozenset[str]
    key: str | None  # who can open it: gcpkms://..., or None: a passphrase, or nobody yet


def read(path: Path) -> StackFile:
    """Raises Unreadable."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config: dict[str, Any] = dict(found.get("config") or {})
    except FileNotFoundError:
        raise Unreadable(f"{path.name} is not there. Start from a copy of Pulumi.staging.yaml.") from None
    except (yaml.YAMLError, AttributeError, TypeError, ValueError, UnicodeDecodeError):
        raise Unreadable(f"{path.name} is no stack's file: compare it with Pulumi.staging.yaml.") from None
    sealed = frozenset(key for key, value in config.items() if isinstance(value, dict) and "secure" in value)
    values = {key: _stand_in(key, config) if key in sealed else _text(value) for key, value in config.items()}
    return StackFile(values=values, sealed=sealed, key=found.get("secretsprovider"))


def check(stack: str, file: StackFile) -> StackConfig:
    """Read it as the program does.

    Raises:
        ConfigError: naming everything that is missing or wrong.
    """

    def isolated() -> StackConfig:
        settings.configure(settings.Settings(project=PROJECT, stack=stack))
        set_all_config(dict(file.values), list(file.sealed))
        return asyncio.run(_load())

    # The SDK keeps configuration and settings in context variables: a copy keeps this out of the next run.
    return contextvars.copy_context().run(isolated)


async def _load() -> StackConfig:
    """Secret values are Outputs, each a task of the loop: none is left behind."""
    try:
        return load()
    finally:
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


def faults(stack: str, file: StackFile) -> list[tuple[str, str]]:
    """What `check` refuses: what is wrong, and the command that mends it."""
    try:
        check(stack, file)
    except ConfigError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        return [(what.removeprefix("- "), fix) for what, fix in zip(lines[::2], lines[1::2], strict=True)]
    return []


def _stand_in(key: str, config: Mapping[str, Any]) -> str:
    """What a sealed value could be. Keys of Stripe's tell their kind by their form, so theirs is one that fits."""
    if "stripe" not in key.lower():
        return SEALED
    return f"rk_{'live' if config.get(f'{PROJECT}:profile') == 'production' else 'test'}_{SEALED}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
