"""Callers that are bound to a project: what they store is of it, and nothing else is there for them.

A memory's project is its `context.project_path` as it is stored, compared letter for letter: no path is made absolute
or cut, because the same path may mean different things on two machines. One without a path is of no project, and seen
only by who is bound to none.

The stores keep the others out of sight (`ports.Stores`), and refuse what would lead out of the project; here is what
comes before, and the words. An id of another project's memory is the one thing that a caller can learn: it is refused,
since one workspace holds each id once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.ports import Principal
from core.problems import Conflict, Forbidden
from memories.model import Memory, project_of

TOLD_MOST = 100
"""Characters of a project, and ids, in a message."""


class OutsideProject(Forbidden):
    """What the caller sent is of another project than its own; nothing was done."""


def placed(caller: Principal, context: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The context as the caller may store it: without a project, it is given the caller's.

    Raises:
        OutsideProject: it names another one.
    """
    if caller.project is None:
        return context
    named = project_of(context)
    if named is None:
        return {**(context or {}), "project_path": caller.project}
    if named != caller.project:
        raise OutsideProject(
            f"This API key is bound to the project {caller.project[:TOLD_MOST]}, and context.project_path names "
            "another one. Leave it out, or use a key that is not bound to a project."
        )
    return context


def taken(*ids: str) -> Conflict:
    """What is said of ids that are those of memories which the caller does not see; none: it is not known which."""
    if not ids:
        return Conflict("An id was taken by another memory in this moment. Send the request again to learn which.")
    named = ", ".join(ids[:TOLD_MOST]) + (f" and {len(ids) - TOLD_MOST} more" if len(ids) > TOLD_MOST else "")
    return Conflict(
        f"This API key is bound to a project and cannot use the id {named}: it is that of something outside of it. "
        "Choose another id, or leave it out."
    )


def import_name(caller: Principal, import_id: str) -> str:
    """What an import is remembered as: those of one project's keys do not meet the others'."""
    if caller.project is None:
        return import_id
    return f"{import_id}@{hashlib.sha256(caller.project.encode()).hexdigest()[:32]}"


def memory_of(caller: Principal, memory: Memory) -> Memory:
    """The memory as the caller may store it. Raises: OutsideProject."""
    context = placed(caller, memory.context)
    return memory if context is memory.context else replace(memory, context=context)
