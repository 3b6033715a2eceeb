"""Wire <-> domain of what concerns many memories at once: batch, export, import."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from core.http import Call
from core.lazy import lazy
from core.problems import Invalid, listed, told
from memories.model import Memory, is_id
from memories.projects import OutsideProject, memory_of, taken
from memories.quotas import Resource
from memories.render import iso
from memories.requests import agent, new_memory, queried
from memories.services import Services
from memories.transfer.formats import Format, decode_cursor
from memories.transfer.model import ExportPage, Kind, NoRoom, Place, Stored, Taken, Totals
from memories.transfer.readers import read
from memories.transfer.service import BadRow, Counts, Summary
from memories.transfer.stream import Stream
from memories.transfer.writers import writer
from memories.validation import parse

if TYPE_CHECKING:
    from memories import schemas as memory_schemas
    from memories.transfer import schemas
else:
    memory_schemas = lazy("memories.schemas")
    schemas = lazy("memories.transfer.schemas")

FAULTS_TOLD = 100
"""Fields of a batch that are named: each of a thousand memories may have some."""
REMEMBERED_BYTES = 16 << 10
"""Bad rows in what is remembered of a part: all parts of an import are read at once."""


async def create_memories(call: Call, services: Services) -> Response:
    body = parse(schemas.BatchRequest, await call.json())
    now = services.transfer.now()
    memories: dict[int, Memory] = {}
    faults: dict[int, Mapping[str, str]] = {}
    outside: dict[int, str] = {}
    places: dict[str, int] = {}
    for index, item in enumerate(body.memories):
        try:
            memory = memory_of(call.caller, new_memory(parse(memory_schemas.MemoryCreate, _object(item)), now))
        except Invalid as invalid:
            faults[index] = invalid.errors
            continue
        except OutsideProject as refused:
            outside[index] = refused.detail
            continue
        first = places.setdefault(memory.id, index)
        if first == index:
            memories[index] = memory
        else:
            faults[index] = {"id": f"must differ from that of memories.{first}"}
    if faults and body.atomic:
        raise _refused(faults)
    if outside and body.atomic:
        index, detail = next(iter(outside.items()))
        raise OutsideProject(f"Nothing was stored, because of memories.{index}. {detail}")
    once, wanted = await call.once(now), list(memories.values())
    stored: Sequence[Stored | NoRoom | Taken] = ()
    said: Mapping[Resource, str] = {}
    if wanted and body.atomic:
        stored = await services.transfer.store(call.caller, wanted, agent(call), once)
    elif wanted:
        stored, said = await services.transfer.store_some(call.caller, wanted, agent(call), once)
    answers = dict(zip(memories, stored, strict=True))
    return call.reply(_batch_body(answers, said, faults, outside))


async def export_memories(call: Call, services: Services) -> Response:
    asked = queried(call, schemas.ExportRequest)
    place = Place(Kind.MEMORY) if asked.cursor is None else decode_cursor(asked.cursor)
    current = asked.format is Format.JSON
    totals, pages = await services.transfer.export(call.caller, place, asked.limit, current=current)
    return Stream(
        _written(asked.format, totals, services.transfer.now(), pages),
        media_type=asked.format.media_type,
        headers={"Content-Disposition": f'attachment; filename="memorygraph-export.{asked.format}"'},
        request_id=call.request_id,
    )


async def import_part(call: Call, services: Services) -> Response:
    transfer = services.transfer
    asked = queried(call, schemas.ImportRequest)
    if (asked.import_id is None) != (asked.part is None):
        missing = "part" if asked.part is None else "import_id"
        raise Invalid("A part of an import needs import_id and part.", errors={missing: "is missing"})
    with transfer.importing():
        body = await call.body()
        if asked.import_id is None or asked.part is None:
            return call.reply(await _take(call, services, body))
        fingerprint = hashlib.sha256(body).hexdigest()
        named = {"import_id": asked.import_id, "part": asked.part}
        known = await transfer.answered(call.caller, asked.import_id, asked.part, fingerprint)
        if known is not None:
            return call.reply({**named, "repeated": True, **orjson.loads(known)})
        summary = await _take(call, services, body)
        if summary["quota"] is None:  # else it is not done: sent again, it may find room
            answer = orjson.dumps(_shortened(summary)).decode()
            await transfer.finish(call.caller, asked.import_id, asked.part, fingerprint, answer)
        return call.reply({**named, "repeated": False, **summary})


async def read_import(call: Call, services: Services) -> Response:
    import_id = call.path["import_id"]
    parts = await services.transfer.parts(call.caller, import_id) if is_id(import_id) else []
    bodies = [
        {"part": part.number, "at": iso(part.at), "sha256": part.fingerprint, **orjson.loads(part.answer)}
        for part in parts
    ]
    return call.reply({"import_id": import_id, "parts": bodies})


# Batch.


def _object(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise Invalid("A memory must be an object.", errors={"": "must be an object"})
    return item


def _refused(faults: Mapping[int, Mapping[str, str]]) -> Invalid:
    errors = {
        f"memories.{index}.{name}".rstrip("."): message
        for index, errors in faults.items()
        for name, message in errors.items()
    }
    first = dict(list(errors.items())[:FAULTS_TOLD])
    more = f"; and {len(errors) - len(first)} more" if len(errors) > len(first) else ""
    return Invalid(f"Nothing was stored, because the batch is not valid: {told(first)}{more}.", errors=first)


def _batch_body(
    answers: Mapping[int, Stored | NoRoom | Taken],
    said: Mapping[Resource, str],
    faults: Mapping[int, Mapping[str, str]],
    outside: Mapping[int, str],
) -> schemas.BatchBody:
    stored = {index: one for index, one in answers.items() if isinstance(one, Stored)}
    refused = [(index, 403, detail) for index, detail in outside.items()]
    refused += [(index, 403, said[one.resource]) for index, one in answers.items() if isinstance(one, NoRoom)]
    refused += [(index, 409, taken(one.id).detail) for index, one in answers.items() if isinstance(one, Taken)]
    results: list[schemas.ResultBody] = [
        {
            "index": index,
            "status": 201 if one.version == 1 else 200,
            "id": one.id,
            "version": one.version,
            "created_at": iso(one.created_at),
            "updated_at": iso(one.updated_at),
        }
        for index, one in stored.items()
    ]
    results += [{"index": index, "status": 400, "errors": listed(errors)} for index, errors in faults.items()]
    results += [{"index": index, "status": status, "detail": detail} for index, status, detail in refused]
    created = sum(one.version == 1 for one in stored.values())
    return {
        "results": sorted(results, key=lambda result: result["index"]),
        "created": created,
        "updated": len(stored) - created,
        "failed": len(faults) + len(refused),
    }


# Export.


async def _written(
    format_: Format, totals: Totals, at: datetime, pages: AsyncGenerator[ExportPage]
) -> AsyncGenerator[bytes]:
    written, following = writer(format_), None
    try:
        yield written.head(totals, at)
        async for page in pages:
            for piece in written.page(page):
                yield piece
            following = page.next
        yield written.end(following)
    finally:
        await pages.aclose()


# Import.


async def _take(call: Call, services: Services, body: bytes) -> schemas.SummaryBody:
    upload = read(body, call.request.headers.get("content-type", ""), services.transfer.now())
    return _summary_body(upload.format, await services.transfer.take(call.caller, upload.rows, agent(call)))


def _summary_body(format_: Format, summary: Summary) -> schemas.SummaryBody:
    return {
        "format": format_.value,
        "rows": summary.rows,
        "memories": _outcomes(summary.counts[Kind.MEMORY]),
        "relationships": _outcomes(summary.counts[Kind.RELATIONSHIP]),
        "unreadable": summary.unreadable,
        "bad": summary.bad,
        "bad_rows": [_bad_row(row) for row in summary.bad_rows],
        "quota": summary.quota,
    }


def _outcomes(counts: Counts) -> schemas.OutcomesBody:
    return {
        "created": counts.created,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "refused": counts.refused,
    }


def _bad_row(row: BadRow) -> schemas.BadRowBody:
    return {
        "row": row.number,
        "kind": row.kind.value if row.kind else None,
        "id": row.id,
        "errors": listed(row.errors),
    }


def _shortened(summary: schemas.SummaryBody) -> schemas.SummaryBody:
    """`summary` with as many bad rows as are remembered."""
    room, kept = REMEMBERED_BYTES, 0
    for row in summary["bad_rows"]:
        room -= len(orjson.dumps(row))
        if room < 0:
            break
        kept += 1
    return {**summary, "bad_rows": summary["bad_rows"][:kept]}
