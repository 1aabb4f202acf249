"""Tools that look things up: the weather, an encyclopaedia or the web, and share prices; none needs a key.

What comes back was written by strangers and is marked so. Every answer is bounded in time and size, redirects are not
followed, and where a service cannot be reached or answers otherwise than it says, the model is told in a sentence.

Source: https://open-meteo.com/en/docs, https://open-meteo.com/en/docs/geocoding-api,
https://www.mediawiki.org/wiki/API:Search and https://www.mediawiki.org/wiki/Extension:TextExtracts,
https://docs.searxng.org/dev/search_api.html; Yahoo's chart is what its own site reads, and documented nowhere.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import aiohttp
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from agentgraph.tools.decorator import tool

__all__ = ["WebServices", "web_tools"]

_TIMEOUT_S: Final = 10.0
_LARGEST_BYTES: Final = 1_000_000
_MOST_RESULTS: Final = 5
_LONGEST_TEXT: Final = 600
_FORECAST_DAYS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """Where the tools ask. Each address may be a mirror, a proxy or a service of your own that speaks the same format.

    Attributes:
        weather_base_url: An Open-Meteo forecast.
        geocoding_base_url: An Open-Meteo geocoder.
        search_engine: What `search_base_url` is: a MediaWiki, or a SearXNG that answers in JSON, for the whole web.
        search_base_url: Where to search.
        stock_base_url: Yahoo's chart.
        user_agent: Who asks; Wikimedia wants a way to reach you in it.
        timeout_s: How long one look-up may take.
    """

    weather_base_url: str = "https://api.open-meteo.com"
    geocoding_base_url: str = "https://geocoding-api.open-meteo.com"
    search_engine: Literal["wikipedia", "searxng"] = "wikipedia"
    search_base_url: str = "https://en.wikipedia.org"
    stock_base_url: str = "https://query1.finance.yahoo.com"
    user_agent: str = "agentgraph"
    timeout_s: float = _TIMEOUT_S


def web_tools(services: WebServices | None = None) -> list[BaseTool]:
    """Return `get_weather`, `search_web` and `get_stock_price`."""
    at = services or WebServices()

    @tool(idempotent=True, untrusted=True)
    async def get_weather(city: Annotated[str, Field(min_length=1, max_length=100)]) -> str:
        """Get the current weather in a city, and a forecast for the next days.

        Args:
            city: The city's name, such as 'Lyon'.
        """
        return await _weather(at, city)

    async def search(query: Annotated[str, Field(min_length=1, max_length=300)]) -> str:
        return await (_wikipedia(at, query) if at.search_engine == "wikipedia" else _searxng(at, query))

    what = "Wikipedia" if at.search_engine == "wikipedia" else "the web"
    described = f"Search {what} for a question or a few words. Returns titles, addresses and what they say."
    search_web = tool("search_web", description=described, idempotent=True, untrusted=True)(search)

    @tool(idempotent=True, untrusted=True)
    async def get_stock_price(symbol: Annotated[str, Field(pattern=r"^[A-Za-z0-9.^=-]{1,20}$")]) -> str:
        """Get the latest price of a share, an index or a currency pair.

        Args:
            symbol: Its ticker symbol, such as 'AAPL', 'SAP.DE', '^GSPC' or 'EURUSD=X'.
        """
        return await _stock_price(at, symbol)

    return [get_weather, search_web, get_stock_price]


async def _weather(at: WebServices, city: str) -> str:
    found = await _asked(
        at, "the geocoder", at.geocoding_base_url, "/v1/search",
        {"name": city.partition(",")[0].strip(), "count": "1", "language": "en", "format": "json"},
    )  # fmt: skip
    with _reading("the geocoder"):
        places = found.get("results") or []
        if not places:
            raise ToolException(f"no city called {city!r} was found; try its English name, without a country")
        place = _mapping(places[0])
        latitude, longitude = _number(place["latitude"]), _number(place["longitude"])
    told = await _asked(
        at, "the weather service", at.weather_base_url, "/v1/forecast",
        {
            "latitude": str(latitude),
            "longitude": str(longitude),
            "current": "temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m",
            "daily": "weather_code,temperature_2m_max,temperature_2m_min,precipitation_probability_max",
            "forecast_days": str(_FORECAST_DAYS),
            "timezone": "auto",
        },
    )  # fmt: skip
    with _reading("the weather service"):
        return _forecast(place, told)


def _forecast(place: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    now, daily = _mapping(told["current"]), _mapping(told["daily"])
    where = ", ".join(str(place[part]) for part in ("name", "admin1", "country") if place.get(part))
    felt = f"{now['temperature_2m']} °C, feels like {now['apparent_temperature']} °C"
    air = f"humidity {now['relative_humidity_2m']} %, wind {now['wind_speed_10m']} km/h"
    lines = [f"{where}, {now['time']} local time: {_sky(now['weather_code'])}, {felt}, {air}."]
    days = zip(
        daily["time"], daily["weather_code"], daily["temperature_2m_min"], daily["temperature_2m_max"],
        daily["precipitation_probability_max"], strict=True,
    )  # fmt: skip
    lines += [f"{day}: {_sky(code)}, {low} to {high} °C, rain {rain} %." for day, code, low, high, rain in days]
    return "\n".join(line[:_LONGEST_TEXT] for line in lines[: 1 + _FORECAST_DAYS])


async def _wikipedia(at: WebServices, query: str) -> str:
    told = await _asked(
        at, "the encyclopaedia", at.search_base_url, "/w/api.php",
        {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "generator": "search",
            "gsrsearch": query,
            "gsrlimit": str(_MOST_RESULTS),
            "prop": "extracts|info",
            "inprop": "url",
            "exintro": "1",
            "explaintext": "1",
            "exlimit": str(_MOST_RESULTS),
        },
    )  # fmt: skip
    if "error" in told:
        raise ToolException(f"the encyclopaedia refused the search: {str(_mapping(told['error']).get('info'))[:200]}")
    with _reading("the encyclopaedia"):
        pages = [_mapping(page) for page in _mapping(told.get("query", {})).get("pages", [])]
        pages.sort(key=lambda page: _number(page.get("index", math.inf)))
        return _results([(page["title"], page["fullurl"], page.get("extract", "")) for page in pages], query)


async def _searxng(at: WebServices, query: str) -> str:
    told = await _asked(at, "the search engine", at.search_base_url, "/search", {"q": query, "format": "json"})
    with _reading("the search engine"):
        found = [_mapping(each) for each in told["results"]]
        return _results([(each["title"], each["url"], each.get("content") or "") for each in found], query)


async def _stock_price(at: WebServices, symbol: str) -> str:
    path = f"/v8/finance/chart/{quote(symbol.upper(), safe='')}"
    told = await _asked(
        at, "the exchange", at.stock_base_url, path, {"interval": "1d", "range": "1d"}, told_apart=frozenset({404})
    )
    with _reading("the exchange"):
        return _quote(symbol, _mapping(told["chart"]))


def _quote(symbol: str, chart: Mapping[str, Any]) -> str:
    if not chart.get("result"):
        raise ToolException(f"no share has the symbol {symbol!r}; look the symbol up, with the exchange's ending")
    meta = _mapping(_mapping(chart["result"][0])["meta"])
    price = _number(meta["regularMarketPrice"])
    name = meta.get("longName") or meta.get("shortName") or meta["symbol"]
    when = datetime.fromtimestamp(_number(meta["regularMarketTime"]), UTC)
    before = meta.get("previousClose") or meta.get("chartPreviousClose")
    change = f", {(price / _number(before) - 1) * 100:+.2f} % since the close before" if before else ""
    return f"{name} ({meta['symbol']}): {price:g} {meta.get('currency', '')}{change}, at {when:%Y-%m-%d %H:%M} UTC."[
        :_LONGEST_TEXT
    ]


async def _asked(
    at: WebServices,
    who: str,
    base_url: str,
    path: str,
    parameters: Mapping[str, str],
    *,
    told_apart: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    """Return a service's JSON object.

    Raises:
        ToolException: It could not be reached, or answered with an error, a redirect, too much, too late or no JSON.
    """
    try:
        async with (
            asyncio.timeout(at.timeout_s),
            aiohttp.ClientSession(
                headers={"User-Agent": at.user_agent, "Accept": "application/json", "Accept-Encoding": "identity"},
                auto_decompress=False,  # a small body may be a large one packed
                trust_env=True,
            ) as session,
            session.get(base_url.rstrip("/") + path, params=parameters, allow_redirects=False) as response,
        ):
            if response.status not in {200, *told_apart}:
                raise ToolException(_refusal(who, response.status))
            body = await _read(response, who)
    except TimeoutError:
        raise ToolException(f"{who} did not answer within {at.timeout_s:g} seconds") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ToolException(f"{who} cannot be reached ({type(error).__name__}); perhaps there is no network") from None
    with _reading(who):
        return _mapping(json.loads(body))


@contextmanager
def _reading(who: str) -> Iterator[None]:
    """Tell the model where an answer is not what its service says it is."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, OSError, RecursionError):
        raise ToolException(f"{who} answered in a form of its own, which cannot be read") from None


