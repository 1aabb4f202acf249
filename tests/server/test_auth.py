"""Who may act for whom; without a server: `authorize` sees a request and nothing else."""

import pytest
from starlette.requests import HTTPConnection

from agentgraph.errors import InvalidInputError, NotAuthenticatedError, NotFoundError, PermissionDeniedError
from agentgraph.server.auth import LOCAL, Caller, authorize, caller_of, require_admin

ADMIN = Caller(key_id="k", scopes=frozenset({"admin"}))
ACME = Caller(key_id="k", tenant="acme")
ANN = Caller(key_id="k", tenant="acme", user="ann", scopes=frozenset({"user"}))


def asked_by(caller: Caller | None) -> HTTPConnection:
    request = HTTPConnection({"type": "http", "headers": []})
    if caller is not None:
        request.state.caller = caller
    return request


async def test_the_tenant_comes_from_the_key_where_the_request_names_none() -> None:
    assert (await authorize(asked_by(ACME))).tenant == "acme"
    assert (await authorize(asked_by(ACME), "acme:s1")).session == "s1"
    for caller in (ADMIN, LOCAL):
        with pytest.raises(InvalidInputError, match="name a tenant"):
            await authorize(asked_by(caller))


async def test_a_foreign_tenant_is_told_as_a_missing_one() -> None:
    told = set()
    for tenant in ("globex", "nobody"):
        with pytest.raises(NotFoundError) as caught:
            await authorize(asked_by(ACME), tenant)
        told.add((caught.value.code, caught.value.message.replace(tenant, "…")))
    assert len(told) == 1


async def test_a_users_key_speaks_for_that_user_alone() -> None:
    assert (await authorize(asked_by(ANN), "acme")).user == "ann"
    assert (await authorize(asked_by(ANN), "acme", user="ann")).user == "ann"
    with pytest.raises(NotFoundError):
        await authorize(asked_by(ANN), "acme", user="bob")


@pytest.mark.parametrize("tenant", ["_global", "_global:s1"])
async def test_what_every_tenant_reads_takes_an_administrator(tenant: str) -> None:
    assert (await authorize(asked_by(ADMIN), tenant)).tenant == "_global"
    with pytest.raises(PermissionDeniedError):
        await authorize(asked_by(LOCAL), tenant)
    with pytest.raises(NotFoundError):
        await authorize(asked_by(ACME), tenant)


async def test_a_route_outside_the_gate_serves_nobody() -> None:
    for ask in (caller_of, require_admin):
        with pytest.raises(NotAuthenticatedError):
            ask(asked_by(None))
    with pytest.raises(NotAuthenticatedError):
        await authorize(asked_by(None), "acme")
    with pytest.raises(PermissionDeniedError):
        require_admin(asked_by(ACME))
    assert require_admin(asked_by(ADMIN)) is ADMIN
