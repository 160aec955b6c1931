"""A tiny model of the test's own: in this process, and behind ``transformers serve``."""

import copy
import json
import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import pytest
import torch
from sklearn.base import clone

from skrr2qc.llm import CallLimitError, GenerationError, OpenAIGenerator, TransformersGenerator
from tests.llm.tiny_llama import ANSWER, PROMPTS, save_tiny_llama

OBJECT = {"type": "object"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny-llama")
    save_tiny_llama(folder)
    return folder


def make(folder, **params):
    return TransformersGenerator(folder, **{"max_tokens": 48, "device": "cpu"} | params)


def test_a_local_model_answers(folder):
    generator = make(folder, temperature=0)
    assert generator(PROMPTS) == [ANSWER] * len(PROMPTS)
    assert generator(PROMPTS[:1], schema=OBJECT) == [ANSWER]
    usage = generator.usage_
    assert usage.n_calls == len(PROMPTS) + 1
    assert usage.prompt_tokens > usage.n_calls
    assert usage.completion_tokens > usage.n_calls


def test_roles_go_through_the_chat_template(folder):
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}]
    generator = make(folder, temperature=0, max_tokens=1)
    generator([chat])
    n_tokens = generator.usage_.prompt_tokens
    tokenizer = generator._load()[0]
    assert n_tokens == len(tokenizer("<system>be brief<user>x<assistant>")["input_ids"])


def test_without_a_template_contents_are_joined(tmp_path):
    save_tiny_llama(tmp_path, chat_template=None, n_steps=1)
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}]
    generator = make(tmp_path, temperature=0, max_tokens=1)
    generator([chat])
    tokenizer = generator._load()[0]
    assert generator.usage_.prompt_tokens == len(tokenizer("be brief\n\nx")["input_ids"])


def test_a_sample_depends_on_prompt_and_seed_alone(folder):
    state = torch.random.get_rng_state()
    generator = make(folder, temperature=5.0, max_tokens=8)
    alone = generator(PROMPTS[1:2], seed=1)
    assert generator(PROMPTS, seed=1)[1:2] == alone
    assert generator(PROMPTS[1:2], seed=2) != alone
    assert torch.equal(torch.random.get_rng_state(), state)


def test_answers_are_kept(folder, tmp_path):
    cache = tmp_path / "answers.sqlite"
    generator = make(folder, temperature=0, cache=cache)
    answers = generator(PROMPTS[:2])
    again = make(folder, temperature=0, cache=cache, max_calls=0)
    assert again(PROMPTS[:2]) == answers
    assert (again.usage_.n_calls, again.usage_.n_cached) == (0, 2)
    assert not hasattr(again, "_loaded")  # nothing was loaded for it
    with pytest.raises(CallLimitError):
        again.set_params(max_tokens=47)(PROMPTS[:1])


def test_another_model_in_the_folder_has_other_answers(folder, tmp_path):
    cache = tmp_path / "answers.sqlite"
    make(folder, max_tokens=1, cache=cache)(["x"])
    (folder / "note.txt").write_text("changed")
    generator = make(folder, max_tokens=1, cache=cache)
    generator(["x"])
    assert generator.usage_.n_calls == 1


def test_a_prompt_beyond_the_window_does_not_lose_the_others(folder):
    with pytest.raises(GenerationError, match=r"prompt 0: the prompt has \d+ tokens") as caught:
        make(folder, temperature=0)(["x " * 500, PROMPTS[0]])
    assert caught.value.answers == [None, ANSWER]


def test_a_template_that_refuses_is_told(tmp_path):
    refusing = "{{ raise_exception('no system role') }}"
    save_tiny_llama(tmp_path, chat_template=refusing, n_steps=1)
    with pytest.raises(GenerationError, match="no system role"):
        make(tmp_path)(["x"])


def test_an_answer_that_is_cut_off_says_so(folder):
    with pytest.raises(GenerationError, match=r"breaks off .*'length'; raise `max_tokens`"):
        make(folder, temperature=0, max_tokens=4, max_json_retries=0)(PROMPTS[:1], schema=OBJECT)


def test_copies_carry_no_model(folder):
    generator = make(folder, temperature=0)
    generator(PROMPTS[:1])
    for other in (
        clone(generator),
        copy.deepcopy(generator),
        pickle.loads(pickle.dumps(generator)),
    ):
        assert not hasattr(other, "_loaded")
    assert other(PROMPTS[:1]) == [ANSWER]
    assert len(pickle.dumps(generator)) < 2000


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": None}, TypeError, "`model` must be"),
        ({"temperature": -1}, ValueError, "temperature"),
        ({"max_tokens": 0}, ValueError, "max_tokens"),
        ({"max_json_retries": -1}, ValueError, "max_json_retries"),
        ({"max_calls": -1}, ValueError, "max_calls"),
        ({"device": "quantum"}, ValueError, "`device` == 'quantum' is not available"),
    ],
)
def test_parameters_are_checked(folder, params, error, message):
    with pytest.raises(error, match=message):
        make(folder).set_params(**params)(["x"])


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(OSError, match="could not be loaded as a causal language model"):
        make(tmp_path)(["x"])


# -------------------------------------------------------------------------- transformers serve


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_up(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.loads(response.read()) == {"status": "ok"}
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(folder):
    """Address of ``transformers serve`` with the tiny model."""
    pytest.importorskip("transformers.cli.serving", reason="transformers is too old to serve")
    needs = ["fastapi", "uvicorn", "openai", "pydantic", "accelerate"]
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers serve needs {', '.join(missing)}")
    port = free_port()
    code = "from transformers.cli.transformers import main; main()"
    arguments = [
        "serve",
        str(folder),
        "--device",
        "cpu",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder.parent / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment,
                                  stdout=output, stderr=subprocess.STDOUT)  # fmt: skip
        try:
            for _ in range(600):
                if is_up(f"http://127.0.0.1:{port}/health"):
                    break
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
            else:
                pytest.fail(f"transformers serve did not start: {log.read_text()}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.slow
def test_transformers_serve_answers(served, folder, tmp_path):
    generator = OpenAIGenerator(
        served, str(folder), temperature=0, max_tokens=48, cache=tmp_path / "answers.sqlite"
    )
    assert generator(PROMPTS, schema=OBJECT) == [ANSWER] * len(PROMPTS)
    usage = generator.usage_
    assert usage.n_calls == len(PROMPTS)
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert generator(PROMPTS, schema=OBJECT) == [ANSWER] * len(PROMPTS)
    assert generator.usage_.n_calls == len(PROMPTS)


@pytest.mark.slow
def test_transformers_serve_and_this_process_agree(served, folder):
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": PROMPTS[0]}]
    behind = OpenAIGenerator(served, str(folder), temperature=0, max_tokens=16)
    here = make(folder, temperature=0, max_tokens=16)
    assert behind([chat]) == here([chat])


@pytest.mark.slow
def test_transformers_serve_tells_what_is_wrong(served):
    generator = OpenAIGenerator(served, "another-model", max_retries=0)
    with pytest.raises(GenerationError, match="400: Server is pinned to"):
        generator(["x"])
