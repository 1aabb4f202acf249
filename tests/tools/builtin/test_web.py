"""Look-ups against a local server that speaks the services' own formats, in health and in every kind of trouble."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agentgraph.tools.builtin import WebServices, builtin_tools
from tests.tools.builtin.test_builtin import present

pytestmark = pytest.mark.integration

# As the services answered, shortened. Source: the pages named in agentgraph/tools/builtin/web.py
GEOCODED = {
    "results": [
        {"id": 2996944, "name": "Lyon", "latitude": 45.74846, "longitude": 4.84671, "country": "France",
         "admin1": "Auvergne-Rhône-Alpes", "timezone": "Europe/Paris"},
    ],
    "generationtime_ms": 0.5,
}  # fmt: skip
FORECAST = {
    "latitude": 45.74, "longitude": 4.84, "timezone": "Europe/Paris",
    "current": {"time": "2026-03-09T13:00", "interval": 900, "temperature_2m": 14.2, "apparent_temperature": 12.9,
                "relative_humidity_2m": 61, "weather_code": 3, "wind_speed_10m": 11.4},
    "daily": {"time": ["2026-03-09", "2026-03-10", "2026-03-11"], "weather_code": [3, 61, 95],
              "temperature_2m_max": [15.1, 12.0, 9.5], "temperature_2m_min": [6.0, 5.5, 4.0],
              "precipitation_probability_max": [5, 80, 90]},
}  # fmt: skip
PAGES = {
    "batchcomplete": True,
    "query": {
        "pages": [
            {"pageid": 2, "title": "Eiffel", "index": 2, "extract": "An engineer.", "fullurl": "https://x/Eiffel"},
            {"pageid": 1, "title": "Eiffel Tower", "index": 1, "extract": "A tower\nin Paris. " + "x" * 5000,
             "fullurl": "https://x/Eiffel_Tower"},
        ]
    },
}  # fmt: skip
SEARX = {"query": "q", "results": [{"title": "A", "url": "https://a/", "content": "Says a."}], "answers": []}
CHART = {
    "chart": {
        "result": [
            {"meta": {"currency": "USD", "symbol": "AAPL", "longName": "Apple Inc.", "regularMarketPrice": 202.0,
                      "chartPreviousClose": 200.0, "regularMarketTime": 1_773_000_000}, "timestamp": [1_773_000_000]}
        ],
        "error": None,
    }
}  # fmt: skip
NO_CHART = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Services:
    """What the local server answers, by path; and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/v1/search": GEOCODED, "/v1/forecast": FORECAST, "/w/api.php": PAGES, "/search": SEARX,
            "/v8/finance/chart/AAPL": CHART,
        }  # fmt: skip
        self.asked: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answer = self.answers.get(request.path)
        if callable(answer):
            response: web.StreamResponse = await answer(request)
            return response
        return web.json_response(answer)

    async def run(self, name: str, argument: str, **options: Any) -> str:
        services = WebServices(
            weather_base_url=self.url, geocoding_base_url=self.url, search_base_url=self.url, stock_base_url=self.url,
            **options,
        )  # fmt: skip
        (tool,) = builtin_tools(present, [name], services=services)
        (parameter,) = tool.args
        return str(await tool.ainvoke({parameter: argument}))


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    made = Services()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.answer)
    async with TestServer(application) as server:
        made.url = str(server.make_url("/"))
        yield made


async def test_the_weather_is_told_with_a_forecast(services: Services) -> None:
    assert await services.run("get_weather", "Lyon, France") == (
        "Lyon, Auvergne-Rhône-Alpes, France, 2026-03-09T13:00 local time: overcast, 14.2 °C, feels like 12.9 °C, "
        "humidity 61 %, wind 11.4 km/h.\n"
        "2026-03-09: overcast, 6.0 to 15.1 °C, rain 5 %.\n"
        "2026-03-10: light rain, 5.5 to 12.0 °C, rain 80 %.\n"
        "2026-03-11: thunderstorm, 4.0 to 9.5 °C, rain 90 %."
    )
    assert services.asked[0].query["name"] == "Lyon"
    assert services.asked[1].query["latitude"] == "45.74846"


async def test_a_city_nobody_knows_is_told(services: Services) -> None:
    services.answers["/v1/search"] = {"generationtime_ms": 0.2}
    assert "no city called 'Atlantis'" in await services.run("get_weather", "Atlantis")


async def test_an_encyclopaedia_is_searched_the_best_first_and_cut(services: Services) -> None:
    told = await services.run("search_web", "eiffel tower")
    assert told.startswith("1. Eiffel Tower (https://x/Eiffel_Tower)\nA tower in Paris. xxx")
    assert "\n2. Eiffel (https://x/Eiffel)\nAn engineer." in told
    assert len(told) < 1_000
    assert services.asked[0].query["gsrsearch"] == "eiffel tower"
    assert services.asked[0].headers["User-Agent"] == "agentgraph"


async def test_nothing_found_is_no_error(services: Services) -> None:
    services.answers["/w/api.php"] = {"batchcomplete": True}
    assert await services.run("search_web", "zzz") == "Nothing was found for 'zzz'."


