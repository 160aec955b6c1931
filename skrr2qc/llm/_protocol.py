"""What a text generator is, and what is known when it fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .._validation import check_number
from ._json import extract_json

Prompt = str | Sequence[Mapping[str, str]]
Message = dict[str, str]

MAX_SEED = 2**31 - 1  # what every server takes
_SHOWN = 3  # failures quoted in a message


class TextGenerator(Protocol):
    """Anything that turns prompts into texts: an adapter of this package or a plain function.

    Parameters
    ----------
    prompts : sequence of n prompts
        A prompt is a `str`, the message of a user, or a sequence of messages, each a mapping
        with the keys "role" and "content".
    seed : int, default=0
        For what is drawn at random. Another seed asks for another sample.
    schema : dict, default=None
        JSON schema of the answers. With it each answer is a text that parses as JSON; whether
        it follows the schema is for the caller to see.

    Returns
    -------
    answers : list of n str
        In the order of the prompts.

    Examples
    --------
    >>> def shout(prompts, *, seed=0, schema=None):
    ...     return [prompt.upper() for prompt in prompts]
    >>> generator: TextGenerator = shout
    >>> generator(["area of a circle"])
    ['AREA OF A CIRCLE']
    """

    def __call__(
        self, prompts: Sequence[Prompt], /, *, seed: int = 0, schema: dict | None = None
    ) -> list[str]:
        """Answer each prompt."""
        ...


@dataclass(frozen=True)
class Usage:
    """What a generator has asked for, since it was made.

    Parameters
    ----------
    n_calls : int
        Requests sent, those that failed included. A local model counts its answers.
    n_cached : int
        Different prompts whose answer came out of the cache.
    n_retries : int
        Those of `n_calls` that repeated a prompt, after a failure or an answer without JSON.
    prompt_tokens, completion_tokens : int
        As the server counted them, of answers that were not in the cache.
    cost : float or None
        Price of these tokens, in the unit of the prices; None where no price was given.
    """

    n_calls: int = 0
    n_cached: int = 0
    n_retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None


class GenerationError(RuntimeError):
    """Some prompts have no answer; those of the others are here, and in the cache.

    Parameters
    ----------
    message : str
    answers : list of (str or None)
        In the order of the prompts, None where there is none.
    failures : dict of int to str
        Why, by number of the prompt.

    Attributes
    ----------
    answers, failures
    """

    def __init__(self, message, answers=(), failures=None):
        super().__init__(message)
        self.answers = list(answers)
        self.failures = dict(failures or {})

    def __reduce__(self):
        return type(self), (str(self), self.answers, self.failures)


class CallLimitError(GenerationError):
    """More requests are needed than `max_calls` allows; it was not exceeded."""


def describe_failures(failures, n_prompts):
    """One sentence on how many prompts failed, and the first reasons, each once."""
    numbers_by_reason: dict[str, list[int]] = {}
    for number, reason in sorted(failures.items()):
        numbers_by_reason.setdefault(reason, []).append(number)
    parts = [
        f"prompt {numbers[0]}{f' and {len(numbers) - 1} more' if numbers[1:] else ''}: {reason}"
        for reason, numbers in list(numbers_by_reason.items())[:_SHOWN]
    ]
    more = len(numbers_by_reason) - len(parts)
    rest = f" ({more} other reasons in `.failures`)" if more > 0 else ""
    return f"{len(failures)} of {n_prompts} prompts have no answer. {' | '.join(parts)}{rest}"


def generate_texts(generator, prompts, *, seed=0, schema=None):
    r"""Ask a generator, and check what comes back: for code that is handed any generator.

    Parameters
    ----------
    generator : TextGenerator
        A plain function will do.
    prompts : sequence of n prompts
    seed : int, default=0
    schema : dict, default=None
        JSON schema; answers are then reduced to their JSON.

    Returns
    -------
    answers : list of n str

    Raises
    ------
    TypeError
        If `generator` is not callable, or returns no list of `str`.
    ValueError
        If prompts are no prompts, or there are more or fewer answers than prompts.
    GenerationError
        If there is no answer, or no JSON in it, for some prompts.

    Examples
    --------
    >>> def fenced(prompts, *, seed=0, schema=None):
    ...     return ['```json\n{"concepts": ["area"]}\n```' for _ in prompts]
    >>> generate_texts(fenced, ["area of a circle"], schema={"type": "object"})
    ['{"concepts": ["area"]}']
    """
    if not callable(generator):
        raise TypeError(
            f"A generator must be callable, got {type(generator).__name__}. Pass an adapter of "
            "skrr2qc.llm, or a function (prompts, *, seed, schema) -> list of str."
        )
    check_prompts(prompts)
    check_request(seed, schema)
    prompts = list(prompts)
    answers = generator(prompts, seed=seed, schema=schema) if prompts else []
    is_list = hasattr(answers, "__len__") and not isinstance(answers, str)
    if not is_list or not all(isinstance(answer, str) for answer in answers):
        raise TypeError(
            f"The generator must return one str for each prompt, got {type(answers).__name__} "
            f"{answers!r:.80}."
        )
    if len(answers) != len(prompts):
        raise ValueError(
            f"The generator returned {len(answers)} answers to {len(prompts)} prompts: "
            "expected one for each, in the same order."
        )
    return list(answers) if schema is None else _json_of(list(answers), schema)


def _json_of(answers, schema):
    kept, failures = list(answers), {}
    for i, answer in enumerate(answers):
        try:
            kept[i] = extract_json(answer, json_kind(schema))
        except ValueError as error:
            kept[i], failures[i] = None, f"{error} in the answer {answer[:80]!r}"
    if failures:
        raise GenerationError(describe_failures(failures, len(answers)), kept, failures)
    return kept


def json_kind(schema):
    """What a schema asks for at its root: a list for an array, otherwise a dict."""
    return list if schema.get("type") == "array" else dict


def check_request(seed, schema):
    """Check what comes with the prompts.

    Raises
    ------
    TypeError, ValueError
        If `seed` is no integer from 0 to 2**31 - 1, or `schema` neither None nor a dict.
    """
    check_number(seed, "seed", minimum=0, maximum=MAX_SEED, integer=True)
    if schema is not None and not isinstance(schema, dict):
        raise TypeError(
            f"`schema` must be a JSON schema as a dict, or None; got {type(schema).__name__}."
        )


def check_prompts(prompts) -> list[list[Message]]:
    """Return prompts as lists of messages, or say which of them is none.

    Parameters
    ----------
    prompts : sequence of n prompts

    Returns
    -------
    conversations : list of n lists of {"role": str, "content": str}
    """
    if isinstance(prompts, (str, bytes, Mapping)) or not hasattr(prompts, "__len__"):
        raise TypeError(
            f"`prompts` must be a sequence of prompts, got {type(prompts).__name__}. "
            "Wrap a single one in a list: [prompt]."
        )
    return [_check_prompt(prompt, f"prompts[{i}]") for i, prompt in enumerate(prompts)]


def _check_prompt(prompt, name):
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(prompt, Mapping):
        raise TypeError(
            f"`{name}` is a single message; a prompt is a str or a sequence of messages: "
            "[[message, ...], ...]."
        )
    if isinstance(prompt, bytes) or not isinstance(prompt, Sequence) or not prompt:
        raise TypeError(
            f"`{name}` must be a str or a sequence of messages, not empty; got {prompt!r:.60}."
        )
    return [_check_message(message, f"{name}[{i}]") for i, message in enumerate(prompt)]


def _check_message(message, name):
    is_one = isinstance(message, Mapping) and set(message) == {"role", "content"}
    if not is_one or not all(isinstance(value, str) for value in message.values()):
        raise TypeError(
            f'`{name}` must be a message {{"role": str, "content": str}}, got {message!r:.80}.'
        )
    for key, value in message.items():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"`{name}[{key!r}]` is no valid Unicode: {error.reason} at character "
                f"{error.start}. Drop such characters: text.encode('utf-8', 'ignore').decode()."
            ) from None
    return {"role": str(message["role"]), "content": str(message["content"])}
