"""The table from errors to HTTP."""

import httpx
import openai
import pytest
from langchain_core.exceptions import ModelAPIError, ModelInvalidRequestError, ModelRateLimitError

from agentgraph import errors
from agentgraph.server.errors import fault_of, openai_error, openai_error_body, problem

KEY = "sk-proj-verysecret"


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, request=httpx.Request("POST", "http://vendor"))


class RateLimitedError(openai.RateLimitError, ModelRateLimitError):
    """As LangChain's integrations build them."""


class RejectedError(openai.BadRequestError, ModelInvalidRequestError):
    """As LangChain's integrations build them."""


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (errors.InvalidInputError("x", param="n"), 400, False),
        (errors.UnsupportedMediaError("x"), 400, False),
        (errors.NotFoundError("x"), 404, False),
        (errors.NotAuthenticatedError("x"), 401, False),
        (errors.PermissionDeniedError("x"), 403, False),
        (errors.BudgetExceededError("x"), 429, False),
        (errors.AccessError("x"), 403, False),
        (errors.ConfigurationError("x"), 503, False),
        (errors.MissingExtraError("local", needed_for="x"), 503, False),
        (errors.StoreUnavailableError("x"), 503, True),
        (errors.StoreError("x"), 500, False),
        (errors.ToolTimeoutError("x"), 500, True),
        (errors.AgentGraphError("x"), 500, False),
        (KeyError("x"), 500, False),
    ],
)
def test_every_error_has_its_status(error: Exception, status: int, retry: bool) -> None:
    fault = fault_of(error, request_id="r")
    assert (fault.status, fault.retry) == (status, retry)


def test_what_failed_inside_is_not_told() -> None:
    for error in (errors.StoreError(f"dsn {KEY}"), errors.ToolError(KEY), errors.AgentGraphError(KEY), KeyError(KEY)):
        assert KEY not in fault_of(error, request_id="r").message


def test_the_vendors_patience_is_handed_on() -> None:
    error = RateLimitedError("slow down", response=answer(429, **{"retry-after": "7"}), body=None)
    response = openai_error(fault_of(error, request_id="r"), request_id="r")
    assert response.headers["retry-after"] == "7"
    assert response.headers["x-should-retry"] == "true"


def test_the_vendors_reason_is_told_of_the_callers_own_data_without_keys() -> None:
    body = {"message": f"temperature must be 1; key {KEY}", "param": "temperature"}
    fault = fault_of(RejectedError("x", response=answer(400), body=body), request_id="r")
    assert "temperature must be 1" in fault.message
    assert fault.param == "temperature"
    assert KEY not in fault.message


def test_an_answer_already_begun_is_not_repeated() -> None:
    error = ModelAPIError("cut")
    error.is_retryable = False  # as `call_model` says once a piece is out
    assert not fault_of(error, request_id="r").retry


def test_faults_no_integration_translates_are_known_by_name() -> None:
    request = httpx.Request("POST", "http://vendor")
    assert fault_of(openai.APITimeoutError(request), request_id="r").status == 504
    assert fault_of(openai.APIConnectionError(request=request), request_id="r").code == "provider_unreachable"
    assert fault_of(openai.APIError("x", request, body=None), request_id="r").code == "provider_error"
    assert fault_of(httpx.RemoteProtocolError("x"), request_id="r").status == 502


def test_the_two_shapes() -> None:
    fault = fault_of(errors.InvalidInputError("n is 2", param="n"), request_id="r")
    assert openai_error_body(fault) == {
        "error": {"message": "n is 2", "type": "invalid_request_error", "param": "n", "code": "invalid_input"}
    }
    assert problem(fault, request_id="r").media_type == "application/problem+json"
