"""The function `provisioning`: jobs and the sweep. Only Google's queue and scheduler reach it."""

from core.internal import serve_internal
from declarations import PROVISIONING
from provisioning import handlers

provisioning = serve_internal(PROVISIONING, handlers)
