"""Supabase Auth: how people sign up and sign in, and what the mails say that go with it.

The texts are in `infra/mails/`, one file for each mail; the title in the first line is the subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi

from core.urls import base_url
from infra.components.control_plane import ControlPlane
from infra.config import SIGN_IN, StackConfig
from infra.providers.resources import SupabaseAuth

MAILS = Path(__file__).resolve().parents[1] / "mails"
SENDER = "MemoryGraph"
SESSION_SECONDS = 3600
PASSWORD_LENGTH = 10
CAPTCHA = "turnstile"
MAILS_AN_HOUR = 400
"""Of everybody together. More than one address of a client can ask for, so that nobody alone keeps others from signing
up: in seven ways (sign-up, magic link twice, recovery, once more, a new address: two mails) Auth lets it ask 30 times
at once and then at `MAILS_IN_FIVE_MINUTES`. Whoever has many addresses is stopped by the captcha only."""
MAILS_IN_FIVE_MINUTES = 2
SESSIONS_IN_FIVE_MINUTES = 60
CODES_IN_FIVE_MINUTES = 30
"""What one address of a client may ask for in each of these ways: signing in and going on, using codes and links."""
MAIL_PAUSE_SECONDS = 60
"""Between two mails of a kind to one user."""

Setting = pulumi.Input[str] | int | bool


class People(pulumi.ComponentResource):
    """`url` and `publishable_key` are what the site uses, and `captcha_site_key` where there is a captcha; `issuer` is
    who signs people's tokens; `secret_key` may administer."""

    url: pulumi.Output[str]
    captcha_site_key: str | None
    issuer: pulumi.Output[str]
    publishable_key: pulumi.Output[str]
    secret_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        config: StackConfig,
        control_plane: ControlPlane,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("memorygraph-cloud:components:People", name, None, opts)
        secrets: dict[str, pulumi.Input[str]] = {"smtp_pass": config.smtp_password}
        for provider, app in config.sign_in.items():
            secrets[f"external_{provider}_secret"] = app.secret
        if config.captcha:
            secrets["security_captcha_secret"] = config.captcha.secret
        auth = SupabaseAuth(
            "auth",
            project=control_plane.ref,
            settings=_settings(config),
            secrets=secrets,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = auth.api_url
        self.captcha_site_key = config.captcha.site_key if config.captcha else None
        self.issuer = auth.issuer
        self.publishable_key = auth.publishable_key
        self.secret_key = auth.secret_key
        self.register_outputs({})


def _settings(config: StackConfig) -> dict[str, Setting]:
    """By their names in the Management API (`config/auth`)."""
    site = base_url(config.domain)
    return {
        "site_url": site,
        "uri_allow_list": f"{site}/**",
        "disable_signup": False,
        "external_email_enabled": True,
        "external_anonymous_users_enabled": False,
        "external_phone_enabled": False,
        # A token says whose address it is (functions/core/tokens.py): so each address was confirmed by who has it.
        "mailer_autoconfirm": False,
        "mailer_allow_unverified_email_sign_ins": False,
        "mailer_secure_email_change_enabled": True,
        "password_min_length": PASSWORD_LENGTH,
        "jwt_exp": SESSION_SECONDS,
        "refresh_token_rotation_enabled": True,
        "security_refresh_token_reuse_interval": 10,
        "rate_limit_email_sent": MAILS_AN_HOUR,
        "rate_limit_otp": MAILS_IN_FIVE_MINUTES,
        "rate_limit_verify": CODES_IN_FIVE_MINUTES,
        "rate_limit_token_refresh": SESSIONS_IN_FIVE_MINUTES,
        "smtp_max_frequency": MAIL_PAUSE_SECONDS,
        "security_captcha_enabled": config.captcha is not None,
        "smtp_host": config.smtp_host,
        "smtp_port": str(config.smtp_port),
        "smtp_user": config.smtp_user,
        "smtp_admin_email": config.mail_from,
        "smtp_sender_name": SENDER,
        **({"security_captcha_provider": CAPTCHA} if config.captcha else {}),
        **_mails(),
        **_providers(config),
    }


def _mails() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for path in sorted(MAILS.glob("*.html")):
        title, _, content = path.read_text(encoding="utf-8").partition("\n")
        found[f"mailer_subjects_{path.stem}"] = title.removeprefix("<title>").removesuffix("</title>")
        found[f"mailer_templates_{path.stem}_content"] = content
    return found


def _providers(config: StackConfig) -> Mapping[str, Setting]:
    found: dict[str, Setting] = {}
    for provider in SIGN_IN:
        app = config.sign_in.get(provider)
        found[f"external_{provider}_enabled"] = app is not None
        if app:
            found[f"external_{provider}_client_id"] = app.client_id
    return found
