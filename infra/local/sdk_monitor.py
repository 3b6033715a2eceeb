"""What stands in the engine's place when there is none: registers each resource by creating it, or by keeping it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import provider_pb2, resource_pb2

from infra.local import engine
from infra.local.cloud.provider.wire import comparable
from infra.local.sdk_providers import Providers, Refused, plain, refuse, struct
from infra.local.sdk_state import Held, State

SIG = rpc._special_sig_key
SECRET = rpc._special_secret_sig
_STACK = "pulumi:pulumi:Stack"
_PROVIDER = "pulumi:providers:"


def revealed(value: Any) -> Any:
    """A value without the marks of secrets."""
    if isinstance(value, dict):
        if value.get(SIG) == SECRET:
            return revealed(value["value"])
        return {key: revealed(item) for key, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, list) else value


class _NoMocks(mocks.Mocks):
    """The SDK's monitor wants one; ours answers every request itself."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise NotImplementedError(args.typ)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError(args.token)


class Monitor(mocks.MockMonitor):
    """Requests come from several threads, one for each resource whose inputs are known. `say` shows what was made."""

    def __init__(self, providers: Providers, state: State, say: Callable[[str], None]) -> None:
        super().__init__(_NoMocks())
        self._providers = providers
        self._state = state
        self._say = say
        self._seen: set[str] = set()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """As the engine makes it: the types of all parents but the stack."""
        ancestry = parent.split("::")[2] if parent else _STACK
        qualified = type_ if ancestry == _STACK else f"{ancestry}${type_}"
        return f"urn:pulumi:{settings.get_stack()}::{settings.get_project()}::{qualified}::{name}"

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type.startswith(_PROVIDER):
            self._providers.configure(request.type.removeprefix(_PROVIDER), plain(request.object), urn)
            return resource_pb2.RegisterResourceResponse(urn=urn, id=request.name, object=request.object)
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        held = self._settled(urn, request)
        self._seen.add(urn)
        outputs = dict(held.outputs)
        for name in request.additionalSecretOutputs:
            if name in outputs and not _is_secret(outputs[name]):
                outputs[name] = {SIG: SECRET, "value": outputs[name]}
        return resource_pb2.RegisterResourceResponse(urn=urn, id=held.id, object=struct(outputs))

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.urn.split("::")[2] == _STACK:
            self._state.set_outputs(revealed(plain(request.outputs)))
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:
        package = request.tok.partition(":")[0]
        asked = provider_pb2.InvokeRequest(tok=request.tok, args=request.args)
        answer = self._providers.call(package, "Invoke", asked, request.tok)
        fields = {"return": getattr(answer, "return"), "failures": answer.failures}
        return resource_pb2.ResourceInvokeResponse(**fields)

    def ReadResource(self, request: Any) -> Any:
        raise Refused(f"{_named(request)}: looking up an existing resource needs the Pulumi engine. {engine.HINT}")

    def finish(self) -> None:
        """Call when the program has ended. Raises Refused when it no longer declares what was created."""
        gone = sorted(self._state.resources.keys() - self._seen)
        if gone:
            names = ", ".join(_short(self._state.resources[urn]) for urn in gone)
            raise _needs_engine(f"{names}: no longer in the program, and would be deleted")

    def _settled(self, urn: str, request: Any) -> Held:
        """The resource as it is in the cloud, created when it is not there. Raises Refused."""
        about, package, inputs = _named(request), request.type.partition(":")[0], plain(request.object)
        held = self._state.resources.get(urn)
        if held is not None:
            changed = sorted(
                name
                for name in held.inputs.keys() | inputs.keys()
                if comparable(held.inputs.get(name)) != comparable(inputs.get(name))
                and name not in request.ignoreChanges
            )
            if changed:
                raise _needs_engine(f"{about}: {', '.join(changed)} changed, and would be updated")
            held = self._read(urn, package, held, about)
        if held is None:
            held = self._create(urn, package, inputs, request, about)
        self._state.put(urn, held)
        return held

    def _read(self, urn: str, package: str, held: Held, about: str) -> Held | None:
        """What the provider has now (an address may have moved); None when it is gone."""
        asked = provider_pb2.ReadRequest(
            id=held.id,
            urn=urn,
            properties=struct(held.outputs),
            inputs=struct(held.checked),
            name=held.name,
            type=held.type,
        )
        answer = self._providers.call(package, "Read", asked, about)
        if not answer.id:
            return None
        return Held(held.type, held.name, answer.id, held.inputs, held.checked, plain(answer.properties))

    def _create(self, urn: str, package: str, inputs: dict[str, Any], request: Any, about: str) -> Held:
        start = time.monotonic()
        asked = provider_pb2.CheckRequest(urn=urn, news=request.object, name=request.name, type=request.type)
        checked = self._providers.call(package, "Check", asked, about)
        refuse(about, checked.failures)
        create = provider_pb2.CreateRequest(urn=urn, properties=checked.inputs, name=request.name, type=request.type)
        made = self._providers.call(package, "Create", create, about)
        self._say(f" +  {about} created ({time.monotonic() - start:.1f}s)")
        return Held(request.type, request.name, made.id, inputs, plain(checked.inputs), plain(made.properties))


def _needs_engine(what: str) -> Refused:
    return Refused(
        f"{what}. Without the Pulumi engine, `make up` can only create and keep. {engine.HINT} "
        "Then `make destroy` and `make up` (this environment was made without it), or undo the change."
    )


def _named(request: Any) -> str:
    return f"{request.type} {request.name}"


def _short(held: Held) -> str:
    return f"{held.type} {held.name}"


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and value.get(SIG) == SECRET
