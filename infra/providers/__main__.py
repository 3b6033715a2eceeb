"""The provider as a process that the engine starts: prints its port, serves until the engine ends it."""

from __future__ import annotations

import sys
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.providers.provider import MemorygraphProvider

LARGEST_MESSAGE_BYTES = 64 << 20


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
    server.wait_for_termination()


if __name__ == "__main__":
    main()
