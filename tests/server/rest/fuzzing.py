"""Requests made up from the server's own description, checked against it: what a client that reads it may rely on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

__all__ = ["Figures", "fuzz"]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


PLACES = ["chats/{chat_id}", "runs/{run_id}", "subtenants/{user_id}/memories/{key}", "sessions/{session_id}"]


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@dataclass
class Figures:
    """What came of it."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def fuzz(url: str, *, each: int, seed: int, headers: Mapping[str, str], only: str = "") -> Figures:
    """Send `each` requests to every route, half of them about things that are there."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    figures = Figures()
    known: dict[str, str] = {}
    with httpx.Client(base_url=url, headers=dict(headers), timeout=30) as http:
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path.startswith(only):
                known = things(http, known)
                _fuzz_one(operation, http, figures, known, each=each, seed=seed)
    return figures


def _fuzz_one(
    operation: Any, http: httpx.Client, figures: Figures, known: Mapping[str, str], *, each: int, seed: int
) -> None:
    @seeded(seed)
    @settings(
        max_examples=each,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_known=st.booleans())
    def send(case: Any, is_known: bool) -> None:
        if is_known:
            for name in set(case.path_parameters or {}) & set(known):
                case.path_parameters[name] = known[name]
        response = case.call(base_url=str(http.base_url).rstrip("/"), headers=dict(http.headers), timeout=30)
        figures.cases += 1
        figures.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except (AssertionError, BaseExceptionGroup) as error:
            figures.failures.append(
                f"{operation.method.upper()} {operation.path} {response.status_code}: {_told(error)}"
            )

    send()


def things(http: httpx.Client, known: dict[str, str]) -> dict[str, str]:
    """See to it that there is one of everything, and return their ids by the names that paths have for them."""
    api = "/api/v1"
    if known and all(http.get(f"{api}/{place.format(**known)}").is_success for place in PLACES):
        return known
    http.post(f"{api}/subtenants", json={"id": "ann"})
    chat = http.post(f"{api}/subtenants/ann/chats", json={"title": "Plans"}).json()["id"]
    run = http.post(f"{api}/chats/{chat}/messages", json={"content": "I fly to Kyoto on April 3rd."}).json()["run_id"]
    http.post(f"{api}/subtenants/ann/memories", json={"key": "diet", "value": "Ann is a vegetarian."})
    http.post(f"{api}/memories", json={"text": "The office is in Lyon."})
    http.post("/v1/acme:desk/chat/completions", json={"messages": [{"role": "user", "content": "Hello"}]})
    checkpoints = http.get(f"{api}/threads/{chat}/checkpoints").json()["data"]
    return {
        "tenant": "acme",
        "user_id": "ann",
        "chat_id": chat,
        "thread_id": chat,
        "run_id": run,
        "key": "diet",
        "session_id": "desk",
        "checkpoint_id": checkpoints[0]["id"],
    }


def _told(error: BaseException) -> str:
    parts: Iterator[BaseException] = iter(error.exceptions if isinstance(error, BaseExceptionGroup) else [error])
    return "; ".join(str(part)[:1500] for part in parts)
