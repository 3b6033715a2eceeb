"""The language host: runs the Pulumi program for the engine, so that a plain `pulumi up` works here.

Pulumi's own Python host comes only with an installed CLI. The engine attaches to this one instead
(PULUMI_DEBUG_LANGUAGES); it serves the same protocol with the server that the SDK uses for inline programs. It lives as
long as the cloud daemon, and so pays once for importing the provider SDKs (pulumi_cloudflare: 6 s, 380 MB); the
project's own modules are imported afresh for every run.

    python -m infra.local.host --root DIR
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import select
import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation import _server
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from infra.local import processes, program
from infra.local.cloud import peers
from infra.local.places import Places, write_private

PROVIDER_SDKS = ("pulumi_gcp", "pulumi_cloudflare", "upstash_pulumi")
# Else every mistake in the program is told as a traceback through the SDK.
setattr(_server, "run_in_stack", program.run_in_stack)  # noqa: B010  not an export of that module, so not assigned to

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Host(_server.LanguageServer):
    """The SDK's server for inline programs, with the methods that an engine asks of a host that it attaches to."""

    def __init__(self, places: Places) -> None:
        super().__init__(lambda: program.run(places))
        self.port = 0  # where it is served
        self._engine = ""  # the address of the command that attached last
        self._one_run = threading.Lock()  # the program's modules are this process's, so runs take turns
        self._preloading = threading.Thread(target=preload, daemon=True)
        self._preloading.start()

    def Run(self, request: Any, context: Any) -> Any:
        self._admit(context)
        if self._engine and not request.args:
            request.args.append(self._engine)  # where the SDK sends what the program logs
        self._preloading.join()  # two threads that import the same packages can meet half of one
        with self._one_run:
            if not context.is_active():  # the command was interrupted while its run waited
                return language_pb2.RunResponse(bail=True)
            program.forget()
            answer = super().Run(request, context)  # type: ignore[no-untyped-call]  # the SDK's method has no types
            if answer.error and request.args:
                # The SDK has logged it already; as an error of the run it would be told twice, as an unhandled one.
                answer = language_pb2.RunResponse(bail=True)
            return answer

    def Handshake(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetRequiredPackages(self, _request: Any, _context: Any) -> Any:
        return language_pb2.GetRequiredPackagesResponse()  # every provider is attached or in Pulumi.yaml

    def _admit(self, context: Any) -> None:
        if not peers.allowed_peer(context.peer(), self.port):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, peers.REFUSAL)

    def About(self, _request: Any, _context: Any) -> Any:
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())


def serve(places: Places) -> tuple[grpc.Server, int]:
    """Serve on a free port of 127.0.0.1; returns the server (keep it) and the port."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=_UNLIMITED)
    host = Host(places)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    host.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, host.port


def preload() -> None:
    """Import the provider SDKs, so that the first run need not."""
    gc.disable()  # it finds nothing among a million new objects that all stay, and takes a third of the time
    for name in PROVIDER_SDKS:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()


def find_cloud(places: Places) -> processes.Record:
    """The daemon, which is started together with us."""
    deadline = time.monotonic() + processes.START_SECONDS
    while time.monotonic() < deadline:
        cloud = processes.living(places, processes.CLOUD)
        if cloud is not None:
            return cloud
        time.sleep(0.05)
    sys.stderr.write("The local cloud is not running. `make up` starts both.\n")
    sys.stderr.flush()
    os._exit(1)  # imports are still running in their thread


def wait_for_end(cloud: int) -> None:
    """Return when the daemon ends, however it ends. (It cannot be our parent: both outlive the command.)"""
    try:
        handle = os.pidfd_open(cloud)
    except ProcessLookupError:
        return
    select.select([handle], [], [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--root", required=True, type=Path)
    places = Places.of(str(parser.parse_args().root))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.chdir(places.repo / "infra")  # `main: infra` in Pulumi.yaml; runs share the process, so it is set once
    server, port = serve(places)
    cloud = find_cloud(places)
    write_private(places.host_record, json.dumps({"pid": os.getpid(), "port": port}))
    wait_for_end(cloud.pid)
    server.stop(grace=None)
    places.host_record.unlink(missing_ok=True)
    os._exit(0)  # imports may still be running in their thread


if __name__ == "__main__":
    main()
