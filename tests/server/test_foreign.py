"""Every route of the OpenAPI × every kind of foreign object: told as one there is none of, and nothing of it is told.

Routes are found in the server's own description, so one that is added is walked from then on. A path parameter of a
kind that stands in no row of `KINDS` fails the walk: add the row.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.server.conftest import Serve, Served
from tests.server.test_guard import make_key

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:astream_log is deprecated"),  # LangServe's playgrounds need it still
]

CANARY = "canary-4711"
MISSING = "missing-0815"
MESSAGES = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Owner:
    """Whose objects are made: a tenant's, or a user's of it."""

    tenant: str
    user: str | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of object that a request may name.

    Attributes:
        names: How path, query, header and body parameters that name one are called.
        make: Makes one of an owner's that holds the canary, and returns its id.
        missing: An id of none.
        is_shared: Whether every tenant has it, so that none is foreign.
        is_tenants: Whether all users of a tenant have it.
    """

    names: frozenset[str]
    make: Callable[[Served, Owner], str]
    missing: str = MISSING
    is_shared: bool = False
    is_tenants: bool = False


def _thread(served: Served, owner: Owner) -> str:
    thread = f"thread-{owner.tenant}-{owner.user}"
    asyncio.run(served.app.run(f"I say {CANARY}.", tenant=owner.tenant, user=owner.user, thread=thread))
    return thread


def _session(served: Served, owner: Owner) -> str:
    session = f"session-{owner.tenant}-{owner.user}"
    asyncio.run(served.app.run(f"I say {CANARY}.", tenant=f"{owner.tenant}:{session}", user=owner.user))
    return session


def _run(served: Served, owner: Owner) -> str:
    thread = f"run-{owner.tenant}-{owner.user}"
    asked = served.app.run(f"I say {CANARY}.", tenant=owner.tenant, user=owner.user, thread=thread)
    return asyncio.run(asked).run_id


def _checkpoint(served: Served, owner: Owner) -> str:
    thread = _thread(served, owner)
    found = asyncio.run(served.app.threads.checkpoint(tenant=owner.tenant, thread=thread))
    return found.checkpoint_id


def _memory(served: Served, owner: Owner) -> str:
    added = served.app.memories.add(f"{owner.tenant} likes {CANARY}.", tenant=owner.tenant, user=owner.user)
    return asyncio.run(added).key


