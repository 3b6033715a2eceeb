"""What is read out of the context of a relationship (client contract 7.8)."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from memories.graph import context
from memories.graph.context import FIELD_MOST, READ_MOST, folded_structure, structure
from memories.graph.model import CONTEXT_LIMIT

EMPTY: dict[str, Any] = {
    "scope": None,
    "components": [],
    "conditions": [],
    "evidence": [],
    "temporal": None,
    "exceptions": [],
}

# Whole results: nothing else is found. What the client's own patterns yield is marked where ours yield more.
SENTENCES: dict[str, dict[str, Any]] = {
    "partially implements the auth module": {"scope": "partial", "components": ["auth module", "the auth"]},
    "limited to batch jobs": {"scope": "partial"},
    "an incomplete, but complete enough fix": {"scope": "partial"},
    "Fully, he says": {"scope": "full", "components": ["Fully"]},
    "entirely only a sketch": {"scope": "full"},
    "completely done": {"scope": "full"},
    "only works in staging, never elsewhere": {"scope": "conditional", "conditions": ["staging"]},
    "only in the nightly run": {"scope": "conditional", "conditions": ["the nightly run"]},
    "partialism is no scope and onlyness neither": {},
    "helps when the cache is cold; not if it is warm": {"conditions": ["the cache is cold", "it is warm"]},
    "seen in staging environment": {"conditions": ["staging"]},
    "requires a lock. nothing more": {"conditions": ["a lock"]},
    "when asked, if allowed": {"conditions": ["asked", "allowed"]},
    "verified by load tests, tested by hand": {"evidence": ["load tests", "hand"]},
    "proven by use; observed in the field": {"evidence": ["use", "the field"]},
    "known since June 2024, after the move": {"temporal": "June 2024", "components": ["June"]},
    "broke after the move; as of May": {"temporal": "the move", "components": ["May"]},
    "true as of release 2.0": {"temporal": "release 2.0"},
    "came with v2.1.0 and 3.4": {"temporal": "v2.1.0"},
    "everything except XML": {"exceptions": ["XML"], "components": ["XML"]},
    "any browser excluding safari, but not chrome": {"exceptions": ["safari", "chrome"]},
    "runs without a transaction": {"exceptions": ["a transaction"]},
    "the billing service and its worker threads leave a memory leak": {
        "components": ["billing service", "worker threads", "memory leak"]
    },
    "fixes token refresh, handles retries": {"components": ["token refresh", "retries"]},
    "supports all": {},
    "implements feature": {},
    "supports all formats": {"components": ["all formats"]},
    "The PostgreSQL of This Testing": {"components": ["PostgreSQL"]},
    "two-factor login": {"components": ["two-factor"]},
    "some random words": {},
    " \n\t ": {},
    # More than the client finds:
    "requires Python 3.11 and node.js": {  # Python 3
        "conditions": ["Python 3.11 and node.js"],
        "components": ["Python"],
        "temporal": "3.11",
    },
    "an end-to-end check": {"components": ["end-to-end"]},  # end-to
    "if it rains when it snows": {"conditions": ["it snows", "it rains when it snows"]},
    "wholly so, unless disabled": {"scope": "full", "exceptions": ["disabled"]},  # neither
    "fine depending on load": {"scope": "conditional", "conditions": ["load"]},  # neither
    "confirmed by Ada, measured in May": {"evidence": ["Ada", "May"], "components": ["Ada", "May"]},  # no evidence
    "valid until June": {"temporal": "June", "components": ["June"]},  # no time
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_free_text(sentence: str) -> None:
    assert structure(sentence) == {"text": sentence, **EMPTY, **SENTENCES[sentence]}


def test_no_context_says_nothing() -> None:
    assert structure(None) == {"text": None, **EMPTY}
    assert structure("") == {"text": "", **EMPTY}
    assert folded_structure(None) == EMPTY


def test_what_the_client_extracted_is_taken_as_it_is() -> None:
    sent = {
        "text": "partially implements auth module, only works in production",
        "scope": "partial",
        "components": ["auth module"],
        "conditions": ["production"],
        "evidence": [],
        "temporal": None,
        "exceptions": [],
    }
    assert structure(orjson.dumps(sent).decode()) == sent


def test_other_types_are_coerced() -> None:
    sent = (
        ' {"scope": 5, "components": "one", "conditions": [1, null, " ", "x", "x", {"a": [1]}], "temporal": ["2024"]}'
    )
    assert structure(sent) == {
        "text": sent,
        "scope": "5",
        "components": ["one"],
        "conditions": ["1", "x", '{"a":[1]}'],
        "evidence": [],
        "temporal": '["2024"]',
        "exceptions": [],
    }
    assert structure('{"text": "a\\u0000b", "evidence": ["\\u0000"]}') == {"text": "ab", **EMPTY}


@pytest.mark.parametrize(
    "sent",
    [
        '{"note": "only in May"}',
        '["only in May"]',
        '{"text": only in May',
        '{"text": NaN, "x": "only in May"}',
        "[" * 5000,
    ],
)
def test_other_json_is_free_text(sent: str) -> None:
    found = structure(sent)
    assert found["text"] == sent
    assert found["conditions"] == [] or found["conditions"][0].startswith("May")
    assert ("only" in sent) == (found["scope"] == "conditional")


def test_stores_search_folded_texts() -> None:
    found = folded_structure("Only in PRODUCTION, verified by Straße, except ÉTÉ and Ete")
    assert found == {
        "scope": "conditional",
        "components": ["only", "production", "ete"],
        "conditions": ["production"],
        "evidence": ["strasse"],
        "temporal": None,
        "exceptions": ["été and ete"],
    }


HOSTILE = (
    *("a", "a ", "a-", "-", "_", "1", "1.", "v1.", "A", "Aa ", " ", "\n", "\t,", ".", ".a", ", ", "\ufdfa"),
    *("when ", "if when ", "only ", "only works ", "in ", "as ", "as of ", "since ", "requires", "fixes ", "fix-"),
    *("feature ", "a module ", "process", "verified ", "verified by ", "but not ", "unless ", "when\ufdfa ", "{", "["),
    *('{"text":', '{"a":[', "provided that "),
)


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quadratic pattern takes tens of seconds of CPU for so much text."""
    monkeypatch.setattr(context, "READ_MOST", CONTEXT_LIMIT)
    text = (unit * CONTEXT_LIMIT)[:CONTEXT_LIMIT]
    started = time.process_time()
    folded_structure(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_little_room(unit: str) -> None:
    found = structure((unit * CONTEXT_LIMIT)[:CONTEXT_LIMIT])
    lists = (found["components"], found["conditions"], found["evidence"], found["exceptions"])
    assert all(sum(map(len, items)) <= FIELD_MOST for items in lists)


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert structure("x " * (READ_MOST // 2 - 5) + "only in a, if b")["scope"] == "conditional"
    assert structure("x " * READ_MOST + "only in a, if b") == {"text": "x " * READ_MOST + "only in a, if b", **EMPTY}
