"""The 35 types of relationships, as data (client contract 7.2): five in each of seven groups, what each says, and which
type says the same of the reverse edge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    CAUSAL = "causal"
    SOLUTION = "solution"
    CONTEXT = "context"
    LEARNING = "learning"
    SIMILARITY = "similarity"
    WORKFLOW = "workflow"
    QUALITY = "quality"


class RelationshipType(StrEnum):
    CAUSES = "CAUSES"
    TRIGGERS = "TRIGGERS"
    LEADS_TO = "LEADS_TO"
    PREVENTS = "PREVENTS"
    BREAKS = "BREAKS"
    SOLVES = "SOLVES"
    ADDRESSES = "ADDRESSES"
    ALTERNATIVE_TO = "ALTERNATIVE_TO"
    IMPROVES = "IMPROVES"
    REPLACES = "REPLACES"
    OCCURS_IN = "OCCURS_IN"
    APPLIES_TO = "APPLIES_TO"
    WORKS_WITH = "WORKS_WITH"
    REQUIRES = "REQUIRES"
    USED_IN = "USED_IN"
    BUILDS_ON = "BUILDS_ON"
    CONTRADICTS = "CONTRADICTS"
    CONFIRMS = "CONFIRMS"
    GENERALIZES = "GENERALIZES"
    SPECIALIZES = "SPECIALIZES"
    SIMILAR_TO = "SIMILAR_TO"
    VARIANT_OF = "VARIANT_OF"
    RELATED_TO = "RELATED_TO"
    ANALOGY_TO = "ANALOGY_TO"
    OPPOSITE_OF = "OPPOSITE_OF"
    FOLLOWS = "FOLLOWS"
    DEPENDS_ON = "DEPENDS_ON"
    ENABLES = "ENABLES"
    BLOCKS = "BLOCKS"
    PARALLEL_TO = "PARALLEL_TO"
    EFFECTIVE_FOR = "EFFECTIVE_FOR"
    INEFFECTIVE_FOR = "INEFFECTIVE_FOR"
    PREFERRED_OVER = "PREFERRED_OVER"
    DEPRECATED_BY = "DEPRECATED_BY"
    VALIDATED_BY = "VALIDATED_BY"

    @property
    def category(self) -> Category:
        return CATEGORIES[self]

    @property
    def description(self) -> str:
        """What an edge from A to B says, in one line."""
        return MEANINGS[self].description

    @property
    def inverse(self) -> RelationshipType | None:
        """The type of an edge from B to A that says the same as this one from A to B."""
        return MEANINGS[self].inverse

    @property
    def symmetric(self) -> bool:
        """Whether the edge says the same in both directions."""
        return self.inverse is self


CATEGORIES = {
    # The members are declared in the order of the groups, five each.
    type_: category
    for category, start in zip(Category, range(0, len(RelationshipType), 5), strict=True)
    for type_ in tuple(RelationshipType)[start : start + 5]
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """`inverse`: only where the reverse says neither more nor less. What enables something need not be what it depends
    on, and of two that are analogous the contract calls neither direction the same."""

    description: str
    inverse: RelationshipType | None = None


_T = RelationshipType

MEANINGS = {
    _T.CAUSES: Meaning("A is the reason why B happens."),
    _T.TRIGGERS: Meaning("A sets B off."),
    _T.LEADS_TO: Meaning("A ends in B, perhaps by several steps."),
    _T.PREVENTS: Meaning("Because of A, B does not happen."),
    _T.BREAKS: Meaning("A stops B from working."),
    _T.SOLVES: Meaning("A is the answer to the problem B."),
    _T.ADDRESSES: Meaning("A deals with the problem B, perhaps only in part."),
    _T.ALTERNATIVE_TO: Meaning("A and B serve the same end; either will do.", _T.ALTERNATIVE_TO),
    _T.IMPROVES: Meaning("A makes B better."),
    _T.REPLACES: Meaning("A takes the place of B.", _T.DEPRECATED_BY),
    _T.OCCURS_IN: Meaning("A is seen or happens within B."),
    _T.APPLIES_TO: Meaning("A holds for, or is of use in, B."),
    _T.WORKS_WITH: Meaning("A and B go together.", _T.WORKS_WITH),
    _T.REQUIRES: Meaning("A does not work without B."),
    _T.USED_IN: Meaning("A is a part or a tool of B."),
    _T.BUILDS_ON: Meaning("A takes what was learned in B further."),
    _T.CONTRADICTS: Meaning("A and B cannot both be right.", _T.CONTRADICTS),
    _T.CONFIRMS: Meaning("A is evidence that B is right.", _T.VALIDATED_BY),
    _T.GENERALIZES: Meaning("A is the general case of B.", _T.SPECIALIZES),
    _T.SPECIALIZES: Meaning("A is a special case of B.", _T.GENERALIZES),
    _T.SIMILAR_TO: Meaning("A and B are alike.", _T.SIMILAR_TO),
    _T.VARIANT_OF: Meaning("A is another form of B."),
    _T.RELATED_TO: Meaning("A and B have something to do with each other.", _T.RELATED_TO),
    _T.ANALOGY_TO: Meaning("A, from another field, helps to understand B."),
    _T.OPPOSITE_OF: Meaning("A and B are each other's contrary.", _T.OPPOSITE_OF),
    _T.FOLLOWS: Meaning("A comes after B."),
    _T.DEPENDS_ON: Meaning("A cannot be done before B is."),
    _T.ENABLES: Meaning("A makes B possible."),
    _T.BLOCKS: Meaning("As long as A stands, B cannot go on."),
    _T.PARALLEL_TO: Meaning("A and B can be done at the same time.", _T.PARALLEL_TO),
    _T.EFFECTIVE_FOR: Meaning("A works well for B."),
    _T.INEFFECTIVE_FOR: Meaning("A was tried for B and does not help."),
    _T.PREFERRED_OVER: Meaning("Of A and B, take A."),
    _T.DEPRECATED_BY: Meaning("B took the place of A.", _T.REPLACES),
    _T.VALIDATED_BY: Meaning("B is evidence that A is right.", _T.CONFIRMS),
}

SYMMETRIC = frozenset(type_ for type_ in RelationshipType if type_.symmetric)

RESOLVING = (RelationshipType.SOLVES, RelationshipType.ADDRESSES)
"""An incoming edge of these resolves a problem (client contract 7.5)."""
