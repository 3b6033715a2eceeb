"""What Google's queue and scheduler call. A wake-up says nothing: what there is to do is in the outbox."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from starlette.responses import Response

from core import reporting
from core.adapters.http1 import HttpClient
from core.http import Call
from core.internal import CallerVerifier
from core.oidc import OidcVerifier
from declarations import PROVISIONING, VERSION, ProvisioningFunctionSettings
from provisioning import kinds, parts
from provisioning import reconcile as reconciling
from provisioning import sweep as sweeping
from provisioning.backups import checking, taking
from provisioning.jobs import Runner
from provisioning.parts import Parts


@dataclass(frozen=True, slots=True)
class Service:
    """One for the process."""

    parts: Parts
    runner: Runner


WOKEN_SECONDS = 300.0
"""Cloud Tasks waits ten minutes for the answer to a task that was added without content, and then sends it again. What
takes longer is the sweep's, which has half an hour."""


def build(settings: ProvisioningFunctionSettings) -> Service:
    """See `core.internal.InternalHandlers`."""
    built = parts.build(settings)
    reporter = reporting.build(settings, PROVISIONING.name)
    return Service(built, Runner(built.outbox, kinds.works(built), reporter=reporter))


def callers(settings: ProvisioningFunctionSettings) -> CallerVerifier:
    """See `core.internal.InternalHandlers`. The function is private: the platform has checked what it leaves out."""
    return OidcVerifier(HttpClient(), settings.oidc_certs_url, "", settings.oidc_caller, behind_iam=True)


async def run_jobs(call: Call, service: Service) -> Response:
    return call.reply(asdict(await service.runner.run(WOKEN_SECONDS)))


async def sweep(call: Call, service: Service) -> Response:
    return call.reply(await sweeping.sweep(service.parts, service.runner))


async def reconcile(call: Call, service: Service) -> Response:
    return call.reply(await reconciling.reconcile(service.parts))


async def back_up(call: Call, service: Service) -> Response:
    return call.reply(await taking.back_up(service.parts))


async def check_backups(call: Call, service: Service) -> Response:
    return call.reply(await checking.check_backups(service.parts))


async def read_health(call: Call, _service: Service) -> Response:
    return call.reply({"status": "healthy", "version": VERSION})
