"""`serve`: the application behind uvicorn, on an address it may be seen at."""

from __future__ import annotations

import errno
import gc
import ipaddress
import socket
import warnings
from collections.abc import Callable
from typing import Final

import uvicorn
from rich.console import Console
from rich.table import Table

from agentgraph._sync import run_sync
from agentgraph.app import AgentGraph
from agentgraph.errors import ConfigurationError
from agentgraph.server.app import PLACES, create_app
from agentgraph.server.keys import Keys
from agentgraph.server.logs import logging_to_stderr
from agentgraph.server.protocol import PatientProtocol
from agentgraph.server.shutdown import GracefulServer
from agentgraph.settings import Settings
from agentgraph.stores.database.database import Database

__all__ = ["listen", "serve"]

_BACKLOG: Final = 2048
_MAX_FRAME_BYTES: Final = 1_000_000


def serve(
    settings: Settings | None = None,
    app: AgentGraph | None = None,
    *,
    insecure: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or an interrupt; `server/shutdown.py` says how it ends.

    Args:
        settings: Where to listen, and everything else; those of `app` where not given.
        app: The agent to serve; by default one is made from `settings`.
        insecure: Listen beyond this machine although there are no api keys.
        on_ready: Told the server's address once it answers; by default it is printed with what is there.

    Raises:
        ConfigurationError: No model, an address that is taken or not ours, or one that others reach, without keys.
    """
    agent = app or AgentGraph(settings)
    settings = settings or agent.settings
    if insecure:
        agent.settings = agent.settings.model_copy(update={"insecure": True})
    _refuse_to_be_open(agent, settings)
    agent.default_model  # noqa: B018  no model is an error now, not at the first request
    # LangServe's playgrounds need it still; remove with the LangServe that no longer does.
    warnings.filterwarnings("ignore", message="astream_log is deprecated")
    with listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        application = create_app(agent, warm_up=True)
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,  # ours has no queries, and ids (`logs.py`)
            server_header=False,
            proxy_headers=False,  # nobody in front is trusted unless told so: `trusted_proxies`
            http=PatientProtocol,
            ws_max_size=_MAX_FRAME_BYTES,
        )
        server = GracefulServer(
            config,
            shutdown=application.state.shutdown,
            let_go=lambda: application.state.let_go(),
            ready=lambda: _ready(on_ready or _announce, address),
        )
        with logging_to_stderr(style=settings.log_format, debug=settings.debug):
            server.run(sockets=[listener])
    if not server.started:
        raise ConfigurationError("the server could not start; its log says why", code="not_started")


def _refuse_to_be_open(agent: AgentGraph, settings: Settings) -> None:
    """Let nobody listen for other machines by mistake.

    Raises:
        ConfigurationError: Other machines reach the address, and nobody is asked who they are.
    """
    is_guarded = agent.settings.insecure or settings.api_keys or agent.hooks.auth_hook is not None
    if is_guarded or _is_loopback(settings.host) or _has_keys(settings):
        return
    raise ConfigurationError(
        f"host {settings.host!r} can be reached from other machines, and there are no api keys: make one with "
        "'agentgraph keys create' or set AGENTGRAPH_API_KEYS, or bind 127.0.0.1, or allow it with insecure=True "
        "(--insecure)",
        code="insecure_host",
    )


def _has_keys(settings: Settings) -> bool:
    async def look() -> bool:
        url = settings.database_url
        database = Database(None if url is None else url.get_secret_value(), settings.storage_dir)
        try:
            return await Keys(database).any()
        finally:
            database.close()

    return run_sync(look())


def listen(host: str, port: int) -> socket.socket:
    """Bind an address; port 0 takes a free one.

    Raises:
        ConfigurationError: The address is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"host {host!r} is no address: {error.strerror}", code="bad_host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            reason, code = f"port {port} is in use; choose another (--port, AGENTGRAPH_PORT)", "port_in_use"
        else:
            reason, code = f"cannot listen on {host}:{port}: {error.strerror}", "cannot_listen"
        raise ConfigurationError(reason, code=code) from error
    return listener


def _ready(tell: Callable[[str], None], address: str) -> None:
    _let_the_collector_rest()
    tell(address)


def _let_the_collector_rest() -> None:
    """Collect garbage less often, and never look at what was imported and opened: a run makes much that is short-lived.

    Measured at 64 connections: a sixth less CPU per request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(address: str) -> None:
    table = Table(title=f"agentgraph at {address}", title_justify="left", show_header=False, box=None)
    for name, path in PLACES.items():
        table.add_row(name, f"{address}{path}")
    Console().print(table)
