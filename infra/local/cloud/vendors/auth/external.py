"""Signing in with GitHub or Google: /authorize, the page in place of theirs, /callback.

Nobody can reach the real ones from here. Our page says that it stands in, asks who to be, and goes back as they do:
with a code, or with `access_denied`.
"""

from __future__ import annotations

import html
import secrets
from hashlib import sha256
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from infra.local.cloud.provider.wire import Json
from infra.local.cloud.vendors.auth import letters, reading, redirects
from infra.local.cloud.vendors.auth.database import Row
from infra.local.cloud.vendors.auth.errors import AuthError, OAuthError, redirected
from infra.local.cloud.vendors.auth.flows import challenge
from infra.local.cloud.vendors.auth.project import Project
from infra.local.cloud.vendors.auth.settings import PROVIDERS

CONSENT = "/local/consent"
NAMES = {"github": "GitHub", "google": "Google"}
ISSUERS = {"github": "https://api.github.com", "google": "https://accounts.google.com"}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stand-in of {name}'s consent page</title>
<body style="font-family: system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem">
<h1>Sign in with {name}</h1>
<p><strong>This is the local cloud, not {name}.</strong> Say who {name} would say you are.</p>
<form method="get" action="{action}">
<input type="hidden" name="provider" value="{provider}">
<input type="hidden" name="state" value="{state}">
<p><label>E-mail address<br><input name="email" type="email" required value="ada@example.com"></label></p>
<p><label>Name<br><input name="name" value="Ada Lovelace"></label></p>
<p><label><input name="verified" type="checkbox" value="yes" checked> {name} has verified the address</label></p>
<p><button name="decision" value="allow">Allow</button>
<button name="decision" value="deny" formnovalidate>Deny</button></p>
</form>
</body>
</html>
"""


async def authorize(project: Project, request: Request) -> Response:
    query, settings = dict(request.query_params), project.settings
    provider = query.get("provider", "").lower()
    fault = _fault(provider, settings)
    if fault:
        raise AuthError(400, "validation_failed", f"Unsupported provider: {fault}")
    flow = project.flows.begin(
        challenge(query), provider=provider, method="oauth", referrer=redirects.target(request, settings)
    )
    query = {"provider": provider, "state": flow}
    return RedirectResponse(f"{project.issuer}{CONSENT}?{urlencode(query)}", 302)


async def consent(project: Project, request: Request) -> Response:
    """The page; and, with a `decision`, its answer."""
    query = request.query_params
    provider, state, decision = query.get("provider", ""), query.get("state", ""), query.get("decision", "")
    if provider not in NAMES:
        raise AuthError(400, "validation_failed", f"There is no page of {provider!r} here")
    if decision == "deny":
        answer = {"error": "access_denied", "error_description": "The user denied the request", "state": state}
        return RedirectResponse(f"{project.issuer}/callback?{urlencode(answer)}", 302)
    if decision == "allow":
        code = secrets.token_urlsafe(24)
        person = {
            "code": code,
            "provider": provider,
            "email": reading.address(query.get("email", "")),
            "name": query.get("name", ""),
            "verified": int(query.get("verified") == "yes"),
        }
        project.database.insert("consents", person)
        answer = {"code": code, "state": state}
        return RedirectResponse(f"{project.issuer}/callback?{urlencode(answer)}", 302)
    values = {"name": NAMES[provider], "provider": provider, "state": state, "action": project.issuer + CONSENT}
    return HTMLResponse(PAGE.format(**{name: html.escape(value, quote=True) for name, value in values.items()}))


async def callback(project: Project, request: Request) -> Response:
    query, settings = request.query_params, project.settings
    flow = project.flows.find(query.get("state", ""))
    if flow is None or (flow["auth_code"] and flow["user_id"]):
        error = AuthError(400, "bad_oauth_state", "OAuth state not found or expired")
        return RedirectResponse(redirects.with_query(settings["site_url"], redirected(error)), 303)
    try:
        if query.get("error"):
            raise OAuthError(query["error"], query.get("error_description", ""))
        user = await _sign_in(project, request, flow, query.get("code", ""))
    except (AuthError, OAuthError) as failure:
        parameters = redirected(failure)
        back = redirects.with_query(flow["referrer"], parameters)
        return RedirectResponse(redirects.with_fragment(back, parameters), 302)
    if flow["auth_code"]:
        project.flows.arrive(flow["id"], user["id"])
        return RedirectResponse(redirects.with_query(flow["referrer"], {"code": flow["auth_code"]}), 302)
    project.flows.drop(flow["id"])
    answer = project.sessions.begin(user, "oauth", settings)
    names = ("access_token", "token_type", "expires_in", "expires_at", "refresh_token")
    parameters = {**{name: str(answer[name]) for name in names}, "provider_token": "local-stand-in"}
    return RedirectResponse(redirects.with_fragment(flow["referrer"], parameters), 302)


async def _sign_in(project: Project, request: Request, flow: Row, code: str) -> Row:
    if not code:
        raise AuthError(400, "bad_oauth_callback", "OAuth callback with missing authorization code missing")
    person = project.database.one("select * from consents where code = ?", code)
    if person is None or person["provider"] != flow["provider"]:
        raise AuthError(500, "unexpected_failure", "Unable to exchange external code")
    project.database.run("delete from consents where code = ?", code)
    with project.database.change():
        user = _user_of(project, person)
    if project.users.is_banned(user):
        raise AuthError(403, "user_banned", "User is banned")
    if user["email_confirmed_at"] is None:
        name = person["provider"]
        await letters.send_confirmation(project, user, redirects.target(request, project.settings), pkce=False)
        message = f"Unverified email with {name}. A confirmation email has been sent to your {name} email"
        raise AuthError(422, "provider_email_needs_verification", message)
    return user


def _user_of(project: Project, person: Row) -> Row:
    """The user whose identity it is; else the one with the same address, if the provider vouches for it; else new."""
    provider, data = person["provider"], _claims(person)
    vouched = bool(person["verified"]) or project.settings["mailer_autoconfirm"]
    identity = project.users.identity(provider, data["sub"])
    user = project.users.by_id(identity["user_id"]) if identity is not None else None
    if user is None:
        same = project.users.by_email(person["email"])
        user = same if vouched else None
        if user is None:
            if project.settings["disable_signup"]:
                raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")
            if same is not None:
                message = f"Unverified email with {provider}. Verify the email with {provider} in order to sign in"
                raise AuthError(422, "provider_email_needs_verification", message)
            user = project.users.add(person["email"], None, provider, data)
    user = project.users.set_identity(user, provider, data)
    user = project.users.merge(user, "user_metadata", data)
    if user["email_confirmed_at"] is None and vouched:
        user = project.users.drop_other_identities(user, provider)
        user = project.users.confirm(user)
    return user


def _claims(person: Row) -> Json:
    """What each provider tells of a person. The number is made from the address: the same person each time."""
    provider, email, name = person["provider"], person["email"], person["name"]
    subject = str(int(sha256(f"{provider} {email}".encode()).hexdigest()[:12], 16))
    data: Json = {
        "iss": ISSUERS[provider],
        "sub": subject,
        "provider_id": subject,
        "email": email,
        "email_verified": bool(person["verified"]),
        "phone_verified": False,
        "name": name,
        "full_name": name,
    }
    if provider == "github":
        login = email.partition("@")[0]
        data |= {"user_name": login, "preferred_username": login}
    return data


def _fault(provider: str, settings: Json) -> str:
    if provider not in PROVIDERS:
        return f"Provider {provider} could not be found"
    if not settings[f"external_{provider}_enabled"]:
        return "provider is not enabled"
    if not settings[f"external_{provider}_client_id"]:
        return "missing OAuth client ID"
    return "" if settings[f"external_{provider}_secret"] else "missing OAuth secret"
