"""The provider's protocol: attaching, refusing, creating, reading, replacing; driven by the engine's own messages."""

from __future__ import annotations

import json
import shutil

import pytest
from google.protobuf import empty_pb2
from pulumi.runtime import proto

from tests.infra.local import program
from tests.infra.local.running import Daemon, Engine, Refused, struct, urn

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_it_can_be_attached(engine: Engine) -> None:
    engine.stub.Attach(proto.PluginAttach(address="x"))
    assert engine.stub.GetPluginInfo(empty_pb2.Empty()).version == "99.0.0"


@pytest.mark.parametrize(
    ("package", "config", "named"),
    [
        ("gcp", {"project": "a-real-project"}, "project"),
        ("gcp", {}, "project"),
        ("cloudflare", {"apiToken": "a-real-token"}, "apiToken"),
        ("upstash", {"email": "me@example.com", "apiKey": "local"}, "email"),
    ],
)
def test_a_stack_of_the_real_cloud_is_refused(engine: Engine, package: str, config: dict[str, str], named: str) -> None:
    request = proto.CheckRequest(urn=urn(f"pulumi:providers:{package}"), news=struct(config))
    failures = engine.stub.CheckConfig(request).failures
    assert [failure.property for failure in failures] == [named]
    assert "This is the local cloud" in failures[0].reason
    assert "a-real-token" not in failures[0].reason


def test_its_own_stack_is_accepted(engine: Engine) -> None:
    news = struct({"project": "memorygraph-local", "region": "us-east4"})
    request = proto.CheckRequest(urn=urn("pulumi:providers:gcp"), news=news)
    assert not engine.stub.CheckConfig(request).failures
    engine.stub.Configure(proto.ConfigureRequest(urn=urn("pulumi:providers:gcp"), args=news))


def test_the_program_can_tell_which_cloud_it_is(engine: Engine) -> None:
    client = engine.stub.Invoke(proto.InvokeRequest(tok="gcp:organizations/getClientConfig:getClientConfig"))
    assert getattr(client, "return")["project"] == "memorygraph-local"
    assert getattr(client, "return")["accessToken"] == "local-cloud"
    ranges = engine.stub.Invoke(proto.InvokeRequest(tok="cloudflare:index/getIpRanges:getIpRanges"))
    assert list(getattr(ranges, "return")["ipv4Cidrs"]) == ["127.0.0.0/8"]


def test_an_unknown_type_is_named(engine: Engine) -> None:
    with pytest.raises(Refused, match="does not know the resource type gcp:pubsub/topic:Topic"):
        engine.create("gcp:pubsub/topic:Topic", {})


def test_a_name_is_made_when_none_is_given_and_stays(engine: Engine) -> None:
    inputs, _ = engine.check(program.BUCKET, {"location": "us-east4"})
    assert inputs["name"].startswith("test-")
    again, _ = engine.check(program.BUCKET, {"location": "us-east4"}, olds=inputs)
    assert again["name"] == inputs["name"]


def test_the_life_of_a_secret(engine: Engine, daemon: Daemon) -> None:
    engine.create(program.API, {"service": "secretmanager.googleapis.com"}, name="secretmanager")
    id_, outputs = engine.create(program.SECRET, {"secretId": "life", "replication": {"auto": {}}})
    assert id_ == outputs["name"] == "projects/memorygraph-local/secrets/life"
    versions = []
    for value in ("one", "two"):
        version, shown = engine.create(
            program.VERSION, {"secret": id_, "secretData": program.secret(value)}, name=f"version-{value}"
        )
        versions.append(version)
        assert shown["secretData"] == value
    assert [version.rpartition("/")[2] for version in versions] == ["1", "2"]
    engine.delete(program.SECRET, id_)
    assert engine.read(program.SECRET, id_) is None
    assert engine.read(program.VERSION, versions[0]) is None
    assert "two" not in (daemon.root / "cloud" / "resources.json").read_text()


def test_what_was_secret_stays_marked(engine: Engine) -> None:
    engine.create(program.API, {"service": "secretmanager.googleapis.com"}, name="secretmanager")
    id_, _ = engine.create(program.SECRET, {"secretId": "marked", "replication": {"auto": {}}})
    request = proto.CreateRequest(
        urn=urn(program.VERSION),
        type=program.VERSION,
        properties=struct({"secret": id_, "secretData": program.secret("x")}),
    )
    assert engine.stub.Create(request).properties["secretData"] == struct({"v": program.secret("x")})["v"]
    engine.delete(program.SECRET, id_)


def test_an_api_must_be_declared_before_it_is_used(own_daemon: Daemon) -> None:
    own_daemon.start()
    with pytest.raises(Refused, match=r"SERVICE_DISABLED.*secretmanager\.googleapis\.com"):
        own_daemon.engine().create(program.SECRET, {"secretId": "early", "replication": {"auto": {}}})


