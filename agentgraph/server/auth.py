"""Who may call: bearer keys where there are any, else only programs and pages of this machine."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import Headers

from agentgraph.errors import NotAuthenticatedError, PermissionDeniedError
from agentgraph.scope import GLOBAL_TENANT, Scope

__all__ = ["authenticate", "authorize", "is_public"]

_PUBLIC: Final = frozenset({"/", "/health", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
_PUBLIC_FOLDER: Final = "/static-offline-docs/"


def is_public(path: str) -> bool:
    """Say whether `path` is open to all: what describes the server and tells nothing of anybody."""
    return path in _PUBLIC or path.startswith(_PUBLIC_FOLDER)


def authenticate(headers: Headers, keys: Sequence[SecretStr]) -> None:
    """Let the request pass or raise.

    Raises:
        NotAuthenticatedError: Keys are set and the request brings none of them.
        PermissionDeniedError: No keys are set and a page of another site, open in a browser of this machine, asks.
    """
    if not keys:
        # Without this any web page could talk to a server on the reader's own machine.
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            raise PermissionDeniedError("pages of other sites may not call a server that has no api keys")
        return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not given:
        raise NotAuthenticatedError("no API key: send 'Authorization: Bearer <key>'", code="missing_api_key")
    offered = given.strip().encode()
    # Every key is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(offered, key.get_secret_value().encode()) for key in keys]
    if scheme.lower() != "bearer" or not any(matches):
        raise NotAuthenticatedError("the API key is not one of this server's", code="invalid_api_key")


def authorize(scope: Scope) -> None:
    """Let a run be for `scope` or raise.

    Raises:
        PermissionDeniedError: It would write what every tenant reads; no key of this server is an administrator's.
    """
    if scope.tenant == GLOBAL_TENANT:
        raise PermissionDeniedError(
            f"the tenant {GLOBAL_TENANT!r} cannot be written over HTTP: every tenant may read it; write it from Python"
        )
