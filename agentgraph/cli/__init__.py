"""The command line: `agentgraph demo | chat | serve | doctor | graph | eval | memory | threads | keys | db | mcp`.

This file says which commands and options there are; each command's work is in the file of its name, imported when it is
called, so that `agentgraph --help` is quick. What goes wrong is one line on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from agentgraph.cli.db import db
from agentgraph.cli.invocation import Invocation
from agentgraph.cli.keys import keys
from agentgraph.cli.memory import memories
from agentgraph.cli.threads import threads
from agentgraph.errors import AgentGraphError

__all__ = ["app", "main"]

_FAILED, _MISUSED, _INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="agentgraph",
    help="Any chat model as a multi-tenant agent with memory.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

evals = typer.Typer(help="Score the product on a file of questions.", no_args_is_help=True)
app.add_typer(evals, name="eval")
app.add_typer(memories, name="memory")
app.add_typer(threads, name="threads")
app.add_typer(db, name="db")
app.add_typer(keys, name="keys")

Model = Annotated[
    str | None, typer.Option("--model", metavar="PROVIDER/MODEL", help="Chat model instead of the default one.")
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 good, 1 failed, 2 misused, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    try:
        return int(app(given, prog_name="agentgraph", standalone_mode=False) or 0)
    except typer._click.exceptions.ClickException as error:  # noqa: SLF001  typer has no public name for it
        error.show()
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("\n")
        return _INTERRUPTED
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:  # `agentgraph … | head` closed its end
        sys.stdout = None  # nothing is flushed at exit
        return _FAILED
    except Exception as error:
        if "--debug" in given or not _is_expected(error):
            raise
        _complain(error)
        return _FAILED


@app.callback()
def _options(
    context: typer.Context,
    env_file: Annotated[
        Path | None, typer.Option(help="File of NAME=value lines. [default: .env, where there is one]")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,  # noqa: ARG001  read by `main`
) -> None:
    context.obj = Invocation(env_file=env_file)


@app.command("demo")
def _demo(
    context: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not pause between the days.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a turn on stdout, nothing else.")] = False,
    model: Model = None,
    storage: Annotated[Path | None, typer.Option(help="Where to keep everything. [default: temporary]")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove the temporary directory.")] = False,
) -> None:
    """Play a conversation over several days, and show how it is remembered."""
    from agentgraph.cli.demo import run_demo

    run_demo(context.obj, yes=yes, as_json=as_json, model=model, storage=storage, keep=keep)


@app.command("chat")
def _chat(
    context: typer.Context,
    *,
    tenant: Annotated[str, typer.Option(help="Whose memory: TENANT or TENANT:SESSION.")] = "default",
    user: Annotated[str | None, typer.Option(help="A person within the tenant.")] = None,
    thread: Annotated[str | None, typer.Option(help="The conversation to go on with. [default: a new one]")] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA name of your time zone.")] = None,
    model: Model = None,
    on_busy: Annotated[
        Literal["enqueue", "reject", "interrupt", "rollback"] | None,
        typer.Option(help="What becomes of a run under way on the conversation. [default: enqueue]"),
    ] = None,
) -> None:
    """Talk with the agent in the terminal, or through a pipe."""
    from agentgraph.cli.chat import run_chat

    run_chat(context.obj, tenant=tenant, user=user, thread=thread, timezone=timezone, model=model, on_busy=on_busy)


@app.command("serve")
def _serve(
    context: typer.Context,
    *,
    host: Annotated[str | None, typer.Option(help="Address to bind. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; 0 takes a free one. [default: 8000]")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let other machines in without api keys.")] = False,
    storage: Annotated[Path | None, typer.Option(help="Where everything is kept. [default: tenants]")] = None,
    model: Model = None,
) -> None:
    """Start the server: OpenAI-compatible routes, LangServe, health and documentation."""
    from agentgraph.cli.serve import run_server

    run_server(context.obj, host=host, port=port, model=model, storage=storage, insecure=insecure)


@app.command("mcp")
def _mcp(
    context: typer.Context,
    *,
    tenant: Annotated[str, typer.Option(help="Whose memory: TENANT or TENANT:SESSION.")] = "default",
    user: Annotated[str | None, typer.Option(help="A person within the tenant.")] = None,
    storage: Annotated[Path | None, typer.Option(help="Where everything is kept. [default: tenants]")] = None,
    model: Model = None,
) -> None:
    """Be an MCP server over standard streams: chat, search and save memories."""
    from agentgraph.cli.mcp import run_mcp

    run_mcp(context.obj, tenant=tenant, user=user, model=model, storage=storage)


@app.command("doctor")
def _doctor(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what is usable here, what is not, and what would make it so."""
    from agentgraph.cli.doctor import run_doctor

    raise typer.Exit(_FAILED if not run_doctor(context.obj, as_json=as_json) else 0)


@app.command("graph")
def _graph(
    context: typer.Context,
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Mermaid text on stdout (the default).")] = False,
    png: Annotated[Path | None, typer.Option(help="Paint a picture into this file instead.")] = None,
) -> None:
    """Draw the agent's graph."""
    if mermaid and png is not None:
        raise typer.BadParameter("choose one of --mermaid and --png")
    from agentgraph.cli.graph import draw_graph

    draw_graph(context.obj, png=png)


@evals.command("memory")
def _eval_memory(
    context: typer.Context,
    *,
    corpus: Annotated[Path, typer.Option(help="JSON Lines: memories, each with its conversation.")],
    queries: Annotated[Path, typer.Option(help="JSON Lines: questions, each with the ids that answer it.")],
    predictions: Annotated[Path | None, typer.Option(help="Write what was found into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Score how well memories are found, beside BM25 and plain embeddings."""
    from agentgraph.cli.eval import run_memory_eval

    run_memory_eval(context.obj, corpus, queries, predictions=predictions, as_json=as_json)


@evals.command("temporal")
def _eval_temporal(
    *,
    data: Annotated[Path, typer.Option(help="JSON Lines: a text, when it was said, the windows it may mean.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Score how well time expressions are understood."""
    from agentgraph.cli.eval import run_temporal_eval

    run_temporal_eval(data, as_json=as_json)


@evals.command("tools")
def _eval_tools(
    context: typer.Context,
    *,
    corpus: Annotated[Path, typer.Option(help="JSON Lines: tools, each with the source whose list it is on.")],
    queries: Annotated[Path, typer.Option(help="JSON Lines: requests, each with the groups of tools that serve it.")],
    predictions: Annotated[Path | None, typer.Option(help="Write what was found into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Score how well tools are chosen, beside BM25 and plain embeddings."""
    from agentgraph.cli.eval import run_tools_eval

    run_tools_eval(context.obj, corpus, queries, predictions=predictions, as_json=as_json)


def _is_expected(error: Exception) -> bool:
    """Say whether `error` is one whose message is for people: ours, or a model's."""
    if isinstance(error, AgentGraphError):
        return True
    from langchain_core.exceptions import ModelError

    return isinstance(error, ModelError)


def _complain(error: Exception) -> None:
    from rich.console import Console
    from rich.text import Text

    line = " ".join(str(error).split()) or type(error).__name__
    Console(stderr=True).print(Text(f"error: {line}", style="bold red"), soft_wrap=True)
