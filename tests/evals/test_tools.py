"""Tools scored: rows read from files, own lists and the pool, beside the two rankings everybody has."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.evals.tools import ToolRequest, ToolRow, evaluate_tools, read_tool_requests, read_tool_rows
from agentgraph.models.embeddings import HashEmbeddings

CORPUS = [
    ToolRow(id="1", name="getWeather", description="Forecast for a city", source="ours", group="weather"),
    ToolRow(id="2", name="weather.now", description="Forecast for a city", source="ours", group="weather"),
    ToolRow(id="3", name="send_email", description="Send a message", params={"to": "Whom"}, source="ours"),
    ToolRow(id="4", name="getWeather", description="Forecast of storms at sea", source="theirs"),
]


def request(**changes: Any) -> ToolRequest:
    return ToolRequest.model_validate(
        {"id": "q1", "query": "weather forecast for this city", "gold": ["weather"], "source": "ours", **changes}
    )


async def test_each_request_is_asked_of_its_own_list_and_of_the_pool() -> None:
    told: list[tuple[str, int]] = []
    ticks = itertools.count()
    report = await evaluate_tools(
        CORPUS,
        [request(), request(id="q2", query="storms", gold=["4"], source="theirs", category="single")],
        embeddings=HashEmbeddings(),
        on_progress=lambda step, done: told.append((step, done)),
        seconds=lambda: next(ticks) / 1000,
    )
    assert report["overall"]["n"] == 2
    assert report["overall"]["ms_p50"] == pytest.approx(1.0)
    assert report["macro"]["recall@5"] == report["overall"]["recall@5"] == 1.0
    assert list(report["by_source"]) == ["ours", "theirs"]
    assert list(report["by_category"]) == ["ours/all", "theirs/single"]
    assert set(report["ranked"]["q1"]) <= {"1", "2", "3"}
    assert report["ranked"]["q2"] == ["4"]
    assert report["pool"]["overall"]["recall@1"] == 1.0
    assert set(report["baselines"]) == {"bm25", "dense"}
    assert report["baselines"]["dense"]["pool"]["overall"]["n"] == 2
    assert told == [("tools", 4), ("requests", 1), ("requests", 2), ("pool", 1), ("pool", 2)]


async def test_tools_of_one_group_are_one_answer() -> None:
    asked = request(query="weather weather forecast for a city, or message", gold=["weather", "3"])
    report = await evaluate_tools(CORPUS, [asked], embeddings=None)
    assert set(report["baselines"]) == {"bm25"}
    # Both of the group come before the third tool, which is second of the groups all the same.
    assert report["ranked"]["q1"][2] == "3"
    assert report["overall"]["ndcg@10"] == 1.0


async def test_sources_count_alike_in_their_mean_however_many_requests_they_have() -> None:
    asked = [request(), request(id="q2"), request(id="q3"), request(id="q4", query="fish", gold=["4"], source="theirs")]
    report = await evaluate_tools(CORPUS, asked, embeddings=None)
    assert (report["overall"]["recall@5"], report["macro"]["recall@5"]) == (0.75, 0.5)


async def test_a_failing_embedder_is_no_measurement() -> None:
    class Broken(HashEmbeddings):
        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[0.0] if number else [float("nan")] for number, _ in enumerate(texts)]

    with pytest.raises(ConfigurationError, match="embedder failed"):
        await evaluate_tools(CORPUS, [request()], embeddings=Broken())


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    corpus, asked = tmp_path / "c.jsonl", tmp_path / "q.jsonl"
    corpus.write_text("".join(row.model_dump_json() + "\n" for row in CORPUS))
    assert read_tool_rows(corpus) == CORPUS
    asked.write_text(request(source="theirs").model_dump_json() + "\n")
    with pytest.raises(InvalidInputError, match="'q1': none of its gold is among the tools of 'theirs'"):
        read_tool_requests(asked, CORPUS)
    asked.write_text(json.dumps({"id": "q1", "query": "x"}) + "\n")
    with pytest.raises(InvalidInputError, match=r"q\.jsonl:1: no row of requests: gold"):
        read_tool_requests(asked, CORPUS)
    corpus.write_text(CORPUS[0].model_dump_json() + "\n" + CORPUS[0].model_dump_json())
    with pytest.raises(InvalidInputError, match="two tools have the id '1'"):
        read_tool_rows(corpus)
