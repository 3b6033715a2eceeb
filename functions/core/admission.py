"""Who asks, and whether they may: a credential becomes a principal, and makes one of its workspace's calls.

    identify  key: its tag, without a look-up; person: the signature of their token   -> principals
    allow     limits -> scope

Whose credentials fail too often is told to wait (`failures`). The limits come before the scope, so that a call counts
whatever becomes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from core import keys
from core.credentials import bearer, person_name, workspace_id
from core.failures import WORKSPACES, Failures
from core.leases import Leases
from core.limits import Limits
from core.limits_pool import Headers
from core.ports import Claims, Clock, Directory, KeyRecord, KeyRefused, Principal, TokenVerifier
from core.principals import LEASE_SECONDS, LEASES, SHARED_SECONDS, Admitted, Find, Outcome, Principals, Refusal
from core.problems import Forbidden, Unauthorized, Unavailable
from declarations import Access

RENEW_SECONDS = 1.0
"""Between two look-ups of one credential past the caches."""

__all__ = ["LEASE_SECONDS", "SHARED_SECONDS", "Admission", "Admitted"]

_NO_KEY = "No API key was sent. Send yours as `X-API-Key: mg_...` or `Authorization: Bearer mg_...`."
_NOT_A_KEY = "This API key is not valid: it is mistyped or incomplete. Copy it again from your dashboard."
_SCOPELESS = (Access.OPEN, Access.ANY)
_STORED = (Access.READ, Access.WRITE)
_SUSPENDED: Mapping[str | None, tuple[Access, ...]] = {"writes": (Access.WRITE,), "all": _STORED}
_SUSPENSION = (
    "This workspace is suspended, and does not take this call. Nothing was deleted. "
    "Write to our support to learn why, and how it is opened again."
)


@dataclass(kw_only=True)
class Admission:
    """Admits requests. Belongs to one event loop.

    Args:
        tag_secrets: see `keys.is_genuine`.
        verifier: proves the tokens of people; None where only keys are taken.
    """

    tag_secrets: Sequence[str]
    directory: Directory
    principals: Principals
    limits: Limits
    clock: Clock
    verifier: TokenVerifier | None = None
    monotonic: Callable[[], float] = time.monotonic
    _claims: Leases[Claims] = field(init=False)
    _renewed: Leases[bool] = field(init=False)
    _failures: Failures = field(init=False)
    _strangers: Failures = field(init=False)

    def __post_init__(self) -> None:
        self._claims = Leases(LEASES, self.monotonic)
        self._renewed = Leases(LEASES, self.monotonic)
        self._failures = Failures(self.monotonic)
        self._strangers = Failures(self.monotonic, WORKSPACES)

    async def identify(
        self, api_key: str | None, authorization: str | None, *, workspace: str | None = None, client: str = ""
    ) -> Admitted | None:
        """Whose request this is; None when no credential was sent.

        Args:
            api_key: the header `X-API-Key`; it wins over `Authorization`.
            authorization: the header `Authorization`.
            workspace: the header `X-Workspace`. A key has one workspace, and does not look at it.
            client: the caller's address; may be empty.

        Raises:
            Unauthorized: the credential is malformed, unknown, revoked or expired.
            Forbidden: the person is no member of the workspace.
            Invalid: `workspace` is no id.
            TooManyRequests: too many credentials from `client` failed, or the person named too many workspaces.
            Unavailable: the credential is not cached and the control plane does not answer.
        """
        try:
            sent = self._sent(api_key, authorization)
            if sent is None:
                return None
            name, find = await self._named(*sent, workspace)
            outcome = self.principals.leased(name)
            if outcome is None:
                text, is_person = sent
                if not is_person and not keys.is_genuine(text, self.tag_secrets):
                    raise Unauthorized(_NOT_A_KEY)
                outcome = await self.principals.look_up(name, find)
            return _admitted(outcome)
        except (Unauthorized, Forbidden):
            self._failures.add(client)
            raise

    async def allow(self, admitted: Admitted | None, access: Access) -> None:
        """Make one call to a route with `access`.

        Args:
            admitted: what `identify` gave.

        Raises:
            Unauthorized: no credential was sent, and the route is not OPEN.
            TooManyRequests: a limit is reached.
            Forbidden: the credential lacks the scope, or the workspace is suspended.
            Unavailable: the workspace has no store yet.
        """
        if admitted is None:
            if access is Access.OPEN:
                return
            raise Unauthorized(_NO_KEY)
        if not admitted.pool.spend(self.monotonic()):
            await self.limits.spend(admitted.pool)
        _judge(admitted.principal, access)

    async def renew(
        self, api_key: str | None, authorization: str | None, access: Access, *, workspace: str | None = None
    ) -> Principal | None:
        """The principal of a request that was admitted, past both caches, because its store refused its address.

        When this was done for the credential a moment ago, what came of it; None when nothing is known any more. No
        call is counted. Raises as `identify` and `allow` do.
        """
        sent = self._sent(api_key, authorization)
        if sent is None:
            return None
        name, find = await self._named(*sent, workspace)
        if self._renewed.get(name):
            known = self.principals.leased(name)
            return known.principal if isinstance(known, Admitted) else None
        self._renewed.put(name, True, self.monotonic() + RENEW_SECONDS)  # noqa: FBT003  the value of a set
        principal = _admitted(await self.principals.look_up(name, find, shared=False)).principal
        _judge(principal, access)
        return principal

    def headers(self, admitted: Admitted) -> Headers:
        """What the caller may still do, for the answer."""
        return admitted.pool.headers(self.monotonic())

    def _sent(self, api_key: str | None, authorization: str | None) -> tuple[str, bool] | None:
        """The credential, and whether it is a person's."""
        key = (api_key or "").strip()
        if key:
            return key, False
        token = bearer(authorization)
        if token is None:
            return None
        return token, self.verifier is not None and not token.startswith(keys.PREFIX)

    async def _named(self, text: str, is_person: bool, workspace: str | None) -> tuple[str, Find]:  # noqa: FBT001  a pair
        """What the credential is called, and who knows it."""
        if not is_person:
            if not text.startswith(keys.PREFIX):  # the hash of another text may be the name of a person
                raise Unauthorized(_NOT_A_KEY)
            name = keys.hash_key(text)
            return name, partial(self.directory.find_key, name)
        claims = await self._prove(text)
        wanted = workspace_id(workspace)
        name = person_name(claims.account_id, wanted)
        if wanted and self.principals.leased(name) is None:
            self._strangers.check(claims.account_id)  # each name is looked up, and anybody can make up names
        return name, partial(self._find_member, claims, wanted)

    async def _prove(self, token: str) -> Claims:
        name = keys.hash_key(token)
        claims = self._claims.get(name)
        if claims is None:
            if self.verifier is None or token.count(".") != 2:
                raise Unauthorized(_NOT_A_KEY)
            claims = await self.verifier.verify(token)
            left = claims.expires_at - self.clock.now().timestamp()
            self._claims.put(name, claims, self.monotonic() + min(LEASE_SECONDS, left))
        return claims

    async def _find_member(self, claims: Claims, workspace: str | None) -> KeyRecord | KeyRefused:
        found = await self.directory.find_member(claims, workspace) or KeyRefused("no member")
        if workspace and isinstance(found, KeyRefused):
            self._strangers.add(claims.account_id)
        return found


def _admitted(outcome: Outcome) -> Admitted:
    if isinstance(outcome, Refusal):
        raise outcome.kind(outcome.detail)
    return outcome


def _judge(principal: Principal, access: Access) -> None:
    if access not in _SCOPELESS and access.value not in principal.scopes:
        raise Forbidden(f"This API key lacks the scope {access.value}. Use a key that has it.")
    if access in _SUSPENDED.get(principal.suspended, ()):
        raise Forbidden(_SUSPENSION)
    if access in _STORED and not principal.store.url:
        raise Unavailable("Your workspace is still being set up. Try again in a few seconds.", part="provisioning")
