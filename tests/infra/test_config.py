from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import FrozenInstanceError

import pytest

from infra import config
from infra.config import Cloud, ConfigError, Profile, Repository, StackConfig
from infra.config.reader import Reader
from infra.config.settings import BY_KEY, SETTINGS, table
from tests.infra import program

OURS = "memorygraph-cloud:"


def load(values: Mapping[str, str], **options: list[str]) -> StackConfig:
    found: list[StackConfig] = []
    program.run(
        values, program.REAL_ANSWERS, function=lambda: found.append(config.load()), plain_keys=options.get("plain", ())
    )
    return found[0]


def without(values: Mapping[str, str], *names: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if key not in names}


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLOUDFLARE_API_TOKEN", "UPSTASH_API_KEY", "UPSTASH_EMAIL"):
        monkeypatch.delenv(name, raising=False)


def test_a_real_stack_has_safe_defaults() -> None:
    found = load(program.REAL)
    assert (found.cloud, found.profile, found.protect) == (Cloud.REAL, Profile.FRUGAL, True)
    assert (found.region, found.aws_region) == ("us-east4", "us-east-1")
    assert (found.turso_api, found.api_host) == ("https://api.turso.tech", "api.memorygraph.dev")
    assert not found.public_invoker_exception


def test_a_local_stack_is_not_protected() -> None:
    found = load(program.LOCAL)
    assert (found.cloud, found.protect) == (Cloud.LOCAL, False)


def test_what_may_be_left_out_is_left_out() -> None:
    found = load(without(program.REAL, *MAY_BE_MISSING))
    assert (found.mail_spf, found.mail_dkim, found.sentry_dsn, found.email_forwarding) == (None, {}, None, False)


def test_dkim_maps_selectors_to_targets() -> None:
    assert load(program.REAL).mail_dkim == {"s1": "s1.dkim.example.com"}
    for wrong in ('["s1"]', '{"s1": 1}', '{"s1": ""}'):
        with pytest.raises(ConfigError, match="mailDkim does not map names to texts"):
            load({**program.REAL, f"{OURS}mailDkim": wrong})


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        load(program.REAL).domain = "other.dev"  # type: ignore[misc]  # that is the point


def test_every_mistake_is_named_at_once_with_what_mends_it() -> None:
    with pytest.raises(ConfigError) as failure:
        load({f"{OURS}cloud": "moon", f"{OURS}profile": "rich", f"{OURS}protect": "yes", "gcp:region": "us-east4"})
    lines = str(failure.value).splitlines()
    assert lines[0] == "The configuration of this stack needs 17 changes:"
    fixes = [line.strip() for line in lines if line.startswith("      ")]
    assert len(fixes) == 17
    assert all(fix.startswith("pulumi config set ") for fix in fixes)
    assert "pulumi config set domain memorygraph.dev" in fixes
    assert "pulumi config set gcp:project memorygraph-prod" in fixes
    assert any(fix.startswith("pulumi config set --secret memorygraph:tursoToken") for fix in fixes)
    assert "  - cloud is 'moon', not local or real." in lines


MAY_BE_MISSING = {
    f"{OURS}{name}"
    for name in (
        "billing",
        "billingAccount",
        "emailForwarding",
        "githubRepositoryId",
        "mailDkim",
        "mailSpf",
        "sentryDsn",
    )
}


@pytest.mark.parametrize("name", sorted(program.REAL.keys() - MAY_BE_MISSING))
def test_each_missing_value_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"  - {name.removeprefix(OURS)} is missing: "):
        load(without(program.REAL, name))


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("cloudflare:apiToken", "CLOUDFLARE_API_TOKEN"),
        ("upstash:apiKey", "UPSTASH_API_KEY"),
        ("upstash:email", "UPSTASH_EMAIL"),
    ],
)
def test_what_a_vendors_provider_reads_from_the_environment_may_be_there(
    monkeypatch: pytest.MonkeyPatch, key: str, variable: str
) -> None:
    monkeypatch.setenv(variable, "something")
    load(without(program.REAL, key))


@pytest.mark.parametrize("key", program.SECRET_KEYS)
def test_a_credential_in_plain_text_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key.removeprefix(OURS)} is stored as plain text") as failure:
        load(program.REAL, plain=[key])
    assert f"pulumi config set --secret {key.removeprefix(OURS)}" in str(failure.value)
    assert program.REAL[key] not in str(failure.value)


@pytest.mark.parametrize("key", program.SECRET_KEYS)
def test_the_local_clouds_word_opens_nothing_real(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key.removeprefix(OURS)} is the local cloud's word 'local'"):
        load({**program.REAL, key: "local"})


