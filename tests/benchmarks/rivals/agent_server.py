"""What one would write in an afternoon: `create_agent` with LangGraph's SQLite saver behind FastAPI, or LangServe.

python agent_server.py PORT fastapi|langserve
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from starlette.responses import Response, StreamingResponse


def model() -> ChatOpenAI:
    return ChatOpenAI(model="fake", base_url=os.environ["OPENAI_BASE_URL"], api_key="none", max_retries=0)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncSqliteSaver.from_conn_string(str(Path(directory) / "threads.db")) as saver:
            await saver.conn.execute("PRAGMA synchronous=NORMAL")
            app.state.agent = create_agent(model(), checkpointer=saver)
            yield


app = FastAPI(lifespan=lifespan)


@app.post("/v1/{tenant}/chat/completions")
async def chat(request: Request, tenant: str) -> Response:
    body = orjson.loads(await request.body())
    thread = request.headers.get("x-thread-id") or os.urandom(8).hex()
    config: Any = {"configurable": {"thread_id": f"{tenant}/{thread}"}}
    asked: Any = {"messages": body["messages"]}
    if body.get("stream"):
        return StreamingResponse(chunks(asked, config), media_type="text/event-stream")
    result = await app.state.agent.ainvoke(asked, config, durability="exit")
    message = {"role": "assistant", "content": result["messages"][-1].text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Response(orjson.dumps({"choices": choices}), media_type="application/json")


async def chunks(asked: Any, config: Any) -> AsyncIterator[bytes]:
    async for piece, _ in app.state.agent.astream(asked, config, stream_mode="messages", durability="exit"):
        choices = [{"index": 0, "delta": {"content": piece.text}}]
        yield b"data: " + orjson.dumps({"choices": choices}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def langserve_app() -> FastAPI:
    from langchain_core.runnables import RunnableLambda
    from langserve import add_routes

    served = FastAPI()
    agent = create_agent(model(), checkpointer=InMemorySaver())

    async def answer(messages: list[dict[str, Any]]) -> str:
        config: Any = {"configurable": {"thread_id": os.urandom(8).hex()}}
        return str((await agent.ainvoke({"messages": messages}, config))["messages"][-1].text)

    add_routes(served, RunnableLambda(answer).with_types(input_type=list[dict[str, Any]], output_type=str))
    return served


if __name__ == "__main__":
    chosen = app if sys.argv[2] == "fastapi" else langserve_app()
    uvicorn.run(chosen, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
