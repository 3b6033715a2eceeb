"""The accounts function: who is this; keys, workspaces and their members, use, all that is held of a person."""

from accounts import handlers
from core.http import serve
from declarations import ACCOUNTS

accounts = serve(ACCOUNTS, handlers)
