"""Memories over HTTP: by key, searched with receipts, corrected, moved, and forgotten with a plan."""

from __future__ import annotations

import pytest

from tests.server.conftest import Serve
from tests.server.rest.conftest import client, started
from tests.server.test_guard import make_key

pytestmark = pytest.mark.integration


def test_a_memory_by_key_is_changed_only_as_it_was_read(serve: Serve) -> None:
    api = client(started(serve))
    api.post("/subtenants", json={"id": "ann"})
    place = "/subtenants/ann/memories"
    assert api.post(place, json={"key": "diet", "value": "Vegetarian."}).status_code == 201
    assert api.post(place, json={"key": "diet", "value": "Vegan."}).status_code == 409
    stale = {"if-match": api.get(f"{place}/diet").headers["etag"]}
    assert api.put(f"{place}/diet", json={"value": "Fish."}, headers=stale).status_code == 200
    assert api.put(f"{place}/diet", json={"value": "Meat."}, headers=stale).status_code == 412
    assert api.delete(f"{place}/diet", headers=stale).status_code == 412
    assert [each["value"] for each in api.get(place).json()["data"]] == ["Fish."]
    assert api.put(f"{place}/other", json={"value": "Meat."}).status_code == 404
    assert api.delete(f"{place}/diet").status_code == 204
    assert api.get(f"{place}/diet").status_code == 404


def test_memories_are_searched_corrected_and_forgotten_with_a_plan(serve: Serve) -> None:
    api = client(started(serve))
    made = api.post("/memories", json={"text": "I fly to Kyoto on April 3rd 2026.", "user": "ann"}).json()
    found = api.post("/memories/search", json={"query": "When do I fly to Kyoto?", "user": "ann"}).json()
    assert [(each["key"], bool(each["why"])) for each in found["kept"]] == [(made["key"], True)]
    place, whose = f"/memories/{made['key']}", {"user": "ann"}
    stale = {"if-match": api.get(place, params=whose).headers["etag"]}
    new = {"text": "I fly to Kyoto on April 5th 2026."}
    assert api.put(place, params=whose, json=new, headers=stale).status_code == 200
    assert api.put(place, params=whose, json=new, headers=stale).status_code == 412
    (before,) = api.get(f"{place}/history", params=whose).json()["data"]
    assert "April 3rd" in before["text"]
    (entry,) = api.get("/memories/timeline", params=whose).json()["data"]
    assert (entry["clock"], entry["at"][:10]) == ("event", "2026-04-05")
    plan = api.post("/memories/forget", json={**whose, "memory": made["key"], "dry_run": True}).json()
    assert (plan["is_dry_run"], api.get(place, params=whose).status_code) == (True, 200)
    done = api.post("/memories/forget", json={**whose, "memory": made["key"]}).json()
    assert (done["count"], api.get(place, params=whose).status_code) == (plan["count"], 404)


def test_what_is_exported_is_imported_elsewhere(serve: Serve) -> None:
    served = started(serve)
    api, other = client(served), client(served, "globex")
    for number in range(3):
        api.post("/memories", json={"text": f"Memory {number}."})
    lines = api.get("/memories/export").content
    assert other.post("/memories/import", content=lines + b"nonsense\n").json()["added"] == 3
    assert len(other.get("/memories").json()["data"]) == 3


def test_functions_are_an_administrators_alone(serve: Serve) -> None:
    served = started(serve, enable_functions=True)
    api = client(served)
    function = {"name": "twice", "description": "Double.", "code": "def twice(x):\n    return 2 * x"}
    function["parameters"] = [{"name": "x", "type": "integer", "description": "", "required": True}]  # type: ignore[assignment]
    key = make_key(served, scope="tenant", tenant="acme")
    assert api.post("/functions/register", json=function, headers=key).status_code == 403
    assert api.post("/functions/register", json=function).status_code == 201
    assert api.post("/functions/twice/execute", json={"arguments": {"x": 2}}).json()["result"] == 4
    assert api.post("/functions/twice/execute", json={"arguments": {"x": 2}}, headers=key).status_code == 403
    assert api.delete("/functions/twice").status_code == 204
    assert api.post("/mcp/servers", json={"name": "m", "url": "http://x.test/"}, headers=key).status_code == 403


def test_threads_are_forked_and_switched(serve: Serve) -> None:
    served = started(serve)
    api = client(served)
    api.post("/subtenants", json={"id": "ann"})
    thread = f"/threads/{api.post('/subtenants/ann/chats', json={}).json()['id']}"
    for text in ("One", "Two"):
        api.post(thread.replace("threads", "chats") + "/messages", json={"content": text})
    key = {"idempotency-key": "k1"}
    for _ in range(2):
        assert api.post(f"{thread}/fork", json={"to": "other"}, headers=key).json()["id"] == "other"
    assert len(api.get("/threads/other/messages").json()["data"]) == 4
    points = api.get(f"{thread}/checkpoints", params={"limit": 1}).json()
    older = api.get(f"{thread}/checkpoints", params={"after": points["next"]}).json()["data"]
    earlier = next(each["id"] for each in older if len(each["messages"]) == 2)
    stale = {"if-match": api.get(thread).headers["etag"]}
    assert api.post(f"{thread}/switch", json={"checkpoint": earlier}, headers=stale).status_code == 200
    assert api.post(f"{thread}/switch", json={"checkpoint": earlier}, headers=stale).status_code == 412
    assert len(api.get(f"{thread}/messages").json()["data"]) == 2
    assert api.delete(thread, headers=stale).status_code == 412
    assert api.delete(thread).status_code == 204
    assert api.get(f"{thread}/messages").status_code == 404
