"""The provider as a process that the engine starts: prints its port, serves until the engine ends, however it ends."""

from __future__ import annotations

import os
import sys
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.providers.provider import MemorygraphProvider

ENGINE = os.getppid()
LARGEST_MESSAGE_BYTES = 64 << 20
LOOK_SECONDS = 1.0


def main() -> None:
    engine = sys.argv[-1] if len(sys.argv) > 1 else ""
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES)]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(MemorygraphProvider(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")  # the protocol: the first line is the port
    sys.stdout.flush()
    # A killed engine says no farewell. (Not PR_SET_PDEATHSIG: it fires when the thread that started us ends.)
    while os.getppid() == ENGINE:
        if not server.wait_for_termination(LOOK_SECONDS):  # True when the time is up
            return
    os._exit(1)  # nobody waits for what is still being done


if __name__ == "__main__":
    main()