def test_a_name_that_another_resource_has_is_refused(engine: Engine) -> None:
    inputs = {"accountId": "taken-name"}
    id_, _ = engine.create(program.ACCOUNT, inputs, name="first")
    with pytest.raises(Refused, match="409"):
        engine.create(program.ACCOUNT, inputs, name="second")
    engine.delete(program.ACCOUNT, id_)


def test_what_an_interrupted_update_left_is_taken_over(engine: Engine) -> None:
    inputs = {"accountId": "left-behind"}
    first, outputs = engine.create(program.ACCOUNT, inputs)
    second, again = engine.create(program.ACCOUNT, inputs)
    assert first == second
    assert again["uniqueId"] == outputs["uniqueId"]
    engine.delete(program.ACCOUNT, first)


def test_deleting_what_is_gone_is_done(engine: Engine) -> None:
    engine.delete(program.BUCKET, "never-was")


def test_a_bucket_that_someone_removed_reads_as_gone(engine: Engine, daemon: Daemon) -> None:
    id_, _ = engine.create(program.BUCKET, {"name": "drifting", "location": "us-east4"})
    assert engine.read(program.BUCKET, id_) is not None
    shutil.rmtree(daemon.root / "cloud" / "buckets" / "drifting")
    assert engine.read(program.BUCKET, id_) is None
    assert engine.create(program.BUCKET, {"name": "drifting", "location": "us-east4"})[0] == id_
    item, _ = engine.create(program.OBJECT, {"bucket": id_, "name": "a", "content": "it is there again"})
    engine.delete(program.OBJECT, item)
    engine.delete(program.BUCKET, id_)


def test_a_bucket_with_objects_is_kept(engine: Engine) -> None:
    bucket, _ = engine.create(program.BUCKET, {"name": "not-empty", "location": "us-east4"})
    item, outputs = engine.create(program.OBJECT, {"bucket": bucket, "name": "a/b", "content": "hello"})
    assert outputs["md5hexhash"] == "5d41402abc4b2a76b9719d911017c592"
    with pytest.raises(Refused, match="force_destroy"):
        engine.delete(program.BUCKET, bucket)
    engine.delete(program.OBJECT, item)
    engine.delete(program.BUCKET, bucket)


def test_a_replacement_under_the_same_name_deletes_first(engine: Engine) -> None:
    old = {"name": "a-bucket", "location": "us-east4"}
    assert engine.diff(program.BUCKET, "a-bucket", old, {**old, "location": "us-east1"}) == (["location"], True)
    assert engine.diff(program.BUCKET, "a-bucket", old, {**old, "name": "b-bucket"}) == (["name"], False)
    assert engine.diff(program.BUCKET, "a-bucket", old, {**old, "labels": {"a": "b"}}) == ([], False)


def test_another_checkout_of_the_same_files_replaces_nothing(engine: Engine) -> None:
    def item(folder: str, content: str) -> dict[str, object]:
        hashed = {"hash": content}
        files = {"main.py": {**program.asset(path=f"{folder}/main.py"), **hashed}}
        return {"bucket": "b", "name": "n", "source": {**program.archive(files), **hashed}}

    def differs(old: dict[str, object], new: dict[str, object]) -> list[str]:
        return engine.diff(program.OBJECT, "b-n", old, new)[0]

    assert differs(item("/one", "same"), item("/two", "same")) == []
    assert differs(item("/one", "same"), item("/one", "other")) == ["source"]


def test_deletion_policy_prevent(engine: Engine) -> None:
    inputs = {"name": "keep-me", "location": "us-east4", "deletionPolicy": "PREVENT"}
    id_, _ = engine.create(program.BUCKET, inputs)
    with pytest.raises(Refused, match="PREVENT"):
        engine.delete(program.BUCKET, id_)
    engine.update(program.BUCKET, id_, inputs, {**inputs, "deletionPolicy": "DELETE"})
    engine.delete(program.BUCKET, id_)


def test_a_preview_makes_nothing_and_knows_what_it_cannot_know(engine: Engine) -> None:
    deployed = program.Deployed(engine, "previewed")
    id_, outputs = engine.create(program.FUNCTION, deployed.inputs(), preview=True)
    assert id_ == ""
    assert outputs["serviceConfig"]["uri"] == UNKNOWN
    assert outputs["serviceConfig"]["serviceAccountEmail"] == deployed.runner
    assert engine.read(program.FUNCTION, f"projects/{program.PROJECT}/locations/us-east4/functions/previewed") is None


def test_the_store_is_private(daemon: Daemon) -> None:
    kept = daemon.root / "cloud" / "resources.json"
    assert json.loads(kept.read_text())["format"] == 1
    assert kept.stat().st_mode & 0o777 == 0o600
    assert daemon.root.stat().st_mode & 0o777 == 0o700
    assert (daemon.root / "cloud.json").stat().st_mode & 0o777 == 0o600
