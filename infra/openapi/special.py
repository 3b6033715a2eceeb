"""Bodies that no model describes: what their handlers read by themselves."""

from __future__ import annotations

from typing import Any

from infra.openapi.components import REF, Components
from infra.openapi.operation import Operation
from infra.openapi.words import FIELDS
from memories import schemas
from memories.transfer.formats import LOCAL_VERSIONS
from memories.transfer.model import BATCH_MOST

Json = dict[str, Any]


def _batch(operation: Operation, components: Components) -> Json:
    memories: Json = {"type": "array", "minItems": 1, "maxItems": BATCH_MOST}
    components.schemas["Batch"] = {
        "type": "object",
        "description": "Memories to store.",
        "properties": {
            "memories": {
                **memories,
                "description": "The memories, no two of one `id`.",
                "items": components.request(schemas.MemoryCreate),
            },
            "atomic": {"type": ["boolean", "null"], "default": True, "description": FIELDS["atomic"]},
        },
        "required": ["memories"],
    }
    components.schemas["LenientBatch"] = {
        "type": "object",
        "description": "Memories to store, each on its own: what is wrong with one is told in its result.",
        "properties": {
            "memories": {**memories, "description": "The memories. Those that are none are refused one by one."},
            "atomic": {"const": False, "description": FIELDS["atomic"]},
        },
        "required": ["memories", "atomic"],
    }
    schema = {"anyOf": [{"$ref": REF + "Batch"}, {"$ref": REF + "LenientBatch"}]}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": operation.example}}}


def _document(operation: Operation, components: Components) -> Json:
    rows: Json = {"type": "array", "items": {}}
    version = {"enum": sorted(LOCAL_VERSIONS)}
    components.schemas["Document"] = {
        "type": "object",
        "description": "An export of the local tool, format 2.0. Rows that are wrong are refused one by one.",
        "properties": {
            "format_version": {**version, "description": "Version of the format."},
            "export_version": {**version, "description": "Version of the older format, where there is no newer one."},
            "export_date": {"description": "When it was written: the time of rows without one."},
            "memories": {**rows, "description": "The memories, each as `MemoryCreate` with its `id` and times."},
            "relationships": {**rows, "description": "The relationships, each with `type` and `properties`."},
        },
        "anyOf": [
            {"required": ["format_version", "memories"]},
            {"required": ["format_version", "relationships"]},
            {"required": ["export_version", "memories"]},
            {"required": ["export_version", "relationships"]},
        ],
    }
    return {
        "required": True,
        "description": "A document of format 2.0, or the JSON lines of an export. Recognised by what it holds.",
        "content": {
            "application/json": {
                "schema": {"$ref": REF + "Document"},
                "example": operation.example,
            },
            "application/x-ndjson": {
                "schema": {
                    "type": "string",
                    "pattern": r"[^ \t\n\r\u000b\u000c]",
                    "description": "Lines of an export, or some of them.",
                },
            },
        },
    }


def _delivery(operation: Operation, components: Components) -> Json:
    text: Json = {"type": "string"}
    about: Json = {
        "type": "object",
        "description": "What happened to what.",
        "properties": {
            "object": {
                "type": "object",
                "description": "The object as it was then. Only what it is called, and whose it is, is read.",
                "properties": {"id": {**text, "description": "Its id."}},
                "required": ["id"],
            }
        },
        "required": ["object"],
    }
    components.schemas["Delivery"] = {
        "type": "object",
        "description": "An event of Stripe's, as the Stripe API describes it.",
        "properties": {
            "id": {**text, "description": "Its id."},
            "object": {"const": "event", "description": "What it is."},
            "type": {**text, "description": "What happened."},
            "created": {"type": "integer", "description": "When, in Unix seconds."},
            "data": about,
        },
        "required": ["id", "object", "type", "created", "data"],
    }
    content = {"schema": {"$ref": REF + "Delivery"}, "example": operation.example}
    return {"required": True, "content": {"application/json": content}}


SPECIAL = {"Batch": _batch, "Document": _document, "Delivery": _delivery}
