"""Protection of the pages: hosts, sizes, signed cookies, form tokens, headers."""

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse

from rlopt.config.reviewing import LOOPBACK

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024
COOKIE = "rlopt_review"
MAX_AGE = 30 * 24 * 3600
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; img-src {images}"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Visitor:
    """Visitor, identified by a signed cookie.

    Parameters
    ----------
    session
        Random; form tokens belong to it.
    name
        The reviewer; empty before signing in.
    """

    session: str
    name: str = ""


class Signer:
    """Signs cookies and forms with the key of the reviews."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def visitor(self, request: "Request") -> Visitor:
        """The visitor of a request; a new one where the cookie is missing, forged or damaged."""
        text, _, mark = request.cookies.get(COOKIE, "").partition(".")
        if text and hmac.compare_digest(mark.encode(), self._mark("cookie", text).encode()):
            return Visitor(**json.loads(base64.urlsafe_b64decode(text)))
        return Visitor(secrets.token_urlsafe(16))

    def cookie(self, visitor: Visitor) -> str:
        """The cookie that `visitor` reads back."""
        text = base64.urlsafe_b64encode(json.dumps(vars(visitor)).encode()).decode()
        return f"{text}.{self._mark('cookie', text)}"

    def form_token(self, visitor: Visitor) -> str:
        """Token in every form of this visitor."""
        return self._mark("form", f"{visitor.session} {visitor.name}")

    def holds(self, visitor: Visitor, token: Any) -> bool:
        """True if a form belongs to this visitor."""
        return isinstance(token, str) and hmac.compare_digest(token.encode(), self.form_token(visitor).encode())

    def seal(self, text: str) -> str:
        """``text`` with a mark that only this server can make."""
        return f"{text}.{self._mark('seal', text)}"

    def unseal(self, sealed: Any) -> str | None:
        """The text of `seal`; None where it was changed."""
        text, _, mark = str(sealed).rpartition(".")
        return text if hmac.compare_digest(mark.encode(), self._mark("seal", text).encode()) else None

    def _mark(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


class Guard:
    """Refuses foreign hosts and large bodies before anything else, and sets the headers of every answer.

    A page of another site that points its own name at this machine (DNS rebinding) sends that name as ``Host``.

    Parameters
    ----------
    hosts
        Names that requests may be for, beside this machine's addresses where ``anywhere`` is true.
    anywhere
        True if any numeric address will do: for a server that listens on all of them, where a token keeps others out.
    """

    def __init__(self, app: "ASGIApp", hosts: frozenset[str], anywhere: bool) -> None:
        self.app, self._hosts, self._anywhere = app, hosts, anywhere

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def answer(message: "Message") -> None:
            if message["type"] == "http.response.start":
                images = "http: https:" if scope.get("state", {}).get("pictures") else "'none'"
                given = {**HEADERS, "Content-Security-Policy": POLICY.format(images=images)}
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in given.items()),
                ]
            await send(message)

        refusal = self._refusal(headers)
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        await self.app(scope, _limited(receive), answer)

    def _refusal(self, headers: dict[str, str]) -> PlainTextResponse | None:
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts and not (self._anywhere and _is_address(host)):
            return PlainTextResponse("This server answers to other host names.", 421)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return PlainTextResponse("The request is too large.", 413)
        return None


def is_loopback(host: str) -> bool:
    """True if only this machine reaches an address."""
    return host in LOOPBACK


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def _limited(receive: "Receive") -> "Receive":
    """A body that ends the connection where it grows too large, whatever its headers said."""
    taken = 0

    async def limited() -> "Message":
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return message if taken <= MAX_BODY else {"type": "http.disconnect"}

    return limited


def _host_name(host: str) -> str:
    """The name in a ``Host`` header, without the port and the brackets of IPv6."""
    name = host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.rsplit(":", 1)[0]
    return name.lower().rstrip(".")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
