"""The least that functions-framework can serve: the ceiling of a request that touches no store, and of a cold start."""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

BODY = b'{"status":"healthy","version":"0"}'


@functions_framework.aio.http
async def hello(_request: Request) -> Response:
    return Response(BODY, media_type="application/json")
