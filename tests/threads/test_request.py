"""A request on disk: what is read again is what was written, also where an older version wrote it."""

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentgraph.run import RunRequest
from agentgraph.threads.request import dumps, loads

SERDE = JsonPlusSerializer()


def test_what_tools_a_run_may_call_is_kept() -> None:
    asked = RunRequest.of(
        "Hi", tenant="acme", thread="t1", server_tools=("clock",), max_parallel_tools=2, tool_timeout_s=1.5
    )
    assert loads(dumps(asked, SERDE), SERDE) == asked


def test_a_request_of_an_older_version_can_be_read() -> None:
    asked = RunRequest.of("Hi", tenant="acme", thread="t1")
    values = SERDE.loads_typed(("msgpack", dumps(asked, SERDE)))
    for name in ("server_tools", "max_parallel_tools", "tool_timeout_s"):
        del values[name]
    assert loads(SERDE.dumps_typed(values)[1], SERDE) == asked
