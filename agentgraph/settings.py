"""Every knob and every environment variable, read once, at the edge.

Nothing below `app.py` reads the environment; nodes and stores are handed what they need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentgraph.errors import ConfigurationError

__all__ = ["Limits", "McpServerSettings", "ModelPrice", "Settings"]


class McpServerSettings(BaseModel):
    """An MCP server of the deployment's own, in the shape other MCP clients' configuration has.

    Attributes:
        command: A program to start, which speaks MCP over its standard streams. Only here, never at run time.
        args: The program's arguments.
        env: Added to the few variables it inherits (`PATH`, `HOME` and the like).
        cwd: Where it runs.
        url: Or the address of a server; its host and port need no `outbound_allow`.
        protocol: How to speak to that address: streamable HTTP, the older SSE, or WebSocket.
        api_key: Sent as a bearer token.
        tenant: Whose tools they are; every tenant's where not given.
        timeout_s: Seconds one call may take; `tool_call_timeout` where not given.
        accept_new: Whether tools the server adds later are offered without being accepted.
        needs_approval: Names of its tools that a person must allow each call of.
        consequential: Names of its tools that need leave once strangers' text has entered a run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, SecretStr] = {}
    cwd: Path | None = None
    url: str | None = None
    protocol: Literal["http", "sse", "websocket"] = "http"
    api_key: SecretStr | None = None
    tenant: str | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    accept_new: bool = False
    needs_approval: tuple[str, ...] = ()
    consequential: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> McpServerSettings:
        if (self.command is None) == (self.url is None):
            message = "give a command to start or a url to connect to"
            raise ValueError(message)
        return self


