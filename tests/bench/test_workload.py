"""The workload is what the report says of it, and the same each time."""

from __future__ import annotations

import itertools
from collections import Counter

from tests.bench.workload import CONTENT_CHARACTERS, MIX, Kind, Vocabulary, Workload


def test_the_same_seed_gives_the_same_memories_and_operations() -> None:
    one, two, other = Workload(50), Workload(50), Workload(50, seed=1)
    assert list(one.items) == list(two.items) != list(other.items)
    first = list(itertools.islice(one.operations(3, "a"), 40))
    assert first == list(itertools.islice(two.operations(3, "a"), 40))
    assert first != list(itertools.islice(two.operations(4, "a"), 40))


def test_memories_are_distinct_and_of_the_declared_length() -> None:
    items = Workload(200).items
    assert len({item.id for item in items}) == len({item.marker for item in items}) == 200
    lengths = [len(item.content) for item in items]
    assert min(lengths) >= CONTENT_CHARACTERS
    assert max(lengths) < CONTENT_CHARACTERS + 40
    assert all(item.content.startswith(item.marker + " ") and 0 < len(item.title) <= 200 for item in items)


def test_words_are_common_and_rare() -> None:
    words = Counter(word for item in Workload(300).items for word in item.content.split()[1:])
    counts = [count for _, count in words.most_common()]
    assert len(counts) > 1000, "there must be many rare words"
    assert counts[0] > 30 * counts[len(counts) // 2], "and a few that are everywhere"
    assert len(set(Vocabulary(500).words)) == 500


def test_the_mix_is_the_declared_one() -> None:
    kinds = Counter(operation.kind for operation in itertools.islice(Workload(20).operations(0), 5000))
    for name, share in MIX.items():
        assert abs(kinds[Kind(name)] / 5000 - share) < 0.03


def test_every_query_is_in_some_memory() -> None:
    workload = Workload(30)
    for operation in itertools.islice(workload.operations(1), 300):
        if operation.kind is Kind.SEARCH:
            words = operation.query.split()
            assert 1 <= len(words) <= 3
            assert any(set(words) <= set(item.content.split()) for item in workload.items)


def test_stores_are_new_ones_or_rewrite_the_clients_own() -> None:
    workload = Workload(40)

    def stored(client: int, run: str, own: range | tuple[()] = ()) -> list[str]:
        plan = itertools.islice(workload.operations(client, run, own), 400)
        return [operation.item.id for operation in plan if operation.item is not None]

    there = {item.id for item in workload.items}
    fresh = stored(0, "a") + stored(1, "a") + stored(0, "b")
    assert len(set(fresh)) == len(fresh)
    assert not there & set(fresh)
    own = {workload.items[index].id for index in range(1, 40, 8)}
    assert set(stored(1, "a", range(1, 40, 8))) == own
