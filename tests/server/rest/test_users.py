"""Users and chats: registered, changed by whoever has read them last, and gone with all that is theirs."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import httpx
import pytest

from tests.server.conftest import Serve
from tests.server.rest.conftest import client, started
from tests.server.test_guard import make_key

pytestmark = pytest.mark.integration


def register(api: httpx.Client, *users: str) -> None:
    for user in users:
        assert api.post("/subtenants", json={"id": user}).status_code == 201


def test_a_user_is_registered_read_changed_and_deleted(serve: Serve) -> None:
    api = client(started(serve))
    made = api.post("/subtenants", json={"id": "ann", "name": "Ann", "metadata": {"plan": "pro"}})
    assert (made.status_code, made.headers["location"]) == (201, "/api/v1/subtenants/ann")
    read = api.get("/subtenants/ann")
    assert read.json() == made.json()
    assert read.headers["etag"] == made.headers["etag"]
    changed = api.put("/subtenants/ann", json={"name": "Ann Lee"}, headers={"if-match": read.headers["etag"]})
    assert (changed.json()["name"], changed.json()["metadata"]) == ("Ann Lee", {"plan": "pro"})
    assert api.delete("/subtenants/ann").status_code == 204
    assert api.get("/subtenants/ann").status_code == 404


def test_who_has_read_an_older_state_changes_nothing(serve: Serve) -> None:
    api = client(started(serve))
    register(api, "ann")
    chat = f"/chats/{api.post('/subtenants/ann/chats', json={'title': 'A'}).json()['id']}"
    for place, body in (("/subtenants/ann", {"name": "B"}), (chat, {"title": "B"})):
        stale = {"if-match": api.get(place).headers["etag"]}
        assert api.put(place, json=body, headers=stale).status_code == 200
        for refused in (api.put(place, json=body, headers=stale), api.delete(place, headers=stale)):
            assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        weak = {"if-match": "W/" + api.get(place).headers["etag"]}
        assert api.put(place, json=body, headers=weak).status_code == 412
        assert api.put(place, json=body, headers={"if-match": "*"}).status_code == 200
    assert api.get("/subtenants/ann").json()["name"] == "B"


def test_a_request_sent_again_makes_nothing_twice(serve: Serve) -> None:
    api, other = (client(served) for served in [started(serve)] * 2)
    key = {"idempotency-key": "k1"}
    first = api.post("/subtenants", json={"name": "Ann"}, headers=key)
    assert api.post("/subtenants", json={"name": "Ann"}, headers=key).json() == first.json()
    reused = api.post("/subtenants", json={"name": "Bob"}, headers=key)
    assert (reused.status_code, reused.json()["code"]) == (400, "idempotency_key_reused")
    assert len(api.get("/subtenants").json()["data"]) == 1
    other.headers["x-tenant-id"] = "globex"
    assert other.post("/subtenants", json={"name": "Bob"}, headers=key).status_code == 201, "a key is its tenant's"


def test_a_request_that_failed_may_be_sent_again_under_its_key(serve: Serve) -> None:
    api = client(started(serve))
    register(api, "ann")
    key = {"idempotency-key": "k1"}
    assert api.post("/subtenants", json={"id": "ann"}, headers=key).status_code == 409
    assert api.delete("/subtenants/ann").status_code == 204
    assert api.post("/subtenants", json={"id": "ann"}, headers=key).status_code == 201


def test_of_many_alike_at_once_one_is_made(serve: Serve) -> None:
    served = started(serve)
    headers = dict(client(served).headers) | {"idempotency-key": "k1"}

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=f"{served.url}/api/v1", headers=headers, timeout=20) as http:
            return await asyncio.gather(*(http.post("/subtenants", json={"name": "Ann"}) for _ in range(16)))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert len(client(served).get("/subtenants").json()["data"]) == 1


def test_users_are_listed_a_page_at_a_time(serve: Serve) -> None:
    api = client(started(serve))
    register(api, "a", "b", "c", "d", "e")
    first = api.get("/subtenants", params={"limit": 2}).json()
    assert ([user["id"] for user in first["data"]], first["has_more"]) == (["a", "b"], True)
    api.delete("/subtenants/b")
    then = api.get("/subtenants", params={"limit": 3, "after": first["next"]}).json()
    assert ([user["id"] for user in then["data"]], then["has_more"], then["next"]) == (["c", "d", "e"], False, None)
    assert api.get("/subtenants/c/chats", params={"after": first["next"]}).json()["param"] == "after"
    assert api.get("/subtenants", params={"after": "nonsense"}).status_code == 400
    assert api.get("/subtenants", params={"limit": 0}).status_code == 422


def test_what_is_another_tenants_is_told_as_what_there_is_none_of(serve: Serve) -> None:
    served = started(serve)
    register(client(served), "ann")
    chat = client(served).post("/subtenants/ann/chats", json={}).json()["id"]
    foreign = client(served, "globex")
    for there, nowhere in (("/subtenants/ann", "/subtenants/eve"), (f"/chats/{chat}", f"/chats/{chat[:-1]}x")):
        for method in ("GET", "DELETE"):
            told = foreign.request(method, there).json(), foreign.request(method, nowhere).json()
            names = there.rpartition("/")[2], nowhere.rpartition("/")[2]
            bare = [
                {**each, "request_id": "", "detail": each["detail"].replace(name, "")}
                for each, name in zip(told, names, strict=True)
            ]
            assert bare[0] == bare[1]
            assert bare[0]["status"] == 404


def test_a_key_of_a_users_sees_that_user_alone(serve: Serve) -> None:
    served = started(serve)
    api = client(served)
    register(api, "ann", "bob")
    chats = {user: api.post(f"/subtenants/{user}/chats", json={}).json()["id"] for user in ("ann", "bob")}
    for chat in chats.values():
        run = api.post(f"/chats/{chat}/messages", json={"content": "Hello"}).json()["run_id"]
    as_ann = httpx.Client(base_url=api.base_url, headers=make_key(served, scope="user", tenant="acme", user="ann"))
    with as_ann:
        assert [user["id"] for user in as_ann.get("/subtenants").json()["data"]] == ["ann"]
        assert as_ann.get(f"/chats/{chats['ann']}/messages").status_code == 200
        assert [each["id"] for each in as_ann.get("/threads").json()["data"]] == [chats["ann"]]
        for place in (
            "/subtenants/bob",
            "/subtenants/bob/memories",
            f"/chats/{chats['bob']}",
            f"/chats/{chats['bob']}/messages",
            f"/threads/{chats['bob']}",
            f"/threads/{chats['bob']}/messages",
            f"/threads/{chats['bob']}/runs",
            f"/runs/{run}",
            "/memories?user=bob",
        ):
            assert as_ann.get(place).status_code == 404, place
        assert as_ann.post("/subtenants", json={"id": "eve"}).status_code == 403
        assert as_ann.delete("/tenant").status_code == 403
        assert as_ann.post("/memories/forget", json={"include_threads": True}).status_code == 403
        assert {row["user"] for row in as_ann.get("/usage").json()["data"]} <= {"ann"}


def test_with_a_user_goes_all_that_is_theirs_and_nothing_else(serve: Serve) -> None:
    served = started(serve)
    api = client(served)
    register(api, "ann", "bob")
    for user in ("ann", "bob"):
        chat = api.post(f"/subtenants/{user}/chats", json={}).json()["id"]
        api.post(f"/chats/{chat}/messages", json={"content": f"The word of {user} is canary{user}."})
        api.post(f"/subtenants/{user}/memories", json={"key": "word", "value": f"canary{user}"})
        session = {"messages": [{"role": "user", "content": f"canary{user}"}]}
        headers = {"x-user-id": user, "authorization": api.headers["authorization"]}
        assert served.http.post(f"/v1/acme:of-{user}/chat/completions", json=session, headers=headers).is_success
    asyncio.run(served.app.settled())
    assert api.delete("/subtenants/ann").status_code == 204
    assert api.delete("/subtenants/ann").status_code == 404
    assert [each["user"] for each in api.get("/threads").json()["data"]] == ["bob", "bob"]
    assert [each["id"] for each in api.get("/sessions").json()["data"]] == ["of-bob"]
    assert {each["user"] for each in api.get("/memories").json()["data"]} <= {"bob", None}
    kept = b"".join(path.read_bytes() for path in served.storage_dir.rglob("*") if path.is_file())
    assert b"canarybob" in kept
    assert b"canaryann" not in kept


def test_with_a_tenant_goes_everything_of_its(serve: Serve) -> None:
    served = started(serve)
    for tenant in ("acme", "globex"):
        api = client(served, tenant)
        register(api, "ann")
        chat = api.post("/subtenants/ann/chats", json={"title": f"canary{tenant}"}).json()["id"]
        api.post(f"/chats/{chat}/messages", json={"content": f"canary{tenant}"})
    asyncio.run(served.app.settled())
    plan = api.request("DELETE", "/tenant", params={"dry_run": True}).json()
    assert plan["is_dry_run"]
    assert api.get("/subtenants").json()["data"] != []
    done = api.delete("/tenant").json()
    assert {each["kind"]: each["count"] for each in done["removed"] if each["place"] == "records"}["users"] == 1
    assert api.get("/subtenants").json()["data"] == []
    kept = b"".join(path.read_bytes() for path in served.storage_dir.rglob("*") if path.is_file())
    assert b"canaryacme" in kept
    assert b"canaryglobex" not in kept


@pytest.mark.parametrize("wrong", ["..", ".", "a/b", "a b", "", "é", "x" * 129, "a\nb", "a\0b"])
def test_ids_that_are_none_are_refused(serve: Serve, wrong: str) -> None:
    api = client(started(serve))
    assert api.post("/subtenants", json={"id": wrong}).status_code in {400, 422}
    assert api.get("/memories", params={"user": wrong}).status_code in {400, 422}
    assert api.get("/subtenants").json()["data"] == []


def test_metadata_that_cannot_be_kept_is_refused(serve: Serve) -> None:
    api = client(started(serve))
    for wrong in ({"n": 2**70}, {"text": "x" * 20_000}):
        refused = api.post("/subtenants", json={"id": "ann", "metadata": wrong})
        assert (refused.status_code, refused.json()["param"]) == (400, "metadata")


def test_pages_go_on_where_a_million_are_registered(serve: Serve) -> None:
    served = started(serve)
    api = client(served)
    register(api, "a", "b", "c")
    with closing(sqlite3.connect(next(served.storage_dir.rglob("records.db")))) as records, records:
        records.execute("UPDATE agentgraph_users SET number = number + 1000000")
    first = api.get("/subtenants", params={"limit": 1}).json()
    then = api.get("/subtenants", params={"limit": 2, "after": first["next"]}).json()
    assert [user["id"] for user in then["data"]] == ["b", "c"]