@pytest.mark.parametrize("key", ["memorygraph:supabaseApi", "memorygraph:tursoApi", "memorygraph:stripeApi"])
class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        ["http://api.example.com", "https://127.0.0.1:1", "https://localhost", "http://[::1]:5", "https://x.localhost"],
    )
    def test_real_needs_https_to_elsewhere(self, key: str, url: str) -> None:
        with pytest.raises(ConfigError, match="the real cloud needs https to the vendor"):
            load({**program.REAL, key: url})

    @pytest.mark.parametrize("url", ["https://api.turso.tech", "http://192.168.1.2:80", "http://127.0.0.1.example.com"])
    def test_local_needs_this_machine(self, key: str, url: str) -> None:
        with pytest.raises(ConfigError, match="outside this machine, but cloud is local"):
            load({**program.LOCAL, key: url})

    @pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://127.0.0.1:port"])
    def test_it_must_be_a_url(self, key: str, url: str) -> None:
        with pytest.raises(ConfigError, match="not a URL"):
            load({**program.LOCAL, key: url})

    def test_local_has_no_default(self, key: str) -> None:
        with pytest.raises(ConfigError, match=f"{key} is missing: where the local cloud serves this API"):
            load(without(program.LOCAL, key))

    @pytest.mark.parametrize("url", ["http://127.0.0.1:20001/", "http://localhost:1", "http://turso.localhost:2"])
    def test_this_machine_has_many_names(self, key: str, url: str) -> None:
        load({**program.LOCAL, key: url})


def test_a_region_without_a_known_neighbour_needs_one_named() -> None:
    with pytest.raises(ConfigError, match="awsRegion is missing: the AWS region beside gcp:region"):
        load({**program.REAL, "gcp:region": "me-west1"})
    assert (
        load({**program.REAL, "gcp:region": "me-west1", f"{OURS}awsRegion": "il-central-1"}).aws_region
        == "il-central-1"
    )


def test_a_distant_neighbour_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load({**program.REAL, f"{OURS}awsRegion": "eu-west-1"})
    assert "pulumi config set awsRegion us-east-1" in caplog.text


def test_mail_comes_from_the_domain_unless_said_otherwise() -> None:
    assert (load(program.REAL).mail_from, load(program.REAL).smtp_port) == ("hello@mail.memorygraph.dev", 465)
    assert load({**program.REAL, f"{OURS}mailFrom": "us@example.com"}).mail_from == "us@example.com"
    with pytest.raises(ConfigError, match="smtpPort is '65536', not a port"):
        load({**program.REAL, f"{OURS}smtpPort": "65536"})


def test_a_way_to_sign_in_is_on_when_its_app_is_configured() -> None:
    assert not load(program.REAL).sign_in
    app = {f"{OURS}githubClientId": "id", f"{OURS}githubClientSecret": "hidden"}
    assert load({**program.LOCAL, **app}).sign_in["github"].client_id == "id"
    with pytest.raises(ConfigError, match="githubClientSecret is stored as plain text"):
        load({**program.REAL, **app})
    for key in app:
        with pytest.raises(ConfigError, match=f"{key.removeprefix(OURS)} is missing"):
            load(without({**program.LOCAL, **app}, key))


def test_a_captcha_is_on_when_its_widget_is_configured() -> None:
    captcha = load(program.REAL).captcha
    assert captcha is not None
    assert captcha.site_key == program.REAL[f"{OURS}captchaSiteKey"]
    assert load(without(program.REAL, f"{OURS}captchaSiteKey", f"{OURS}captchaSecret")).captcha is None


def test_turnstiles_test_keys_are_for_the_local_cloud() -> None:
    widget = {f"{OURS}captchaSiteKey": "1x00000000000000000000AA", f"{OURS}captchaSecret": f"1x{31 * '0'}AA"}
    assert load({**program.LOCAL, **widget}).captcha is not None
    with pytest.raises(ConfigError, match="A test key of Turnstile's") as failure:
        load({**program.REAL, **widget})
    assert str(failure.value).count("A test key") == 2


