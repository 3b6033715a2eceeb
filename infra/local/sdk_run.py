"""Applies the Pulumi program without an engine: the SDK's test runtime, feeding the local cloud's own providers.

For a first run on a machine that has no Pulumi. It can create what is missing and keep what is there; it knows no
update, no replacement, no deletion and no preview, and says so when one would be needed. Its state, LOCAL_ROOT/pulumi/
driver.json (0600), holds outputs in plain text: it is a rehearsal, and nothing in it opens anything elsewhere.

    python -m infra.local.sdk_run --root DIR < '{"config": {...}, "providers": {"gcp": PORT, ...}}'
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
from concurrent import futures
from typing import Any

import grpc
import pulumi
from pulumi.runtime import mocks, set_all_config, settings
from pulumi.runtime.proto import provider_pb2_grpc

from infra.local import program, stack
from infra.local.places import Places
from infra.local.sdk_monitor import Monitor
from infra.local.sdk_providers import Providers, why
from infra.local.sdk_state import State

OWN_PACKAGE = "memorygraph"


def apply(places: Places, config: dict[str, str], ports: dict[str, int]) -> None:
    """Run the program once. Raises pulumi.RunError with what to tell the user."""
    project = stack.project(places)
    state = State.load(places.driver_state)
    server, own = _serve_own_provider()
    providers = Providers({**ports, OWN_PACKAGE: own}, config)
    monitor = Monitor(providers, state, say=_say)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(futures.ThreadPoolExecutor(16))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # resources that wait for a failed one are not news
    try:
        settings.configure(
            mocks.MockSettings(  # type: ignore[no-untyped-call]  # the SDK's class has no types
                monitor=monitor,
                engine=mocks.MockEngine(_messages()),
                project=project,
                stack=stack.STACK,
                dry_run=False,
                organization="organization",
                callbacks=None,
            )
        )
        set_all_config(config)
        loop.run_until_complete(program.run_in_stack(lambda: program.run(places)))
        monitor.finish()
    finally:
        server.stop(grace=None)


def _serve_own_provider() -> tuple[grpc.Server, int]:
    """Our own provider, which the engine would start as a plugin."""
    from infra.providers.provider import MemorygraphProvider

    server = grpc.server(futures.ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(MemorygraphProvider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")  # in one piece: several threads create resources
    sys.stdout.flush()


def _messages() -> logging.Logger:
    """What the program logs (pulumi.log.warn) goes to standard output, as the engine shows it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("memorygraph.program")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return logger


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", required=True)
    places = Places.of(parser.parse_args().root)
    given: dict[str, Any] = json.load(sys.stdin)
    gc.disable()  # most of the time goes into importing the provider SDKs, and nothing of them is garbage
    os.chdir(places.repo / "infra")  # `main: infra` in Pulumi.yaml
    code = 0
    try:
        apply(places, given["config"], given["providers"])
    except (pulumi.RunError, grpc.RpcError) as error:
        print(why(error) if isinstance(error, grpc.RpcError) else error, file=sys.stderr, flush=True)
        code = 1
    sys.stdout.flush()
    os._exit(code)  # threads of resources that wait for a failed one must not keep us here


if __name__ == "__main__":
    main()
