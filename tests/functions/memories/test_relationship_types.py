"""The 35 types of relationships (client contract 7.2)."""

from __future__ import annotations

from memories.relationship_types import MEANINGS, SYMMETRIC, Category, RelationshipType


def test_thirty_five_types_five_in_each_category() -> None:
    assert len(RelationshipType) == 35
    for category in Category:
        assert len([type_ for type_ in RelationshipType if type_.category is category]) == 5
    examples = {
        **{"BREAKS": "causal", "SOLVES": "solution", "USED_IN": "context", "BUILDS_ON": "learning"},
        **{"OPPOSITE_OF": "similarity", "FOLLOWS": "workflow", "VALIDATED_BY": "quality"},
    }
    assert {name: RelationshipType(name).category for name in examples} == examples


def test_the_symmetric_ones() -> None:
    names = "ALTERNATIVE_TO WORKS_WITH CONTRADICTS SIMILAR_TO RELATED_TO OPPOSITE_OF PARALLEL_TO"
    assert set(names.split()) == SYMMETRIC


def test_an_inverse_of_an_inverse_is_the_type_itself() -> None:
    inverses = {type_: type_.inverse for type_ in RelationshipType if type_.inverse}
    assert {inverse: type_ for type_, inverse in inverses.items()} == inverses
    pairs = {(one, other) for one, other in inverses.items() if one < other}
    assert pairs == {("GENERALIZES", "SPECIALIZES"), ("DEPRECATED_BY", "REPLACES"), ("CONFIRMS", "VALIDATED_BY")}


def test_each_says_something_of_its_own() -> None:
    descriptions = {type_.description for type_ in RelationshipType}
    assert len(descriptions) == len(MEANINGS) == 35
    for text in descriptions:
        assert "\n" not in text
        assert "A" in text
        assert "B" in text