class TestStripe:
    TOKEN, KEY = "memorygraph:stripeToken", f"{OURS}stripeKey"
    UNSOLD = without(program.REAL, f"{OURS}billing", "memorygraph:stripeToken", f"{OURS}stripeKey")
    PRODUCTION: Mapping[str, str] = {**without(program.REAL, f"{OURS}billing"), f"{OURS}profile": "production"}
    LIVE: Mapping[str, str] = {**PRODUCTION, TOKEN: "sk_live_hidden", KEY: "rk_live_hidden"}

    def test_plans_are_sold_where_the_stores_are_paid_and_on_the_local_cloud(self) -> None:
        assert load(self.UNSOLD).stripe is None
        assert load(program.REAL).stripe is not None
        assert load(self.LIVE).stripe is not None
        assert load(program.LOCAL).stripe is not None
        assert load({**self.UNSOLD, f"{OURS}profile": "production", f"{OURS}billing": "false"}).stripe is None
        assert load({**without(program.LOCAL, "memorygraph:stripeApi"), f"{OURS}billing": "false"}).stripe is None

    @pytest.mark.parametrize("key", [TOKEN, KEY])
    def test_a_key_that_is_left_over_is_encrypted_too(self, key: str) -> None:
        load({**program.REAL, f"{OURS}billing": "false"})
        with pytest.raises(ConfigError, match="is stored as plain text"):
            load({**program.REAL, f"{OURS}billing": "false"}, plain=[key])

    def test_who_sells_needs_both_keys(self) -> None:
        with pytest.raises(ConfigError) as failure:
            load({**self.UNSOLD, f"{OURS}profile": "production"})
        assert [line.split()[1] for line in str(failure.value).splitlines() if line.startswith("  - ")] == [
            "memorygraph:stripeToken",
            "stripeKey",
        ]

    def test_functions_of_the_local_cloud_use_the_programs_own_key(self) -> None:
        assert load({**program.LOCAL, f"{OURS}stripeKey": "rk_test_other"}).stripe is not None
        with pytest.raises(ConfigError, match="memorygraph:stripeToken is missing"):
            load(without(program.LOCAL, self.TOKEN))

    def test_where_functions_find_stripe(self) -> None:
        local, real = load(program.LOCAL).stripe, load(program.REAL).stripe
        assert local is not None
        assert real is not None
        assert (local.api, real.api) == ("http://127.0.0.1:20005", None)

    @pytest.mark.parametrize("key", [TOKEN, KEY])
    @pytest.mark.parametrize("live", ["sk_live_hidden", "rk_live_hidden"])
    def test_a_live_key_needs_the_room_that_is_sold(self, key: str, live: str) -> None:
        name = key.removeprefix(OURS)
        for values in (program.REAL, {**program.REAL, f"{OURS}billing": "false"}, self.UNSOLD):
            with pytest.raises(ConfigError, match=f"{name} is a live key, but profile is frugal, whose") as failure:
                load({**values, key: live})
            assert "pulumi config set profile production" in str(failure.value)
            assert "hidden" not in str(failure.value)

    @pytest.mark.parametrize("key", [TOKEN, KEY])
    def test_the_local_cloud_takes_no_live_key(self, key: str) -> None:
        with pytest.raises(ConfigError, match="is a live key, but cloud is local"):
            load({**program.LOCAL, key: "sk_live_hidden"})

    @pytest.mark.parametrize("value", ["pk_test_hidden", "whsec_hidden", "sk_test_", "hidden", "sk_test_hid den"])
    def test_another_kind_of_key_is_none(self, value: str) -> None:
        with pytest.raises(ConfigError, match="stripeKey is no secret or restricted key of Stripe's") as failure:
            load({**program.REAL, self.KEY: value})
        assert "hid" not in str(failure.value)

    def test_the_local_clouds_word_is_one_mistake(self) -> None:
        with pytest.raises(ConfigError, match="needs 1 change"):
            load({**program.REAL, self.KEY: "local"})

    def test_keys_are_of_one_mode(self) -> None:
        with pytest.raises(ConfigError, match="memorygraph:stripeToken and stripeKey: one is a live key"):
            load({**self.LIVE, self.KEY: "rk_test_hidden"})

    def test_a_test_key_in_production_is_warned_about(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            load(self.LIVE)
            load(program.REAL)
            assert "Nobody pays" not in caplog.text
            load(self.PRODUCTION)
        assert "Nobody pays: memorygraph:stripeToken is a test key" in caplog.text


def test_rotation() -> None:
    found = load({**program.REAL, f"{OURS}rotation": '{"principal-seal-key": [2, 1]}'})
    assert found.rotation == {"principal-seal-key": (2, 1)}


@pytest.mark.parametrize(
    "value", ["yes", "[2, 1]", '{"k": []}', '{"k": [3, 2, 1]}', '{"k": [0]}', '{"k": ["2"]}', '{"k": [1, 1]}']
)
def test_a_wrong_rotation_is_named(value: str) -> None:
    with pytest.raises(ConfigError, match="rotation does not map names of keys"):
        load({**program.REAL, f"{OURS}rotation": value})


class TestName:
    """What the stack is called where several may share an account."""

    @pytest.mark.parametrize(
        ("stack", "name"), [("prod", "memorygraph"), ("local", "memorygraph"), ("staging", "memorygraph-staging")]
    )
    def test_it_carries_the_stacks(self, monkeypatch: pytest.MonkeyPatch, stack: str, name: str) -> None:
        monkeypatch.setattr(program, "STACK", stack)
        assert load(program.REAL).name == name

    def test_a_stack_whose_name_vendors_refuse_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program, "STACK", "Alice_1")
        with pytest.raises(ConfigError, match="name is 'memorygraph-Alice_1', not 3 to 32 small letters") as failure:
            load(program.REAL)
        assert "pulumi config set name memorygraph-staging" in str(failure.value)
        assert load({**program.REAL, f"{OURS}name": "alice"}).name == "alice"


