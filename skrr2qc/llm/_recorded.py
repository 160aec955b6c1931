"""Recorded answers: a language model for tests and documentation that is a file."""

import json
import os
import threading
from pathlib import Path

from sklearn.base import BaseEstimator

from ._cache import request_key
from ._protocol import (
    CallLimitError,
    GenerationError,
    check_prompts,
    check_request,
    describe_failures,
    generate_texts,
)

_LOCK = threading.Lock()
_FIELDS = {"prompt", "seed", "schema", "answer"}


class RecordedGenerator(BaseEstimator):
    """Replay answers from a JSON lines file, and record those that are missing.

    Each line is an object with `prompt` (a `str` or messages), `answer`, and, unless they are 0
    and null, `seed` and `schema`. Where a prompt has several records the first one holds.

    Parameters
    ----------
    path : str or path
    source : TextGenerator or None, default=None
        Asked for what the file does not hold; its answers are appended to the file. None only
        replays.

    Raises
    ------
    FileNotFoundError
        When called: there is no file, and no `source` to make one, or no folder to make it in.
    ValueError
        When called: a line is no record.
    GenerationError
        When called: a prompt has no record, and there is no `source`, or it fails. A
        `CallLimitError` where the source has met its limit.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/answers.jsonl"
    >>> def shout(prompts, *, seed=0, schema=None):
    ...     return [prompt.upper() for prompt in prompts]
    >>> RecordedGenerator(path, source=shout)(["area"])
    ['AREA']
    >>> RecordedGenerator(path)(["area"])
    ['AREA']
    >>> RecordedGenerator(path)(["length"])
    Traceback (most recent call last):
    skrr2qc.llm._protocol.GenerationError: 1 of 1 prompts have no answer. prompt 0: no record ...
    """

    def __init__(self, path, *, source=None):
        self.path = path
        self.source = source

    def __call__(self, prompts, *, seed=0, schema=None):
        """Answer each prompt from the file.

        Parameters
        ----------
        prompts : sequence of n prompts
        seed : int, default=0
        schema : dict, default=None

        Returns
        -------
        answers : list of n str
        """
        conversations = check_prompts(prompts)
        check_request(seed, schema)
        keys = _keys(conversations, seed, schema)
        records = self._read()
        asked = zip(keys, prompts, strict=True)
        missing = {key: prompt for key, prompt in asked if key not in records}
        error = None
        if missing and self.source is not None:
            error = self._record(missing, seed, schema, records)
        answers = [records.get(key) for key in keys]
        reasons = self._reasons(keys, conversations, seed, schema, records, error)
        if reasons:
            text = describe_failures(reasons, len(keys))
            kind = CallLimitError if isinstance(error, CallLimitError) else GenerationError
            raise kind(text, answers, reasons) from error
        return answers

    def _read(self):
        """Answers of the file by key."""
        path = Path(self.path)
        if not path.exists():
            if self.source is None:
                raise FileNotFoundError(
                    f"There are no recorded answers at {path}. Give a `source` to record some."
                )
            if not path.parent.is_dir():
                raise FileNotFoundError(
                    f"The folder of the recorded answers {path} does not exist. Make it first."
                )
            return {}
        records = {}
        for number, line in _lines(path.read_bytes()):
            key, answer = _parse_record(line, f"{path}, line {number}")
            records.setdefault(key, answer)
        return records

    def _record(self, missing, seed, schema, records):
        """Ask the source; append and remember what it answers, even if it fails in part."""
        error = None
        try:
            answers = generate_texts(self.source, list(missing.values()), seed=seed, schema=schema)
        except GenerationError as failure:
            answers, error = failure.answers, failure
        lines = []
        for (key, prompt), answer in zip(missing.items(), answers, strict=False):
            if answer is not None:
                records[key] = answer
                record = {"prompt": prompt, "seed": int(seed), "schema": schema, "answer": answer}
                lines.append(_to_line(record))
        _append(Path(self.path), "".join(lines))
        return error

    def _reasons(self, keys, conversations, seed, schema, records, error):
        reasons = {}
        for i, (key, messages) in enumerate(zip(keys, conversations, strict=True)):
            if key in records:
                continue
            said = messages[-1]["content"]
            kind = "without schema" if schema is None else "with this schema"
            reasons[i] = f"no record for {said[:120]!r} with seed {seed} {kind} in {self.path}"
            if error is not None:
                reasons[i] = f"{reasons[i]}, and the source failed: {error}"
        return reasons


def _keys(conversations, seed, schema):
    return [request_key(messages=m, seed=int(seed), schema=schema) for m in conversations]


def _lines(content):
    """Number and text of each line that is not blank; no last line that was cut off."""
    lines = content.split(b"\n")
    if not _is_json(lines[-1]):  # blank, or an append that was killed
        lines.pop()
    return [(i, line.decode("utf-8", "replace")) for i, line in enumerate(lines, 1) if line.strip()]


def _parse_record(line, place):
    try:
        record = json.loads(line)
        is_record = {"prompt", "answer"} <= set(record) <= _FIELDS
        is_record = is_record and isinstance(record["answer"], str)
        messages = check_prompts([record["prompt"]])
        check_request(record.get("seed", 0), record.get("schema"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        is_record, why = False, f": {error}"
    else:
        why = ""
    if not is_record:
        raise ValueError(
            f'{place} is no record {{"prompt": ..., "answer": str, "seed": int, "schema": ...}}'
            f"{why}."
        )
    return _keys(messages, record.get("seed", 0), record.get("schema"))[0], record["answer"]


def _to_line(record):
    if not isinstance(record["prompt"], str):
        record["prompt"] = [dict(message) for message in record["prompt"]]
    default = {"seed": 0, "schema": None}
    kept = {k: v for k, v in record.items() if k not in default or v != default[k]}
    return json.dumps(kept, ensure_ascii=False) + "\n"


def _append(path, text):
    """Add lines to the end of a file, on the disk when this returns."""
    if not text:
        return
    with _LOCK, path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        tail = content.rpartition(b"\n")[2]
        if tail and _is_json(tail):
            text = "\n" + text
        elif tail:  # cut off by a kill
            file.truncate(len(content) - len(tail))
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _is_json(line):
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