def _as_owner(served: Served, owner: Owner, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do something with a key of the owner's tenant."""
    key = make_key(served, scope="tenant", tenant=owner.tenant)
    answer = served.http.request(method, path, json=body, headers=key)
    assert answer.status_code in {200, 201, 409}, answer.text
    told: dict[str, Any] = answer.json()
    return told


def _user(served: Served, owner: Owner) -> str:
    user = owner.user or "somebody"
    _as_owner(served, owner, "POST", "/api/v1/subtenants", {"id": user, "name": CANARY})
    return user


def _chat(served: Served, owner: Owner) -> str:
    path = f"/api/v1/subtenants/{_user(served, owner)}/chats"
    return str(_as_owner(served, owner, "POST", path, {"title": CANARY})["id"])


def _note(served: Served, owner: Owner) -> str:
    note = {"key": f"note-{owner.tenant}-{owner.user}", "value": CANARY}
    _as_owner(served, owner, "POST", f"/api/v1/subtenants/{_user(served, owner)}/memories", note)
    return note["key"]


def _agent(served: Served, owner: Owner) -> str:
    name = f"agent-{owner.tenant}-{owner.user}"
    _as_owner(served, owner, "POST", "/agents", {"name": name, "instructions": CANARY})
    return name


def _tool(served: Served, owner: Owner) -> str:
    name = f"tool_{owner.tenant}_{owner.user}"
    function = {"name": name, "description": CANARY, "parameters": {"type": "object", "properties": {}}}
    body = {"tools": [{"type": "function", "function": function}]}
    _as_owner(served, owner, "POST", f"/v1/{owner.tenant}/tools", body)
    return name


def _response(served: Served, owner: Owner) -> str:
    key = make_key(served, scope="user" if owner.user else "tenant", tenant=owner.tenant, user=owner.user)
    answer = served.http.post("/v1/responses", json={"input": f"I say {CANARY}.", "store": True}, headers=key)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def _model(served: Served, owner: Owner) -> str:
    return "default"  # the deployment's, everybody's


KINDS = {
    "tenant": Kind(frozenset({"tenant", "x-tenant-id"}), lambda served, owner: owner.tenant),
    "user": Kind(frozenset({"user", "user_id", "x-user-id", "subtenant", "subtenant_id"}), _user),
    "thread": Kind(frozenset({"thread", "thread_id", "x-thread-id"}), _thread),
    "chat": Kind(frozenset({"chat", "chat_id"}), _chat),
    "session": Kind(frozenset({"session", "session_id"}), _session),
    "run": Kind(frozenset({"run", "run_id"}), _run),
    "checkpoint": Kind(frozenset({"checkpoint", "checkpoint_id"}), _checkpoint),
    "note": Kind(frozenset({"{user_id}/memories/{key}"}), _note),
    "memory": Kind(frozenset({"memory", "memory_id", "key"}), _memory),
    "agent": Kind(frozenset({"agent_name"}), _agent, is_tenants=True),
    "response": Kind(frozenset({"response_id", "previous_response_id"}), _response),
    "tool": Kind(frozenset({"{tenant}/tools/{name}", "v1/tools/{name}"}), _tool, is_tenants=True),
    "model": Kind(frozenset({"model", "model_id"}), _model, missing="openai/gpt-missing", is_shared=True),
    # An administrator's: a tenant's key is refused whatever it names.
    "function": Kind(frozenset({"functions/{name}"}), lambda served, owner: "some_function"),
    "mcp server": Kind(frozenset({"mcp/servers/{name}"}), lambda served, owner: "some-server"),
    "mcp tool": Kind(frozenset({"mcp/tools/{name}"}), lambda served, owner: "some__tool"),
}
OWNED = [kind for kind, row in KINDS.items() if not row.is_shared]
KIND_OF = {name: kind for kind, row in KINDS.items() for name in row.names}
# What of the server's is everybody's, and what only describes it.
OPEN = re.compile(r"/(health(/.*)?|docs.*|redoc|openapi\.json|static-offline-docs/.*|page/.*)?")
Ids = dict[str, str]


@dataclass(frozen=True)
class Operation:
    """One route with one method."""

    method: str
    path: str
    about: dict[str, Any]
    schemas: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def request(self, ids: Ids) -> dict[str, Any]:
        """Return the request that names these objects wherever it can name any."""
        options: dict[str, Any] = {"params": {}, "headers": {}}
        if self.method in {"PUT", "PATCH", "DELETE"}:
            options["headers"]["if-match"] = "*"
        for parameter in self.about.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            where, kind = options["params" if place == "query" else "headers"], KIND_OF.get(name.lower())
            if place in {"query", "header"} and kind in ids:
                where[name] = ids[kind]
            elif place in {"query", "header"} and parameter.get("required"):
                where[name] = sample(parameter["schema"], self.schemas)
        path = re.sub(r"\{(\w+)\}", lambda match: ids[self._kind_of(match)], self.path)
        content = self.about.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            options["json"] = self._body(content["application/json"], ids)
        return {"method": self.method, "url": path, **options}

    def names(self, value: str, request: dict[str, Any]) -> bool:
        """Say whether a request names an object at all."""
        return value in re.split(r"[/:?]", request["url"]) or f'"{value}"' in json.dumps(request)

    def _kind_of(self, match: re.Match[str]) -> str:
        """Return the kind a path parameter names: by the end of the path it is at, else by its name."""
        until = self.path[: match.end()]
        by_place = [kind for name, kind in KIND_OF.items() if "/" in name and until.endswith(f"/{name}")]
        kind = by_place[0] if by_place else KIND_OF.get(match[1])
        assert kind is not None, f"{self}: no row of KINDS names {match[1]!r}"
        return kind

    def _body(self, content: dict[str, Any], ids: Ids) -> Any:
        schema = resolved(content.get("schema", {}), self.schemas)
        body = content.get("example") or next(
            iter(each.get("value") for each in content.get("examples", {}).values()), None
        )
        body = json.loads(json.dumps(body if body is not None else sample(schema, self.schemas)))
        if not isinstance(body, dict):
            return body
        for name in schema.get("properties", {}):
            if (kind := KIND_OF.get(name)) in ids and kind not in {"model", "memory", "note"}:
                body[name] = ids[kind]
        if "input" in schema.get("properties", {}) and "config" in schema.get("properties", {}):  # LangServe's
            configurable = {
                name: ids[kind] for name, kind in (("tenant", "tenant"), ("thread", "thread")) if kind in ids
            }
            body = {"input": "Hello", "config": {"configurable": configurable}}
        if "inputs" in schema.get("properties", {}):
            body = {"inputs": ["Hello"], "config": {"configurable": {"tenant": ids["tenant"]}}}
        return body


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def sample(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """Return a small value of a schema."""
    schema = resolved(schema, schemas)
    if depth > 6:
        return None
    for given in ("const", "default", "example"):
        if schema.get(given) is not None:
            return schema[given]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return sample(schema[several][0], schemas, depth + 1)
    match schema.get("type"):
        case "object":
            needed, properties = schema.get("required", ()), schema.get("properties", {})
            return {name: sample(properties.get(name, {}), schemas, depth + 1) for name in needed}
        case "array":
            return [sample(schema.get("items", {}), schemas, depth + 1)] if schema.get("minItems") else []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return "Hello"


def operations(served: Served) -> Iterator[Operation]:
    described = served.http.get("/openapi.json").json()
    schemas = described.get("components", {}).get("schemas", {})
    found = [
        Operation(method.upper(), path, about, schemas)
        for path, methods in described["paths"].items()
        if not OPEN.fullmatch(path)
        for method, about in methods.items()
    ]
    # What begins things stands after what looks for them, and what deletes a whole tenant at the end.
    methods = ["GET", "PUT", "PATCH", "DELETE", "POST"]
    yield from sorted(found, key=lambda each: (each.path.endswith("/tenant"), methods.index(each.method)))


def told(answer: httpx.Response, ids: Ids) -> tuple[int, str]:
    """Return an answer without what differs from request to request: its ids, and the objects it was asked for."""
    text = answer.text
    for value in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(value, "…")
    text = re.sub(r"req-[0-9a-f]{32}", "req", text)
    return answer.status_code, text if answer.status_code >= 400 else ""


def made(served: Served, owner: Owner) -> Ids:
    described = served.http.get("/openapi.json").text
    return {
        kind: row.make(served, owner) if any(name in described for name in row.names) else row.missing
        for kind, row in KINDS.items()
    }


def walk(served: Served, headers: dict[str, str], foreign: Ids, missing: Ids, *, kinds: list[str]) -> list[str]:
    """Name one foreign object after the other, and one there is none of instead; return where it shows."""
    faults: list[str] = []
    own = {"authorization": headers["authorization"]}
    for operation in operations(served):
        for kind in kinds:
            base = {**missing, "tenant": foreign["tenant"] if kind == "tenant" else headers["tenant"]}
            # Of a foreign tenant all objects are foreign ones; within one's own, one is.
            asked = [
                {**(foreign if kind == "tenant" else base), kind: foreign[kind]},
                {**base, kind: KINDS[kind].missing},
            ]
            if not operation.names(foreign[kind], operation.request(asked[0])):
                continue
            answers = []
            for ids in asked:
                request = operation.request(ids)
                request["headers"] = {**request["headers"], **own}
                answers.append((served.http.request(**request), ids))
            where = f"{operation} ({kind})"
            if any(answer.status_code >= 500 for answer, _ in answers):
                faults.append(f"{where}: {[(answer.status_code, answer.text[:200]) for answer, _ in answers]}")
            if (first := told(*answers[0])) != (second := told(*answers[1])):
                faults.append(f"{where}: {first} is not {second}")
            if CANARY in answers[0][0].text:
                faults.append(f"{where}: tells what is another's: {answers[0][0].text[:300]}")
            if kind == "tenant" and answers[0][0].status_code < 400:
                faults.append(f"{where}: {answers[0][0].status_code} for a foreign tenant")
    return faults


def still_there(served: Served, owner: Owner, ids: Ids) -> None:
    """See that nothing of what was walked over has changed."""
    threads = asyncio.run(served.app.threads.list(tenant=owner.tenant))
    assert {ids["thread"], ids["session"]} <= {thread.thread for thread in threads}
    assert len(asyncio.run(served.app.history(tenant=owner.tenant, thread=ids["thread"]))) == 4
    assert asyncio.run(served.app.memories.get(ids["memory"], tenant=owner.tenant, user=owner.user))


def test_no_route_tells_a_foreign_tenants_objects_from_missing_ones(serve: Serve) -> None:
    served = serve()
    theirs = Owner("globex", "bob")
    key = {**make_key(served, scope="tenant", tenant="acme"), "tenant": "acme"}
    make_key(served, scope="tenant", tenant="globex")
    foreign = made(served, theirs)
    missing = {kind: row.missing for kind, row in KINDS.items()}
    faults = walk(served, key, foreign, missing, kinds=OWNED)
    assert not faults, "\n".join(faults)
    still_there(served, theirs, foreign)


@pytest.mark.parametrize("bound_by", ["key", "auth_hook"])
def test_no_route_tells_another_users_objects_from_missing_ones(serve: Serve, bound_by: str) -> None:
    bound: list[str] = []

    def auth_hook(request: Any, _: str) -> None:
        if request.headers.get("authorization") in bound:
            request.state.user_id = "ann"

    served = serve(auth_hook=auth_hook)
    theirs = Owner("acme", "bob")
    whose = {"scope": "user", "user": "ann"} if bound_by == "key" else {"scope": "tenant"}
    key = {**make_key(served, tenant="acme", **whose), "tenant": "acme"}
    foreign = made(served, theirs)
    bound += [key["authorization"]] if bound_by == "auth_hook" else []
    missing = {kind: row.missing for kind, row in KINDS.items()} | {"user": "ann"}
    kinds = [kind for kind in OWNED if kind not in {"tenant", "thread", "session"} and not KINDS[kind].is_tenants]
    faults = walk(served, key, foreign, missing, kinds=kinds)
    # A thread that is none is begun by whoever names it; another's is refused.
    faults += [fault for fault in walk(served, key, foreign, missing, kinds=["thread"]) if CANARY in fault]
    assert not faults, "\n".join(faults)
    still_there(served, theirs, foreign)


def test_no_route_serves_without_a_key(serve: Serve) -> None:
    served = serve(api_keys=["right"])
    ids = {kind: row.missing for kind, row in KINDS.items()} | {"tenant": "acme"}
    open_to_all = []
    for operation in operations(served):
        for headers in ({}, {"authorization": "Bearer wrong"}):
            request = operation.request(ids)
            request["headers"] = {**request["headers"], **headers}
            if served.http.request(**request).status_code != 401:
                open_to_all.append(str(operation))
    assert open_to_all == []


def test_no_route_that_runs_the_agent_runs_it_without_a_budget(serve: Serve) -> None:
    """Every run goes through its limits: where none may be spent, no model is ever asked."""
    served = serve([], tenant_limits={"*": {"budget_tokens": 0}})
    ids = {kind: row.missing for kind, row in KINDS.items()} | {"tenant": "acme", "model": "default"}
    answers = []
    for operation in operations(served):
        answer = served.http.request(**operation.request(ids))
        assert answer.status_code < 500, f"{operation}: {answer.text}"
        answers.append(answer.status_code)
    assert not served.model.calls
    assert answers.count(429) >= 3, "chat completions, and LangServe's"
