"""The engine's protocol, for every kind of resource alike: check, diff, preview, create, read, update, delete.

Kinds do the work and know no protocol (`kind.py`). The local driver without an engine calls the methods of
MemorygraphProvider in its own process, without a context: failures are then raised as ProviderError.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2  # not Pulumi's copy: one process holds one definition
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from declarations import STRIPE_API_VERSION
from infra.config.stripe_keys import Mode, mode
from infra.providers import properties
from infra.providers.api import Api
from infra.providers.keys import Key
from infra.providers.kind import InitFailed, Kind, Log, ProviderError
from infra.providers.properties import UNKNOWN, Properties
from infra.providers.schema import Schema
from infra.providers.stripe_portal import PortalConfiguration
from infra.providers.stripe_prices import Price, Product
from infra.providers.stripe_webhooks import WebhookEndpoint
from infra.providers.supabase import Project
from infra.providers.supabase_auth import AuthSettings
from infra.providers.turso import Group
from infra.providers.urls import url_fault

R = TypeVar("R")

VERSION = "0.1.0"
DEFAULTS = {
    "supabaseApi": "https://api.supabase.com",
    "tursoApi": "https://api.turso.tech",
    "stripeApi": "https://api.stripe.com",
}
"""Configuration with its defaults; `supabaseToken`, `tursoToken` and `stripeToken` have none."""


def kinds(config: Mapping[str, str]) -> dict[str, Kind]:
    """Every kind of resource by token, for one configuration of the provider."""
    settings = {**DEFAULTS, **{name: value for name, value in config.items() if value}}
    supabase = Api("Supabase", settings["supabaseApi"], settings.get("supabaseToken", ""), setting="supabase")
    turso = Api("Turso", settings["tursoApi"], settings.get("tursoToken", ""), setting="turso")
    stripe = Api(
        "Stripe",
        settings["stripeApi"],
        settings.get("stripeToken", ""),
        setting="stripe",
        form=True,
        headers={"Stripe-Version": STRIPE_API_VERSION},
    )
    made: tuple[Kind, ...] = (
        Key(),
        Project(supabase),
        AuthSettings(supabase),
        Schema(),
        Group(turso),
        Product(stripe),
        Price(stripe),
        PortalConfiguration(stripe),
        WebhookEndpoint(stripe),
    )
    return {kind.token: kind for kind in made}


def _reported(method: Callable[..., R]) -> Callable[..., R]:
    """A failure becomes one sentence for the operator."""

    @functools.wraps(method)
    def call(self: MemorygraphProvider, request: Any, context: grpc.ServicerContext | None = None) -> R:
        try:
            return method(self, request, context)
        except ProviderError as error:
            if context is None:
                raise
            _abort(context, error)
        except Exception as error:
            if context is None:
                raise
            # Only the place: the message of an unforeseen failure may hold a secret.
            place = traceback.extract_tb(sys.exc_info()[2])[-1]
            message = f"A defect of our provider: {type(error).__name__} at {place.filename}, line {place.lineno}."
            _abort(context, ProviderError(message))

    return call


class MemorygraphProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Serves every kind in `kinds`. `engine` is the engine's address, for progress messages; none, no messages."""

    def __init__(self, engine: str = "", *, make: Callable[[Mapping[str, str]], dict[str, Kind]] = kinds) -> None:
        self._make = make
        self._kinds = make({})
        self._engine: engine_pb2_grpc.EngineStub | None = None
        self._connect(engine)

    # The connection with the engine

    @_reported
    def Handshake(self, request: Any, context: Any) -> provider_pb2.ProviderHandshakeResponse:  # noqa: ARG002
        self._connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    @_reported
    def Attach(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        self._connect(request.address)
        return empty_pb2.Empty()

    @_reported
    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: ARG002
        return plugin_pb2.PluginInfo(version=VERSION)

    @_reported
    def GetSchema(self, request: Any, context: Any) -> provider_pb2.GetSchemaResponse:  # noqa: ARG002
        return provider_pb2.GetSchemaResponse(schema='{"name": "memorygraph"}')

    @_reported
    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        return empty_pb2.Empty()

    # The provider's configuration

    @_reported
    def CheckConfig(self, request: Any, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        news, _ = properties.read(request.news)
        faults = [(name, fault) for name in DEFAULTS if (fault := _url_fault(name, news.get(name)))]
        faults += [("stripeToken", fault) for fault in _key_faults(news)]
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(faults))

    @_reported
    def DiffConfig(self, request: Any, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        """An address or a token may change at any time; no resource is replaced for that."""
        same = properties.read(request.olds) == properties.read(request.news)
        changes = provider_pb2.DiffResponse.DIFF_NONE if same else provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=changes)

    @_reported
    def Configure(self, request: Any, context: Any) -> provider_pb2.ConfigureResponse:  # noqa: ARG002
        args, _ = properties.read(request.args)
        self._kinds = self._make({name: value for name, value in args.items() if isinstance(value, str)})
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    # Resources

    @_reported
    def Check(self, request: Any, context: Any) -> provider_pb2.CheckResponse:  # noqa: ARG002
        kind = self._kind(request)
        news, _ = properties.read(request.news)
        faults = [
            (spec.name, fault)
            for spec in kind.inputs
            if not properties.is_unknown(news.get(spec.name)) and (fault := spec.fault(news.get(spec.name)))
        ]
        known = {spec.name for spec in kind.inputs}
        faults += [(name, f"{kind.token} has no input {name}") for name in sorted(news) if name not in known]
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(faults))

    @_reported
    def Diff(self, request: Any, context: Any) -> provider_pb2.DiffResponse:  # noqa: ARG002
        kind = self._kind(request)
        old, _ = properties.read(request.old_inputs)
        new, _ = properties.read(request.news)
        changed = _changed(kind, old, new)
        replaces = [spec.name for spec in kind.inputs if spec.replaces and spec.name in changed]
        diff = provider_pb2.DiffResponse
        return provider_pb2.DiffResponse(
            changes=diff.DIFF_SOME if changed else diff.DIFF_NONE,
            diffs=changed,
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and kind.delete_before_replace,
        )

    @_reported
    def Create(self, request: Any, context: Any) -> provider_pb2.CreateResponse:  # noqa: ARG002
        kind = self._kind(request)
        inputs, secret = properties.read(request.properties)
        if request.preview:
            outputs = {output.name: UNKNOWN for output in kind.outputs}
            return provider_pb2.CreateResponse(properties=_written(kind, {**inputs, **outputs}, secret))
        try:
            id, outputs = kind.create(inputs, self._logger(request.urn))
        except InitFailed as error:
            error.outputs = {**inputs, **error.outputs}
            error.secret = _secret(kind, secret)
            raise
        return provider_pb2.CreateResponse(id=id, properties=_written(kind, {**inputs, **outputs}, secret))

    @_reported
    def Read(self, request: Any, context: Any) -> provider_pb2.ReadResponse:  # noqa: ARG002
        kind = self._kind(request)
        inputs, secret = properties.read(request.inputs)
        state, _ = properties.read(request.properties)
        outputs = {output.name: state[output.name] for output in kind.outputs if output.name in state}
        found = kind.read(request.id, inputs, outputs, self._logger(request.urn))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=found.id,
            inputs=_written(kind, found.inputs, secret),
            properties=_written(kind, {**found.inputs, **found.outputs}, secret),
        )

    @_reported
    def Update(self, request: Any, context: Any) -> provider_pb2.UpdateResponse:  # noqa: ARG002
        kind = self._kind(request)
        state, _ = properties.read(request.olds)
        old, _ = properties.read(request.old_inputs)
        new, secret = properties.read(request.news)
        if request.preview:
            changed = set(_changed(kind, old, new))
            outputs = {
                output.name: UNKNOWN if changed.intersection(output.follows) else state.get(output.name)
                for output in kind.outputs
            }
        else:
            outputs = kind.update(request.id, {**state, **old}, new, self._logger(request.urn))
        return provider_pb2.UpdateResponse(properties=_written(kind, {**new, **outputs}, secret))

    @_reported
    def Delete(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: ARG002
        state, _ = properties.read(request.properties)
        self._kind(request).delete(request.id, state, self._logger(request.urn))
        return empty_pb2.Empty()

    def _kind(self, request: Any) -> Kind:
        # Older engines send no type; it is in the URN: urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME
        token = request.type or request.urn.split("::")[2].rpartition("$")[2]
        if token not in self._kinds:
            raise ProviderError(f"The memorygraph provider has no resource {token}; it has {', '.join(self._kinds)}.")
        return self._kinds[token]

    def _connect(self, address: str) -> None:
        if address and self._engine is None:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def _logger(self, urn: str) -> Log:
        def log(message: str) -> None:
            if self._engine is None:
                return
            try:
                self._engine.Log(
                    engine_pb2.LogRequest(severity=engine_pb2.LogSeverity.INFO, message=message, urn=urn), timeout=5
                )
            except grpc.RpcError:
                self._engine = None  # progress is a courtesy: an engine that does not listen loses it

        return log


def _changed(kind: Kind, old: Properties, new: Properties) -> list[str]:
    """Names of inputs that differ; one that is not known yet may differ, so it counts."""
    return [
        spec.name
        for spec in kind.inputs
        if properties.is_unknown(new.get(spec.name)) or old.get(spec.name) != new.get(spec.name)
    ]


def _secret(kind: Kind, marked: Iterable[str]) -> frozenset[str]:
    declared = {spec.name for spec in kind.inputs if spec.secret} | {spec.name for spec in kind.outputs if spec.secret}
    return frozenset(declared.union(marked))


def _written(kind: Kind, values: Properties, marked: Iterable[str]) -> Any:
    return properties.write(values, _secret(kind, marked))


def _url_fault(name: str, value: Any) -> str | None:
    if value is None or properties.is_unknown(value):
        return None
    fault = url_fault(value)
    return fault and f"memorygraph:{name} is {fault}"


def _key_faults(config: Properties) -> list[str]:
    """A key that moves money is sent to Stripe only."""
    key, base = config.get("stripeToken"), str(config.get("stripeApi") or DEFAULTS["stripeApi"])
    if mode(str(key)) is not Mode.LIVE or properties.is_unknown(base) or base.rstrip("/") == DEFAULTS["stripeApi"]:
        return []
    return [
        f"memorygraph:stripeToken is a live key, and memorygraph:stripeApi ({base}) is not Stripe's: use a test key"
    ]


def _failures(faults: Iterable[tuple[str, str]]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in faults]


def _abort(context: grpc.ServicerContext, error: ProviderError) -> NoReturn:
    """End the call with the message; with what was made so far, too, when the resource exists."""
    if isinstance(error, InitFailed):
        detail = provider_pb2.ErrorResourceInitFailed(
            id=error.id, properties=properties.write(error.outputs, error.secret), reasons=[str(error)]
        )
        packed = any_pb2.Any()
        packed.Pack(detail)
        code = grpc.StatusCode.UNKNOWN
        status = status_pb2.Status(code=code.value[0], message=str(error), details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    else:
        code = grpc.StatusCode.FAILED_PRECONDITION
    context.abort(code, str(error))
    raise error  # not reached: abort raises
