"""What the handlers of this function have to work with."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.archive.service import ArchiveService
from accounts.keys.service import KeyService
from accounts.service import AccountService
from accounts.usage.service import UsageService
from accounts.workspaces.service import WorkspaceService


@dataclass(frozen=True, slots=True)
class Services:
    """One for the process; each call of a service says who asks."""

    accounts: AccountService
    keys: KeyService
    workspaces: WorkspaceService
    usage: UsageService
    archive: ArchiveService
