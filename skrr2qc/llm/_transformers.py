"""Adapter for a causal language model in this process."""

import hashlib
import threading
from pathlib import Path

from sklearn.base import BaseEstimator

from ._cache import Reply
from ._retry import AskError
from ._run import Run, check_shared_params

_KIND = "transformers.generate"
_LOCK = threading.Lock()  # torch has one random state: one text is drawn at a time


class TransformersGenerator(BaseEstimator):
    """Ask a model of transformers that runs in this process.

    Conversations go through the tokenizer's chat template; where it has none, the contents of
    the messages are joined by blank lines. Prompts are answered one by one, each with its own
    seed, so that an answer does not depend on what else is asked. A server answers many prompts
    at a time and is the better choice for a large model: see `OpenAIGenerator`.

    Parameters
    ----------
    model : str or path
        Folder, in which case nothing is downloaded, or name on the hub.
    temperature : float >= 0, default=0.7
        0 takes the likeliest answer. Other settings of sampling are the model's own.
    max_tokens : int, default=512
        Longest answer, in tokens.
    device : str, default="auto"
        "auto" takes CUDA, then MPS, then the CPU.
    local_files_only : bool, default=False
        Whether a name on the hub is looked for in the local cache alone.
    max_json_retries : int >= 0, default=1
        How often a prompt is asked again, with another seed, if a schema was given and there is
        no JSON in the answer.
    cache : str, path, AnswerCache or None, default=None
        Where answers are kept, by model (of a folder: name, size and time of its files),
        messages, sampling parameters, seed and schema.
    max_calls : int >= 0 or None, default=None
        Answers that this object may generate.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    usage_ : Usage
        Answers and tokens since the object was made.

    Raises
    ------
    TypeError, ValueError
        When called: a parameter, a prompt or the cache is not right.
    OSError
        When called: there is no such model.
    GenerationError
        Some prompts have no answer, for instance since they are longer than the model's window.

    See Also
    --------
    OpenAIGenerator : A model behind a server.

    Notes
    -----
    The model is loaded when it is first asked, and neither copied nor pickled. The global random
    state is left alone. Code that comes with a model is never run.

    Examples
    --------
    >>> generator = TransformersGenerator("folder-of-a-model", max_tokens=64)
    >>> generator
    TransformersGenerator(max_tokens=64, model='folder-of-a-model')
    """

    def __init__(
        self,
        model,
        *,
        temperature=0.7,
        max_tokens=512,
        device="auto",
        local_files_only=False,
        max_json_retries=1,
        cache=None,
        max_calls=None,
        verbose=0,
    ):
        self.model = model
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.device = device
        self.local_files_only = local_files_only
        self.max_json_retries = max_json_retries
        self.cache = cache
        self.max_calls = max_calls
        self.verbose = verbose

    def __call__(self, prompts, *, seed=0, schema=None):
        """Answer each prompt.

        Parameters
        ----------
        prompts : sequence of n prompts
            Each a `str` or a sequence of ``{"role": str, "content": str}``.
        seed : int, default=0
        schema : dict, default=None
            With it answers are reduced to their JSON, and asked again where there is none; it
            is not shown to the model.

        Returns
        -------
        answers : list of n str
        """
        self._check_params()
        identity = {
            "kind": _KIND,
            "model": _fingerprint(self.model),
            "temperature": float(self.temperature),
            "max_tokens": int(self.max_tokens),
        }
        return Run(self, self._ask, identity, n_concurrent=None).answer(prompts, seed, schema)

    def __getstate__(self):
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_loaded"}

    def _check_params(self):
        from .._training import resolve_device

        if not isinstance(self.model, (str, Path)) or not str(self.model):
            raise TypeError(f"`model` must be a folder or a name, got {self.model!r:.60}.")
        check_shared_params(self)
        resolve_device(self.device)

    def _ask(self, run, messages, seed, key, is_retry):
        with _LOCK:
            tokenizer, network = self._load()
            run.count_call(is_retry=is_retry)
            try:
                return self._generate(tokenizer, network, messages, seed)
            except AskError:
                raise
            except Exception as error:  # a template that refuses a role, memory that runs out
                raise AskError(f"{type(error).__name__}: {error}"[:400]) from error

    def _load(self):
        """Tokenizer and network, from the first call on, or when model or device changed."""
        from .._training import resolve_device

        wanted = (str(self.model), resolve_device(self.device))
        if getattr(self, "_loaded", (None,))[0] != wanted:
            name, device = wanted
            self._loaded = (wanted, *_load_pretrained(name, device, self.local_files_only))
        return self._loaded[1:]

    def _generate(self, tokenizer, network, messages, seed):
        from .._training import seeded

        inputs = _encode(tokenizer, messages).to(network.device)
        n_prompt = inputs["input_ids"].shape[1]
        window = getattr(network.config, "max_position_embeddings", None)
        if window is not None and n_prompt + self.max_tokens > window:
            raise AskError(
                f"the prompt has {n_prompt} tokens, which with `max_tokens` == {self.max_tokens} "
                f"is more than the {window} that the model can read"
            )
        settings = {"max_new_tokens": int(self.max_tokens), "do_sample": self.temperature > 0}
        if self.temperature > 0:
            settings["temperature"] = float(self.temperature)
        with seeded(None, seed):
            output = network.generate(**inputs, **settings)
        new = output[0, n_prompt:]
        return Reply(
            tokenizer.decode(new, skip_special_tokens=True),
            "length" if len(new) >= self.max_tokens else "stop",
            n_prompt,
            len(new),
        )


def _load_pretrained(name, device, local_files_only):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"local_files_only": local_files_only or Path(name).is_dir()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        network = AutoModelForCausalLM.from_pretrained(name, **options)
    except Exception as error:
        raise OSError(
            f"`model` == {name!r} could not be loaded as a causal language model "
            f"({type(error).__name__}: {error}). Check the folder or name."
        ) from error
    if network.generation_config.pad_token_id is None:  # or each answer would warn of it
        ends = network.generation_config.eos_token_id
        network.generation_config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    return tokenizer, network.to(device).eval()


def _encode(tokenizer, messages):
    if tokenizer.chat_template is None:
        text = "\n\n".join(message["content"] for message in messages)
        return tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    inputs.pop("token_type_ids", None)  # which `generate` refuses
    return inputs


def _fingerprint(model):
    """Name on the hub, or what tells the files of a folder from others."""
    folder = Path(model)
    if not folder.is_dir():
        return str(model)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = [
        (path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()
