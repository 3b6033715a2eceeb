"""What each handler of `declarations.MEMORIES` takes and answers, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.problems import Conflict, NotFound, Problem
from infra.openapi import answers
from infra.openapi.examples import memories as examples
from infra.openapi.operation import Answer, Operation, Tag
from memories import schemas
from memories.graph import schemas as graph
from memories.transfer import schemas as transfer

_Problems = Mapping[type[Problem], str]

_NO_MEMORY: _Problems = {NotFound: "There is no memory of that id."}
_NO_EDGE: _Problems = {NotFound: "There is no relationship of that id."}
_NO_END: _Problems = {NotFound: "There is no memory of one of the ids."}
_TAKEN: _Problems = {
    Conflict: "The `Idempotency-Key` was used for another request. Or an id is that of something outside of the "
    "project that the key is bound to."
}
_GONE = Answer(text="It is gone.")


def _memory(text: str) -> Answer:
    return Answer(text=text, body=schemas.MemoryBody, example=examples.MEMORY, etag=True)


def _edge(text: str) -> Answer:
    return Answer(text=text, body=graph.WholeRelationshipBody, example=examples.WHOLE_EDGE, etag=True)


_PAGE = Answer(text="The memories that were found, best first.", body=schemas.PageBody, example=examples.PAGE)

OPERATIONS: dict[str, Operation] = {
    "read_health": Operation(
        tag=Tag.SERVICE,
        summary="Is the service up?",
        answers={200: Answer(text="It is.", body=answers.HealthBody, example=examples.HEALTH)},
    ),
    "read_openapi": Operation(
        tag=Tag.SERVICE,
        summary="This description, for programs",
        answers={200: Answer(text="An OpenAPI 3.1 document.", body=dict[str, Any])},
    ),
    "read_docs": Operation(
        tag=Tag.SERVICE,
        summary="This description, for people",
        answers={200: Answer(text="A page.", media={"text/html": "HTML, with no script."})},
    ),
    "create_memory": Operation(
        tag=Tag.MEMORIES,
        summary="Store a memory",
        text="With an `id` that exists, the whole memory is replaced.",
        takes=schemas.MemoryCreate,
        example=examples.NEW,
        agent=True,
        grows=True,
        problems=_TAKEN,
        answers={200: _memory("It replaced the memory of the same id."), 201: _memory("It is new.")},
    ),
    "list_memories": Operation(
        tag=Tag.SEARCH,
        summary="Search with parameters",
        text="As the SDK searches: a memory must have all of the `tags`. Without any parameter: every memory.",
        takes=schemas.ListRequest,
        answers={200: _PAGE},
    ),
    "recall_memories": Operation(
        tag=Tag.SEARCH,
        summary="Recall what is known about something",
        text="A search with the defaults that suit a question in plain words.",
        takes=schemas.RecallRequest,
        example={"query": "how did we fix the redis timeout"},
        answers={200: _PAGE},
    ),
    "read_recent": Operation(
        tag=Tag.SEARCH,
        summary="Recent activity",
        text="What was created in the last days, and the problems among it that nothing solves yet.",
        takes=schemas.RecentRequest,
        answers={200: Answer(text="The activity.", body=schemas.RecentBody, example=examples.RECENT)},
    ),
    "create_memories": Operation(
        tag=Tag.TRANSFER,
        summary="Store up to 1,000 memories",
        text="By default all or nothing. Two memories of one batch must not have the same `id`.",
        special_body="Batch",
        example=examples.BATCH,
        agent=True,
        grows=True,
        problems=_TAKEN,
        answers={200: Answer(text="What became of each.", body=transfer.BatchBody, example=examples.RESULTS)},
    ),
    "read_memory": Operation(
        tag=Tag.MEMORIES,
        summary="Read a memory",
        text="With `as_of`, as it was at that moment. `author` says who wrote the state that is shown.",
        takes=schemas.ReadRequest,
        if_match=True,
        problems=_NO_MEMORY,
        answers={
            200: Answer(
                text="The memory, and who wrote it as it is.",
                body=schemas.DetailBody,
                example=examples.DETAIL,
                etag=True,
            )
        },
    ),
    "update_memory": Operation(
        tag=Tag.MEMORIES,
        summary="Change a memory",
        text="What is absent stays as it is. PUT and PATCH do the same.",
        takes=schemas.MemoryUpdate,
        example=examples.UPDATE,
        if_match=True,
        agent=True,
        grows=True,
        problems=_NO_MEMORY,
        answers={200: _memory("The memory as it is now.")},
    ),
    "delete_memory": Operation(
        tag=Tag.MEMORIES,
        summary="Delete a memory and its relationships",
        if_match=True,
        problems=_NO_MEMORY,
        answers={204: _GONE},
    ),
    "search_memories": Operation(
        tag=Tag.SEARCH,
        summary="Search",
        text="As the MCP client searches: a memory must have one of the `tags`. An empty object finds every memory.",
        takes=schemas.SearchRequest,
        example=examples.SEARCH,
        answers={200: _PAGE},
    ),
    "search_neighbourhood": Operation(
        tag=Tag.SEARCH,
        summary="Search around a memory",
        text="A search among the memories that are related to one memory, directly or over others.",
        takes=schemas.NeighbourhoodRequest,
        example=examples.NEAR,
        problems=_NO_MEMORY,
        answers={200: _PAGE},
    ),
    "read_statistics": Operation(
        tag=Tag.SEARCH,
        summary="Count what there is",
        answers={200: Answer(text="The numbers.", body=answers.StatisticsBody, example=examples.STATISTICS)},
    ),
    "list_related": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Memories related to a memory",
        text="Over relationships in both directions that hold now (or at `as_of`). Each memory once, at its least "
        "depth; the strongest first, at most 20.",
        takes=graph.RelatedRequest,
        problems=_NO_MEMORY,
        answers={200: Answer(text="The related memories.", body=graph.RelatedBody, example=examples.RELATED)},
    ),
    "read_history": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="The history of a memory",
        text="Its states, and all of its relationships, also those that ended.",
        takes=graph.HistoryRequest,
        problems=_NO_MEMORY,
        answers={200: Answer(text="The history.", body=graph.HistoryBody, example=examples.HISTORY)},
    ),
    "find_path": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="The shortest path between two memories",
        takes=graph.PathRequest,
        problems=_NO_END,
        answers={200: Answer(text="The path, or that there is none.", body=graph.PathBody, example=examples.PATH)},
    ),
    "create_relationship": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Relate two memories",
        text="An identical one within seconds is the same one. One that would close a cycle of its type is refused "
        "with 400.",
        takes=graph.RelationshipCreate,
        example=examples.NEW_EDGE,
        agent=True,
        grows=True,
        problems=_NO_END,
        answers={201: _edge("The relationship.")},
    ),
    "list_relationship_types": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="The types of relationships",
        answers={200: Answer(text="The types and their groups.", body=graph.TypesBody)},
    ),
    "list_changes": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="What changed since a moment",
        takes=graph.ChangesRequest,
        answers={200: Answer(text="What is new, and what ended.", body=graph.ChangesBody, example=examples.CHANGES)},
    ),
    "search_relationships": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Search relationships by what their context says",
        text="Fields combine with and, the texts of one field with or. The strongest first.",
        takes=graph.ContextSearchRequest,
        example={"scope": "partial", "components": ["payment"], "limit": 20},
        answers={
            200: Answer(
                text="The relationships that hold now and say so.",
                body=graph.ContextSearchBody,
                example={"relationships": [examples.WHOLE_EDGE], "limit": 20},
            )
        },
    ),
    "read_relationship": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Read a relationship",
        if_match=True,
        problems=_NO_EDGE,
        answers={200: _edge("The relationship.")},
    ),
    "update_relationship": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Change a relationship",
        text="What is absent stays as it is. PUT and PATCH do the same.",
        takes=graph.RelationshipUpdate,
        example={"strength": 0.7},
        if_match=True,
        agent=True,
        grows=True,
        problems=_NO_EDGE,
        answers={200: _edge("The relationship as it is now.")},
    ),
    "delete_relationship": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Delete a relationship",
        text="As if it had never been. To end one and keep its history, invalidate it.",
        if_match=True,
        problems=_NO_EDGE,
        answers={204: _GONE},
    ),
    "reinforce_relationship": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="Say that a relationship helped, or did not",
        takes=graph.Reinforce,
        example={"success": True},
        body_may_be_empty=True,
        agent=True,
        problems=_NO_EDGE,
        answers={200: _edge("The relationship as it is now.")},
    ),
    "invalidate_relationship": Operation(
        tag=Tag.RELATIONSHIPS,
        summary="End a relationship",
        text="It stays in the history.",
        takes=graph.Invalidate,
        example={"reason": "the service was rewritten"},
        body_may_be_empty=True,
        agent=True,
        problems=_NO_EDGE,
        answers={200: _edge("The relationship as it is now.")},
    ),
    "export_memories": Operation(
        tag=Tag.TRANSFER,
        summary="Export everything",
        text="The answer is sent while it is made: one that is cut off lacks its end.",
        takes=transfer.ExportRequest,
        answers={
            200: Answer(
                text="The memories, then the relationships.",
                body=answers.LocalDocumentBody,
                media={"application/x-ndjson": "JSON lines: a header, memories, relationships, an end."},
            )
        },
    ),
    "import_part": Operation(
        tag=Tag.TRANSFER,
        summary="Import a file, or a part of one",
        text="Importing the same twice changes nothing. A bad row costs no good one: it is told in `bad_rows`. A file "
        "of more than 8 MiB is sent in numbered parts under one `import_id`; a part that was sent may be sent again.",
        query=transfer.ImportRequest,
        special_body="Document",
        example=examples.DOCUMENT,
        agent=True,
        problems={Conflict: "Another body was sent as this part before."},
        answers={200: Answer(text="What became of the rows.", body=answers.ImportBody, example=examples.IMPORTED)},
    ),
    "read_import": Operation(
        tag=Tag.TRANSFER,
        summary="What arrived of an import",
        answers={200: Answer(text="The parts; none for an unknown id.", body=answers.ImportsBody)},
    ),
}
