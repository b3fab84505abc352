"""An HTTP client; for components of the world `http-backend`. The user grants it host by
host, and the host attaches credentials, which a backend never sees."""

import json as _json
from urllib.parse import quote, urljoin, urlsplit

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Err, Ok
from wit_world.imports import client, wasi_http_types as types
from wit_world.imports.hm_backend_types import (
    BackendError_Denied,
    BackendError_NotFound,
    BackendError_Other,
    BackendError_Transport,
    BackendError_Unauthorized,
    BackendError_Unavailable,
)

from . import clock
from .backend import Refused
from .host import Held, call

#: Statuses after which another try may go better.
PASSING = {408, 429, 500, 502, 503, 504}
#: Bytes taken from the host at once.
CHUNK = 64 * 1024
#: Pauses between tries, in seconds.
PAUSES = (0.2, 0.8, 3.2)


class HttpError(Refused):
    """A request that did not bring what was asked for; ends the build, unless it is
    caught."""

    def __init__(self, request, why, status=None, cause=None):
        self.status = status
        self.cause = cause
        text = f"{request}: {why}"
        super().__init__(_build_error(text, status, cause))


def _build_error(text, status, cause):
    if isinstance(cause, (types.ErrorCode_HttpRequestDenied, types.ErrorCode_DestinationIpProhibited)):
        return BackendError_Denied(text)
    if status in (401, 403):
        return BackendError_Unauthorized(text)
    if status == 404:
        return BackendError_NotFound(text)
    if status is not None and (status in PASSING or status >= 500):
        return BackendError_Unavailable(text)
    return BackendError_Other(text) if status is not None else BackendError_Transport(text)


class Client:
    """Sends requests to the URLs below `base`, which ends with `/`."""

    def __init__(self, base, headers=()):
        self._base = base
        self._headers = list(headers)

    async def get(self, url, **options):
        """Sends a `GET`, again where that helps."""
        return await self.request("GET", url, **options)

    async def post(self, url, **options):
        """Sends a `POST`, once: it may have been carried out."""
        return await self.request("POST", url, **options)

    async def delete(self, url, **options):
        """Sends a `DELETE`, again where that helps."""
        return await self.request("DELETE", url, **options)

    async def request(self, method, url, json=None, body=b"", headers=()):
        """Sends a request and returns the response, whatever its status."""
        url = urljoin(self._base, url)
        shown = f"{method} {url.split('?')[0]}"
        headers = [*self._headers, *headers]
        if json is not None:
            body = _json.dumps(json).encode()
            headers.append(("content-type", "application/json"))
        pauses = iter(PAUSES if method not in ("POST", "PATCH") else ())
        while True:
            pause = next(pauses, None)
            try:
                response = await _send(method, url, headers, body, shown)
            except Err as error:
                code = error.value
                denied = isinstance(code, types.ErrorCode_HttpRequestDenied)
                if pause is None or denied:
                    raise HttpError(shown, _words(code), cause=code)
            else:
                if pause is None or response.status not in PASSING:
                    return response
            await clock.sleep(pause)

    async def follow(self, url, last_id=None):
        """Yields the server-sent events of a URL as `(id, event, data)`, over broken
        connections, until the server says that there are no more (204) or nobody listens."""
        fruitless = 0
        while True:
            headers = [("accept", "text/event-stream")]
            if last_id:
                headers.append(("last-event-id", last_id))
            response = await self.get(url, headers=headers)
            if response.status == 204:
                return
            response.ok()
            async for event in response.events():
                fruitless = 0
                last_id = event[0] or last_id
                yield event
            fruitless += 1
            if fruitless > len(PAUSES):
                raise HttpError(f"GET {url}", "the stream of events ends again and again")
            await clock.sleep(PAUSES[fruitless - 1])


async def _send(method, url, headers, body, shown):
    parts = urlsplit(url)
    fields = [(name.lower(), value.encode()) for name, value in headers]
    contents = None
    if body:
        fields.append(("content-length", str(len(body)).encode()))
        writer, contents = wit_world.byte_stream()
    trailers, no_trailers = (
        wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future(
            lambda: Ok(None)
        )
    )
    request, _ = types.Request.new(
        types.Fields.from_list(fields), contents, no_trailers, None
    )
    trailers.__exit__(None, None, None)
    known = {
        "GET": types.Method_Get,
        "POST": types.Method_Post,
        "PUT": types.Method_Put,
        "DELETE": types.Method_Delete,
        "PATCH": types.Method_Patch,
        "HEAD": types.Method_Head,
    }
    request.set_method(known[method]() if method in known else types.Method_Other(method))
    request.set_scheme(types.Scheme_Https() if parts.scheme == "https" else types.Scheme_Http())
    request.set_authority(parts.netloc)
    query = f"?{parts.query}" if parts.query else ""
    request.set_path_with_query((parts.path or "/") + query)
    if body:
        spawn(_write(writer, body))
    return Response(await call(client.send(request)), shown)


async def _write(writer, body):
    with writer:
        await writer.write_all(body)


def _words(code):
    detail = getattr(code, "value", None)
    name = type(code).__name__.removeprefix("ErrorCode_")
    return f"{name}: {detail}" if detail else name


class Response:
    """A response: its head, and a body that is still coming."""

    def __init__(self, response, shown):
        self.status = response.get_status_code()
        self.headers = [
            (name.lower(), value.decode(errors="replace"))
            for name, value in response.get_headers().copy_all()
        ]
        self._shown = shown
        taken, result = wit_world.result_unit_wasi_http_types_error_code_future(lambda: Ok(None))
        self._body, self._end = types.Response.consume_body(response, result)
        taken.__exit__(None, None, None)

    def ok(self):
        """Returns the response if it is a success, or raises `HttpError`."""
        if 200 <= self.status < 300:
            return self
        raise HttpError(self._shown, f"status {self.status}", self.status)

    async def chunks(self):
        """Yields the body, cut anywhere."""
        with Held(self._body) as held:
            while not self._body.writer_dropped:
                chunk = await held.hold(self._body.read(CHUNK))
                if chunk:
                    yield bytes(chunk)

    async def read(self):
        """Returns the whole body."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def json(self):
        """Returns the whole body's JSON; of a success only."""
        return _json.loads(await self.ok().read())

    async def events(self):
        """Yields the body's server-sent events as `(id, event, data)`."""
        rest, fields = b"", {}
        async for chunk in self.chunks():
            *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                if not text:
                    if "data" in fields:
                        data = "\n".join(fields["data"])
                        yield fields.get("id"), fields.get("event", "message"), data
                    fields = {}
                    continue
                name, _, value = text.partition(":")
                value = value.removeprefix(" ")
                if name == "data":
                    fields.setdefault("data", []).append(value)
                elif name in ("id", "event"):
                    fields[name] = value


def encode_segment(text):
    """Percent-encodes what stands for one segment of a path."""
    return quote(text, safe="")
