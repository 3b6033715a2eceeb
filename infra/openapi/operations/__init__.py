"""What each handler takes and answers: one operation for each handler of each function behind the edge.

Access, methods, paths and the largest body are read from the declarations, fields from the models. What follows from
those (401 wherever a key is needed, 413 wherever a body is read) is added by document.py and not said here.
"""

from __future__ import annotations

from infra.openapi.operation import Operation
from infra.openapi.operations import accounts, billing, memories

OPERATIONS: dict[str, dict[str, Operation]] = {
    "memories": memories.OPERATIONS,
    "accounts": accounts.OPERATIONS,
    "billing": billing.OPERATIONS,
}
"""By name of the function, by name of the handler."""
