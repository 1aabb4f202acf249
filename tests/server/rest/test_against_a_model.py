"""Tenants, chats, messages, memories and sessions over HTTP beside a model of a few dictionaries: never apart.

`AGENTGRAPH_MODEL_STEPS=5000` takes that many steps instead of a few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from agentgraph import AgentGraph, Settings
from agentgraph.server.app import create_app
from agentgraph.testing import HashEmbeddings, ScriptedChatModel
from tests.server.conftest import running
from tests.server.rest.conftest import ADMIN

pytestmark = pytest.mark.integration

TENANTS = st.sampled_from(["acme", "Acme", "globex"])
USERS = st.sampled_from(["ann", "bob", "Ann"])
KEYS = st.sampled_from(["diet", "Diet", "home"])
SESSIONS = st.sampled_from(["s1", "s2"])
TEXTS = st.sampled_from(["Tea, please.", "Tea, please!", "Où est Kyoto ?", "日本へ行きます", "1 < 2 & 3", "x" * 500])
STEPS_A_RUN = 50
STEPS = int(os.environ.get("AGENTGRAPH_MODEL_STEPS", "100"))


@contextmanager
def server() -> Iterator[httpx.Client]:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(TemporaryDirectory()))
        options = Settings.load(storage_dir=folder, storage_sync="normal", api_keys=[ADMIN])
        model = ScriptedChatModel(script=lambda messages, tools: f"re: {len(messages)}")
        app = AgentGraph(options, chat_model=model, embeddings=HashEmbeddings())
        url = cleanup.enter_context(running(create_app(app)))
        headers = {"authorization": f"Bearer {ADMIN}"}
        yield cleanup.enter_context(httpx.Client(base_url=url, headers=headers, timeout=30))


class Chat:
    def __init__(self, tenant: str, user: str, title: str) -> None:
        self.tenant, self.user, self.title = tenant, user, title
        self.said: list[str] = []
        self.tag: str | None = None


class AgainstAModel(RuleBasedStateMachine):
    """`users[tenant, id]` is a name, `notes[tenant, user, key]` a text, `chats[id]` a chat, `sessions` what is open."""

    http: httpx.Client
    steps = 0

    @initialize()
    def begin_anew(self) -> None:
        for tenant in ("acme", "Acme", "globex"):
            assert self.ask("DELETE", "/tenant", tenant).status_code == 200
        self.users: dict[tuple[str, str], str] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.notes: dict[tuple[str, str, str], str] = {}
        self.chats: dict[str, Chat] = {}
        self.gone: list[str] = []
        self.sessions: dict[tuple[str, str], int] = {}

    def ask(self, method: str, path: str, tenant: str, json: Any = None, **headers: str) -> httpx.Response:
        AgainstAModel.steps += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, f"/api/v1{path}", json=json, headers={"x-tenant-id": tenant, **named})

    def all_of(self, path: str, tenant: str) -> list[Any]:
        """Go through a list two at a time."""
        found: list[Any] = []
        after = ""
        while True:
            answer = self.ask("GET", f"{path}?limit=2{after}", tenant)
            assert answer.status_code == 200
            page = answer.json()
            found += page["data"]
            if not page["has_more"]:
                return found
            after = f"&after={page['next']}"

    # Users

    @rule(tenant=TENANTS, user=USERS, name=TEXTS)
    def register(self, tenant: str, user: str, name: str) -> None:
        answer = self.ask("POST", "/subtenants", tenant, {"id": user, "name": name[:100]})
        assert answer.status_code == (409 if (tenant, user) in self.users else 201)
        if answer.status_code == 201:
            self.users[tenant, user], self.tags[tenant, user] = name[:100], answer.headers["etag"]

    @rule(tenant=TENANTS, user=USERS, name=TEXTS, is_stale=st.booleans())
    def rename(self, tenant: str, user: str, name: str, is_stale: bool) -> None:
        tag = '"stale"' if is_stale else self.tags.get((tenant, user), '"none"')
        answer = self.ask("PUT", f"/subtenants/{user}", tenant, {"name": name[:100]}, if_match=tag)
        known = (tenant, user) in self.users
        assert answer.status_code == (404 if not known else 412 if is_stale else 200)
        if answer.status_code == 200:
            self.users[tenant, user], self.tags[tenant, user] = name[:100], answer.headers["etag"]

    @rule(tenant=TENANTS, user=USERS)
    def delete_user(self, tenant: str, user: str) -> None:
        answer = self.ask("DELETE", f"/subtenants/{user}", tenant)
        assert answer.status_code == (204 if (tenant, user) in self.users else 404)
        self.users.pop((tenant, user), None)
        self.tags.pop((tenant, user), None)
        self.notes = {place: text for place, text in self.notes.items() if place[:2] != (tenant, user)}
        for chat_id in [each for each, chat in self.chats.items() if (chat.tenant, chat.user) == (tenant, user)]:
            del self.chats[chat_id]
            self.gone.append(chat_id)

    @rule(tenant=TENANTS)
    def list_users(self, tenant: str) -> None:
        listed = {user["id"]: user["name"] for user in self.all_of("/subtenants", tenant)}
        assert listed == {user: name for (whose, user), name in self.users.items() if whose == tenant}

    # Notes

    @rule(tenant=TENANTS, user=USERS, key=KEYS, text=TEXTS)
    def write_down(self, tenant: str, user: str, key: str, text: str) -> None:
        answer = self.ask("POST", f"/subtenants/{user}/memories", tenant, {"key": key, "value": text})
        known = (tenant, user) in self.users
        assert answer.status_code == (404 if not known else 409 if (tenant, user, key) in self.notes else 201)
        if answer.status_code == 201:
            self.notes[tenant, user, key] = text

    @rule(tenant=TENANTS, user=USERS, key=KEYS, text=TEXTS)
    def rewrite(self, tenant: str, user: str, key: str, text: str) -> None:
        answer = self.ask("PUT", f"/subtenants/{user}/memories/{key}", tenant, {"value": text})
        assert answer.status_code == (200 if (tenant, user, key) in self.notes else 404)
        if answer.status_code == 200:
            self.notes[tenant, user, key] = text

    @rule(tenant=TENANTS, user=USERS, key=KEYS)
    def read_and_forget(self, tenant: str, user: str, key: str) -> None:
        place = f"/subtenants/{user}/memories/{key}"
        answer = self.ask("GET", place, tenant)
        if (tenant, user, key) not in self.notes:
            assert answer.status_code == 404
            assert self.ask("DELETE", place, tenant).status_code == 404
            return
        assert answer.json()["value"] == self.notes.pop((tenant, user, key))
        assert self.ask("DELETE", place, tenant, if_match='"stale"').status_code == 412
        assert self.ask("DELETE", place, tenant, if_match=answer.headers["etag"]).status_code == 204

    @rule(tenant=TENANTS, user=USERS)
    def list_notes(self, tenant: str, user: str) -> None:
        if (tenant, user) not in self.users:
            assert self.ask("GET", f"/subtenants/{user}/memories", tenant).status_code == 404
            return
        listed = {note["key"]: note["value"] for note in self.all_of(f"/subtenants/{user}/memories", tenant)}
        assert listed == {key: text for (*whose, key), text in self.notes.items() if whose == [tenant, user]}

    # Chats

    @rule(tenant=TENANTS, user=USERS, title=TEXTS, key=st.none() | st.sampled_from(["k1", "k2"]))
    def begin_chat(self, tenant: str, user: str, title: str, key: str | None) -> None:
        sent = {} if key is None else {"idempotency_key": f"{key}-{len(self.chats)}-{len(self.gone)}"}
        body = {"title": title[:100]}
        answer = self.ask("POST", f"/subtenants/{user}/chats", tenant, body, **sent)
        assert answer.status_code == (201 if (tenant, user) in self.users else 404)
        if answer.status_code == 201:
            self.chats[answer.json()["id"]] = Chat(tenant, user, title[:100])
            if key is not None:
                again = self.ask("POST", f"/subtenants/{user}/chats", tenant, body, **sent)
                assert again.json() == answer.json()

    @precondition(lambda self: self.chats)
    @rule(data=st.data(), text=TEXTS, is_streamed=st.booleans(), remembers=st.booleans())
    def say(self, data: st.DataObject, text: str, is_streamed: bool, remembers: bool) -> None:
        chat_id = data.draw(st.sampled_from(sorted(self.chats)))
        chat = self.chats[chat_id]
        path = f"/chats/{chat_id}/messages{'/stream' if is_streamed else ''}"
        # The same words twice are said twice: what was said is told apart by its number.
        said = f"{len(chat.said)}: {text}"
        answer = self.ask("POST", path, chat.tenant, {"content": said, "include_memories": remembers})
        assert answer.status_code == 200, answer.text
        chat.said.append(said)

    @precondition(lambda self: self.chats)
    @rule(data=st.data(), tenant=TENANTS)
    def read_chat(self, data: st.DataObject, tenant: str) -> None:
        chat_id = data.draw(st.sampled_from(sorted(self.chats)))
        chat = self.chats[chat_id]
        answer = self.ask("GET", f"/chats/{chat_id}", tenant)
        assert answer.status_code == (200 if tenant == chat.tenant else 404)
        if answer.status_code == 200:
            assert (answer.json()["title"], answer.json()["subtenant_id"]) == (chat.title, chat.user)
            said = [each["content"] for each in self.all_of(f"/chats/{chat_id}/messages", tenant)]
            assert said[::2] == chat.said
            assert len(said) == 2 * len(chat.said)

    @precondition(lambda self: self.chats)
    @rule(data=st.data(), title=TEXTS)
    def retitle(self, data: st.DataObject, title: str) -> None:
        chat_id = data.draw(st.sampled_from(sorted(self.chats)))
        chat = self.chats[chat_id]
        answer = self.ask("PUT", f"/chats/{chat_id}", chat.tenant, {"title": title[:100]})
        assert answer.status_code == 200
        chat.title = title[:100]

    @precondition(lambda self: self.chats)
    @rule(data=st.data())
    def delete_chat(self, data: st.DataObject) -> None:
        chat_id = data.draw(st.sampled_from(sorted(self.chats)))
        assert self.ask("DELETE", f"/chats/{chat_id}", self.chats.pop(chat_id).tenant).status_code == 204
        self.gone.append(chat_id)

    @precondition(lambda self: self.gone)
    @rule(data=st.data(), tenant=TENANTS)
    def look_for_what_is_gone(self, data: st.DataObject, tenant: str) -> None:
        chat_id = data.draw(st.sampled_from(self.gone))
        assert self.ask("GET", f"/chats/{chat_id}", tenant).status_code == 404
        assert self.ask("GET", f"/threads/{chat_id}", tenant).status_code == 404
        assert self.ask("POST", f"/chats/{chat_id}/messages", tenant, {"content": "Hello"}).status_code == 404

    @rule(tenant=TENANTS, user=USERS)
    def list_chats(self, tenant: str, user: str) -> None:
        if (tenant, user) in self.users:
            listed = {chat["id"]: chat["title"] for chat in self.all_of(f"/subtenants/{user}/chats", tenant)}
            its = {each: chat for each, chat in self.chats.items() if (chat.tenant, chat.user) == (tenant, user)}
            assert listed == {each: chat.title for each, chat in its.items()}

    # Sessions

    @rule(tenant=TENANTS, session=SESSIONS)
    def say_in_session(self, tenant: str, session: str) -> None:
        turns = self.sessions.get((tenant, session), 0)
        body = {"messages": [{"role": "user", "content": f"{turns}: hello"}]}
        answer = self.http.post(f"/v1/{tenant}:{session}/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        self.sessions[tenant, session] = turns + 1

    @rule(tenant=TENANTS, session=SESSIONS)
    def end_session(self, tenant: str, session: str) -> None:
        answer = self.ask("DELETE", f"/sessions/{session}", tenant)
        assert answer.status_code == (204 if self.sessions.pop((tenant, session), None) else 404)

    @rule(tenant=TENANTS)
    def list_sessions(self, tenant: str) -> None:
        listed = {each["id"]: each["messages"] for each in self.all_of("/sessions", tenant)}
        assert listed == {name: 2 * turns for (whose, name), turns in self.sessions.items() if whose == tenant}

    # Tenants

    @rule(tenant=TENANTS, is_real=st.sampled_from([False, False, False, True]))
    def delete_tenant(self, tenant: str, is_real: bool) -> None:
        assert self.ask("DELETE", f"/tenant?dry_run={str(not is_real).lower()}", tenant).status_code == 200
        if not is_real:
            return
        self.users = {place: name for place, name in self.users.items() if place[0] != tenant}
        self.tags = {place: tag for place, tag in self.tags.items() if place[0] != tenant}
        self.notes = {place: text for place, text in self.notes.items() if place[0] != tenant}
        self.sessions = {place: turns for place, turns in self.sessions.items() if place[0] != tenant}
        for chat_id in [each for each, chat in self.chats.items() if chat.tenant == tenant]:
            del self.chats[chat_id]
            self.gone.append(chat_id)


def test_the_server_does_what_a_few_dictionaries_would() -> None:
    with server() as http:
        AgainstAModel.http, AgainstAModel.steps = http, 0
        bounds = settings(
            max_examples=max(1, STEPS // STEPS_A_RUN),
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(20261121)(AgainstAModel), settings=bounds)
        assert AgainstAModel.steps >= STEPS / 2
