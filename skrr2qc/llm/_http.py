"""One JSON request to one server: bounded in time and size, and silent about the key."""

import asyncio
import html
import json
import os
import re
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from ._retry import AskError, Stopped, now, retry_after_seconds

_MAX_BODY = 8 * 2**20  # bytes of an answer; a long one has some ten thousand
_POLL = 0.1  # seconds between two looks at whether the run was stopped
_SHOWN = 400  # characters quoted from a server
_MIN_SECRET = 12  # shorter keys, such as "EMPTY", are words that an answer may well contain
_RETRIED = {408, 409, 429}
_HOPELESS = {  # the same for every prompt, and what to do about it
    401: "Set the environment variable {key} to a key that is valid there.",
    403: "Check what the key in the environment variable {key} is allowed to do.",
    404: "Check `base_url`, which mostly ends in /v1, and `model`.",
    405: "Check `base_url`, which mostly ends in /v1.",
}


class Endpoint:
    """A server, checked, with the key for it: lives as long as one call, and is never stored.

    Parameters
    ----------
    base_url : str
        http or https, as far as before ``/chat/completions``.
    api_key_env : str or None
        Environment variable with the key.
    timeout : float
        Seconds for a request, from connecting to the last byte.
    """

    def __init__(self, base_url, api_key_env, timeout):
        self.url = _check_url(base_url) + "/chat/completions"
        self.timeout = timeout
        self._key_env = api_key_env
        self._key = _read_key(api_key_env)
        self._httpx = _import_httpx()
        # Proxies of the environment are for other machines.
        self._trusts_env = not _is_loopback(urlsplit(self.url).hostname)
        may_encrypt = self._trusts_env or self.url.startswith("https:")  # a proxy may, too
        self._verify = self._httpx.create_ssl_context() if may_encrypt else False

    def __reduce__(self):
        raise TypeError("An endpoint holds a key and is never pickled.")

    def post(self, payload, abort):
        """Send a JSON value; return the JSON object that comes back.

        Parameters
        ----------
        payload : dict
        abort : threading.Event
            Ends the request when set.

        Returns
        -------
        answer : dict

        Raises
        ------
        AskError, Stopped
        """
        # A loop of its own for each request: cancelling it is what keeps a deadline, whatever
        # the server does, and works in a thread of a notebook, too.
        failure = None
        try:
            status, headers, body = asyncio.run(self._watched(payload, abort))
        except TimeoutError:
            failure = f"no complete answer within `timeout` == {self.timeout} s", "server"
        except self._httpx.ConnectError as error:
            failure = f"no connection to {self.url} ({error}). Is the server up?", "all"
        except self._httpx.HTTPError as error:
            failure = f"the connection broke ({type(error).__name__}: {error})", "server"
        if failure is not None:  # outside of "except": requests in a chain would hold the key
            message, scope = failure
            raise AskError(self.clean(message), can_retry=True, scope=scope)
        if not 200 <= status < 300:
            raise self._refusal(status, headers, body)
        return self._parsed(body)

    def clean(self, text, *, is_answer=False):
        """Hide the key, in whatever way it is quoted; messages also become short and printable."""
        if self._key and (not is_answer or len(self._key) >= _MIN_SECRET):
            escaped = json.dumps(self._key)[1:-1]
            forms = {self._key, escaped, repr(self._key)[1:-1], quote(self._key, safe="")}
            forms |= {html.escape(self._key), html.escape(self._key, quote=False)}
            for form in sorted(forms, key=len, reverse=True):
                text = text.replace(form, "[key]")
        if is_answer:
            return text
        text = "".join(c if c.isprintable() else " " for c in text)
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

    async def _watched(self, payload, abort):
        request = asyncio.ensure_future(self._send(payload))
        try:
            async with asyncio.timeout(self.timeout):
                while not request.done():
                    await asyncio.wait({request}, timeout=_POLL)
                    if abort.is_set():
                        raise Stopped
            return request.result()
        finally:
            request.cancel()

    async def _send(self, payload):
        content = json.dumps(payload, ensure_ascii=False).encode()
        # Compression is declined: a small body must not unpack to a huge one.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        client = self._httpx.AsyncClient(
            verify=self._verify, trust_env=self._trusts_env, follow_redirects=False, timeout=None
        )
        async with (
            client,
            client.stream("POST", self.url, content=content, headers=headers) as response,
        ):
            if response.headers.get("content-encoding", "identity") != "identity":
                raise AskError("the server compresses answers, though asked not to", scope="all")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAX_BODY:
                    raise AskError(f"the answer has more than {_MAX_BODY} bytes; it was dropped")
            return response.status_code, dict(response.headers), bytes(body)

    def _refusal(self, status, headers, body):
        """The error for a status that is no success, with what the server says about it."""
        if 300 <= status < 400:
            return AskError(
                self.clean(
                    f"the server answered {status} and points to {headers.get('location', '?')}; "
                    "redirects are not followed, set `base_url` to the right address"
                ),
                scope="all",
                status=status,
            )
        said = self.clean(_server_message(body.decode("utf-8", "replace")))
        message = f"the server answered {status}: {said or 'no message'}"
        if status in _HOPELESS:
            hint = _HOPELESS[status].format(key=self._key_env)
            return AskError(f"{message.rstrip('.')}. {hint}", scope="all", status=status)
        can_retry = status in _RETRIED or status >= 500
        wait = retry_after_seconds(headers.get("retry-after"), now()) if can_retry else None
        scope = "server" if can_retry else "prompt"
        return AskError(message, can_retry=can_retry, scope=scope, retry_after=wait, status=status)

    def _parsed(self, body):
        text = body.decode("utf-8", "replace")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            said = f"the answer is no JSON object but {text[:_SHOWN] or 'empty'!r}"
            raise AskError(self.clean(said), can_retry=True, scope="server")
        return answer