class TestRepository:
    ID = f"{OURS}githubRepositoryId"

    def test_no_workflow_may_act_unless_its_repository_is_named(self) -> None:
        assert load(without(program.REAL, self.ID)).repository is None
        assert load(program.REAL).repository == Repository(id="123456789", environment="production")
        environment = {f"{OURS}githubEnvironment": "staging"}
        assert load({**program.REAL, **environment}).repository == Repository(id="123456789", environment="staging")

    @pytest.mark.parametrize("value", ["owner/name", "0", "1' || true || '", "-1"])
    def test_it_is_a_number(self, value: str) -> None:
        with pytest.raises(ConfigError, match=r"githubRepositoryId is .*, not a number"):
            load({**program.REAL, self.ID: value})

    @pytest.mark.parametrize("value", ["preview", "drift", "a' || true || '", "Production"])
    def test_who_reads_does_not_deploy_and_no_text_gets_into_a_condition(self, value: str) -> None:
        with pytest.raises(ConfigError, match="githubEnvironment is"):
            load({**program.REAL, f"{OURS}githubEnvironment": value})


def test_every_setting_is_told_of_in_the_document() -> None:
    document = program.INFRA.parent / "docs" / "operate.md"
    head, title, rest = document.read_text(encoding="utf-8").partition(table().partition("\n")[0])
    text = f"{head}{table()}\n{rest.partition(chr(10) * 2)[2]}" if title else head
    if os.environ.get("UPDATE_SNAPSHOTS"):
        document.write_text(text, encoding="utf-8")
    assert title
    assert text == document.read_text(encoding="utf-8"), f"the table of settings in {document} is old: `make snapshot`"


def test_what_is_no_setting_cannot_be_read() -> None:
    assert len(BY_KEY) == len(SETTINGS)
    secrets = {f"{OURS}{one.key}" if ":" not in one.key else one.key for one in SETTINGS if one.secret}
    assert secrets >= set(program.SECRET_KEYS)
    assert set(program.REAL) | set(program.LOCAL) <= {f"{OURS}{key}" for key in BY_KEY} | set(BY_KEY)
    with pytest.raises(KeyError):
        Reader().get("undeclared")


def stack_file(name: str) -> dict[str, str]:
    text = (program.INFRA.parent / name).read_text()
    assert "secure" not in text
    pairs = (line.split("#")[0].rpartition(": ") for line in text.splitlines() if line.startswith("  "))
    return {key.strip(): value.strip() for key, _, value in pairs}


@pytest.mark.parametrize("stack", ["prod", "staging"])
def test_a_stack_of_the_repository_lacks_only_accounts_and_tokens(stack: str) -> None:
    values = stack_file(f"Pulumi.{stack}.yaml")
    with pytest.raises(ConfigError) as failure:
        load(values)
    missing = {line.split()[1] for line in str(failure.value).splitlines() if line.startswith("  - ")}
    assert missing == {
        "cloudflareAccountId",
        "supabaseOrganization",
        "tursoOrganization",
        "upstash:email",
        "smtpHost",
        "smtpUser",
        "operatorEmail",
        *(  # frugal: nothing is sold; and a captcha or Sentry may be left out
            key.removeprefix(OURS)
            for key in program.SECRET_KEYS
            if not any(word in key for word in ("stripe", "captcha", "sentry"))
        ),
    }


def test_staging_shares_nothing_with_prod_that_is_one_of_a_kind() -> None:
    prod, staging = stack_file("Pulumi.prod.yaml"), stack_file("Pulumi.staging.yaml")
    for key in ("memorygraph-cloud:domain", "gcp:project"):
        assert prod[key] != staging[key]
    assert (prod["memorygraph-cloud:profile"], staging["memorygraph-cloud:profile"]) == ("frugal", "frugal")
    assert staging[f"{OURS}githubEnvironment"] == "staging"