class Limits(BaseModel):
    """How much may be used with a key, or by a tenant; `None` for as much as one likes.

    Attributes:
        requests_per_min: Requests in any minute.
        tokens_per_min: Tokens, of input and output together, in any minute.
        concurrent_runs: Runs under way at once.
        budget_tokens: Tokens in a period.
        budget_usd: Dollars in a period, by `model_prices`.
        budget_period: A day or a month, both by UTC, or for good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_min: Annotated[int, Field(ge=1)] | None = None
    tokens_per_min: Annotated[int, Field(ge=1)] | None = None
    concurrent_runs: Annotated[int, Field(ge=1)] | None = None
    budget_tokens: Annotated[int, Field(ge=0)] | None = None
    budget_usd: Annotated[float, Field(ge=0)] | None = None
    budget_period: Literal["day", "month", "ever"] = "month"


class ModelPrice(BaseModel):
    """What a model costs, in dollars a million tokens.

    Attributes:
        input: Of what it is sent.
        output: Of what it answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class Settings(BaseSettings):
    """What a deployment may choose. Each field is `AGENTGRAPH_<NAME>` in the environment unless it says otherwise.

    A `.env` file is read only on request: `Settings(_env_file=".env")`. The command line does so.

    Raises:
        pydantic.ValidationError: A value is of the wrong type or out of range (`Settings.load` translates it).
    """

    model_config = SettingsConfigDict(
        env_prefix="AGENTGRAPH_",
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
        dotenv_filtering="match_prefix",  # a .env file may hold other programs' variables
    )

    # Models
    default_model: str | None = Field(
        default=None,
        description="Chat model, `provider/model`. Unset: the first provider with a key, else the local model.",
    )
    memory_model: str | None = Field(
        default=None,
        description="Chat model that extracts facts from what was said, `provider/model`. Unset: what was said is kept "
        "word for word and no facts are extracted.",
    )
    embedding_model: str | None = Field(
        default=None, description="Embedding model. Unset: the local one where installed, else search by words alone."
    )
    system_prompt: str | None = Field(default=None, description="Instructions put before every conversation.")
    model_timeout_s: Annotated[float, Field(gt=0)] = Field(
        default=120.0, description="Seconds one model call may take before the run fails with a time-out."
    )
    model_retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=2,
        description="How often a model call that failed retryably is repeated, no sooner than its vendor says.",
    )
    allow_unknown_models: bool = Field(default=False, description="Accept model names the catalogue does not know.")
    local_model_path: Path | None = Field(
        default=None, description="A GGUF file to use as the local model instead of fetching one."
    )
    local_context_tokens: Annotated[int, Field(ge=1024)] = Field(
        default=8192, description="Context window of the local model, in tokens."
    )

    # Vendors: the names their own SDKs read
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY"), description="OpenAI's key."
    )
    openai_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("openai_base_url", "OPENAI_BASE_URL"),
        description="Any OpenAI-compatible endpoint; model names are then not checked.",
    )
    google_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("google_api_key", "GOOGLE_API_KEY", "GEMINI_API_KEY"),
        description="Google's key.",
    )

    # Memory
    enable_memory: bool = Field(default=True, description="Whether memories are written and recalled.")
    enable_global_memory: bool = Field(
        default=False, description="Whether every tenant may read the memories of `_global`."
    )
    mem_top_k: Annotated[int, Field(ge=1, le=100)] = Field(
        default=6, description="How many memories are recalled for a question at the most."
    )
    mem_working_max: Annotated[int, Field(ge=1, le=200)] = Field(
        default=12, description="How many memories stand in the prompt at the most, the latest notes included."
    )
    mem_max_tokens: Annotated[int, Field(ge=100)] = Field(
        default=2_000, description="How many tokens recalled memories may take together."
    )
    memory_tools: bool = Field(
        default=False,
        description="Whether the model is offered `save_memory`, `search_memory` and `forget_memory`.",
    )
    temporal_awareness: bool = Field(
        default=True, description="Whether the model is told the time and questions about time filter memories."
    )
    timezone: str = Field(default="UTC", description="IANA zone used where a request names none.")

    # Threads
    live_window_tokens: Annotated[int, Field(ge=256)] = Field(
        default=6000, description="Tokens of history sent to the model before older turns are summarised."
    )
    truncation_strategy: Literal["summarize", "sliding", "drop_oldest", "drop_middle"] = Field(
        default="summarize",
        description="How a thread's live window is kept bounded. What leaves it is archived and stays readable.",
    )
    on_busy: Literal["enqueue", "reject", "interrupt", "rollback"] = Field(
        default="enqueue",
        description="What a request does that meets a run under way on its thread: wait its turn, fail, stop that run "
        "and keep what it has said, or undo it.",
    )
    on_disconnect: Literal["continue", "cancel"] = Field(
        default="continue", description="What becomes of a run whose caller goes away."
    )
    lease_ttl_s: Annotated[float, Field(ge=0.5)] = Field(
        default=15.0, description="Seconds after which a thread is taken from a process that stands still."
    )
    retry_window_s: Annotated[float, Field(ge=0)] = Field(
        default=600.0, description="Seconds within which a client's repetition of a request joins the run it repeats."
    )
    checkpoint_retention: Annotated[int, Field(ge=0)] = Field(
        default=100, description="Turns of a thread that can be travelled back to. 0 keeps all."
    )
    max_turns: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="Model calls one run may make; the last is made without tools, so it must answer."
    )

    # Sessions: threads with a time to live, `tenant:session`
    enable_session_memory: bool = Field(default=True, description="Whether `tenant:session` is accepted.")
    session_ttl_hours: Annotated[float, Field(gt=0)] = Field(
        default=24.0, description="Hours after its last use that a session ends."
    )
    session_max_messages: Annotated[int, Field(ge=2)] = Field(
        default=100, description="Messages a session keeps word for word at the most, the live window included."
    )
    session_summarize_after: Annotated[int, Field(ge=2)] = Field(
        default=50, description="Messages in a session's live window before the older ones are summarised."
    )
    session_memory_max_mb: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Megabytes a session may keep; beyond, its oldest content goes."
    )

    # Tools
    tool_filter_threshold: Annotated[int, Field(ge=0)] = Field(
        default=8, description="Up to this many tools, all are offered and none is filtered."
    )
    tool_top_k: Annotated[int, Field(ge=1)] = Field(
        default=5, description="How many tools a turn adds to those offered, where tools are filtered."
    )
    find_tools: bool = Field(
        default=True,
        description="Whether, where tools are filtered, the model is offered `find_tools` to ask for others. Small "
        "models may do better without.",
    )
    tool_filtering_model: str | None = Field(
        default=None,
        description="Fast chat model that chooses among the tools that rank best, `provider/model`. Unset: the ranking "
        "chooses.",
    )
    tool_filtering_timeout_s: Annotated[float, Field(gt=0)] = Field(
        default=2.0, description="Seconds that model may take before the ranking stands."
    )
    dynamic_temperature: bool = Field(
        default=True,
        description="Whether a model that is offered tools is called with a lower temperature, the more of them the "
        "lower, where the caller chose none.",
    )
    max_parallel_tools: Annotated[int, Field(ge=1)] = Field(default=8, description="Tools that run at once in a run.")
    tool_call_timeout: Annotated[float, Field(gt=0)] = Field(default=30.0, description="Seconds one tool may take.")
    max_tool_output_chars: Annotated[int, Field(ge=100)] = Field(
        default=20_000, description="Longer tool output is cut, with a note the model can read."
    )
    use_registry_tools: bool = Field(
        default=False, description="Whether tools defined with `@tool(register=True)` are offered to every tenant."
    )
    builtin_tools: tuple[str, ...] = Field(
        default=(),
        description="Built-in tools offered to every tenant (a JSON list), of `get_current_time`, `get_time`, "
        "`calculator`, `calculate`, `get_weather`, `search_web` and `get_stock_price`.",
    )
    weather_base_url: str = Field(
        default="https://api.open-meteo.com", description="An Open-Meteo forecast, for `get_weather`."
    )
    geocoding_base_url: str = Field(
        default="https://geocoding-api.open-meteo.com", description="An Open-Meteo geocoder, for `get_weather`."
    )
    search_engine: Literal["wikipedia", "searxng"] = Field(
        default="wikipedia",
        description="What `search_web` asks: a MediaWiki, or a SearXNG that answers in JSON, for the whole web.",
    )
    search_base_url: str = Field(default="https://en.wikipedia.org", description="Where `search_web` asks.")
    stock_base_url: str = Field(
        default="https://query1.finance.yahoo.com", description="Yahoo's chart, for `get_stock_price`."
    )
    web_user_agent: str = Field(
        default="agentgraph", description="Who these tools say they are; Wikimedia wants a way to reach you in it."
    )
    web_timeout_s: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Seconds one look-up of these tools may take."
    )
    consequential_allowlist: tuple[str, ...] = Field(
        default=(),
        description="Names of `consequential` tools that may run though text of strangers has entered the run (a JSON "
        "list). Others then need a person's approval.",
    )

    # Addresses that callers choose, and servers of tools
    outbound_allow: tuple[str, ...] = Field(
        default=(),
        description="Hosts, addresses and networks (a JSON list) that URLs registered by callers may lead to although "
        "they are not public, each with or without `:port`.",
    )
    mcp_servers: dict[str, McpServerSettings] = Field(
        default={},
        description='MCP servers by name, as a JSON object: `{"files": {"command": "npx", "args": [...]}}` starts a '
        'program, `{"url": "https://…"}` connects to one. See docs/tools.md.',
    )
    mcp_connect_timeout: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Seconds an MCP server may take to be connected to, and to list its tools."
    )
    mcp_max_message_mb: Annotated[float, Field(gt=0)] = Field(
        default=4.0, description="A larger message ends the connection to the MCP server that sends it."
    )

    enable_functions: bool = Field(
        default=False,
        description="Whether code can be registered as tools (`app.functions`). It runs in a sandbox: "
        "`pip install 'agentgraph[sandbox]'`.",
    )
    function_timeout_s: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="Seconds a registered function may take."
    )
    function_memory_mb: Annotated[float, Field(ge=1)] = Field(
        default=64.0, description="Megabytes of memory a registered function may use."
    )
    function_recursion: Annotated[int, Field(ge=10)] = Field(
        default=200, description="How deep calls in a registered function may be nested."
    )
    function_output_kb: Annotated[float, Field(ge=1)] = Field(
        default=256.0, description="Kilobytes a registered function may return, as JSON."
    )

    # Storage
    storage_dir: Path = Field(default=Path("tenants"), description="Where everything is kept, a directory a tenant.")
    storage_sync: Literal["full", "normal"] = Field(
        default="full", description="`full` survives a power cut; `normal` may lose the last moments then."
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="Where the records of the whole deployment are (functions, MCP servers): "
        "`postgresql://user:password@host/database`, or `sqlite:////path/to/file.db`. "
        "Unset: a SQLite file under `storage_dir`.",
    )
    hot_tenants: Annotated[int, Field(ge=1)] = Field(
        default=64, description="Tenants whose files and indexes are kept open."
    )

    # Server
    host: str = Field(
        default="127.0.0.1",
        validation_alias=AliasChoices("host", "AGENTGRAPH_HOST", "HOST"),
        description="Address the server binds.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8000, validation_alias=AliasChoices("port", "AGENTGRAPH_PORT", "PORT"), description="Port it binds."
    )
    api_keys: tuple[SecretStr, ...] = Field(
        default=(),
        description="Administrators' keys a client may send as a bearer token (a JSON list), beside those of "
        "`agentgraph keys`. Without any, only this machine is served.",
    )
    key_pepper: SecretStr | None = Field(
        default=None,
        description="A secret that goes into the digests of the keys in the database: without it, whoever can write "
        "there cannot make a key up. Changed, every key of `agentgraph keys` is void.",
    )
    insecure: bool = Field(default=False, description="Serve other machines although there are no keys.")
    key_limits: Limits | None = Field(
        default=None,
        description="What may be used with a key that has no limits of its own, as JSON: `requests_per_min`, "
        "`tokens_per_min`, `concurrent_runs`, `budget_tokens`, `budget_usd`, `budget_period` (`day`, `month`, `ever`).",
    )
    tenant_limits: dict[str, Limits] = Field(
        default={},
        description='What tenants may use, as JSON by name, `"*"` for all others: `{"*": {"requests_per_min": 600}}`.',
    )
    model_prices: dict[str, ModelPrice] = Field(
        default={},
        description="Dollars a million tokens by model, as JSON, for budgets in money: "
        '`{"openai/gpt-4o-mini": {"input": 0.15, "output": 0.6}}`.',
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses and networks (a JSON list) whose `X-Forwarded-For`, `Forwarded` and `X-Real-IP` are "
        "believed. Empty: nobody's.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins of pages that may call from a browser (a JSON list), `"*"` for all. Empty: none.',
    )
    hook_timeout_s: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="Seconds a request waits for `on_thinking`; what takes longer goes on by itself."
    )
    max_body_mb: Annotated[float, Field(gt=0)] = Field(
        default=30.0,
        description="Larger request bodies are refused while they arrive. A file takes a third more within one.",
    )
    max_upload_mb: Annotated[float, Field(gt=0)] = Field(
        default=20.0, description="A larger file within a message is refused."
    )
    max_file_chars: Annotated[int, Field(ge=100)] = Field(
        default=100_000, description="Characters of a file's text that a model is shown; the rest is cut, with a note."
    )
    file_timeout_s: Annotated[float, Field(gt=0)] = Field(
        default=20.0, description="Seconds that reading one file may take, `extract_text` included."
    )
    file_memory_mb: Annotated[float, Field(ge=64)] = Field(
        default=512.0, description="Megabytes of memory that the process reading a PDF may use."
    )
    otel_enabled: bool = Field(
        default=False,
        validation_alias=AliasChoices("otel_enabled", "AGENTGRAPH_OTEL_ENABLED", "OTEL_ENABLED"),
        description="Whether requests, runs, model calls and tools are traced: `pip install 'agentgraph[telemetry]'`.",
    )
    otel_exporter_type: Literal["console", "otlp"] = Field(
        default="otlp",
        validation_alias=AliasChoices("otel_exporter_type", "AGENTGRAPH_OTEL_EXPORTER_TYPE", "OTEL_EXPORTER_TYPE"),
        description="Where traces go: a collector, or one JSON object a line on stdout.",
    )
    otel_endpoint: str = Field(
        default="localhost:4317",
        validation_alias=AliasChoices("otel_endpoint", "AGENTGRAPH_OTEL_ENDPOINT", "OTEL_ENDPOINT"),
        description="The collector's address, OTLP over gRPC; encrypted where it begins with `https://`.",
    )
    telemetry_tenants: Literal["hashed", "plain", "none"] = Field(
        default="hashed", description="How traces name tenants and threads."
    )
    enable_metrics: bool = Field(
        default=False, description="Whether figures are kept for Prometheus, at `/metrics`, for an administrator's key."
    )
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="A port of `host` that shows the figures without a key, for a network you trust."
    )
    metrics_tenants: bool = Field(default=False, description="Whether figures tell tenants apart, up to a thousand.")
    log_format: Literal["text", "json"] = Field(
        default="text", description="`json`: one object a line, with a line for each request."
    )
    shutdown_delay_s: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="Seconds after SIGTERM that requests are still answered while `/health/ready` says 503.",
    )
    shutdown_grace_s: Annotated[float, Field(ge=0)] = Field(
        default=20.0,
        description="Seconds answers under way then have. Runs on threads that take longer are carried on by another "
        "process, or at the next start.",
    )
    debug: bool = Field(default=False, description="Log more. Prompts stay out of logs even so.")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            message = f"unknown time zone {value!r}; use an IANA name such as 'Europe/Paris'"
            raise ValueError(message) from error
        return value

    @classmethod
    def load(cls, *, env_file: Path | None = None, **options: object) -> Settings:
        """Build settings from options, the environment and (where given) a `.env` file, in that order.

        Raises:
            ConfigurationError: Names every field at fault and what is wrong with it.
        """
        try:
            return cls(_env_file=env_file, **options)  # type: ignore[call-arg, arg-type]
        except ValidationError as error:
            # Pydantic's own text quotes the input, which may be a key.
            faults = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
            raise ConfigurationError(f"invalid settings: {faults}") from error
