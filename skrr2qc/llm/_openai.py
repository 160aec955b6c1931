"""Adapter for servers that speak OpenAI's chat completions."""

import warnings

from sklearn.base import BaseEstimator

from .._validation import check_number
from ._cache import Reply
from ._http import Endpoint
from ._retry import AskError, with_retries
from ._run import Run, check_shared_params

_KIND = "chat.completions"
_UNKNOWN_FIELD = (400, 422)  # how servers answer to a field that they do not know


class OpenAIGenerator(BaseEstimator):
    """Ask any server with OpenAI's chat completions: vLLM, Ollama, llama.cpp, or a paid one.

    Prompts are sent to ``{base_url}/chat/completions`` by a few threads, and answered in their
    order. A prompt that occurs twice is asked once. Time-outs, broken connections and the
    statuses 408, 409, 429 and 5xx are tried again, with growing pauses, or after what the
    server asks for in Retry-After. Other 4xx statuses fail at once. If the server is down or
    refuses the key, nothing more is asked. With a cache every answer is kept on disk as soon as
    it is there, so that the same call after a failure, an interrupt or a kill asks only for
    what is missing.

    Parameters
    ----------
    base_url : str
        Address up to ``/chat/completions``: "http://localhost:8000/v1" (vLLM, transformers
        serve), "http://localhost:11434/v1" (Ollama), "http://localhost:8080/v1" (llama.cpp).
        http or https, without password; redirects are not followed. Proxies of the environment
        are used, except for this machine itself.
    model : str
        Name by which the server knows the model.
    temperature : float >= 0, default=0.7
        0 takes the likeliest answer.
    max_tokens : int, default=1024
        Longest answer, in tokens.
    extra_body : dict, default=None
        More fields of the request, such as ``{"top_p": 0.9}``. A field that is None here is
        left out: ``{"max_tokens": None, "max_completion_tokens": 1024}`` renames one.
    timeout : float > 0, default=120.0
        Seconds for one request, from connecting to the last byte.
    max_retries : int >= 0, default=4
        How often a failed request is sent again.
    max_wait : float > 0, default=60.0
        Longest pause before that, in seconds. A server that wants more ends the call.
    max_json_retries : int >= 0, default=1
        How often a prompt is asked again, with another seed, if a schema was given and there is
        no JSON in the answer.
    n_concurrent : int >= 1, default=4
        Requests at a time.
    api_key_env : str or None, default="OPENAI_API_KEY"
        Environment variable that holds the key; if it is not set, no key is sent. The key is
        read for each call, and is never stored: not here, in the cache, in messages or pickles.
    cache : str, path, AnswerCache or None, default=None
        Where answers are kept. They are found again by model, messages, sampling parameters,
        seed and schema, and not by `base_url`.
    max_calls : int >= 0 or None, default=None
        Requests that this object may make, retries included. If a call certainly needs more,
        nothing is asked.
    prompt_price, completion_price : float >= 0 or None, default=None
        Of a million tokens, for `usage_.cost`.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    usage_ : Usage
        Requests, retries, tokens and cost since the object was made. A clone counts anew.

    Raises
    ------
    TypeError, ValueError
        When called, before anything is sent: a parameter, a prompt or the cache is not right.
    ImportError
        When called without httpx2, which ``skrr2qc[llm]`` brings.
    GenerationError
        Some prompts have no answer. `answers` holds those of the others, `failures` the reasons.
    CallLimitError
        A GenerationError because of `max_calls`.

    See Also
    --------
    TransformersGenerator : A model in this process.
    RecordedGenerator : Answers from a file.

    Examples
    --------
    >>> generator = OpenAIGenerator("http://localhost:8000/v1", "some-model", temperature=0)
    >>> generator  # a parameter of other estimators, as any estimator is
    OpenAIGenerator(base_url='http://localhost:8000/v1', model='some-model', temperature=0)
    >>> answers = generator(["What is the area of a circle?"])  # doctest: +SKIP
    >>> generator.usage_  # doctest: +SKIP
    Usage(n_calls=1, n_cached=0, n_retries=0, prompt_tokens=14, completion_tokens=57, cost=None)
    """

    def __init__(
        self,
        base_url,
        model,
        *,
        temperature=0.7,
        max_tokens=1024,
        extra_body=None,
        timeout=120.0,
        max_retries=4,
        max_wait=60.0,
        max_json_retries=1,
        n_concurrent=4,
        api_key_env="OPENAI_API_KEY",
        cache=None,
        max_calls=None,
        prompt_price=None,
        completion_price=None,
        verbose=0,
    ):
        self.base_url = base_url
        self.model = model
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.extra_body = extra_body
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_wait = max_wait
        self.max_json_retries = max_json_retries
        self.n_concurrent = n_concurrent
        self.api_key_env = api_key_env
        self.cache = cache
        self.max_calls = max_calls
        self.prompt_price = prompt_price
        self.completion_price = completion_price
        self.verbose = verbose

    def __call__(self, prompts, *, seed=0, schema=None):
        """Answer each prompt.

        Parameters
        ----------
        prompts : sequence of n prompts
            Each a `str` or a sequence of ``{"role": str, "content": str}``.
        seed : int, default=0
            Sent along, for servers that draw by it, and part of the cache's key.
        schema : dict, default=None
            JSON schema, sent along for servers that hold answers to it. Answers are then reduced
            to their JSON, and asked again where there is none.

        Returns
        -------
        answers : list of n str
        """
        self._check_params()
        endpoint = Endpoint(self.base_url, self.api_key_env, self.timeout)
        identity = {
            "kind": _KIND,
            "model": self.model,
            "temperature": float(self.temperature),
            "max_tokens": int(self.max_tokens),
            "extra_body": self.extra_body or {},
        }
        conversation = _Conversation(self, endpoint, schema)
        prices = (self.prompt_price, self.completion_price)
        run = Run(self, conversation.ask, identity, n_concurrent=self.n_concurrent, prices=prices)
        return run.answer(prompts, seed, schema)

    def _check_params(self):
        if not isinstance(self.model, str) or not self.model:
            raise ValueError(f"`model` must be the name of a model, got {self.model!r:.60}.")
        check_shared_params(self)
        check_number(self.timeout, "timeout", above=0)
        check_number(self.max_retries, "max_retries", minimum=0, integer=True)
        check_number(self.max_wait, "max_wait", above=0)
        check_number(self.n_concurrent, "n_concurrent", minimum=1, integer=True)
        for name in ("prompt_price", "completion_price"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, minimum=0)
        if self.extra_body is not None and not isinstance(self.extra_body, dict):
            raise TypeError(f"`extra_body` must be a dict or None, got {self.extra_body!r:.60}.")


