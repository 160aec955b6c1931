"""One call of a generator: each different prompt once, in threads, answers kept as they come."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from .._validation import check_number
from ._cache import as_cache, request_key
from ._json import extract_json
from ._protocol import (
    MAX_SEED,
    CallLimitError,
    GenerationError,
    Usage,
    check_prompts,
    check_request,
    describe_failures,
    json_kind,
)
from ._retry import AskError, Stopped

_LOCK = threading.Lock()  # of all counts: a lock in a generator could be neither copied nor pickled
_NEXT_SEED = 7919  # between two tries for JSON; a prime, far from the seeds a user counts up
_MAX_IN_A_ROW = 5  # prompts that the server fails, after which it is taken to be down
_POLL = 0.5  # seconds; a wait without end cannot be interrupted everywhere
_NOT_ASKED = "not answered before the run was stopped"


class Run:
    """State of one call; what the generator asks goes through it.

    Parameters
    ----------
    generator : OpenAIGenerator or TransformersGenerator
        Its parameters `cache`, `max_calls`, `max_json_retries` and `verbose` are used, and the
        counts are written to its `usage_`.
    ask : callable
        ``(run, messages, seed, key, is_retry) -> Reply``. Calls `count_call` before each request.
    identity : dict
        What answers depend on besides messages, seed and schema: model and sampling.
    n_concurrent : int or None
        Threads; None asks one by one in the caller's own.
    prices : tuple of 2 floats or None, default=(None, None)
        Of a million tokens of prompts and of answers.

    Attributes
    ----------
    closing : threading.Event
        Nothing new is asked once it is set.
    abort : threading.Event
        What is being asked is dropped, too.
    """

    def __init__(self, generator, ask, identity, *, n_concurrent, prices=(None, None)):
        self.generator = generator
        self.closing = threading.Event()
        self.abort = threading.Event()
        self._ask = ask
        self._identity = identity
        self._n_concurrent = n_concurrent
        self._prices = prices
        self._cache = as_cache(generator.cache)
        self._answers, self._failures = {}, {}
        self._n_in_a_row = 0
        self._verdict = None  # the error that ended the run
        start_usage(generator, prices)

    def answer(self, prompts, seed, schema):
        """Answers in the order of the prompts, or an error that holds those there are."""
        conversations = check_prompts(prompts)
        check_request(seed, schema)
        self._seed, self._schema = int(seed), schema
        keys = [self._key(messages, self._seed) for messages in conversations]
        pending = dict(zip(keys, conversations, strict=True))
        self._cache.check()
        self._take_known(pending)
        try:
            self._check_budget(len(pending))
            self._ask_all(pending)
        except CallLimitError as error:
            self._verdict = error
        answers = [self._answers.get(key) for key in keys]
        failures = {
            i: self._failures.get(key, _NOT_ASKED)
            for i, key in enumerate(keys)
            if key not in self._answers
        }
        self._raise_failures(answers, failures)
        return answers

    def count_call(self, *, is_retry):
        """Count one request that is about to be sent, or raise if it is one too many."""
        limit = self.generator.max_calls
        if self.closing.is_set():
            raise Stopped
        with _LOCK:
            usage = self.generator.usage_
            if limit is not None and usage.n_calls >= limit:
                raise CallLimitError(f"`max_calls` == {limit} requests have been made.")
            self.generator.usage_ = replace(
                usage, n_calls=usage.n_calls + 1, n_retries=usage.n_retries + is_retry
            )

    def _key(self, messages, seed):
        return request_key(messages=messages, seed=seed, schema=self._schema, **self._identity)

    def _take_known(self, pending):
        """Move what the cache holds from the pending prompts to the answers."""
        for key, reply in self._cache.get(pending).items():
            try:
                self._answers[key] = self._finished(reply)
            except ValueError:
                continue  # no JSON: the thread that asks again meets it once more
            del pending[key]
            self._count(n_cached=1)

    def _check_budget(self, n_pending):
        limit, n_calls = self.generator.max_calls, self.generator.usage_.n_calls
        if limit is not None and n_pending > limit - n_calls:
            raise CallLimitError(
                f"{n_pending} prompts are not in the cache, but `max_calls` == {limit}, of which "
                f"{n_calls} are used up. Nothing was asked; allow more, or pass fewer prompts."
            )

    def _ask_all(self, pending):
        with progress_bar(self.generator.verbose, len(pending)) as advance:
            if self._n_concurrent is None:
                for key, messages in pending.items():
                    self._settle(*self._outcome(key, messages))
                    advance()
                return
            results: queue.SimpleQueue = queue.SimpleQueue()
            pool = ThreadPoolExecutor(self._n_concurrent, thread_name_prefix="skrr2qc-llm")
            try:
                for item in pending.items():
                    pool.submit(lambda key, m: results.put(self._outcome(key, m)), *item)
                for _ in pending:
                    self._settle(*_patiently(results))
                    advance()
            except BaseException:  # an interrupt: what is under way is dropped
                self.abort.set()
                raise
            finally:
                self.closing.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, key, messages):
        """The key with its answer, or with why there is none; may end the run."""
        try:
            answer, reason = self._answer(key, messages), None
            self._n_in_a_row = 0
        except Stopped:
            answer, reason = None, _NOT_ASKED
        except AskError as error:
            answer, reason = None, str(error)
            with _LOCK:
                self._n_in_a_row += error.scope == "server"
            if error.scope == "all" or self._n_in_a_row >= _MAX_IN_A_ROW:
                self.closing.set()
        except Exception as error:  # the limit of calls, the cache, or a bug: not about the prompt
            answer, reason = None, _NOT_ASKED
            self._end(error)
        return key, answer, reason

    def _end(self, verdict):
        self._verdict = self._verdict or verdict
        self.closing.set()

    def _settle(self, key, answer, reason):
        if reason is None:
            self._answers[key] = answer
        else:
            self._failures[key] = reason

    def _answer(self, key, messages):
        """Ask until there is JSON in the answer, if a schema was given; each try is kept."""
        n_tries = 1 if self._schema is None else 1 + self.generator.max_json_retries
        for attempt in range(n_tries):
            seed = (self._seed + attempt * _NEXT_SEED) % (MAX_SEED + 1)
            if attempt:
                key = self._key(messages, seed)
            reply = self._reply(key, messages, seed, is_retry=attempt > 0)
            try:
                return self._finished(reply)
            except ValueError as error:
                why = error
        hint = "; raise `max_tokens`" if reply.finish_reason == "length" else ""
        raise AskError(
            f"{why} (asked {n_tries} times, finish reason {reply.finish_reason!r}{hint}) in the "
            f"answer {reply.text[:120]!r}"
        )

    def _reply(self, key, messages, seed, is_retry):
        known = self._cache.get([key])
        if known:
            self._count(n_cached=1)
            return known[key]
        if self.closing.is_set():
            raise Stopped
        reply = self._ask(self, messages, seed, key, is_retry)
        self._count(prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)
        try:
            return self._cache.add(key, reply)
        except (OSError, ValueError) as error:  # the answer is paid for: hand it on all the same
            self._end(error)
            return reply

    def _finished(self, reply):
        if self._schema is None:
            return reply.text
        return extract_json(reply.text, json_kind(self._schema))

    def _count(self, **counts):
        with _LOCK:
            usage = self.generator.usage_
            sums = {name: getattr(usage, name) + n for name, n in counts.items()}
            self.generator.usage_ = priced(replace(usage, **sums), self._prices)

    def _raise_failures(self, answers, failures):
        if not failures and self._verdict is None:
            return
        verdict, n_kept = self._verdict, len(answers) - len(failures)
        is_limit = isinstance(verdict, CallLimitError)
        if verdict is not None and not is_limit and not n_kept:
            raise verdict
        text = describe_failures(failures, len(answers)) if failures else "All answers are here."
        if verdict is not None:
            text = f"{verdict} {text}"
        elif _NOT_ASKED in failures.values():
            text = f"Stopped, as the server fails. {text}"
        if n_kept:
            where = " and in the cache" if self.generator.cache is not None else ""
            text = f"{text} The {n_kept} others are in `.answers`{where}."
        kind = CallLimitError if is_limit else GenerationError
        raise kind(text, answers, failures) from (None if is_limit else verdict)


def check_shared_params(generator):
    """Check the parameters that all adapters have.

    Raises
    ------
    TypeError, ValueError
    """
    check_number(generator.temperature, "temperature", minimum=0)
    check_number(generator.max_tokens, "max_tokens", minimum=1, integer=True)
    check_number(generator.max_json_retries, "max_json_retries", minimum=0, integer=True)
    if generator.max_calls is not None:
        check_number(generator.max_calls, "max_calls", minimum=0, integer=True)


def start_usage(generator, prices):
    """Give a generator its counts, if this is its first call."""
    with _LOCK:
        if not hasattr(generator, "usage_"):
            generator.usage_ = priced(Usage(), prices)


def priced(usage, prices):
    """Usage with its cost, where a price is known."""
    if prices == (None, None):
        return usage
    tokens = (usage.prompt_tokens, usage.completion_tokens)
    cost = sum(n * (price or 0.0) for n, price in zip(tokens, prices, strict=True)) / 1e6
    return replace(usage, cost=cost)


def _patiently(results):
    while True:
        try:
            return results.get(timeout=_POLL)
        except queue.Empty:
            continue


@contextmanager
def progress_bar(verbose, total):
    """Function that advances a bar, which is there if `verbose` and if there is work."""
    if not verbose or not total:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="prompts", unit="prompt") as bar:
        yield bar.update
