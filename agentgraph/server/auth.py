"""Who calls, and for whom they may: the only place a route gets the scope of a run from.

A tenant that is not the caller's is told in the very words of one there is none of, and so is a user: whoever holds a
key of one tenant learns nothing of another's, not even that it exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from starlette.requests import HTTPConnection

from agentgraph.errors import InvalidInputError, NotAuthenticatedError, NotFoundError, PermissionDeniedError
from agentgraph.scope import GLOBAL_TENANT
from agentgraph.scope import Scope as RunScope
from agentgraph.server.api_key import ApiKey, Right
from agentgraph.settings import Limits

__all__ = ["IN_SCOPE", "LOCAL", "Caller", "Entrance", "authorize", "caller_of", "is_public", "require_admin"]

IN_SCOPE: Final = "agentgraph.guard"
"""Where a request's scope has the guard that admitted it."""

_UNLIMITED: Final = Limits()
_IMPLIED: Final[dict[Right, frozenset[Right]]] = {
    "admin": frozenset({"admin", "tenant", "user"}),
    "tenant": frozenset({"tenant", "user"}),
    "user": frozenset({"user"}),
}
_PUBLIC: Final = frozenset(
    {"/", "/health", "/health/live", "/health/ready", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
)
_PUBLIC_FOLDERS: Final = ("/static-offline-docs/", "/page/assets/")


class Entrance(Protocol):
    """Counts requests by tenant, and asks the deployment's own hook about each."""

    async def enter(self, request: HTTPConnection, tenant: str) -> str | None:
        """Let a request act for a tenant or raise; return the user it is to act for, where that is decided."""

    async def is_closed(self, scope: RunScope) -> bool:
        """Say whether the thread of a scope is another user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request, as the key or the hook says; on `request.state.caller` before any route.

    Attributes:
        key_id: Which key; `None` where it took none.
        tenant: The only tenant the caller may act for; `None` for any.
        user: The only user the caller may act for; `None` for any.
        scopes: What the caller may; whoever may more may less, too.
        limits: How much may be used with the key.
    """

    key_id: str | None = None
    tenant: str | None = None
    user: str | None = None
    scopes: frozenset[Right] = frozenset({"tenant", "user"})
    limits: Limits = _UNLIMITED

    @classmethod
    def of(cls, key: ApiKey) -> Caller:
        """Return whoever sent a good key."""
        return cls(key_id=key.key_id, tenant=key.tenant, user=key.user, scopes=_IMPLIED[key.scope], limits=key.limits)

    @property
    def is_admin(self) -> bool:
        """Whether the caller may do everything."""
        return "admin" in self.scopes


LOCAL: Final = Caller()
"""Whoever calls where no keys are set: any tenant, but nothing that takes an administrator."""


def is_public(path: str) -> bool:
    """Say whether `path` is open to all: what describes the server and tells nothing of anybody."""
    return path in _PUBLIC or path.startswith(_PUBLIC_FOLDERS)


def caller_of(request: HTTPConnection) -> Caller:
    """Return who sent the request.

    Raises:
        NotAuthenticatedError: Nobody has looked: the route stands outside the gate.
    """
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise NotAuthenticatedError("nobody has looked at the key of this request", code="missing_api_key")
    return caller


def require_admin(request: HTTPConnection) -> Caller:
    """Return who sent the request, if they may do everything.

    Raises:
        PermissionDeniedError: They may not.
    """
    caller = caller_of(request)
    if not caller.is_admin:
        raise PermissionDeniedError("this takes a key with the scope 'admin'")
    return caller


async def authorize(
    request: HTTPConnection,
    tenant: str | None = None,
    *,
    user: str | None = None,
    thread: str | None = None,
    agent: str = "default",
) -> RunScope:
    """Return the scope a request may act in.

    Args:
        request: Whose caller the gate has found.
        tenant: `tenant` or `tenant:session` as the request has it; `None` for the key's own.
        user: The user the request names, if any; where the key or the hook names one, that one.
        thread: The thread the request names, if any.
        agent: The named agent.

    Raises:
        InvalidInputError: An id that is none, or no tenant where the key names none either.
        NotFoundError: The tenant, the user or the thread is not the caller's; the same for one there is none of.
        PermissionDeniedError: It would write what every tenant reads, without an administrator's key.
        RateLimitedError: Too many requests came for the tenant in the last minute.
        Exception: What the deployment's `auth_hook` raised.
    """
    caller = caller_of(request)
    if tenant is None:
        tenant = caller.tenant
    if tenant is None:
        raise InvalidInputError("name a tenant: the key is of none", param="tenant")
    scope = RunScope.parse(tenant, user=user, thread=thread, agent=agent)
    if caller.tenant not in {None, scope.tenant}:
        raise NotFoundError(f"there is no tenant {scope.tenant!r}", code="tenant_not_found")
    if scope.tenant == GLOBAL_TENANT and not caller.is_admin:
        raise PermissionDeniedError(
            f"the tenant {GLOBAL_TENANT!r} takes a key with the scope 'admin': every tenant may read it"
        )
    scope = _for_user(scope, caller.user)
    entrance: Entrance | None = request.scope.get(IN_SCOPE)
    if entrance is None:
        return scope
    named = await entrance.enter(request, scope.tenant)
    scope = _for_user(scope, named)
    if (caller.user or named) is not None and scope.thread_key is not None and await entrance.is_closed(scope):
        raise NotFoundError("there is no such thread")  # as of one there is none of
    return scope


def _for_user(scope: RunScope, bound: str | None) -> RunScope:
    if bound is None or scope.user == bound:
        return scope
    if scope.user is not None:
        raise NotFoundError(f"there is no user {scope.user!r}", code="user_not_found")
    return RunScope(tenant=scope.tenant, session=scope.session, thread=scope.thread, agent=scope.agent, user=bound)
