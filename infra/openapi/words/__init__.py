"""What each field means, in a sentence: the descriptions in the document. One name means the same wherever it occurs;
where it does not, the entry is `Component.name`. A test finds fields without an entry, and entries without a field."""

from __future__ import annotations

from infra.openapi.words import accounts, billing, memories

FIELDS = {**memories.FIELDS, **accounts.FIELDS, **billing.FIELDS}
