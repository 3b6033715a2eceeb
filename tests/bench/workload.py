"""What is stored and asked: deterministic, and the same for every system.

Words come by Zipf's law, so that there are common and rare ones, as in what people write. A query is one to three
words of some stored memory. Every memory holds a word of its own (its marker), by which an answer is known to be the
right one.
"""

from __future__ import annotations

import itertools
import random
import uuid
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

SEED = 20261127
VOCABULARY = 3000
CONTENT_CHARACTERS = 450
SEARCH_LIMIT = 10
MIX = {"search": 0.60, "get": 0.30, "store": 0.10}
TYPES = ("solution", "problem", "code_pattern", "task", "general")

_ONSETS = (
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "g",
    "gl",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ou")
_ENDS = ("", "n", "r", "l", "m", "t", "x")


class Kind(StrEnum):
    SEARCH = "search"
    GET = "get"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Item:
    """One memory. `content` begins with `marker`, which no other memory holds."""

    id: str
    marker: str
    type: str
    title: str
    content: str
    tags: tuple[str, ...]
    importance: float

    def rewritten(self, content: str) -> Item:
        """The same memory with another content."""
        return replace(self, content=f"{self.marker} {content}")


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client does next: `query` of a search, `index` of the stored memory to get, `item` to store."""

    kind: Kind
    query: str = ""
    index: int = 0
    item: Item | None = None


class Vocabulary:
    """Made-up words; the one at place n is drawn with a weight of 1/n."""

    def __init__(self, size: int = VOCABULARY, seed: int = SEED) -> None:
        made: dict[str, None] = {}
        dice = random.Random(f"{seed} words")
        while len(made) < size:
            syllables = dice.choice((1, 2, 2, 3))
            parts = (dice.choice(_ONSETS) + dice.choice(_VOWELS) + dice.choice(_ENDS) for _ in range(syllables))
            word = "".join(parts)
            if len(word) > 2:
                made[word] = None
        self.words = tuple(made)
        self._sums = list(itertools.accumulate(1 / place for place in range(1, size + 1)))

    def draw(self, dice: random.Random) -> str:
        return self.words[bisect(self._sums, dice.random() * self._sums[-1])]

    def text(self, dice: random.Random, characters: int) -> str:
        """Words with spaces between them, at least so many characters."""
        words: list[str] = []
        length = 0
        while length < characters:
            words.append(self.draw(dice))
            length += len(words[-1]) + 1
        return " ".join(words)


class Workload:
    """The memories of one size, and what clients ask of them."""

    def __init__(self, size: int, *, seed: int = SEED, name: str = "") -> None:
        self.size = size
        self._seed = f"{seed} {name} {size}"
        self._vocabulary = Vocabulary(seed=seed)
        dice = random.Random(f"{self._seed} items")
        self.items: Sequence[Item] = [self._item(dice, f"mk{number:06d}") for number in range(size)]

    def operations(self, client: int, run: str = "", rewritten: Sequence[int] = ()) -> Iterator[Operation]:
        """What one client does, without end. Each `run` stores other memories.

        Args:
            rewritten: indexes of memories that this client alone stores anew, in place of new ones.
        """
        dice = random.Random(f"{self._seed} client {client} {run}")
        kinds, weights = [Kind(name) for name in MIX], list(MIX.values())
        for number in itertools.count():
            kind = dice.choices(kinds, weights)[0]
            if kind is Kind.SEARCH:
                yield Operation(kind, query=self.query(dice))
            elif kind is Kind.GET:
                yield Operation(kind, index=dice.randrange(self.size))
            elif rewritten:
                item = self.items[dice.choice(rewritten)]
                yield Operation(kind, item=item.rewritten(self._vocabulary.text(dice, CONTENT_CHARACTERS)))
            else:
                yield Operation(kind, item=self._item(dice, f"mk{run}x{client}x{number}"))

    def query(self, dice: random.Random) -> str:
        """One to three different words of some stored memory."""
        words = dict.fromkeys(dice.choice(self.items).content.split()[1:])
        return " ".join(dice.sample(list(words), dice.choice((1, 2, 3))))

    def _item(self, dice: random.Random, marker: str) -> Item:
        return Item(
            id=str(uuid.UUID(int=dice.getrandbits(128), version=4)),
            marker=marker,
            type=dice.choice(TYPES),
            title=f"{marker} {self._vocabulary.text(dice, 40)}",
            content=f"{marker} {self._vocabulary.text(dice, CONTENT_CHARACTERS)}",
            tags=tuple(sorted({self._vocabulary.draw(dice), self._vocabulary.draw(dice)})),
            importance=dice.randrange(1, 10) / 10,
        )
