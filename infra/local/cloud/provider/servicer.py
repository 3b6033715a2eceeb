"""The gRPC side of the provider: the engine's calls turned into calls of kinds, and back.

The server is attached, not spawned: it outlives every command, so Cancel does nothing. Secrets keep their marks;
unknown values arrive only in Check and in previews.
"""

# ruff: noqa: ARG002  gRPC's signatures

from __future__ import annotations

import functools
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2_grpc

from infra.local.cloud import peers
from infra.local.cloud.cloud import Cloud
from infra.local.cloud.errors import AlreadyExists, CloudError, Denied, NotFound, disk_sentence
from infra.local.cloud.provider import attach
from infra.local.cloud.provider.kind import Checks, Kind, Made
from infra.local.cloud.provider.wire import UNKNOWN, Json, comparable, from_struct, merge, plain, to_struct
from infra.local.cloud.store import Record

log = logging.getLogger(__name__)
REFUSED, OWED = "refused", "owed"
"""A deletion that was refused stays in the engine's books. If it then makes the same thing again (the program was put
right in the middle of a replacement), the deletion of the old one still comes, and must not hit the new one."""
STATUS: tuple[tuple[type[CloudError], grpc.StatusCode], ...] = (
    (AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (Denied, grpc.StatusCode.PERMISSION_DENIED),
    (CloudError, grpc.StatusCode.FAILED_PRECONDITION),
)
M = TypeVar("M", bound=Callable[..., Any])
Context = grpc.ServicerContext


def answering(method: M) -> M:
    """Every failure becomes a status with one clear message; a fault of ours is logged with its trace."""

    @functools.wraps(method)
    def wrapped(self: Provider, request: Any, context: Context) -> Any:
        if not peers.allowed_peer(context.peer(), self.port):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, peers.REFUSAL)
        try:
            return method(self, request, context)
        except CloudError as error:
            code = next(code for kind, code in STATUS if isinstance(error, kind))
            context.abort(code, str(error))
        except OSError as error:
            context.abort(grpc.StatusCode.INTERNAL, disk_sentence(error, f"{method.__name__} {_subject(request)}"))
        except Exception as error:
            log.exception("%s %s", method.__name__, _subject(request))
            context.abort(
                grpc.StatusCode.INTERNAL,
                f"A fault of the local cloud in {method.__name__} of {_subject(request)}: {type(error).__name__}. "
                "`make logs` shows it.",
            )

    return wrapped  # type: ignore[return-value]  # same signature, by construction


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One servicer for all packages; a type token says which vendor is meant. `port` is where it is served."""

    def __init__(self, cloud: Cloud, kinds: dict[str, Kind]) -> None:
        self._cloud = cloud
        self._kinds = kinds
        self._google: Json = {}
        self._busy = _Names()
        self.port = 0

    # being attached and configured

    def Handshake(self, request: Any, context: Context) -> Any:
        return proto.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    def Attach(self, request: Any, context: Context) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Context) -> Any:
        return proto.PluginInfo(version="99.0.0")  # at least every version that an SDK asks for

    @answering
    def CheckConfig(self, request: Any, context: Context) -> Any:
        found = attach.refusals(attach.package_of(request.urn), plain(from_struct(request.news)))
        failures = [proto.CheckFailure(property=key, reason=reason) for key, reason in found.items()]
        return proto.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: Context) -> Any:
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    @answering
    def Configure(self, request: Any, context: Context) -> Any:
        config = plain(from_struct(request.args))
        variables = ",".join(request.variables)
        package = attach.package_of(request.urn) if request.urn else variables.partition(":")[0]
        if found := attach.refusals(package, config):
            raise Denied(" ".join(found.values()))
        if package == "gcp":
            self._google = config
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=False)

    def Cancel(self, request: Any, context: Context) -> Any:
        return empty_pb2.Empty()

    @answering
    def Invoke(self, request: Any, context: Context) -> Any:
        result = to_struct(attach.invoke(request.tok, self._google))
        return proto.InvokeResponse(**{"return": result})  # type: ignore[arg-type]  # the field's name is a keyword

    # the life of a resource

    @answering
    def Check(self, request: Any, context: Context) -> Any:
        kind = self._kind(request)
        inputs = from_struct(request.news)
        name = kind.name_input
        if name and name not in inputs:
            old = from_struct(request.olds).get(name)
            inputs[name] = old if old is not None else _made_name(request)
        checks = Checks(plain(inputs))
        kind.check(checks)
        failures = [proto.CheckFailure(property=key, reason=reason) for key, reason in checks.failures.items()]
        return proto.CheckResponse(inputs=to_struct(inputs), failures=failures)

    @answering
    def Diff(self, request: Any, context: Context) -> Any:
        kind = self._kind(request)
        old, new = plain(from_struct(request.old_inputs)), plain(from_struct(request.news))
        ignored = set(request.ignoreChanges)
        differs = (key for key in kind.replaces - ignored if comparable(old.get(key)) != comparable(new.get(key)))
        replaces = sorted(differs)
        # A new one under the old name can only come after the old one is gone.
        same_name = kind.identify(new) is not None and kind.identify(new) == kind.identify(old)
        # `changes` stays unknown: the engine compares the inputs itself.
        return proto.DiffResponse(replaces=replaces, deleteBeforeReplace=bool(replaces) and same_name)

    @answering
    def Create(self, request: Any, context: Context) -> Any:
        kind = self._kind(request)
        if request.preview:
            return proto.CreateResponse(properties=to_struct(_planned(kind, {}, {}, from_struct(request.properties))))
        inputs = from_struct(request.properties)
        args = plain(inputs)
        expected = kind.identify(args)
        with self._busy.holding(kind.token, expected):
            left = self._cloud.store.get(kind.token, expected) if expected else None
            if left is not None and kind.read(left) is None:
                left = None  # it was removed behind our back; only the record is left
            if left is not None and left.urn != request.urn:
                raise AlreadyExists(kind.taken(args))
            # An engine killed in the middle of an `up` leaves a resource that its state does not know. The vendors
            # answer 409 for ever; here the same URN takes it over.
            made = kind.create(args) if left is None else kind.update(left, args)
            record = self._keep(kind, made, request.urn, inputs, before=left, again=True)
        return proto.CreateResponse(id=record.id, properties=to_struct(record.outputs))

    @answering
    def Read(self, request: Any, context: Context) -> Any:
        kind = self._kind(request)
        record = self._cloud.store.get(kind.token, request.id)
        computed = kind.read(record) if record is not None else None
        if record is None or computed is None:
            return proto.ReadResponse()
        outputs = merge(record.outputs, computed)
        return proto.ReadResponse(id=record.id, inputs=to_struct(record.inputs), properties=to_struct(outputs))

    @answering
    def Update(self, request: Any, context: Context) -> Any:
        kind = self._kind(request)
        if request.preview:
            olds, old_inputs = from_struct(request.olds), from_struct(request.old_inputs)
            return proto.UpdateResponse(
                properties=to_struct(_planned(kind, olds, old_inputs, from_struct(request.news)))
            )
        record = self._cloud.store.get(kind.token, request.id)
        if record is None:
            raise NotFound(
                f"Error 404: {request.id} is gone from the local cloud. `pulumi up --refresh` makes it again."
            )
        inputs = from_struct(request.news)
        made = kind.update(record, plain(inputs))
        kept = self._keep(kind, made, request.urn or record.urn, inputs, before=record)
        return proto.UpdateResponse(properties=to_struct(kept.outputs))

    @answering
    def Delete(self, request: Any, context: Context) -> Any:
        kind = self._kind(request)
        record = self._cloud.store.get(kind.token, request.id)
        if record is None:
            return empty_pb2.Empty()
        policy = record.args.get("deletionPolicy")
        if policy == "PREVENT":
            raise CloudError(f"{request.id} has deletionPolicy PREVENT: set it to DELETE, apply that, then delete it.")
        if record.deletion == OWED:
            self._cloud.store.put(replace(record, deletion=""))
            return empty_pb2.Empty()
        try:
            if policy != "ABANDON":
                kind.delete(record)
        except CloudError:
            self._cloud.store.put(replace(record, deletion=REFUSED))
            raise
        self._cloud.store.remove(kind.token, request.id)
        return empty_pb2.Empty()

    def _kind(self, request: Any) -> Kind:
        token = request.type or request.urn.split("::")[2].rpartition("$")[2]
        kind = self._kinds.get(token)
        if kind is None:
            raise CloudError(
                f"The local cloud does not know the resource type {token}. Add a class for it in "
                "infra/local/cloud/provider/ and list it in registry.py."
            )
        return kind

    def _keep(
        self, kind: Kind, made: Made, urn: str, inputs: Json, before: Record | None = None, *, again: bool = False
    ) -> Record:
        """Keep a resource after `create` or `update`. `again`: the engine creates what is there already."""
        earlier, earlier_inputs = (before.outputs, before.inputs) if before is not None else ({}, {})
        outputs = merge(_planned(kind, earlier, earlier_inputs, inputs), made.outputs)
        deletion = OWED if before is not None and before.deletion == REFUSED and again else ""
        record = Record(
            type=kind.token, id=made.id, urn=urn, inputs=inputs, outputs=outputs, data=made.data, deletion=deletion
        )
        try:
            self._cloud.store.put(record)
        except CloudError:
            if before is None:  # nobody would know of it
                kind.delete(record)
            raise
        return record


def _planned(kind: Kind, olds: Json, old_inputs: Json, news: Json) -> Json:
    """The outputs that are foreseen: what was computed before stays; nested values that nobody knows yet are
    unknown."""
    kept = {key: value for key, value in olds.items() if key not in old_inputs}
    outputs = {**kind.defaults, **kept, **news}
    for outer, inner in kind.computed:
        before = plain(olds.get(outer))
        known = before.get(inner, UNKNOWN) if isinstance(before, dict) else UNKNOWN
        if isinstance(outputs.get(outer), dict) and inner not in plain(outputs[outer]):
            outputs[outer] = merge(outputs[outer], {inner: known})
    return outputs


class _Names:
    """One creation at a time under one name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str | None], threading.Lock] = {}

    def holding(self, token: str, name: str | None) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault((token, name), threading.Lock()) if name else threading.Lock()


def _made_name(request: Any) -> str:
    """A name from the resource's own and seven characters that the engine's seed decides, as the real providers do."""
    own = request.name or request.urn.rpartition("::")[2]
    suffix = random.Random(bytes(request.randomSeed)).randbytes(4).hex()[:7]  # noqa: S311  not a secret
    return f"{own}-{suffix}"


def _subject(request: Any) -> str:
    return str(getattr(request, "urn", "") or getattr(request, "tok", ""))
