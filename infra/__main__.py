"""Everything that MemoryGraph Cloud runs on, as a table of contents: configuration, components, exports.

What each part is made of is in `infra/components/`; what the functions are is in `functions/declarations.py`.
"""

from __future__ import annotations

import pulumi

from core.urls import base_url
from declarations import BILLING, DEPLOYED, FUNCTIONS, PREFIX, PROVISIONING, ProvisioningSettings
from infra import cloud
from infra import config as configuration
from infra.bindings import Bindings
from infra.components.backups import Backups
from infra.components.billing import Billing
from infra.components.control_plane import ControlPlane
from infra.components.domain import Domain
from infra.components.edge import Edge
from infra.components.function import FunctionService
from infra.components.google import GoogleProject
from infra.components.jobs import Caller, Jobs
from infra.components.keys import Keys
from infra.components.limiter import Limiter
from infra.components.people import People
from infra.components.pipeline import Pipeline
from infra.components.store import Store
from infra.components.watching import Watching


def program() -> None:
    config = configuration.load()
    cloud.check(config.cloud)

    domain = Domain("domain", config)
    keys = Keys("keys", config)
    google = GoogleProject("google", config)
    readers = [*(function.name for function in DEPLOYED), "backup"]
    control_plane = ControlPlane("control-plane", config, keys, readers=readers)
    people = People("people", config, control_plane)
    limiter = Limiter("limiter", config)
    store = Store("store", config)
    billing = Billing("billing", config, webhook_path=BILLING.path_of("receive_event"))
    bindings = Bindings(
        config=config,
        keys=keys,
        control_plane=control_plane,
        people=people,
        limiter=limiter,
        store=store,
        billing=billing,
    )

    caller = Caller("caller", google)
    backups = Backups("backups", config, google)
    bindings.offer("OIDC_CALLER", caller.email)
    bindings.offer("BACKUP_BUCKET", backups.bucket)
    provisioning = FunctionService(
        PROVISIONING,
        config,
        google,
        bindings.bind(PROVISIONING.name, PROVISIONING.settings),
        caller=caller.member,
    )
    backups.allow(provisioning)
    jobs = Jobs("jobs", config, google, provisioning, caller)
    bindings.offer("TASKS_URL", jobs.url)

    services = {
        function.name: FunctionService(function, config, google, bindings.bind(function.name, function.settings))
        for function in FUNCTIONS
    }
    for service in services.values():
        if "TASKS_URL" in {variable.name for variable in service.function.settings.variables()}:
            jobs.allow(service)
    Edge("edge", config, domain, services)
    Watching("watching", config, google, databases_most=store.databases_most)
    pipeline = Pipeline("pipeline", config, google)

    operator = bindings.bind(PROVISIONING.name, ProvisioningSettings)
    pulumi.export("api_url", base_url(config.api_host) + PREFIX)
    pulumi.export("auth_url", people.url)
    pulumi.export("publishable_key", people.publishable_key)
    pulumi.export("captcha_site_key", people.captcha_site_key)
    pulumi.export("name_servers", domain.name_servers)
    pulumi.export("ds", domain.ds)
    pulumi.export("functions", {name: service.url for name, service in services.items()})
    pulumi.export("keys", {**keys.kinds, **billing.kinds})
    pulumi.export("github", pipeline.told)
    pulumi.export("operator", pulumi.Output.secret(pulumi.Output.all(**operator.plain, **operator.secret)))
    pulumi.export("restore", backups.told(control_plane, PROVISIONING.name))


if __name__ == "__main__":
    program()
