"""Job `void_keys {keys: [[name, version], ...]}`: what `accounts` voids at once, again until Redis has acknowledged it.

A cached principal ends by itself within a minute: when Redis has not answered for so long, nothing is left to void.
"""

from __future__ import annotations

from core.problems import Unavailable
from provisioning.jobs import GaveUp
from provisioning.outbox import Job
from provisioning.parts import Parts

ENDED_ATTEMPTS = 5
"""After so many pauses (0008_jobs.sql: 5 s, doubled, halved by chance) more than `SHARED_SECONDS` have passed."""


async def void_keys(parts: Parts, job: Job) -> None:
    keys = job.payload.get("keys")
    if not isinstance(keys, list):
        raise GaveUp("It names no keys.")
    missed = 0
    for name, version in keys:
        missed += not await parts.tools.cache.void(str(name), int(version))
    if missed and job.attempts <= ENDED_ATTEMPTS:
        raise Unavailable(f"Redis did not take {missed} of {len(keys)} tombstones.", part="redis")
