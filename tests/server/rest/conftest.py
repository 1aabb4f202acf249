"""A server with an administrator's key, and a client of one tenant's below `/api/v1`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.server.conftest import Serve, Served
from tests.server.conftest import serve as serve

ADMIN = "admin-key"


@pytest.fixture
def api(serve: Serve) -> Callable[..., httpx.Client]:
    """Start a server and return a client of `tenant`; options are `serve`'s."""
    return lambda tenant="acme", **options: client(serve(**options), tenant)


def client(served: Served, tenant: str | None = "acme", *, key: str = ADMIN) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"} | ({} if tenant is None else {"x-tenant-id": tenant})
    return served.cleanup.enter_context(httpx.Client(base_url=f"{served.url}/api/v1", headers=headers, timeout=20))


def started(serve: Serve, script: Any = "echo", **options: Any) -> Served:
    return serve(script, api_keys=[ADMIN], **options)
