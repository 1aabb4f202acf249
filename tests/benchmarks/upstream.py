"""A model provider that answers at once: OpenAI's wire format from rendered bytes, so that it is never the bottleneck.

python tests/benchmarks/upstream.py --port 9100 [--delay-ms 50] [--chunks 32]
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import suppress
from functools import partial

import uvloop

HEAD = {"id": "chatcmpl-fake", "created": 1, "model": "fake"}
USAGE = {"prompt_tokens": 12, "completion_tokens": 32, "total_tokens": 44}


def whole_answer(words: int) -> bytes:
    message = {"role": "assistant", "content": " ".join(f"word{i}" for i in range(words))}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = json.dumps({**HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def streamed_answer(words: int) -> bytes:
    def event(delta: dict[str, str], reason: str | None) -> str:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        return json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": choices})

    events = [event({"role": "assistant", "content": ""}, None)]
    events += [event({"content": f"word{i} "}, None) for i in range(words)]
    events += [event({}, "stop")]
    events += [json.dumps({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}), "[DONE]"]
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    for each in events:
        data = f"data: {each}\n\n".encode()
        answer += b"%x\r\n%b\r\n" % (len(data), data)
    return answer + b"0\r\n\r\n"


def embedded_answer(size: int = 384) -> bytes:
    data = [{"object": "embedding", "index": 0, "embedding": [0.05] * size}]
    body = json.dumps({"object": "list", "model": "fake", "data": data, "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class Upstream(asyncio.Protocol):
    def __init__(self, whole: bytes, streamed: bytes, embedded: bytes, delay_s: float) -> None:
        self._whole, self._streamed, self._embedded, self._delay_s = whole, streamed, embedded, delay_s
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            _, _, after = head.partition(b"content-length:")
            size = end + 4 + int(after.partition(b"\r\n")[0] or 0)
            if len(self._buffer) < size:
                return
            body = bytes(self._buffer[end + 4 : size])
            del self._buffer[:size]
            streams = b'"stream":true' in body or b'"stream": true' in body
            answer = self._streamed if streams else self._whole
            answer = self._embedded if b"/embeddings" in head.partition(b"\r\n")[0] else answer
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._write, answer)
            else:
                self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)  # type: ignore[attr-defined]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--chunks", type=int, default=32)
    arguments = parser.parse_args()
    make = partial(
        Upstream,
        whole_answer(arguments.chunks),
        streamed_answer(arguments.chunks),
        embedded_answer(),
        arguments.delay_ms / 1000,
    )
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", arguments.port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(main())
