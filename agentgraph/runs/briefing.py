"""What a run is given: its model, its instructions, its place in time; read once, from request and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langchain_core.language_models import BaseChatModel

from agentgraph.errors import ConfigurationError, InvalidInputError
from agentgraph.events import RunStarted
from agentgraph.graph.context import RunContext
from agentgraph.graph.guidance import SMALL_MODEL_PROMPT
from agentgraph.graph.prompt import DEFAULT_SYSTEM_PROMPT
from agentgraph.models.load import ModelPool
from agentgraph.run import RunRequest
from agentgraph.scope import Scope
from agentgraph.settings import Settings
from agentgraph.tools.declared.tools import DeclaredTools
from agentgraph.tools.toolbox import Toolbox

__all__ = ["Briefing"]


@dataclass(slots=True, kw_only=True)
class Briefing:
    """Turns requests into what the graph's nodes read.

    Attributes:
        settings: How runs go where a request does not say.
        clock: Tells the present moment.
        models: Chat models by name.
        chat_model: The caller's own, used where a request names none.
        toolbox: The server tools, by tenant.
        declared: Tools that tenants declared once, for callers to run.
        remembers: Whether there is a store of memories.
        writes_inline: Whether memory is written within the run.
    """

    settings: Settings
    clock: Callable[[], datetime]
    models: ModelPool
    chat_model: BaseChatModel | None
    toolbox: Toolbox
    declared: DeclaredTools
    remembers: bool
    writes_inline: bool

    async def context(self, request: RunRequest, run_id: str) -> RunContext:
        """Return a run's surroundings.

        Raises:
            InvalidInputError: The caller's tools have names of the server's.
            NotFoundError: No such model.
            ConfigurationError: The model cannot be used as things are set up, or sessions are switched off.
        """
        settings = self.settings
        if request.scope.session is not None and not settings.enable_session_memory:
            raise ConfigurationError(
                "sessions are switched off: set AGENTGRAPH_ENABLE_SESSION_MEMORY", code="sessions_off"
            )
        remembers = settings.enable_memory and request.include_memories and self.remembers
        model = await self.model(request.model)
        needs_guidance = self._needs_guidance(request.model)
        default = f"{DEFAULT_SYSTEM_PROMPT} {SMALL_MODEL_PROMPT}" if needs_guidance else DEFAULT_SYSTEM_PROMPT
        own = settings.system_prompt if settings.system_prompt is not None else default if remembers else None
        prompts = [prompt for prompt in (own, request.system_prompt) if prompt]
        tools = await self.toolbox.of(request.scope.tenant)
        if request.server_tools is not None:
            tools = tools.only(frozenset(request.server_tools))
        if taken := [name for tool in request.tools if (name := tool["function"]["name"]) in tools]:
            raise InvalidInputError(
                f"the server has tools of these names already: {', '.join(sorted(taken))}", param="tools"
            )
        requested = {tool["function"]["name"] for tool in request.tools}
        declared = [
            tool
            for tool in await self.declared.client_tools_of(request.scope.tenant)
            if (name := tool["function"]["name"]) not in requested and name not in tools
        ]
        return RunContext(
            scope=request.scope,
            now=request.now or self.clock(),
            as_of=request.now,  # asked from the past, memory knows no more than it did then
            zone=request.timezone or settings.timezone,
            model=model,
            run_id=run_id,
            model_parameters=self._parameters(request),
            system_prompt="\n\n".join(prompts) or None,
            tools=tools,
            hidden_tools=frozenset() if remembers else self.toolbox.memory_tools,
            client_tools=(*declared, *request.tools),
            tool_choice=request.tool_choice,
            include_memories=remembers,
            stream=request.stream,
            max_turns=settings.max_turns,
            max_parallel_tools=request.max_parallel_tools,
            tool_timeout_s=request.tool_timeout_s,
            needs_guidance=remembers and needs_guidance,
            inline_writing=self.writes_inline and self.remembers,
        )

    async def model(self, spec: str | None) -> BaseChatModel:
        """Return the model a request would use."""
        if spec is None and self.chat_model is not None:
            return self.chat_model
        return await self.models.get(spec or self.models.default_name)

    @property
    def default_model(self) -> str:
        """The name of the model used where a request names none."""
        return type(self.chat_model).__name__ if self.chat_model is not None else self.models.default_name

    def started(self, request: RunRequest, run_id: str) -> RunStarted:
        """Return a run's first event."""
        return RunStarted(
            run_id=run_id,
            tenant=request.scope.tenant,
            thread=request.scope.session or request.scope.thread,
            model=request.model or self.default_model,
        )

    def readable(self, scope: Scope) -> list[tuple[str, ...]]:
        """Return every leaf of memories a run of `scope` reads."""
        return scope.read_namespaces(include_global=self.settings.enable_global_memory)

    def _needs_guidance(self, spec: str | None) -> bool:
        if spec is None and self.chat_model is not None:
            return False
        return self.models.provider(spec or self.models.default_name).needs_guidance

    def _parameters(self, request: RunRequest) -> Mapping[str, Any]:
        if not request.parameters or (request.model is None and self.chat_model is not None):
            return request.parameters
        return self.models.translated(request.model or self.models.default_name, request.parameters)
