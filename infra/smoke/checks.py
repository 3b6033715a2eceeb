"""What is looked at, in order: it answers, it refuses strangers, and a memory is stored, found, read and deleted.

One memory with a word that nothing else has is written, and deleted whatever happens in between. It counts as seven
calls of the key's account.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.smoke.asking import Answer, Api, Silence

PATIENCE_SECONDS = 60.0
"""How long a stack that was just deployed may take until it answers for the first time."""
LONGEST_PAUSE_SECONDS = 10.0
TRIES = 3
PASSING = frozenset({429, 502, 503, 504})

FORGED_KEY = "mg_" + "0" * 40


class Failed(Exception):
    """A check was not passed. The message says what came instead of what, and what that may mean."""


@dataclass
class Smoke:
    """The checks of one run. `say` gets a line for each."""

    api: Api
    key: str
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    word: str = field(default_factory=lambda: f"smoke{uuid.uuid4().hex}")
    stored: str = ""  # the id of our memory, while it is there

    def run(self) -> list[str]:
        """The names of the checks that were not passed; those that need one of them are told and left out."""
        failed = self._run(("health", self._health), ("strangers", self._strangers), ("key", self._key))
        if "health" in failed or "key" in failed:
            self.say("-    store, search, read, delete: left out, because of the above")
            return failed
        try:
            failed += self._run(("store", self._store))
            if "store" not in failed:
                failed += self._run(("search", self._search), ("read", self._read))
        finally:
            if self.stored:
                failed += self._run(("delete", self._delete))
        return failed

    def _run(self, *checks: tuple[str, Callable[[], str]]) -> list[str]:
        return [name for name, check in checks if not self._passed(name, check)]

    def _passed(self, name: str, check: Callable[[], str]) -> bool:
        began = self.monotonic()
        try:
            told = check()
        except (Failed, Silence) as error:
            self.say(f"FAIL {name}: {error}")
            return False
        self.say(f"ok   {name}: {told} ({(self.monotonic() - began) * 1000:.0f} ms)")
        return True

    def _health(self) -> str:
        """Asked again while it may still be starting."""
        ends = self.monotonic() + PATIENCE_SECONDS
        pause = 1.0
        while True:
            try:
                answer = self.api.ask("GET", "/health")
                if answer.status == 200 and answer.member("status") == "healthy":
                    break
                fault = Failed(f"{_told(answer)} instead of 200 and healthy: the function or the edge is not up")
            except Silence as error:
                fault = Failed(f"{error}: look at DNS, the certificate and the Worker's route")
            if self.monotonic() + pause > ends:
                raise fault
            self.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        if not answer.headers.get("x-request-id"):
            raise Failed("the answer has no X-Request-Id: it did not come through our function")
        return f"healthy, version {answer.member('version')}"

    def _strangers(self) -> str:
        for what, key in (("no key", ""), ("a forged key", FORGED_KEY)):
            answer = self._ask("GET", "/memories?limit=1", key=key)
            if answer.status != 401:
                raise Failed(
                    f"{_told(answer)} instead of 401 for {what}: take the stack off the network and find out why"
                )
        return "refused without a key and with a forged one"

    def _key(self) -> str:
        answer = self._ask("GET", "/auth/verify", key=self.key)
        if answer.status == 401:
            raise Failed("KEY is refused. Make another one and set it.")
        _expect(answer, 200, "admission needs the control plane and Redis")
        return "is good"

    def _store(self) -> str:
        memory = {
            "type": "general",
            "title": f"Smoke test {self.word}",
            "content": "Written and deleted by make smoke.",
            "tags": ["smoke-test"],
        }
        # By an id of ours: a try whose answer was lost is the same memory, and can be deleted.
        self.stored = str(uuid.uuid4())
        answer = self._ask("POST", "/memories", body={**memory, "id": self.stored}, key=self.key)
        if answer.status not in (200, 201):
            self.stored = self.stored if answer.status >= 500 else ""
            raise Failed(f"{_told(answer)} instead of 201: the store refuses the memory or is not there")
        return "a memory"

    def _search(self) -> str:
        answer = self._ask("POST", "/search/advanced", body={"query": self.word, "limit": 5}, key=self.key)
        _expect(answer, 200, "the store does not search")
        found = answer.member("memories")
        if not isinstance(found, list) or [one.get("id") for one in found if isinstance(one, dict)] != [self.stored]:
            raise Failed(
                "what was just stored is not what is found: an acknowledged write was lost, or search is broken"
            )
        return "finds it and nothing else"

    def _read(self) -> str:
        answer = self._ask("GET", f"/memories/{self.stored}", key=self.key)
        _expect(answer, 200, "the memory cannot be read back")
        if answer.member("title") != f"Smoke test {self.word}":
            raise Failed("the title is not the one that was stored")
        return "as it was stored"

    def _delete(self) -> str:
        path = f"/memories/{self.stored}"
        answer = self._ask("DELETE", path, key=self.key)
        if answer.status not in (204, 404):  # 404: an earlier try whose answer was lost
            raise Failed(f"{_told(answer)} instead of 204: delete the memory {self.stored} by hand")
        _expect(
            self._ask("GET", path, key=self.key), 404, f"it is still there: delete the memory {self.stored} by hand"
        )
        self.stored = ""
        return "gone"

    def _ask(self, method: str, path: str, *, key: str = "", body: object = None) -> Answer:
        """Asked again after what passes: each of these requests may be made twice."""
        for tries in range(1, TRIES + 1):
            try:
                answer = self.api.ask(method, path, key=key, body=body)
                if answer.status not in PASSING or tries == TRIES:
                    return answer
                wait = answer.headers.get("retry-after", "")
                pause = min(float(wait), LONGEST_PAUSE_SECONDS) if wait.isdecimal() else 1.0
            except Silence:
                if tries == TRIES:
                    raise
                pause = 1.0
            self.sleep(pause)
        raise AssertionError("the last try returned or raised")


def _expect(answer: Answer, status: int, meaning: str) -> None:
    if answer.status != status:
        raise Failed(f"{_told(answer)} instead of {status}: {meaning}")


def _told(answer: Answer) -> str:
    detail = answer.member("detail")
    return f"{answer.status} ({detail})" if detail else str(answer.status)