class _Conversation:
    """What the threads of one call share: the endpoint, and whether it knows schemas."""

    def __init__(self, params, endpoint, schema):
        self.params = params
        self.endpoint = endpoint
        self.schema = schema
        self.knows_schemas = True

    def ask(self, run, messages, seed, key, is_retry):
        """One answer, after as many retries as it takes and are allowed."""

        def send(attempt):
            run.count_call(is_retry=is_retry or attempt > 0)
            answer = self.endpoint.post(self._payload(messages, seed), run.abort)
            return self._read(answer)

        def send_with_or_without_schema(attempt):
            sent_schema = self.schema is not None and self.knows_schemas
            try:
                return send(attempt)
            except AskError as error:
                if not (sent_schema and error.status in _UNKNOWN_FIELD and _is_about(error)):
                    raise
                self._drop_schema(error)
                return send(attempt + 1)

        p = self.params
        return with_retries(
            send_with_or_without_schema,
            max_retries=p.max_retries,
            max_wait=p.max_wait,
            seed=key,
            stop=run.closing,
        )

    def _payload(self, messages, seed):
        p = self.params
        payload = {
            "model": p.model,
            "messages": messages,
            "temperature": float(p.temperature),
            "max_tokens": int(p.max_tokens),
            "seed": seed,
        }
        if self.schema is not None and self.knows_schemas:
            structure = {"name": "answer", "schema": self.schema}
            payload["response_format"] = {"type": "json_schema", "json_schema": structure}
        payload |= p.extra_body or {}
        return {name: value for name, value in payload.items() if value is not None}

    def _drop_schema(self, error):
        if self.knows_schemas:
            self.knows_schemas = False
            warnings.warn(
                f"{self.params.base_url} takes no JSON schema ({error}); prompts are sent without "
                "it, and answers still checked to be JSON.",
                stacklevel=2,
            )

    def _read(self, answer):
        """The text and the counts of a chat completion."""
        try:
            choice = answer["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            said = self.endpoint.clean(f"the answer is no chat completion but {answer!r}")
            raise AskError(said, can_retry=True, scope="server") from None
        reason = choice.get("finish_reason")
        if not isinstance(text, str):
            raise AskError(
                self.endpoint.clean(
                    f"the answer holds no text (finish reason {reason!r}); a model that reasons "
                    "may need a larger `max_tokens`"
                )
            )
        usage = answer.get("usage")
        return Reply(
            self.endpoint.clean(_whole(text), is_answer=True),
            reason if isinstance(reason, str) else None,
            _count(usage, "prompt_tokens"),
            _count(usage, "completion_tokens"),
        )


def _is_about(error):
    return any(word in str(error) for word in ("response_format", "json_schema"))


def _whole(text):
    """The text without halves of surrogate pairs, which JSON can spell and nobody can store."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(usage, name):
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0
