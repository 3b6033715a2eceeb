"""Rows of imports on generated data: whatever comes in, good rows go in whole, and an export gives them back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from core.problems import Invalid
from memories.graph.model import Relationship
from memories.model import Memory, MemoryType
from memories.relationship_types import RelationshipType
from memories.transfer import readers
from memories.transfer.formats import VERSION
from memories.transfer.model import ExportPage, Kind
from memories.transfer.service import CHUNK_BYTES, CHUNK_ROWS, BadRow, Row, _chunks
from memories.transfer.writers import DocumentWriter, memory_line, relationship_line

NOW = datetime(2025, 1, 31, tzinfo=UTC)

ids = some.text("abcXYZ019_.-", min_size=1, max_size=8).filter(lambda text: text.strip(".") != "")
texts = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
filled = texts.map(lambda text: (text + "x").strip())
units = some.floats(0, 1)
ours = some.datetimes(datetime(1970, 1, 1), datetime(4253, 1, 1), timezones=some.just(UTC))  # noqa: DTZ001  as it takes them
any_time = some.datetimes(timezones=some.just(UTC))
counts = some.integers(0, 1_000_000_000)
values = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**53), 2**53)
    | some.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
contexts = some.dictionaries(
    texts.map(lambda text: f"k{text}"), values.filter(lambda value: value is not None), max_size=4
)
memories = some.builds(
    Memory,
    id=ids,
    type=some.sampled_from(MemoryType),
    title=filled,
    content=filled,
    summary=some.none() | filled,
    tags=some.lists(some.text("abc", min_size=1, max_size=5), max_size=4, unique=True).map(tuple),
    importance=units,
    confidence=units,
    context=some.none() | contexts,
    created_at=ours,
    updated_at=ours,
    version=some.integers(1, 1_000_000_000),
)
relationships = some.builds(
    Relationship,
    id=ids,
    from_id=ids,
    to_id=ids,
    type=some.sampled_from(RelationshipType),
    strength=units,
    confidence=units,
    context=some.none() | texts,
    created_at=ours,
    updated_at=ours,
    valid_from=any_time,
    valid_until=some.none() | any_time,
    recorded_at=ours,
    invalidated_by=some.none() | ids,
    invalidation_reason=some.none() | texts,
    evidence_count=counts,
    validation_count=counts,
    counter_evidence_count=counts,
    last_validated=some.none() | any_time,
    version=some.integers(1, 1_000_000_000),
).filter(lambda one: one.valid_until is None or one.valid_from <= one.valid_until)


def rows_of(body: bytes, media_type: str = "application/x-ndjson") -> list[Row | BadRow]:
    return [row for row in readers.read(body, media_type, NOW).rows if row is not None]


def things(rows: list[Row | BadRow]) -> list[Memory | Relationship]:
    assert [row for row in rows if isinstance(row, BadRow)] == []
    return [row.thing for row in rows if isinstance(row, Row)]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some.lists(memories, max_size=3), some.lists(relationships, max_size=3))
def test_lines_lose_nothing(some_memories: list[Memory], some_relationships: list[Relationship]) -> None:
    written = [
        {"kind": "header", "format_version": VERSION},
        *(memory_line(memory) for memory in some_memories),
        *(relationship_line(one) for one in some_relationships),
    ]
    body = b"".join(orjson.dumps(line) + b"\n" for line in written)
    assert things(rows_of(body)) == [*some_memories, *some_relationships]
    reparsed = b"".join(json.dumps(json.loads(line)).encode() + b"\r\n" for line in body.splitlines())
    assert things(rows_of(reparsed)) == [*some_memories, *some_relationships]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some.lists(some.tuples(some.lists(memories, max_size=2), some.lists(relationships, max_size=2)), max_size=3))
def test_documents_are_json_however_the_pages_fall(pages: list[tuple[list[Memory], list[Relationship]]]) -> None:
    """Memories first, as the store gives them."""
    given_pages = [ExportPage(page, [], None) for page, _ in pages] + [ExportPage([], page, None) for _, page in pages]
    writer = DocumentWriter()
    body = writer.head(None, NOW)  # type: ignore[arg-type]  # its counts come last
    body += b"".join(piece for page in given_pages for piece in writer.page(page)) + writer.end(None)
    document = json.loads(body)
    all_memories = [memory for page, _ in pages for memory in page]
    all_edges = [edge for _, page in pages for edge in page]
    assert [row["id"] for row in document["memories"]] == [memory.id for memory in all_memories]
    assert (document["memory_count"], document["relationship_count"]) == (len(all_memories), len(all_edges))
    read = things(rows_of(body))
    for given_edge, edge in zip(all_edges, [one for one in read if isinstance(one, Relationship)], strict=True):
        assert (edge.from_id, edge.to_id, edge.type) == (given_edge.from_id, given_edge.to_id, given_edge.type)
        assert (edge.strength, edge.context) == (given_edge.strength, given_edge.context)
        assert edge.evidence_count == given_edge.evidence_count


anything = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=10),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(
            some.sampled_from(["id", "kind", "title", "tags", "context", "properties", "from_memory_id", "created_at"])
            | some.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
junk = some.binary(max_size=30) | anything.map(lambda value: json.dumps(value).encode())
kinds: some.SearchStrategy[Any] = some.sampled_from(["memory", "relationship", "header", "end", "thing", 1, None, []])
rows = some.tuples(some.dictionaries(some.text(max_size=5), anything, max_size=4), kinds).map(
    lambda pair: json.dumps({**pair[0], "kind": pair[1]}).encode()
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(some.lists(junk | rows, max_size=6))
def test_whatever_comes_costs_no_good_row(bad: list[bytes]) -> None:
    good = b'{"kind":"memory","id":"good","type":"fix","title":"T","content":"C"}'
    bad = [line.replace(b"\n", b"") for line in bad]
    for at in {0, len(bad) // 2, len(bad)}:
        body = b"\n".join([*bad[:at], good, *bad[at:]])
        try:
            found = rows_of(body)
        except Invalid:
            assert any(b'"header"' in line for line in bad), "of another version"
            continue
        assert [row.thing.id for row in found if isinstance(row, Row) and row.number == at + 1] == ["good"]
        assert all(row.errors for row in found if isinstance(row, BadRow))


@given(
    some.lists(
        some.tuples(
            some.sampled_from("abcdef"), some.sampled_from(Kind), some.booleans(), some.integers(0, CHUNK_BYTES * 2)
        )
        | some.none()
    ),
    some.integers(1, CHUNK_ROWS * 2),
)
def test_chunks_hold_everything_in_order_and_are_bounded(
    wanted: list[tuple[str, Kind, bool, int] | None], repeats: int
) -> None:
    sent: list[Row | BadRow] = []
    for number, one in enumerate(wanted * (repeats if len(wanted) < 4 else 1)):
        if one is None:
            sent.append(BadRow(number, None, None, {}))
            continue
        row_id, kind, timeless, size = one
        sent.append(Row(number, _thing(kind, row_id), size, timeless and kind is Kind.RELATIONSHIP))
    chunks = list(_chunks(sent))
    assert [row for chunk in chunks for row in chunk] == sent
    for chunk in chunks:
        good = [row for row in chunk if isinstance(row, Row)]
        assert len(chunk) <= CHUNK_ROWS
        assert len({row.thing.id for row in good}) == len(good)
        assert len({(row.kind, row.timeless) for row in good}) <= 1
        assert len(good) == 1 or sum(row.size for row in good) <= CHUNK_BYTES


def _thing(kind: Kind, row_id: str) -> Any:
    if kind is Kind.MEMORY:
        return Memory(id=row_id, type="fix", title="T", content="C", created_at=NOW, updated_at=NOW)
    times: dict[str, Any] = dict.fromkeys(("created_at", "updated_at", "valid_from", "recorded_at"), NOW)
    return Relationship(id=row_id, from_id="a", to_id="b", type=RelationshipType.SOLVES, **times)