def _check_url(base_url):
    if not isinstance(base_url, str):
        raise TypeError(f"`base_url` must be a str, got {type(base_url).__name__}.")
    try:
        parts = urlsplit(base_url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises if it is no number
    except ValueError:
        is_url = False
    if not is_url or re.search(r"[\s\x00-\x1f\x7f\\]", base_url) or not base_url.isascii():
        raise ValueError(
            "`base_url` must be an address such as 'http://localhost:8000/v1', beginning with "
            f"http:// or https://, got {base_url.split('@')[-1]!r:.100}."
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "`base_url` must not hold a user name or password. Put the key into an environment "
            "variable and name it in `api_key_env`."
        )
    if "?" in base_url or "#" in base_url:
        raise ValueError("`base_url` must not hold a query (?) or a fragment (#).")
    return base_url.rstrip("/")


def _is_loopback(host):
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_key(api_key_env):
    if api_key_env is None:
        return None
    if not isinstance(api_key_env, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", api_key_env):
        raise ValueError(  # which does not quote it: it may be the key itself
            "`api_key_env` must be the name of an environment variable, not a key; None sends none."
        )
    key = os.environ.get(api_key_env, "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ValueError(
            f"The key in the environment variable {api_key_env} has characters that no header "
            "may hold: expected printable ASCII without blanks. Set it again."
        )
    return key or None


def _import_httpx():
    try:
        import httpx2
    except ImportError:
        raise ImportError(
            "OpenAIGenerator needs the package httpx2: pip install 'skrr2qc[llm]'."
        ) from None
    return httpx2


def _server_message(text):
    """What an error body says: OpenAI's, FastAPI's and Ollama's forms, or the text as it is."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(3):
        if isinstance(said, dict):
            names = ("error", "message", "detail")
            said = next((said[name] for name in names if said.get(name)), json.dumps(said))
    return said if isinstance(said, str) else json.dumps(said)
