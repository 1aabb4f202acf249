"""ai-proxy-core's routes, as its clients call them."""

import json
from typing import Any

import pytest

from tests.server.conftest import Serve
from tests.server.test_guard import make_key

pytestmark = pytest.mark.integration

HELLO = [{"role": "user", "content": "Hello"}]


def test_a_completion_is_answered_as_openais(serve: Serve) -> None:
    served = serve(["Hi there."], temporal_awareness=False)
    answer = served.http.post(
        "/api/chat/completions",
        json={
            "messages": HELLO,
            "system_instruction": "Be kind.",
            "temperature": 0.5,
            "max_tokens": 20,
            "response_format": "text",
            "safety_settings": [],
            "app": "notes",
            "device": "cli",
        },
    )
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["object"] == "chat.completion"
    assert told["choices"][0]["message"]["content"] == "Hi there."
    assert set(told["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    asked = served.model.calls[0]
    assert "Be kind." in asked["messages"][0].text
    assert asked["parameters"]["temperature"] == 0.5
    assert asked["parameters"]["max_tokens"] == 20


def test_a_stream_comes_in_chunks(serve: Serve) -> None:
    served = serve(["One two three."])
    text = served.http.post("/api/chat/completions", json={"messages": HELLO, "stream": True}).text
    frames = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    said = [json.loads(frame)["choices"][0]["delta"].get("content") or "" for frame in frames[:-1]]
    assert "".join(said) == "One two three."
    assert len(said) > 3


def test_recordings_are_taken_in_both_spellings(serve: Serve) -> None:
    served = serve(lambda messages, tools: "Heard.")
    for part in (
        {"type": "audio_url", "audio_url": {"url": "data:audio/mpeg;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
    ):
        body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Listen"}, part]}]}
        assert served.http.post("/api/chat/completions", json=body).status_code == 200, part
    first, second = (call["messages"][-1].content for call in served.model.calls)
    told = [[(b["base64"], b["mime_type"]) for b in said if b["type"] == "audio"] for said in (first, second)]
    assert told == [[("AAAA", "audio/mp3")]] * 2


BAD: list[tuple[dict[str, Any], int]] = [
    ({}, 422),
    ({"messages": []}, 422),
    ({"messages": "Hi"}, 422),
    ({"messages": [{"role": "king", "content": "x"}]}, 400),
    ({"messages": HELLO, "temperature": 3}, 422),
    ({"messages": HELLO, "nonsense": 1}, 422),
    ({"messages": HELLO, "response_format": "xml"}, 400),
    ({"messages": HELLO, "safety_settings": [{"category": "x", "threshold": "y"}]}, 400),
    ({"messages": HELLO, "user_id": "../x"}, 400),
    (
        {"messages": [{"role": "user", "content": [{"type": "document", "document": {"file_path": "/etc/hostname"}}]}]},
        400,
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}}]}
            ]
        },
        400,
    ),
]


def test_bad_requests_are_told_as_problems(serve: Serve) -> None:
    served = serve([])
    for body, status in BAD:
        answer = served.http.post("/api/chat/completions", json=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert served.model.calls == []


def test_memory_is_the_users_and_the_tenant_the_keys(serve: Serve) -> None:
    served = serve("echo")
    acme, globex = (make_key(served, scope="tenant", tenant=tenant) for tenant in ("acme", "globex"))

    def ask(text: str, headers: dict[str, str], **more: Any) -> str:
        body = {"messages": [{"role": "user", "content": text}], **more}
        answer = served.http.post("/api/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(served.model.calls[-1]["messages"])

    ask("The vault opens with 4711.", acme, user_id="ana")
    assert "4711" not in ask("What opens the vault?", globex, user_id="ana")
    assert "4711" not in ask("What opens the vault?", acme, user_id="ben")
    assert "4711" in ask("What opens the vault?", {**acme, "x-user-id": "ana"})
    # The body wins over the header.
    assert "4711" not in ask("What opens the vault?", {**acme, "x-user-id": "ana"}, user_id="ben")


def test_models_tell_what_they_can(serve: Serve) -> None:
    served = serve([], openai_api_key="sk-test-key-000")
    models = served.http.get("/api/models").json()["models"]
    assert all(set(model) == {"id", "name", "provider", "context_limit", "capabilities", "status"} for model in models)
    openai = [model for model in models if model["provider"] == "openai"]
    assert any("vision" in model["capabilities"] and model["context_limit"] for model in openai)
    only = served.http.get("/api/models", params={"provider": "openai"}).json()["models"]
    assert only == openai
    assert served.http.get("/api/models", params={"provider": "nobody"}).json() == {"models": []}


def test_the_index_is_json_unless_a_page_is_asked_for(serve: Serve) -> None:
    served = serve([])
    for accept in ("application/json", "*/*"):
        told = served.http.get("/", headers={"accept": accept}).json()
        assert told["places"]["ai-proxy-core"] == "/api/chat/completions"
