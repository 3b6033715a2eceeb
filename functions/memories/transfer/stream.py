"""An answer that is sent while it is made. One that cannot be finished is visibly cut off: its last chunk never comes.

Starlette's own would let the error through to functions-framework, which logs what it says (that may quote a memory)
and tries to start a second answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from core import logs


class Stream(StreamingResponse):
    """`chunks` is closed however this ends: all sent, the client gone, the time over, or a failure of its own."""

    def __init__(
        self, chunks: AsyncGenerator[bytes], *, media_type: str, headers: Mapping[str, str], request_id: str
    ) -> None:
        super().__init__(chunks, headers=headers, media_type=media_type)
        self._chunks = chunks
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks = {asyncio.create_task(self._send(scope, send)), asyncio.create_task(_gone(receive))}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, scope: Scope, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async with aclosing(self._chunks) as chunks:
                    async for chunk in chunks:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            pass  # the client is gone
        except Exception as error:
            # Returning without the last message makes the server close the connection in the middle of the body.
            fields = {"request_id": self._request_id}
            logs.LOGGER.error("An answer broke off while it was sent.", exc_info=error, extra={"fields": fields})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
