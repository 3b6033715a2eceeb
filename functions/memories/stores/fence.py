"""What both stores raise when a batch meets the fence of its workspace (DESIGN, section 4)."""

from __future__ import annotations

from core.problems import Unavailable


class Fenced(Unavailable):
    """The workspace is at another epoch than the caller believes, or takes no such batch now. Nothing was done.

    The caller drops what it remembers of the principal (`stale_address`), looks it up again and tries once more. A
    workspace that moves is fenced for seconds, which is worth waiting for (`passing`).
    """

    stale_address = True
    passing = True

    def __init__(self) -> None:
        detail = "This workspace is being moved or maintained. Please try again in a few seconds."
        super().__init__(detail, part="store (fenced)")
