"""What backups work with."""

from __future__ import annotations

from dataclasses import dataclass

from core.adapters.google import Metadata
from core.adapters.http1 import HttpClient
from core.adapters.postgres import Postgres
from core.settings import Secret
from declarations import ProvisioningFunctionSettings
from provisioning.backups.bucket import Bucket, GoogleBucket
from provisioning.backups.ledger import BackupLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """`url` is the database's for the role `backup`."""

    bucket: Bucket
    ledger: BackupLedger
    url: Secret


def build(settings: ProvisioningFunctionSettings, http: HttpClient, postgres: Postgres) -> Backups | None:
    """None: this stack keeps none."""
    if not settings.backup_bucket or not settings.backup_database_url.reveal():
        return None
    return Backups(
        bucket=GoogleBucket(http, Metadata(http), settings.backup_bucket, settings.storage_url),
        ledger=BackupLedger(postgres),
        url=settings.backup_database_url,
    )
