"""A closed-loop load client: so many connections, each asking again once answered. Loopback only, bounded in count."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

FIRST_WORD = b"word0"  # of every answer that upstream.py gives
Request = Callable[[int, int], tuple[dict[str, str], bytes]]
"""Headers and body for (worker, number)."""


@dataclass(frozen=True)
class Load:
    """What was measured."""

    p50_ms: float
    p99_ms: float
    min_ms: float
    per_second: float
    cpu_ms: float
    failures: int
    first_p50_ms: float = 0.0


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.first_at = 0.0
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        """Send bytes and return the status once the answer is whole."""
        self._buffer = bytearray()
        self._size: int | None = None
        self.first_at = 0.0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)  # type: ignore[attr-defined]
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.first_at and FIRST_WORD in self._buffer:
            self.first_at = time.perf_counter()
        if self._size is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            _, found, after = head.partition(b"content-length:")
            self._size = end + 4 + int(after.partition(b"\r\n")[0]) if found else -1
        done = len(self._buffer) >= self._size if self._size >= 0 else self._buffer.endswith(b"0\r\n\r\n")
        if done and self._answer is not None and not self._answer.done():
            self._answer.set_result(int(self._buffer[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(str(error)))


def measure(port: int, path: str, request: Request, *, pid: int, connections: int, count: int) -> Load:
    """Ask `count` times over `connections`, after a warm-up."""
    return uvloop.run(_measure(port, path, request, pid, connections, count))


async def _measure(port: int, path: str, request: Request, pid: int, connections: int, count: int) -> Load:
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    milliseconds: list[float] = []
    firsts: list[float] = []
    failures = 0
    started, cpu = time.perf_counter(), _cpu_s(pid)
    numbers = iter(range(-max(100, connections * 2), count))

    async def work(worker: int, connection: Connection) -> None:
        nonlocal failures, started, cpu
        for number in numbers:
            if number == 0:
                started, cpu = time.perf_counter(), _cpu_s(pid)
            headers, body = request(worker, number)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{lines}"
            before = time.perf_counter()
            status = await connection.ask(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            if number >= 0:
                firsts.append((connection.first_at - before) * 1000)
                milliseconds.append((time.perf_counter() - before) * 1000)
                failures += status != 200

    await asyncio.wait_for(asyncio.gather(*(work(i, each) for i, each in enumerate(opened))), timeout=300)
    took, used = time.perf_counter() - started, _cpu_s(pid) - cpu
    for each in opened:
        each._transport.close()
    ordered = sorted(milliseconds)
    return Load(
        p50_ms=statistics.median(ordered),
        p99_ms=ordered[int(len(ordered) * 0.99)],
        min_ms=ordered[0],
        per_second=count / took,
        cpu_ms=used * 1000 / count,
        failures=failures,
        first_p50_ms=statistics.median(firsts),
    )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
