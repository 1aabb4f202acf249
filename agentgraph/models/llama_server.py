"""The child process that runs llama.cpp's own HTTP server; started by `local.py` as a script, imported by nobody.

It reads one JSON line of options from standard input, answers with one JSON line on standard output, and lives as long
as standard input stays open: a parent that dies in whatever way takes it along. Only the standard library and
`xllamacpp` are imported, so that it starts fast.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    options: dict[str, Any] = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp prints what it likes; standard output belongs to the protocol
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        server = _serve(options)
        answer = {"address": server.listening_address}
    except Exception as error:  # noqa: BLE001  reported to the parent, which raises
        answer = {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer) + "\n")
    answers.close()
    if "error" not in answer:
        sys.stdin.read()
    os._exit(0)  # nothing to save; llama.cpp's own shutdown waits for running requests


def _end_with(parent: int) -> None:
    """End when the parent has gone although some other process still holds the pipe open (a fork of the parent)."""
    while os.name == "nt" or os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _serve(options: dict[str, Any]) -> Any:
    # Set before llama.cpp is loaded: threads that spin while they wait halve the speed, or worse, on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["model_path"]
    params.model_alias = {options["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = options["port"]
    params.api_keys = [options["api_key"]]
    params.n_parallel = options["slots"]
    params.n_ctx = options["context_tokens"] * options["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["threads"]
    params.n_predict = options["max_tokens"]
    params.sampling.temp = options["temperature"]
    params.use_jinja = True
    if options["chat_template"] is not None:
        params.chat_template = options["chat_template"]
    params.prefill_assistant = False  # an answer in last place is history, as with every other provider
    # What a prompt has in common with an earlier one is not computed again, in the slot or from this much memory.
    params.cache_prompt = True
    params.cache_ram_mib = options["cache_mib"]
    params.ui = False
    params.endpoint_props = False
    params.endpoint_slots = False
    params.offline = True
    params.warmup = True
    params.verbosity = 1
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
