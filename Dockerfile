# The server, with a local embedder and the MCP and PostgreSQL extras, as a user that may write to /data alone.
#
#   docker build -t agentgraph .
#   docker run --rm -p 8000:8000 -v agentgraph:/data -e OPENAI_API_KEY -e AGENTGRAPH_API_KEYS='["…"]' agentgraph

FROM python:3.12-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/agentgraph
COPY constraints.txt ./
COPY pyproject.toml README.md LICENSE ./
COPY agentgraph ./agentgraph
# Every version as tested.
RUN /opt/agentgraph/bin/pip install --constraint constraints.txt ".[server,local,mcp,postgres,telemetry]" \
    && /opt/agentgraph/bin/python -m compileall -q /opt/agentgraph

FROM python:3.12-slim
# tini is not needed: the server is process 1 and reaps the few children it starts.
RUN useradd --system --uid 10001 --no-create-home --home-dir /data agentgraph \
    && install --directory --owner=agentgraph --group=agentgraph /data
COPY --from=build /opt/agentgraph /opt/agentgraph
ENV PATH=/opt/agentgraph/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    HOST=0.0.0.0 \
    PORT=8000 \
    AGENTGRAPH_STORAGE_DIR=/data/tenants \
    AGENTGRAPH_LOG_FORMAT=json
USER agentgraph
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Readiness; whoever restarts containers asks /health/live.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/ready', timeout=4)"]
# The exec form: SIGTERM reaches the server itself.
STOPSIGNAL SIGTERM
ENTRYPOINT ["agentgraph"]
CMD ["serve"]
