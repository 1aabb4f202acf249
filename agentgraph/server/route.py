"""Which route a request took, as its template: a path has ids of tenants and threads in it."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

__all__ = ["route_of"]


def route_of(scope: Scope) -> str | None:
    """Return `/v1/{tenant}/models` for `/v1/acme/models`; `None` for a path nobody serves.

    FastAPI keeps the prefix a router was included with beside the route.
    """
    included: Any = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path = getattr(included, "path_format", None) or getattr(included, "path", None)
    return path if isinstance(path, str) else None
