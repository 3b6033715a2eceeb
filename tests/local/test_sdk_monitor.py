"""The driver without an engine: creates what is missing, keeps what is there, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.proto import provider_pb2, resource_pb2

from infra.local.sdk_monitor import SECRET, SIG, Monitor
from infra.local.sdk_providers import Providers, Refused, plain, struct
from infra.local.sdk_state import State

BUCKET = "gcp:storage/bucket:Bucket"
STACK_URN = "urn:pulumi:local::shop::pulumi:pulumi:Stack::shop-local"


class Cloud(Providers):
    """A provider that keeps resources in memory. `moved` is added to what Read answers; `refused` fails a check."""

    def __init__(self) -> None:
        super().__init__({}, {})
        self.held: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.moved: dict[str, Any] = {}
        self.refused = ""

    def call(self, package: str, method: str, request: Any, about: str) -> Any:
        assert package == "gcp"
        assert about
        self.calls.append(method)
        if method == "Check":
            failures = [provider_pb2.CheckFailure(property="location", reason=self.refused)] if self.refused else []
            return provider_pb2.CheckResponse(inputs=request.news, failures=failures)
        if method == "Create":
            name = f"id-{len(self.held)}"
            self.held[name] = {**plain(request.properties), "url": f"gs://{name}"}
            return provider_pb2.CreateResponse(id=name, properties=struct(self.held[name]))
        if method == "Read":
            if request.id not in self.held:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(id=request.id, properties=struct({**self.held[request.id], **self.moved}))
        return SimpleNamespace(**{"return": struct({"token": request.tok}), "failures": []})


def _file(path: str) -> dict[str, Any]:
    """A file asset in an archive, as the SDK describes it: without an engine nobody adds hashes."""
    asset = {SIG: rpc._special_asset_sig, "path": path}
    return {SIG: rpc._special_archive_sig, "assets": {"main.py": asset}}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture(autouse=True)
def runtime() -> None:
    settings.configure(mocks.MockSettings(project="shop", stack="local"))  # type: ignore[no-untyped-call]  # the SDK's


def _monitor(cloud: Cloud, path: Path, said: list[str] | None = None) -> Monitor:
    """A monitor as a new run makes it: its memory is the file."""
    return Monitor(cloud, State.load(path / "driver.json"), ([] if said is None else said).append)


def _register(monitor: Monitor, name: str = "archives", parent: str = STACK_URN, **inputs: Any) -> Any:
    request = resource_pb2.RegisterResourceRequest(
        type=BUCKET, name=name, parent=parent, custom=True, object=struct(inputs), additionalSecretOutputs=["url"]
    )
    return monitor.RegisterResource(request)


def test_a_checkout_that_moved_is_no_change(cloud: Cloud, tmp_path: Path) -> None:
    _register(_monitor(cloud, tmp_path), name="archive-1a2b", source=_file("/one/main.py"))
    _register(_monitor(cloud, tmp_path), name="archive-1a2b", source=_file("/two/main.py"))
    assert cloud.calls == ["Check", "Create", "Read"]
    with pytest.raises(Refused, match="source changed"):
        _register(_monitor(cloud, tmp_path), name="archive-1a2b", source={**_file("/two/main.py"), "assets": {}})


def test_create_then_keep(cloud: Cloud, tmp_path: Path) -> None:
    said: list[str] = []
    made = _register(_monitor(cloud, tmp_path, said), location="us-east4")
    assert cloud.calls == ["Check", "Create"]
    assert len(said) == 1
    again = _register(_monitor(cloud, tmp_path, said), location="us-east4")
    assert cloud.calls == ["Check", "Create", "Read"]
    assert len(said) == 1, "what is kept is not news"
    assert (again.urn, again.id, plain(again.object)) == (made.urn, made.id, plain(made.object))
    assert (tmp_path / "driver.json").stat().st_mode & 0o777 == 0o600


def test_outputs_named_secret_are_secret(cloud: Cloud, tmp_path: Path) -> None:
    assert plain(_register(_monitor(cloud, tmp_path)).object)["url"] == {SIG: SECRET, "value": "gs://id-0"}


def test_an_address_that_moved_is_read_anew(cloud: Cloud, tmp_path: Path) -> None:
    _register(_monitor(cloud, tmp_path), location="us-east4")
    cloud.moved = {"selfLink": "http://127.0.0.1:2"}
    assert plain(_register(_monitor(cloud, tmp_path), location="us-east4").object)["selfLink"] == "http://127.0.0.1:2"


def test_what_is_gone_is_created_again(cloud: Cloud, tmp_path: Path) -> None:
    _register(_monitor(cloud, tmp_path), location="us-east4")
    cloud.held.clear()
    assert _register(_monitor(cloud, tmp_path), location="us-east4").id == "id-0"
    assert cloud.calls[-1] == "Create"


def test_a_change_is_refused_by_name_and_with_the_way_out(cloud: Cloud, tmp_path: Path) -> None:
    _register(_monitor(cloud, tmp_path), location="us-east4")
    with pytest.raises(Refused, match=r"Bucket archives: labels, location changed.*make engine.*make destroy"):
        _register(_monitor(cloud, tmp_path), location="us-east1", labels={"a": "b"})
    assert cloud.calls == ["Check", "Create"]


def test_a_resource_that_left_the_program_is_told(cloud: Cloud, tmp_path: Path) -> None:
    _register(_monitor(cloud, tmp_path), "old")
    later = _monitor(cloud, tmp_path)
    _register(later, "new")
    with pytest.raises(Refused, match=r"Bucket old: no longer in the program"):
        later.finish()


def test_a_refusal_names_the_resource_and_creates_nothing(cloud: Cloud, tmp_path: Path) -> None:
    cloud.refused = "is not a region"
    with pytest.raises(Refused, match=r"Bucket archives: location: is not a region"):
        _register(_monitor(cloud, tmp_path), location="moon")
    assert cloud.held == {}
    assert not (tmp_path / "driver.json").exists()


def test_urns_are_those_of_the_engine(cloud: Cloud, tmp_path: Path) -> None:
    monitor = _monitor(cloud, tmp_path)
    component = monitor.RegisterResource(
        resource_pb2.RegisterResourceRequest(type="x:y:Edge", name="edge", parent=STACK_URN)
    )
    assert component.urn == "urn:pulumi:local::shop::x:y:Edge::edge"
    inner = _register(monitor, parent=component.urn)
    assert inner.urn == f"urn:pulumi:local::shop::x:y:Edge${BUCKET}::archives"
    assert cloud.calls == ["Check", "Create"], "a component is nobody's resource"


def test_the_stacks_outputs_are_kept_in_plain_text(cloud: Cloud, tmp_path: Path) -> None:
    outputs = struct({"operator": {SIG: SECRET, "value": {"DATABASE_URL": "postgresql://x"}}, "n": [1.0]})
    request = resource_pb2.RegisterResourceOutputsRequest(urn=STACK_URN, outputs=outputs)
    _monitor(cloud, tmp_path).RegisterResourceOutputs(request)
    kept = State.load(tmp_path / "driver.json").outputs
    assert kept == {"operator": {"DATABASE_URL": "postgresql://x"}, "n": [1.0]}


def test_a_function_of_a_provider_is_asked(cloud: Cloud, tmp_path: Path) -> None:
    answer = _monitor(cloud, tmp_path).Invoke(resource_pb2.ResourceInvokeRequest(tok="gcp:organizations/x:x"))
    assert plain(getattr(answer, "return")) == {"token": "gcp:organizations/x:x"}
