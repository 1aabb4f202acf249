"""Canaries: a port nobody may reach, a file nobody may create, a secret nobody may read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from agentgraph.tools.sandbox import Sandbox, SandboxLimits

pytest.importorskip("pydantic_monty", reason="the sandbox extra is not installed")

SECRET_NAME, SECRET = "SANDBOX_CANARY_KEY", "sk-canary-5b1f"


@dataclass
class Canary:
    path: Path
    port: int
    reached: list[str] = field(default_factory=list)

    def fill_in(self, code: str) -> str:
        return code.replace("PATH", str(self.path)).replace("PORT", str(self.port)).replace("SECRET", SECRET_NAME)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def canary(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Canary]:
    canary = Canary(path=tmp_path_factory.mktemp("canary") / "created", port=0)

    async def reached(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canary.reached.append("connection")
        writer.close()

    os.environ[SECRET_NAME] = SECRET
    try:
        async with await asyncio.start_server(reached, "127.0.0.1", 0) as server:
            canary.port = server.sockets[0].getsockname()[1]
            yield canary
    finally:
        del os.environ[SECRET_NAME]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(canary: Canary) -> AsyncIterator[Sandbox]:
    """Small, so that every bomb goes off quickly; one worker, so that what one call leaves the next would find."""
    async with Sandbox(SandboxLimits(time_s=0.4, memory_bytes=32 * 1024 * 1024), most_calls=1) as sandbox:
        yield sandbox
