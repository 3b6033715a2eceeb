"""Databases for the adapters' own tests: the same ones as the memories' suites use."""

from tests.functions.memories.conftest import http, sqld

__all__ = ["http", "sqld"]
