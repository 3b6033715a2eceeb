"""The language host serves our own user's engine only."""

from __future__ import annotations

import grpc
import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from infra.local import host
from infra.local.cloud import peers
from infra.local.places import Places


def test_other_users_are_turned_away(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "preload", lambda: None)
    server, port = host.serve(places)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = language_pb2_grpc.LanguageRuntimeStub(channel)
            stub.Handshake(language_pb2.LanguageHandshakeRequest(engine_address="127.0.0.1:1"), timeout=30)
            monkeypatch.setattr(peers, "allowed_peer", lambda _peer, server_port: server_port != port)
            for call, request in (
                (stub.Handshake, language_pb2.LanguageHandshakeRequest()),
                (stub.Run, language_pb2.RunRequest()),
            ):
                with pytest.raises(grpc.RpcError, match="belongs to another user"):
                    call(request, timeout=30)
    finally:
        server.stop(grace=None)
