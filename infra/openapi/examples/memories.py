"""One story in examples: a problem, its solution, and the relationship between them."""

from __future__ import annotations

from typing import Any

from declarations import VERSION

Example = dict[str, Any]

TIME = "2025-01-31T09:15:27.123456+00:00"
SOLUTION_ID = "6f1d3c1e-5b0e-4f7c-9d43-2f6d7c1b8a90"
PROBLEM_ID = "mem_3f1c8e0a5d7b4c2f9e6a1d8b7c5f4e3a"
EDGE_ID = "rel_91d4b7c2e8f34a6db05c7e1f2a9d8b6c"

NEW: Example = {
    "type": "solution",
    "title": "Fixed Redis timeout in the payment flow",
    "content": "Raised the pool size and added a retry with backoff.",
    "tags": ["redis", "payment"],
    "importance": 0.8,
    "context": {"project_path": "/projects/shop", "languages": ["python"]},
}
MEMORY: Example = {
    "id": SOLUTION_ID,
    "type": "solution",
    "title": "Fixed Redis timeout in the payment flow",
    "content": "Raised the pool size and added a retry with backoff.",
    "summary": None,
    "tags": ["redis", "payment"],
    "importance": 0.8,
    "confidence": 0.8,
    "context": {"project_path": "/projects/shop", "languages": ["python"]},
    "created_at": TIME,
    "updated_at": TIME,
    "version": 1,
}
AUTHOR: Example = {
    "key": "5b1f0c9e-7a43-4d2c-8e6b-91d0f3a2c7e4",
    "account": "0d5e8a71-3c2b-4f96-b1a8-6e7d9c0f2b35",
    "agent": "memorygraph-mcp/1.0",
}
DETAIL: Example = {**MEMORY, "author": AUTHOR}
PROBLEM_MEMORY: Example = {
    **MEMORY,
    "id": PROBLEM_ID,
    "type": "problem",
    "title": "Payments time out under load",
    "content": "The pool of Redis connections runs dry at 200 requests a second.",
    "tags": ["redis"],
    "importance": 0.7,
}
HIT: Example = {
    **MEMORY,
    "match_info": {"matched_fields": ["title"], "matched_terms": ["redis timeout"], "match_quality": "high"},
    "relationships": {"solves": ["Payments time out under load"]},
    "context_summary": "Solution solves Payments time out under load, in /projects/shop",
}
PAGE: Example = {
    "memories": [HIT],
    "total": 1,
    "total_is_exact": True,
    "limit": 20,
    "offset": 0,
    "has_more": False,
    "next_cursor": None,
}
SEARCH: Example = {"query": "redis timeout", "memory_types": ["solution", "fix"], "min_importance": 0.5, "limit": 20}
NEAR: Example = {"memory_id": PROBLEM_ID, "max_depth": 2, "query": "redis"}
UPDATE: Example = {"importance": 0.9, "tags": ["redis", "payment", "pool"]}
RECENT: Example = {
    "total_count": 2,
    "memories_by_type": {"problem": 1, "solution": 1},
    "recent_memories": [MEMORY, PROBLEM_MEMORY],
    "unresolved_problems": [],
    "days": 7,
    "project": "/projects/shop",
}
STATISTICS: Example = {
    "total_memories": {"count": 2},
    "memories_by_type": {"problem": 1, "solution": 1},
    "total_relationships": {"count": 1},
    "avg_importance": {"avg_importance": 0.75},
    "avg_confidence": {"avg_confidence": 0.8},
}
HEALTH: Example = {"status": "healthy", "version": VERSION}

NEW_EDGE: Example = {
    "from_memory_id": SOLUTION_ID,
    "to_memory_id": PROBLEM_ID,
    "relationship_type": "SOLVES",
    "strength": 0.9,
    "context": "partially fixes the payment service, only in production",
}
EDGE: Example = {
    "id": EDGE_ID,
    "from_memory_id": SOLUTION_ID,
    "to_memory_id": PROBLEM_ID,
    "relationship_type": "SOLVES",
    "category": "solution",
    "strength": 0.9,
    "confidence": 0.8,
    "context": "partially fixes the payment service, only in production",
    "created_at": TIME,
    "updated_at": TIME,
    "valid_from": TIME,
    "valid_until": None,
    "recorded_at": TIME,
    "invalidated_by": None,
    "invalidation_reason": None,
    "evidence_count": 1,
    "validation_count": 0,
    "counter_evidence_count": 0,
    "success_rate": None,
    "last_validated": None,
    "version": 1,
}
WHOLE_EDGE: Example = {
    **EDGE,
    "context_structure": {
        "text": "partially fixes the payment service, only in production",
        "scope": "partial",
        "components": ["payment service"],
        "conditions": ["production"],
        "evidence": [],
        "temporal": None,
        "exceptions": [],
    },
}
RELATED: Example = {
    "related_memories": [
        {
            "memory": PROBLEM_MEMORY,
            "relationship": {
                "id": EDGE_ID,
                "type": "SOLVES",
                "from_memory_id": SOLUTION_ID,
                "to_memory_id": PROBLEM_ID,
                "strength": 0.9,
                "confidence": 0.8,
                "context": None,
            },
            "depth": 1,
        }
    ],
    "related": [
        {
            "memory": PROBLEM_MEMORY,
            "relationship_type": "SOLVES",
            "from_memory_id": SOLUTION_ID,
            "to_memory_id": PROBLEM_ID,
            "strength": 0.9,
            "depth": 1,
        }
    ],
}
PATH: Example = {"found": True, "length": 1, "memories": [MEMORY, PROBLEM_MEMORY], "relationships": [EDGE]}
CHANGES: Example = {
    "since": TIME,
    "new_relationships": [EDGE],
    "invalidated_relationships": [],
    "has_more": False,
    "next_cursor": None,
}
HISTORY: Example = {
    "memory_id": SOLUTION_ID,
    "versions": [
        {
            "version": 1,
            "title": "Fixed Redis timeout in the payment flow",
            "valid_from": TIME,
            "valid_until": None,
            "author": AUTHOR,
        }
    ],
    "relationships": [EDGE],
    "total": 1,
    "limit": 100,
    "offset": 0,
    "has_more": False,
}
BATCH: Example = {"memories": [NEW], "atomic": True}
RESULTS: Example = {
    "results": [
        {"index": 0, "status": 201, "id": SOLUTION_ID, "version": 1, "created_at": TIME, "updated_at": TIME},
    ],
    "created": 1,
    "updated": 0,
    "failed": 0,
}
DOCUMENT: Example = {
    "format_version": "2.0",
    "export_version": "1.0",
    "export_date": TIME,
    "backend_type": "sqlite",
    "memory_count": 1,
    "relationship_count": 0,
    "memories": [{**NEW, "id": SOLUTION_ID, "created_at": TIME}],
    "relationships": [],
}
IMPORTED: Example = {
    "import_id": "laptop-2025-01",
    "part": 1,
    "repeated": False,
    "format": "json",
    "rows": 1,
    "memories": {"created": 1, "updated": 0, "unchanged": 0, "refused": 0},
    "relationships": {"created": 0, "updated": 0, "unchanged": 0, "refused": 0},
    "unreadable": 0,
    "bad": 0,
    "bad_rows": [],
    "quota": None,
}
