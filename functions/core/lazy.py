"""Modules that are imported when something of them is first used.

For what a cold start can do without: the models of requests bring Pydantic along, a third of the time until a function
answers, and the first request often has no body. Use it with `TYPE_CHECKING`, so that types stay known:

    if TYPE_CHECKING:
        from memories import schemas
    else:
        schemas = lazy("memories.schemas")
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def lazy(name: str) -> ModuleType:
    """The module of that name; its code runs at the first use. (An ordinary import elsewhere is such a use.)

    Raises:
        ModuleNotFoundError: there is none.
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
