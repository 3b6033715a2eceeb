"""`make smoke`: what infra/smoke looks at, at the address that is named, or at the local cloud."""

from __future__ import annotations

from infra.local import result
from infra.local.places import Places
from infra.local.trouble import Trouble
from infra.smoke.asking import Api
from infra.smoke.checks import Smoke


def smoke(places: Places, url: str, key: str) -> None:
    """Look, and print a line for each check.

    Raises:
        Trouble: one was not passed; or it is not said where, or by which key.
    """
    if not url and not key:  # both from one place: a key must not reach another address than its own
        known = result.read(places)
        url, key = known.get(result.API_URL, ""), known.get(result.API_KEY, "")
        if not url or not key:
            raise Trouble(
                "There is nothing to look at. `make up` for a local cloud, or: make smoke URL=https://... KEY=mg_..."
            )
    if not url or not key:
        raise Trouble(f"{'KEY' if url else 'URL'} is missing: make smoke URL=https://api.example.com KEY=mg_...")
    api = Api(url)
    print(f"Looking at {api.url}", flush=True)
    failed = Smoke(api, key, lambda line: print(line, flush=True)).run()
    if failed:
        raise Trouble(f"Not passed: {', '.join(failed)}. What came instead is above.")
