"""A client that calls as fast as it can: `python -m tests.cloud.hammering`.

It reads one JSON object from standard input: `url` to call, `headers` with its credential, and perhaps `edge`, the
secret with which it signs for the Worker, when it calls an instance of a function beside the one that the Worker knows.
It says `ready`, begins when it reads another line, and prints what it got: how often each status, and the first
answer that was no 200. It gives up after a few refusals in a row.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from core.edge import Hop, signed_headers

REFUSALS = 3


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    url = urlsplit(asked["url"])
    assert url.hostname is not None
    os.nice(5)  # Redis and the functions come first: a busy machine is no Redis that is down
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    print("ready", flush=True)  # noqa: T201  the answer of this program
    sys.stdin.readline()
    seen: Counter[int] = Counter()
    refusal: dict[str, Any] = {}
    refused = 0
    while refused < REFUSALS:
        connection.request("GET", url.path, headers=asked["headers"] | signed(asked.get("edge"), url.netloc, url.path))
        answer = connection.getresponse()
        body = answer.read()
        seen[answer.status] += 1
        refused = 0 if answer.status == 200 else refused + 1
        if refused and not refusal:
            fields = {name.lower(): value for name, value in answer.getheaders()}
            refusal = {"status": answer.status, "headers": fields, "body": json.loads(body)}
    print(json.dumps({"seen": seen, "refusal": refusal}), flush=True)  # noqa: T201  as above


def signed(secret: str | None, host: str, target: str) -> dict[str, str]:
    if secret is None:
        return {}
    now = str(int(time.time()))
    return signed_headers(secret, Hop(timestamp=now, request_id="h", method="GET", host=host, target=target, client=""))


if __name__ == "__main__":
    main()