async def test_an_encyclopaedia_that_refuses_is_told(services: Services) -> None:
    services.answers["/w/api.php"] = {"error": {"code": "toolong", "info": "The query is too long."}}
    assert "refused the search: The query is too long." in await services.run("search_web", "x")


async def test_the_whole_web_is_searched_where_there_is_an_engine(services: Services) -> None:
    told = await services.run("search_web", "q", search_engine="searxng")
    assert told == "1. A (https://a/)\nSays a."
    assert dict(services.asked[0].query) == {"q": "q", "format": "json"}


@pytest.mark.parametrize(("engine", "said"), [("wikipedia", "Search Wikipedia"), ("searxng", "Search the web")])
def test_the_model_is_told_what_is_searched(engine: Any, said: str) -> None:
    (tool,) = builtin_tools(present, ["search_web"], services=WebServices(search_engine=engine))
    assert tool.description.startswith(said)


async def test_a_share_has_a_price(services: Services) -> None:
    assert await services.run("get_stock_price", "aapl") == (
        "Apple Inc. (AAPL): 202 USD, +1.00 % since the close before, at 2026-03-08 20:00 UTC."
    )


async def test_a_symbol_nobody_has_is_told(services: Services) -> None:
    async def not_found(request: web.Request) -> web.Response:
        return web.json_response(NO_CHART, status=404)

    services.answers["/v8/finance/chart/NOPE"] = not_found
    assert "no share has the symbol 'NOPE'" in await services.run("get_stock_price", "NOPE")


@pytest.mark.parametrize("symbol", ["../../etc", "A B", "", "x" * 21, "a/b", "AAPL\n"])
async def test_a_symbol_that_is_none_asks_nobody(services: Services, symbol: str) -> None:
    with pytest.raises(ValueError, match="symbol"):
        await services.run("get_stock_price", symbol)
    assert services.asked == []


def plain(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(50):
        await response.write(b" " * 1_000_000)
    return response


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(600):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


BOMB = gzip.compress(b"[" * 20_000_000)
TROUBLES: dict[str, tuple[Handler, str]] = {
    "404": (plain(404), "refused (HTTP 404)"),
    "429": (plain(429), "asked too often"),
    "500": (plain(500), "failed (HTTP 500)"),
    "redirect": (plain(302, Location="http://169.254.169.254/latest/meta-data"), "moved (HTTP 302)"),
    "no JSON": (plain(200, b"<html>sorry</html>"), "form of its own"),
    "no object": (plain(200, b"[]"), "form of its own"),
    "another object": (plain(200, b'{"results": 5, "chart": 5, "query": 5}'), "form of its own"),
    "deep JSON": (plain(200, b"[" * 500_000), "form of its own"),
    "no text": (plain(200, b"\xff\xfe\xfd"), "form of its own"),
    "a packed bomb": (plain(200, BOMB, **{"Content-Encoding": "gzip"}), "form of its own"),
    "50 MB": (flood, "more than 1 MB"),
    "silence": (hang, "did not answer within"),
    "a drip": (drip, "did not answer within"),
    "a hang-up": (hang_up, "cannot be reached"),
}


@pytest.mark.parametrize(("handler", "said"), TROUBLES.values(), ids=TROUBLES)
@pytest.mark.parametrize(
    ("name", "path", "argument"),
    [
        ("get_weather", "/v1/search", "Lyon"),
        ("get_weather", "/v1/forecast", "Lyon"),
        ("search_web", "/w/api.php", "tower"),
        ("get_stock_price", "/v8/finance/chart/AAPL", "AAPL"),
    ],
)
async def test_every_trouble_is_told_in_time(
    services: Services, name: str, path: str, argument: str, handler: Handler, said: str
) -> None:
    services.answers[path] = handler
    began = time.perf_counter()
    told = await services.run(name, argument, timeout_s=0.5)
    assert time.perf_counter() - began < 5
    if said == "refused (HTTP 404)" and name == "get_stock_price":
        said = "form of its own"  # a symbol nobody has is 404 there, and says so in JSON
    assert said in told
    assert len(told) < 300
    assert [request.path for request in services.asked][-1] == path


async def test_offline_is_told() -> None:
    nowhere = WebServices(
        geocoding_base_url="http://127.0.0.1:9", search_base_url="http://nowhere.invalid", timeout_s=5
    )
    weather, search = builtin_tools(present, ["get_weather", "search_web"], services=nowhere)
    assert "the geocoder cannot be reached" in await weather.ainvoke({"city": "Lyon"})
    assert "the encyclopaedia cannot be reached" in await search.ainvoke({"query": "x"})


async def test_what_a_stranger_wrote_is_kept_short(services: Services) -> None:
    long = json.loads(json.dumps(CHART))
    long["chart"]["result"][0]["meta"]["longName"] = "x" * 100_000
    services.answers["/v8/finance/chart/AAPL"] = long
    assert len(await services.run("get_stock_price", "AAPL")) < 1_000
