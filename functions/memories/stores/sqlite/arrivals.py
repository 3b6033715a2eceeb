"""An import of relationships for a caller that does not see all of the workspace.

The same as the trigger `relationships_come_in` (functions/migrations/sqlite/0002_limits.sql), which looks at the tables
themselves; here each row is three statements, which see what their caller sees. A database of the schema before knows
no limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.ports import SqlValue, Statement
from memories.stores.rows import RELATIONSHIP_COST
from memories.stores.sqlite.sight import KNOWN, OWN
from memories.transfer.model import Outcome

# ruff: noqa: S608 - what is put into SQL here are names of our own columns and numbers of arguments, never values

_NAMES = (
    *("id", "from_id", "to_id", "type", "strength", "confidence", "context", "structure", "created_at", "updated_at"),
    *("valid_from", "valid_until", "recorded_at", "invalidated_by", "invalidation_reason", "evidence_count"),
    *("validation_count", "counter_evidence_count", "last_validated", "version", "created_by_key"),
    *("created_by_account", "created_by_agent", "updated_by_key", "updated_by_account", "updated_by_agent"),
)
_KEPT = ("id", "from_id", "to_id", "type", "version", "created_by_key", "created_by_account", "created_by_agent")
"""What a relationship that is there keeps, or has a rule of its own for."""

# ?1 id, ?2 from, ?3 to, ?4 type, ?5 strength, ?6 confidence, ?7 context, ?8 reason, ?9 updated at, ?10 valid until,
# ?11 timeless, ?12 place.
_JUDGED = ("id", "from_id", "to_id", "type", "strength", "confidence", "context", "invalidation_reason", "updated_at")
_TEXTS = "length(CAST(coalesce(?7, '') || coalesce(?8, '') AS BLOB))"
_LEADS = """EXISTS (
    WITH RECURSIVE reached (id) AS (
      SELECT {to_id}
      UNION
      SELECT r.to_id FROM reached JOIN relationships r ON r.from_id = reached.id
      WHERE r.type = {type} AND r.valid_until IS NULL
    )
    SELECT 1 FROM reached WHERE id = {from_id}
  )"""
_TOO_LONG = f"""WHEN {_TEXTS} > held.texts AND (SELECT bytes - held.texts + {_TEXTS} > bytes_most FROM _usage)
          THEN '{Outcome.OVER_BYTES}'"""
_TOO_MANY = f"""WHEN (SELECT bytes + {RELATIONSHIP_COST} + {_TEXTS} > bytes_most FROM _usage)
        THEN '{Outcome.OVER_BYTES}'"""
_JUDGE = f"""
  INSERT INTO import_outcomes (place, outcome)
  SELECT ?12, coalesce(
    (
      SELECT CASE
        WHEN held.updated_at >= ?9 OR (?11 AND held.valid_until IS NULL) THEN '{Outcome.UNCHANGED}'
        WHEN held.valid_until IS NOT NULL AND ?10 IS NULL
          AND {_LEADS.format(from_id="held.from_id", to_id="held.to_id", type="held.type")} THEN '{Outcome.CYCLE}'
        {_TOO_LONG}
        ELSE '{Outcome.UPDATED}'
      END
      FROM relationships held WHERE held.id = ?1
    ),
    CASE
      WHEN ?11 AND EXISTS (
        SELECT 1 FROM relationships r
        WHERE r.from_id = ?2 AND r.to_id = ?3 AND r.type = ?4 AND r.strength = ?5 AND r.confidence = ?6
          AND r.context IS ?7 AND r.valid_until IS NULL
      ) THEN '{Outcome.UNCHANGED}'
      WHEN NOT {KNOWN.format("?2")} OR NOT {KNOWN.format("?3")} THEN '{Outcome.UNKNOWN_END}'
      WHEN EXISTS (SELECT 1 FROM main.relationships WHERE id = ?1) THEN '{Outcome.TAKEN}'
      WHEN ?10 IS NULL AND {_LEADS.format(from_id="?2", to_id="?3", type="?4")} THEN '{Outcome.CYCLE}'
      {_TOO_MANY}
      ELSE '{Outcome.CREATED}'
    END
  )"""
_IS = "EXISTS (SELECT 1 FROM import_outcomes WHERE place = {place} AND outcome = '{outcome}')"


def without_limits(statement: Statement) -> Statement:
    """For the schema before."""
    return replace(statement, sql=statement.sql.replace(_TOO_LONG, "").replace(_TOO_MANY, ""))


def statements(row: Mapping[str, SqlValue]) -> list[Statement]:
    """Judge one row, then replace what is there, or add it. `row`: its columns, `timeless` and `place`."""
    judged = (*(row[name] for name in _JUDGED), row["valid_until"], row["timeless"], row["place"])
    values = (*(row[name] for name in _NAMES), row["place"])
    place = len(values)
    at = {name: number for number, name in enumerate(_NAMES, start=1)}
    replaced = ", ".join(f"{name} = ?{at[name]}" for name in _NAMES if name not in _KEPT)
    updated, created = (_IS.format(place=f"?{place}", outcome=one) for one in (Outcome.UPDATED, Outcome.CREATED))
    return [
        Statement(_JUDGE, judged),
        Statement(
            f"UPDATE relationships SET {replaced}, version = max(?{at['version']}, version + 1) "
            f"WHERE id = ?1 AND {updated} AND {OWN['relationships']}",
            values,
        ),
        Statement(
            f"INSERT INTO relationships ({', '.join(_NAMES)}) SELECT {', '.join(f'?{at[name]}' for name in _NAMES)} "
            f"WHERE {created} AND {KNOWN.format('?2')} AND {KNOWN.format('?3')}",
            values,
        ),
    ]
