"""The floor: FastAPI and aiohttp handing a request on and the answer back, nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

UPSTREAM = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as session:
        app.state.session = session
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/v1/{tenant}/chat/completions")
async def chat(request: Request, tenant: str) -> Response:
    body = await request.body()
    answer = await app.state.session.post(UPSTREAM, data=body, headers={"content-type": "application/json"})
    if b'"stream":true' in body:
        return StreamingResponse(answer.content.iter_any(), media_type="text/event-stream")
    return Response(await answer.read(), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
