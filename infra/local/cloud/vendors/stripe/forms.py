"""Form bodies and query strings in Stripe's spelling: `a[b][0][c]=v`, `expand[]=x`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from infra.local.cloud.vendors.stripe.errors import malformed

Json = dict[str, Any]
NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
DEPTH = 12


def decode(text: str) -> Json:
    """The nested parameters; every leaf is a str, and what was numbered 0, 1, ... or `[]` is a list.

    Raises:
        StripeError: a name is not spelled so, or is both a value and a group.
    """
    tree: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        match = NAME.match(name)
        if match is None:
            raise malformed(f"Invalid parameter name: {name}", name)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        if len(path) > DEPTH:
            raise malformed(f"Parameters may be nested {DEPTH} deep: {name}", name)
        _put(tree, path, value, name)
    return {key: _listed(value) for key, value in tree.items()}


def _put(tree: Json, path: list[str], value: str, name: str) -> None:
    for part in path[:-1]:
        key = part if part else str(len(tree))
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise malformed(f"Invalid parameter: {name} is both a value and a group", name)
    last = path[-1] if path[-1] else str(len(tree))
    if isinstance(tree.get(last), dict):
        raise malformed(f"Invalid parameter: {name} is both a value and a group", name)
    tree[last] = value


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(item) for key, item in value.items()}
