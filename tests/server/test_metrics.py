"""Figures: who may see them, what they count, and that callers cannot make them grow."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentgraph.server.metrics import Metrics
from agentgraph.server.run import listen
from tests.server.conftest import Serve

pytestmark = pytest.mark.integration
ADMIN = {"authorization": "Bearer right"}


def figures(text: str) -> dict[str, float]:
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value for f in text_string_to_metric_families(text) for s in f.samples
    }


def test_they_count_what_happened(serve: Serve) -> None:
    served = serve(["Hi"], api_keys=["right"], enable_metrics=True)
    assert served.chat("secret-tenant", headers=ADMIN).status_code == 200
    served.http.get("/nowhere/at/all", headers=ADMIN)
    text = served.http.get("/metrics", headers=ADMIN).text
    told = figures(text)
    assert told["agentgraph_runs_total[('model', 'ScriptedChatModel'), ('outcome', 'finished')]"] == 1
    assert told["agentgraph_node_seconds_count[('node', 'call_model')]"] == 1
    assert told["agentgraph_runs_under_way[]"] == 0
    assert told["agentgraph_queue_seconds_count[]"] == 1
    assert told["agentgraph_leases_lost_total[]"] == 0
    assert told["agentgraph_requests_total[('method', 'GET'), ('route', 'none'), ('status', '404')]"] == 1
    assert re.search(
        r'agentgraph_requests_total\{method="POST",route="[^"]*chat/completions",status="200"\} 1\.0', text
    )
    assert "secret-tenant" not in text


def test_they_take_an_administrators_key(serve: Serve) -> None:
    served = serve([], api_keys=["right"], enable_metrics=True)
    assert served.http.get("/metrics").status_code == 401
    assert served.http.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert served.http.get("/metrics", headers=ADMIN).status_code == 200


def test_without_keys_they_are_shown_on_their_own_port_alone(serve: Serve) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    served = serve(["Hi"], metrics_port=port)
    served.chat()
    assert served.http.get("/metrics").status_code == 403
    assert "agentgraph_runs_total" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def test_they_are_not_kept_unless_asked_for(serve: Serve) -> None:
    assert serve([], api_keys=["right"]).http.get("/metrics", headers=ADMIN).status_code == 404


def test_callers_cannot_make_them_grow(serve: Serve) -> None:
    served = serve(api_keys=["right"], enable_metrics=True)
    for number in range(120):
        served.http.request("GET", f"/v1/t{number}/models", headers=ADMIN)
        served.http.request(f"M{number}", f"/x{number}")
    sizes = []
    for _ in range(2):
        served.http.get("/v1/one-more/models", headers=ADMIN)
        sizes.append(served.http.get("/metrics", headers=ADMIN).text.count("\n"))
    assert sizes[0] < 600
    assert sizes[1] - sizes[0] < 40  # the first look itself is counted from the second on


def test_tenants_are_told_apart_where_that_is_set(serve: Serve) -> None:
    served = serve(["Hi"], api_keys=["right"], enable_metrics=True, metrics_tenants=True)
    served.chat(headers=ADMIN)
    assert 'tenant="acme"' in served.http.get("/metrics", headers=ADMIN).text


def test_names_beyond_the_first_hundred_share_one_label(serve: Serve) -> None:
    from agentgraph.server.metrics import Metrics

    metrics = Metrics()
    assert {metrics.model(f"m{i}") for i in range(500)} == {*(f"m{i}" for i in range(100)), "other"}


def test_writing_them_out_holds_nobody_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, freed = threading.Event(), threading.Event()

    def text(_: Metrics) -> bytes:
        begun.set()
        freed.wait(10)
        return b""

    monkeypatch.setattr(Metrics, "text", text)
    served = serve([], api_keys=["right"], enable_metrics=True)
    with ThreadPoolExecutor(1) as pool:
        scraping = pool.submit(served.http.get, "/metrics", headers=ADMIN)
        try:
            assert begun.wait(10)
            assert httpx.get(f"{served.url}/health/live", timeout=5).status_code == 200
        finally:
            freed.set()
        assert scraping.result(10).status_code == 200
