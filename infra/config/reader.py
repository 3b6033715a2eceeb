"""Reads the stack's values one by one and gathers what is wrong with them. The only caller of `pulumi.Config`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

import pulumi
from pulumi.runtime.config import is_config_secret

from infra.config.settings import BY_KEY
from infra.config.stack import Cloud, ConfigError

T = TypeVar("T")

LOCAL_TOKEN = "local"  # noqa: S105  the local cloud's public name for "no credential"; nothing accepts it elsewhere


class Reader:
    """Values by full key (`namespace:name`, or `name` of this project), each one of settings.py.

    After a fault it returns a placeholder, so that reading goes on; `finish()` raises before anyone sees one.
    """

    def __init__(self) -> None:
        self._faults: list[str] = []

    def get(self, key: str) -> str | None:
        """The text as it is set; KeyError for what is no setting."""
        namespace, _, name = BY_KEY[key].key.rpartition(":")
        text = pulumi.Config(namespace or None).get(name)
        return text.strip() if text else None

    def fault(self, what: str, fix: str, placeholder: T) -> T:
        """`what` is wrong, and `pulumi config set FIX` mends it."""
        self._faults.append(f"  - {what}.\n      pulumi config set {fix}")
        return placeholder

    def finish(self) -> None:
        """Raises ConfigError, if anything was wrong."""
        if self._faults:
            count = "1 change" if len(self._faults) == 1 else f"{len(self._faults)} changes"
            raise ConfigError(f"The configuration of this stack needs {count}:\n" + "\n".join(self._faults))

    def text(self, key: str, *, default: str | None = None) -> str:
        """A non-empty text, or the variable's that the vendor's provider reads instead."""
        variable = BY_KEY[key].variable
        value = self.get(key) or (os.environ.get(variable) if variable else None) or default
        if value:
            return value
        return self.fault(f"{key} is missing: {BY_KEY[key].meaning}", f"{key} {BY_KEY[key].example}", "")

    def optional(self, key: str) -> str | None:
        """A text, if there is one."""
        return self.get(key) or None

    def shaped(self, key: str, pattern: str, shape: str, *, default: str | None = None) -> str | None:
        """A text that matches `pattern`, which `shape` says in words, if there is one."""
        value = self.get(key) or default
        if value is None or re.fullmatch(pattern, value):
            return value
        return self.fault(f"{key} is {value!r}, not {shape}", f"{key} {BY_KEY[key].example}", None)

    def texts(self, key: str, fix: str) -> Mapping[str, str]:
        """Texts by name, if there are any."""
        value = self._object(key)
        if not isinstance(value, dict) or not all(isinstance(text, str) and text for text in value.values()):
            return self.fault(f"{key} does not map names to texts", fix, {})
        return MappingProxyType(dict(value))

    def choice(self, key: str, kind: type[T], *, default: T | None = None) -> T:
        text = self.get(key)
        members: dict[str, T] = {str(member): member for member in kind}  # type: ignore[attr-defined]  # an Enum class
        if text is None and default is not None:
            return default
        if text in members:
            return members[text]
        setting = BY_KEY[key]
        fault = f"{key} is missing: {setting.meaning}" if text is None else f"{key} is {text!r}, not {_or(members)}"
        return self.fault(fault, f"{key} {setting.example}", default or members[setting.example])

    def flag(self, key: str, *, default: bool) -> bool:
        text = self.get(key)
        if text is None or text in ("true", "false"):
            return default if text is None else text == "true"
        return self.fault(f"{key} is {text!r}, not true or false", f"{key} {str(default).lower()}", default)

    def port(self, key: str, default: int) -> int:
        text = self.get(key)
        if text is None or (text.isdecimal() and 0 < int(text) < 65536):
            return default if text is None else int(text)
        return self.fault(f"{key} is {text!r}, not a port", f"{key} {default}", default)

    def token(self, key: str, cloud: Cloud) -> pulumi.Output[str]:
        """A credential. On the real cloud it must be stored encrypted; the local cloud's is a public word."""
        setting, value = BY_KEY[key], self.get(key)
        from_environment = bool(setting.variable and os.environ.get(setting.variable))
        fix = f"--secret {key}  # asks for the value"
        if not value and not from_environment:
            self.fault(f"{key} is missing: {setting.meaning}", fix, None)
        elif value == LOCAL_TOKEN and cloud is Cloud.REAL:
            self.fault(f"{key} is the local cloud's word {LOCAL_TOKEN!r}, but cloud is real", fix, None)
        elif value and cloud is Cloud.REAL and not is_config_secret(_full(key)):
            self.fault(f"{key} is stored as plain text: replace it, and set it as a secret", fix, None)
        return pulumi.Output.secret(value or "")

    def optional_token(self, key: str, cloud: Cloud) -> pulumi.Output[str] | None:
        """A credential, if there is one."""
        return self.token(key, cloud) if self.get(key) else None

    def url(self, key: str, cloud: Cloud) -> str:
        """The base URL of a vendor's API: https and elsewhere for the real cloud, on this machine for the local one."""
        default = BY_KEY[key].example
        value = self.get(key) or (default if cloud is Cloud.REAL else "")
        if not value:
            return self.fault(f"{key} is missing: {BY_KEY[key].meaning}", f"{key} http://127.0.0.1:PORT", "")
        try:
            parts = urlsplit(value)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            sound = False
        if not sound:
            return self.fault(f"{key} is {value!r}, not a URL", f"{key} {default}", value)
        here = is_loopback(parts.hostname or "")
        if cloud is Cloud.LOCAL and not here:
            self.fault(
                f"{key} is {value!r}, outside this machine, but cloud is local", f"{key} http://127.0.0.1:PORT", None
            )
        if cloud is Cloud.REAL and (here or parts.scheme != "https"):
            self.fault(f"{key} is {value!r}, but the real cloud needs https to the vendor", f"{key} {default}", None)
        return value.rstrip("/")

    def rotation(self, key: str) -> Mapping[str, tuple[int, ...]]:
        """Secret key -> its generations, newest first: one, or two while it is being rotated."""
        fix = f"--path {key}.principal-seal-key[0] 2"
        value = self._object(key)
        if not isinstance(value, dict) or not all(_generations(entry) for entry in value.values()):
            return self.fault(f"{key} does not map names of keys to one or two generations (1, 2, ...)", fix, {})
        return MappingProxyType({name: tuple(entry) for name, entry in value.items()})

    @staticmethod
    def _object(key: str) -> object:
        try:
            return pulumi.Config().get_object(BY_KEY[key].key) or {}
        except pulumi.ConfigTypeError:
            return None


def is_loopback(host: str) -> bool:
    """True for this machine: 127.0.0.0/8, ::1, and names that are or end in `localhost` (RFC 6761)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _or(members: Mapping[str, object]) -> str:
    return " or ".join(members)


def _full(key: str) -> str:
    return key if ":" in key else f"{pulumi.get_project()}:{key}"


def _generations(value: object) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 2
        and all(type(item) is int and item > 0 for item in value)
        and len(set(value)) == len(value)
    )
