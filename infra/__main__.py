"""Everything that MemoryGraph Cloud runs on, as a table of contents: configuration, components, exports.

What each part is made of is in `infra/components/`; what the functions are is in `functions/declarations.py`.
"""

from __future__ import annotations

import pulumi

from core.urls import base_url
from declarations import FUNCTIONS, PREFIX, ProvisioningSettings
from infra import cloud
from infra import config as configuration
from infra.bindings import Bindings
from infra.components.control_plane import ControlPlane
from infra.components.edge import Edge
from infra.components.function import FunctionService
from infra.components.google import GoogleProject
from infra.components.keys import Keys
from infra.components.limiter import Limiter
from infra.components.store import Store

OPERATOR = "provisioning"
"""Whose database role and secrets the operator's own commands use (`make key`)."""


def program() -> None:
    config = configuration.load()
    cloud.check(config.cloud)

    keys = Keys("keys", config)
    google = GoogleProject("google", config)
    control_plane = ControlPlane("control-plane", config, keys, readers=[*(f.name for f in FUNCTIONS), OPERATOR])
    limiter = Limiter("limiter", config)
    store = Store("store", config)
    bindings = Bindings(config=config, keys=keys, control_plane=control_plane, limiter=limiter, store=store)

    services = {
        function.name: FunctionService(function, config, google, bindings.bind(function.name, function.settings))
        for function in FUNCTIONS
    }
    edge = Edge("edge", config, services)

    operator = bindings.bind(OPERATOR, ProvisioningSettings)
    pulumi.export("api_url", base_url(config.api_host) + PREFIX)
    pulumi.export("name_servers", edge.name_servers)
    pulumi.export("functions", {name: service.url for name, service in services.items()})
    pulumi.export("operator", pulumi.Output.secret(pulumi.Output.all(**operator.plain, **operator.secret)))


if __name__ == "__main__":
    program()
