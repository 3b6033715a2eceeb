"""Matching a request to a declared route: Starlette's path syntax, our own answers for 404 and 405.

A fixed path is never one with a parameter, whatever the order of the declaration and whatever its methods. A trailing
slash is another path: nothing is ever redirected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from starlette.routing import compile_path

from core.problems import MethodNotAllowed, NotFound
from declarations import Route

_Methods = dict[str, Route]


class Routes:
    def __init__(self, routes: Sequence[Route]) -> None:
        by_path: dict[str, _Methods] = {}
        for route in routes:
            by_path.setdefault(route.path, {}).setdefault(route.method, route)
        self._fixed = {path: methods for path, methods in by_path.items() if "{" not in path}
        self._patterns: list[tuple[re.Pattern[str], _Methods]] = [
            (compile_path(path)[0], methods) for path, methods in by_path.items() if "{" in path
        ]

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and its path parameters; HEAD goes where GET goes.

        Raises:
            NotFound: no route has this path.
            MethodNotAllowed: some have, for other methods; `Allow` names them.
        """
        wanted = "GET" if method == "HEAD" else method
        fixed = self._fixed.get(path)
        if fixed is not None:
            if wanted in fixed:
                return fixed[wanted], {}
        else:
            for pattern, methods in self._patterns:
                found = pattern.match(path)
                if found and wanted in methods:
                    return methods[wanted], found.groupdict()
        allowed = self.allowed(path)
        raise MethodNotAllowed(f"This path does not take {method}. It takes {allowed}.", headers={"Allow": allowed})

    def allowed(self, path: str) -> str:
        """The value of `Allow` for a path.

        Raises:
            NotFound: no route has this path.
        """
        methods = set(self._fixed.get(path, ()))
        for pattern, others in () if methods else self._patterns:
            if pattern.match(path):
                methods |= set(others)
        if not methods:
            raise NotFound("There is no such path in this API.")
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(sorted(methods | {"OPTIONS"}))
