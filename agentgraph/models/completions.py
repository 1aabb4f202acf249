"""OpenAI's chat completions over aiohttp: the request, the answer as the JSON it is, and its pieces as they come.

The SDK's client costs a millisecond a call and LangChain turns back at once what it builds: with the SDK's address,
headers and errors, but without its walk from type hints over options to a request, a call takes a quarter of that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, NamedTuple, Self
from urllib.request import getproxies, proxy_bypass

import httpx
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from openai import APIConnectionError, APIError, APITimeoutError, AsyncOpenAI

__all__ = ["AnswerPieces", "Completions", "event_data", "open_session"]

_NOT_IN_THE_BODY: Final = ("extra_headers", "extra_query", "extra_body", "timeout")
_OF_THE_BODY: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})  # as it was sent
_MOST_CONNECTIONS: Final = 1000  # the SDK's
_LAST_BYTES_S: Final = 0.1
_DONE: Final = b"[DONE]"


def open_session() -> ClientSession:
    """Open connections to a provider, trusted as the SDK's are, on the loop that closes them."""
    connector = TCPConnector(limit=_MOST_CONNECTIONS, ssl=httpx.create_ssl_context())
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar())


class Completions:
    """What `ChatOpenAI` calls as the SDK's `client.chat.completions`.

    Args:
        client: The SDK's: whose address, headers and errors.
        session: The connections.
        timeout_s: How long to wait for a connection, and for each piece of an answer.
    """

    def __init__(self, client: AsyncOpenAI, session: ClientSession, *, timeout_s: float) -> None:
        self._client = client
        self._session = session
        self._timeout_s = timeout_s
        self._url = str(client.base_url.join("chat/completions"))
        self._proxy = _proxy_for(httpx.URL(self._url))
        given: Mapping[str, object] = {**client.default_headers, **client.auth_headers}
        self._headers = {name: value for name, value in given.items() if isinstance(value, str)}
        if client.base_url.userinfo:
            self._headers.pop("Authorization", None)  # a name and a password in the address are sent in its place

    @property
    def with_raw_response(self) -> _Parsing:
        """The same for callers that parse the answer themselves."""
        return _Parsing(self)

    async def create(self, **payload: Any) -> Any:
        """Return the answer, or with `stream` its pieces, each as `json.loads` would.

        Raises:
            openai.APIError: As the SDK's own client raises it.
            ValueError: The answer is no JSON.
        """
        response = await self._answered(payload)
        if payload.get("stream") and response.ok:
            return AnswerPieces(response)
        async with _released(response):
            with _told_as_the_sdk_does(self._url):
                content = await response.read()
        if not response.ok:
            headers = [(name, value) for name, value in response.raw_headers if name.lower() not in _OF_THE_BODY]
            told = httpx.Response(response.status, headers=headers, content=content, request=_request(self._url))
            failure: Any = self._client._make_status_error_from_response  # noqa: SLF001  which error each status is
            raise failure(told)
        answer = json.loads(content)
        if isinstance(answer, dict):
            answer.setdefault("system_fingerprint", None)  # told as "" where it is not there
        return answer

    async def _answered(self, payload: Mapping[str, Any]) -> ClientResponse:
        body = {name: value for name, value in payload.items() if name not in _NOT_IN_THE_BODY}
        body |= payload.get("extra_body") or {}
        timeout_s = self._timeout_s if (given := payload.get("timeout")) is None else given
        timeout = ClientTimeout(total=None, connect=timeout_s, sock_connect=timeout_s, sock_read=timeout_s)
        with _told_as_the_sdk_does(self._url):
            return await self._session.post(
                self._url,
                data=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
                headers={**self._headers, **(payload.get("extra_headers") or {})},
                params=payload.get("extra_query"),
                proxy=self._proxy,
                timeout=timeout,
            )


class AnswerPieces:
    """The pieces of a streamed answer, each as `json.loads` would; a context that lets go of the connection.

    Args:
        response: Not read yet.
    """

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self._url = str(response.url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._response.release()  # to be used again where it was read to its end, else closed

    async def __aiter__(self) -> AsyncIterator[Any]:
        with _told_as_the_sdk_does(self._url):
            async with _released(self._response):
                async for data in event_data(self._response.content.iter_any()):
                    if data.startswith(_DONE):
                        await self._read_to_the_end()
                        return
                    piece = json.loads(data)
                    if isinstance(piece, dict) and (error := piece.get("error")):
                        raise _failure(error, self._url)
                    yield piece

    async def _read_to_the_end(self) -> None:
        """Read what a server sends after its last word, so that the connection can be used again."""
        with suppress(TimeoutError, ClientError):
            async with asyncio.timeout(_LAST_BYTES_S):
                await self._response.read()


async def event_data(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the data of each server-sent event in a body, as soon as it is there."""
    rest, data = b"", list[bytes]()
    async for chunk in body:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            field, _, value = line.rstrip(b"\r").partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif not field and not value:
                whole = b"\n".join(data)
                data.clear()
                if whole:  # some servers show with an empty event that they live
                    yield whole


def _proxy_for(url: httpx.URL) -> str | None:
    """Return the environment's proxy for an address.

    aiohttp would ask at every request, by a thread, and take a key from `.netrc`, for which it then refuses ours.
    """
    return None if proxy_bypass(url.host) else getproxies().get(url.scheme)


def _failure(error: Any, url: str) -> APIError:
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message:
        message = "An error occurred during streaming"
    return APIError(message, request=_request(url), body=error)


def _request(url: str) -> Any:
    """Return the request as errors name it; made only for them, for it takes as long as sending one."""
    return httpx.Request("POST", url)


@contextmanager
def _told_as_the_sdk_does(url: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise APITimeoutError(request=_request(url)) from error
    except (ClientError, OSError) as error:
        raise APIConnectionError(request=_request(url)) from error


@asynccontextmanager
async def _released(response: ClientResponse) -> AsyncIterator[None]:
    try:
        yield
    finally:
        response.release()


class _Parsing(NamedTuple):
    completions: Completions

    async def create(self, **payload: Any) -> _Parsed:
        return _Parsed(await self.completions.create(**payload))


class _Parsed(NamedTuple):
    answer: Any
    headers: Mapping[str, str] = {}

    def parse(self) -> Any:
        return self.answer