async def _read(response: aiohttp.ClientResponse, who: str) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _LARGEST_BYTES:
            raise ToolException(f"{who} sent more than {_LARGEST_BYTES // 1_000_000} MB; it was not read")
    return bytes(body)


def _refusal(who: str, status: int) -> str:
    if status == 429:
        return f"{who} was asked too often; try again later"
    if 300 <= status < 400:
        return f"{who} moved (HTTP {status}); the deployment's settings have an old address"
    return f"{who} failed (HTTP {status}); try again later" if status >= 500 else f"{who} refused (HTTP {status})"


def _results(found: Sequence[tuple[object, object, object]], query: str) -> str:
    if not found:
        return f"Nothing was found for {query!r}."
    lines = [
        f"{i}. {' '.join(str(title).split())[:200]} ({str(url)[:300]})\n{' '.join(str(text).split())[:_LONGEST_TEXT]}"
        for i, (title, url, text) in enumerate(found[:_MOST_RESULTS], 1)
    ]
    return "\n".join(lines)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return value


def _sky(code: object) -> str:
    return _SKIES.get(int(_number(code)), f"weather code {code}")


# WMO 4677, as Open-Meteo lists it.
_SKIES: Final[Mapping[int, str]] = {
    0: "clear sky", 1: "mainly clear", 2: "partly cloudy", 3: "overcast", 45: "fog", 48: "freezing fog",
    51: "light drizzle", 53: "drizzle", 55: "dense drizzle", 56: "light freezing drizzle", 57: "freezing drizzle",
    61: "light rain", 63: "rain", 65: "heavy rain", 66: "light freezing rain", 67: "freezing rain",
    71: "light snow", 73: "snow", 75: "heavy snow", 77: "snow grains", 80: "light showers", 81: "showers",
    82: "violent showers", 85: "snow showers", 86: "heavy snow showers", 95: "thunderstorm",
    96: "thunderstorm with hail", 99: "thunderstorm with heavy hail",
}  # fmt: skip
