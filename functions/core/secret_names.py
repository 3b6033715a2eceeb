"""How a function's secrets are called in Secret Manager: said here, for the program that makes them
(infra/components/secrets.py) and for functions that read one at use."""

from __future__ import annotations


def secret_id(function: str, variable: str) -> str:
    """The secret of one variable of one function: `provisioning-smtp-password` for SMTP_PASSWORD."""
    return f"{function}-{_dashed(variable)}"


def secrets_prefix(project: str, function: str) -> str:
    """What a function is told (SECRETS_PREFIX): the full name of any secret of its own, without the variable."""
    return f"projects/{project}/secrets/{secret_id(function, '')}"


def secret_name(prefix: str, variable: str) -> str:
    """The full name (projects/PROJECT/secrets/ID) of the secret of a variable, or of a field of the settings."""
    return prefix + _dashed(variable)


def _dashed(variable: str) -> str:
    return variable.lower().replace("_", "-")
