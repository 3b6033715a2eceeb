"""The 35 types of relationships, as data (client contract 7.2): five in each of seven groups, some symmetric."""

from __future__ import annotations

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
    def symmetric(self) -> bool:
        """Whether the edge says the same in both directions."""
        return self in SYMMETRIC


CATEGORIES = {
    # The members are declared in the order of the groups, five each.
    type_: category
    for category, start in zip(Category, range(0, len(RelationshipType), 5), strict=True)
    for type_ in tuple(RelationshipType)[start : start + 5]
}

SYMMETRIC = frozenset(
    {
        RelationshipType.ALTERNATIVE_TO,
        RelationshipType.WORKS_WITH,
        RelationshipType.CONTRADICTS,
        RelationshipType.SIMILAR_TO,
        RelationshipType.RELATED_TO,
        RelationshipType.OPPOSITE_OF,
        RelationshipType.PARALLEL_TO,
    }
)

RESOLVING = (RelationshipType.SOLVES, RelationshipType.ADDRESSES)
"""An incoming edge of these resolves a problem (client contract 7.5)."""
