"""Logs: one JSON object a line with ids, and never a prompt, an answer or a key: through errors, and with debug."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGTERM")]

SERVER = """
import json, sys
from agentgraph import AgentGraph, Settings
from agentgraph.server.run import serve
from agentgraph.testing import ScriptedChatModel

def answer(messages, tools):
    said = messages[-1].text
    if "type" in said:
        raise TypeError(said)
    if "fail" in said:
        raise RuntimeError(said)
    return "canary-answer"

settings = Settings.load(port=0, **json.loads(sys.argv[1]))
app = AgentGraph(settings, chat_model=ScriptedChatModel(script=answer))
serve(app=app, on_ready=lambda url: print(url, flush=True))
"""


def logged(storage: Path, **options: Any) -> str:
    """Serve all kinds of requests that hold canaries, and return what was logged."""
    given = json.dumps({"storage_dir": str(storage), "api_keys": ["canary-key"], "enable_memory": False, **options})
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, given], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            for key in ("canary-key", "canary-wrong"):
                with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as http:
                    for said in ("canary-prompt", "canary-prompt fail", "canary-prompt type"):
                        for thread in ({}, {"x-thread-id": "t1"}):
                            body = {"messages": [{"role": "user", "content": said}]}
                            for stream in (False, True):
                                http.post(
                                    "/v1/acme/chat/completions",
                                    json={**body, "stream": stream},
                                    headers={"x-request-id": "req-mine", **thread},
                                )
                    http.post("/v1/acme/chat/completions?api_key=canary-query", content=b'{"canary-broken')
                    http.get("/nowhere?key=canary-query")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    return complaints.decode()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("style", ["text", "json"])
def test_no_prompt_answer_or_key_is_ever_logged(tmp_path: Path, style: str, debug: bool) -> None:
    told = logged(tmp_path, log_format=style, debug=debug)
    assert "unexpectedly" in told  # what failed is told of, and where
    assert "RuntimeError" in told
    assert "canary" not in told


def test_json_logs_say_which_request_and_which_run(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in logged(tmp_path, log_format="json").splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    requests = [line for line in lines if line["logger"] == "agentgraph.access"]
    good = [line for line in requests if line["status"] == 200]
    assert len(requests) == 28
    assert {line["request_id"] for line in good} == {"req-mine"}
    assert all(line["run_id"].startswith("run-") and line["duration_ms"] > 0 for line in good)
    failed = next(line for line in lines if "unexpectedly" in line["message"])
    assert failed["request_id"] == "req-mine"
    assert failed["error"][0] in {"RuntimeError", "TypeError"} or "Error" in failed["error"][0]
