"""What stands before every route of an application: it finds out who calls, and notes it with the request."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from agentgraph.app import AgentGraph
from agentgraph.errors import NotAuthenticatedError, PermissionDeniedError
from agentgraph.server.auth import LOCAL, Caller, Right

__all__ = ["Guard", "bearer_token"]

_OPERATOR: Final[frozenset[Right]] = frozenset({"admin"})


class Guard:
    """The keys of one application, asked once a request.

    Args:
        app: The agent whose settings and hooks say who may call.
    """

    def __init__(self, app: AgentGraph) -> None:
        self.app = app

    async def admit(self, request: HTTPConnection) -> Caller:
        """Find out who calls and set `request.state.caller`; asked again, the answer stands.

        Raises:
            NotAuthenticatedError: Keys are needed and the request brings none that is good.
            PermissionDeniedError: No keys are set and a page of another site, open in a browser of this machine, asks.
        """
        known = getattr(request.state, "caller", None)
        if isinstance(known, Caller):
            return known
        caller = request.state.caller = self._caller(request)
        return caller

    def _caller(self, request: HTTPConnection) -> Caller:
        keys = self.app.settings.api_keys
        if not keys:
            _refuse_strangers(request)
            return LOCAL
        return _static(bearer_token(request.headers), keys)


def bearer_token(headers: Headers) -> str:
    """Return the key a request brings, as `Authorization: Bearer …` or as `x-api-key`.

    Raises:
        NotAuthenticatedError: It brings none.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if given.strip() and scheme.lower() == "bearer":
        return given.strip()
    if offered := headers.get("x-api-key", ""):
        return offered
    if given:
        raise NotAuthenticatedError("send the key as 'Authorization: Bearer <key>'", code="invalid_api_key")
    raise NotAuthenticatedError("no API key: send 'Authorization: Bearer <key>'", code="missing_api_key")


def _static(offered: str, keys: Sequence[SecretStr]) -> Caller:
    # Every key is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(offered.encode(), key.get_secret_value().encode()) for key in keys]
    if not any(matches):
        raise NotAuthenticatedError("the API key is not one of this server's", code="invalid_api_key")
    return Caller(key_id=f"setting-{matches.index(True)}", scopes=_OPERATOR)


def _refuse_strangers(request: HTTPConnection) -> None:
    """Without this any web page could talk to a server on the reader's own machine."""
    if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        raise PermissionDeniedError("pages of other sites may not call a server that has no api keys")
