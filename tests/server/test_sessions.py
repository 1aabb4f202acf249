"""Sessions over HTTP: what no session takes is the caller's mistake."""

from typing import Any

import pytest


@pytest.mark.parametrize("session", ["..", "a%20b", "x" * 129])
def test_a_bad_session_id_is_a_bad_request(serve: Any, session: str) -> None:
    answer = serve([]).chat(f"acme:{session}", messages=[{"role": "user", "content": "Hello."}])
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "session"


def test_a_file_is_refused(serve: Any) -> None:
    file = {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "a.txt"}}
    answer = serve([]).chat("acme:s1", messages=[{"role": "user", "content": [file]}])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "session_no_upload"
