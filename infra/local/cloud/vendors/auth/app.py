"""The routes of one project's address, and what stands before them: CORS, API keys, users of this machine alone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.local.cloud.vendors.auth import account, admin, callers, errors, external, guards, signup, token, verify
from infra.local.cloud.vendors.auth.project import PREFIX, Project
from infra.local.cloud.vendors.auth.settings import PROVIDERS
from infra.local.cloud.web import OwnUser

log = logging.getLogger(__name__)
Handler = Callable[[Project, Request], Awaitable[Response]]
JWKS_SECONDS = 600

OPEN: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/verify", verify.open_link),
    ("GET", "/authorize", external.authorize),
    ("GET", external.CONSENT, external.consent),
    ("GET", "/callback", external.callback),
)
"""Where a browser comes without an API key."""
KEYED: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/signup", signup.sign_up),
    ("POST", "/resend", signup.resend),
    ("POST", "/recover", signup.recover),
    ("POST", "/token", token.grant),
    ("POST", "/logout", token.log_out),
    ("POST", "/verify", verify.verify),
    ("GET", "/user", account.read),
    ("PUT", "/user", account.update),
)
ADMIN: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/admin/users", admin.list_users),
    ("POST", "/admin/users", admin.create_user),
    ("GET", "/admin/users/{user_id}", admin.read_user),
    ("PUT", "/admin/users/{user_id}", admin.update_user),
    ("DELETE", "/admin/users/{user_id}", admin.delete_user),
)


async def _health(_project: Project, _request: Request) -> Response:
    return JSONResponse({"version": "local", "name": "GoTrue", "description": "a local stand-in of Supabase Auth"})


async def _settings(project: Project, _request: Request) -> Response:
    settings = project.settings
    providers = {name: settings[f"external_{name}_enabled"] for name in (*PROVIDERS, "email")}
    return JSONResponse(
        {
            "external": {"anonymous_users": False, "phone": False, **providers},
            "disable_signup": settings["disable_signup"],
            "mailer_autoconfirm": settings["mailer_autoconfirm"],
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
        }
    )


async def _jwks(project: Project, _request: Request) -> Response:
    return JSONResponse(project.jwks(), headers={"Cache-Control": f"public, max-age={JWKS_SECONDS}"})


def application(project: Project) -> Starlette:
    """Everything below /auth/v1; any other path is 404."""
    routes = [_route(project, *item) for item in (*OPEN, ("GET", "/.well-known/jwks.json", _jwks))]
    routes += [
        _route(project, *item, keyed=True)
        for item in (*KEYED, ("GET", "/settings", _settings), ("GET", "/health", _health))
    ]
    routes += [_route(project, *item, keyed=True, admin=True) for item in ADMIN]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(OwnUser, shape=lambda message: {"message": message}),
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["*"],
                expose_headers=["X-Total-Count", "Link", errors.VERSION_HEADER],
                max_age=3600,
            ),
        ],
        exception_handlers={
            errors.AuthError: _refuse,
            errors.OAuthError: _refuse,
            errors.GatewayError: _refuse,
            HTTPException: _no_route,
            Exception: _fail,
        },
    )


def _route(
    project: Project, method: str, path: str, handler: Handler, *, keyed: bool = False, admin: bool = False
) -> Route:
    async def answer(request: Request) -> Response:
        if keyed:
            callers.check_key(project, request)
        if admin:
            callers.check_admin(project, request)
        await guards.check(project, request, method, path)
        return await handler(project, request)

    return Route(PREFIX + path, answer, methods=[method])


async def _refuse(request: Request, error: Exception) -> Response:
    return errors.render(request, error)


async def _no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.status_code} {error.detail}", error.status_code)


async def _fail(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    message = "Unexpected failure, please check server logs for more information"
    return errors.render(request, errors.AuthError(500, "unexpected_failure", message))
