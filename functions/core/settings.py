"""Settings: a frozen dataclass whose fields are a function's environment variables.

The field `redis_url` is the variable `REDIS_URL`. A field of type `Secret` is bound from Secret Manager and never
shows its value; every other field is plain text. The Pulumi program binds what `variables()` lists, `load()` reads the
same list, so a variable cannot be read without being declared or declared without being bound.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Self, get_type_hints


class Secret:
    """A value that must not be printed: `str()` and `repr()` are masked, `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


NO_SECRET = Secret("")
"""The default of one that need not be there."""


class SettingsError(Exception):
    """The environment does not hold what a function needs; the message names every variable at once."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable: its name, whether it is a secret, and its default (None: required)."""

    name: str
    field: str
    secret: bool
    required: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of every function's settings. Fields are `str`, `int` or `Secret`."""

    @classmethod
    def variables(cls) -> tuple[Variable, ...]:
        """The environment variables of this function, in declared order."""
        types = get_type_hints(cls)
        return tuple(
            Variable(
                name=field.name.upper(),
                field=field.name,
                secret=types[field.name] is Secret,
                required=field.default is MISSING,
            )
            for field in fields(cls)
        )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment once.

        Raises:
            SettingsError: naming every variable that is missing, empty or of the wrong type.
        """
        environ = os.environ if environ is None else environ
        types = get_type_hints(cls)
        values: dict[str, object] = {}
        faults: list[str] = []
        for variable in cls.variables():
            text = environ.get(variable.name, "")
            if not text:
                if variable.required:
                    faults.append(f"{variable.name} is not set")
                continue
            kind = types[variable.field]
            if kind is int:
                try:
                    values[variable.field] = int(text)
                except ValueError:
                    faults.append(f"{variable.name} must be a whole number")
            else:
                values[variable.field] = Secret(text) if kind is Secret else text
        if faults:
            raise SettingsError(f"{cls.__name__}: {'; '.join(faults)}")
        return cls(**values)
