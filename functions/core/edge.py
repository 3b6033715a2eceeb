"""The signed hop: proof that a request came through the edge Worker, checked before anything else.

    signature = HMAC-SHA256(secret, "v1" LF timestamp LF request id LF METHOD LF host LF path with query LF client)

The Worker makes the headers (and drops copies that a client sent); the function accepts them for 30 seconds, signed
with the current or the previous secret. The body is not covered: replay inside the window is accepted (DESIGN 4).
`sign` is here for tests and probes; both sides share the vectors in tests/contract/edge_vectors.json.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.problems import Unauthorized

WINDOW_SECONDS = 30

TIMESTAMP = "x-edge-timestamp"
REQUEST_ID = "x-edge-request-id"
CLIENT = "x-edge-client"
HOST = "x-edge-host"
SIGNATURE = "x-edge-signature"

_REFUSAL = "This address answers only through the edge: call the public API instead."


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What the edge vouches for. `host` is the public host, `client` the caller's address (may be empty)."""

    timestamp: str
    request_id: str
    method: str
    host: str
    target: str
    client: str


def sign(secret: str, hop: Hop) -> str:
    """The lower-case hex signature of `hop` under the UTF-8 bytes of `secret`."""
    fields = ("v1", hop.timestamp, hop.request_id, hop.method, hop.host, hop.target, hop.client)
    return hmac.digest(secret.encode(), "\n".join(fields).encode(), "sha256").hex()


def signed_headers(secret: str, hop: Hop) -> dict[str, str]:
    """The headers that the Worker adds."""
    return {
        TIMESTAMP: hop.timestamp,
        REQUEST_ID: hop.request_id,
        CLIENT: hop.client,
        HOST: hop.host,
        SIGNATURE: sign(secret, hop),
    }


def check(secrets: Sequence[str], method: str, target: str, headers: Mapping[str, str], now: float) -> Hop:
    """The hop that `headers` prove.

    Args:
        secrets: current and previous; none of them means that nothing is accepted.
        target: path with query, raw, as it arrived.
        headers: lower-case lookup.
        now: unix seconds.

    Raises:
        Unauthorized: a header is missing, too old, too new, or not signed by one of `secrets`.
    """
    hop = Hop(
        timestamp=headers.get(TIMESTAMP, ""),
        request_id=headers.get(REQUEST_ID, ""),
        method=method,
        host=headers.get(HOST, ""),
        target=target,
        client=headers.get(CLIENT, ""),
    )
    signature = headers.get(SIGNATURE, "").encode()
    fresh = _is_decimal(hop.timestamp) and abs(now - int(hop.timestamp)) <= WINDOW_SECONDS
    signed = any([hmac.compare_digest(sign(secret, hop).encode(), signature) for secret in secrets])  # noqa: C419  every one, in constant time
    if not (fresh and signed and hop.request_id):
        raise Unauthorized(_REFUSAL)
    return hop


def _is_decimal(text: str) -> bool:
    return 0 < len(text) <= 12 and text.isascii() and text.isdecimal()
