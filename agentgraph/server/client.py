"""What a client says of itself: which app, on which device, for whom. Told, never proof: keys say who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

__all__ = ["Client", "ClientFields", "client_of"]

_HEADERS: Final = {
    "app": "x-app",
    "client_id": "x-client-id",
    "device": "x-device",
    "user_id": "x-user-id",
    "session_id": "x-session-id",
    "request_id": "x-request-id",
}
_LONGEST: Final = 200


class ClientFields(BaseModel):
    """The fields of a body that tell it; each has a header, `X-App` say, over which the body wins."""

    app: str | None = Field(default=None, max_length=_LONGEST, description="The application that asks.")
    client_id: str | None = Field(
        default=None, max_length=_LONGEST, description="Which installation of it; without it, the client's address."
    )
    device: str | None = Field(default=None, max_length=_LONGEST, description="What it runs on.")
    user_id: str | None = Field(default=None, max_length=_LONGEST, description="A person within the tenant.")
    session_id: str | None = Field(default=None, max_length=_LONGEST, description="The app's conversation.")
    request_id: str | None = Field(default=None, max_length=_LONGEST, description="The request, as the app has it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who is at the other end, by their own word; on `request.state.client` for hooks, logs and traces.

    Attributes:
        ip: The address as trusted proxies tell it, else the socket's.
        client_id: As told, else `ip`.
    """

    ip: str
    client_id: str
    app: str | None = None
    device: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None


def client_of(request: HTTPConnection, told: ClientFields) -> Client:
    """Return what is told of the client, in the body or else in headers, and note it with the request."""
    # The address is the proxies' word already where they are trusted (`proxies.py`).
    ip = request.client.host if request.client else "unknown"
    headers = {name: request.headers.get(header, "")[:_LONGEST] for name, header in _HEADERS.items()}
    said = {name: getattr(told, name) or headers[name] for name in _HEADERS}
    given = {name: value for name, value in said.items() if value}
    client = Client(**{"client_id": ip, **given}, ip=ip)
    request.state.client = client
    return client
