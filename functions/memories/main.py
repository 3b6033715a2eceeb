"""The memories function: memory CRUD, search, relationships, statistics."""

from core.http import serve
from declarations import MEMORIES
from memories import handlers

memories = serve(MEMORIES, handlers)
