"""Checkpoints, and runs that stop and are taken up again; the loop itself is in test_training."""

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from skrr2qc import _checkpoint, _training
from skrr2qc._checkpoint import Checkpoint
from skrr2qc._training import TextNet, seeded
from skrr2qc.losses import masked_language_model_loss
from skrr2qc.modules import CompactBackbone, MaskedLanguageModel
from skrr2qc.text import TokenBatches, mask_tokens, train_tokenizer

ROOT = Path(__file__).resolve().parents[1]
N_BATCHES, N_EPOCHS, EVERY = 4, 3, 3  # updates 3, 6, 9, 12, and the ends of epochs: 4, 8, 12


@pytest.fixture(autouse=True)
def fsync(monkeypatch):
    """Waiting for the disk is nine tenths of a save here, and no test cuts the power."""

    def fsync(descriptor):
        pass

    monkeypatch.setattr(os, "fsync", fsync)


# ------------------------------------------------------------------------------ a small long run


class Net(torch.nn.Module):
    """Everything that is hard to take up again: dropout, a queue, tied weights, unused weights."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 6)
        self.outer = torch.nn.Linear(6, 2)
        self.tied = self.outer
        self.unused = torch.nn.Parameter(torch.rand(2))
        self.register_buffer("queue", torch.zeros(5, 6))
        self.register_buffer("position", torch.tensor(0))

    def forward(self, x):
        hidden = torch.nn.functional.dropout(self.inner(x), 0.5, self.training)
        return self.outer(hidden), hidden

    def push(self, hidden):
        self.queue[int(self.position) % 5] = hidden.detach().mean(dim=0)
        self.position += 1

    def terms(self, outputs, targets):
        logits, hidden = (output.float() for output in outputs)
        return {
            "squared": (logits - targets).square().mean(),
            "queue": 0.1 * (hidden @ self.queue.T).square().mean(),
        }


class Shuffled:
    """Batches in a new order each epoch, with noise, as masking draws it."""

    def __init__(self, rng, n_texts=2 * N_BATCHES):
        self.rng = rng
        self.order = np.arange(n_texts)
        self.X = torch.linspace(-1, 1, 3 * n_texts).reshape(n_texts, 3).sin()

    def __len__(self):
        return len(self.order) // 2

    def __iter__(self):
        order = self.rng.permutation(self.order)
        for rows in order.reshape(-1, 2):
            noise = torch.from_numpy(self.rng.normal(size=(2, 3)).astype(np.float32))
            yield {"x": self.X[rows] + 0.1 * noise}, self.X[rows][:, :2]


def train(checkpoint=None, *, after_step=None, seed=0, bit_generator=np.random.PCG64, **params):
    """(net, the random numbers that come next)."""
    fit = {k: params.pop(k) for k in ("held_out", "patience", "tol") if k in params}
    with seeded(seed):
        module = Net()

        def after(outputs, targets):
            module.push(outputs[1])
            if after_step is not None:
                after_step(net.steps_.step)

        batches = Shuffled(np.random.Generator(bit_generator(seed)))
        settings = {"n_epochs": N_EPOCHS, "lr": 0.05} | params
        net = TextNet(module, module.terms, after_step=after, **settings)
        net.fit_batches(batches, checkpoint=checkpoint, **fit)
        return net, [*torch.rand(2).tolist(), *batches.rng.random(2)]


def open_checkpoint(folder, every=EVERY, **fingerprint):
    return Checkpoint(folder, {"lr": 0.05, "data": "abc"} | fingerprint, every=every)


def table(net):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in net.epoch_table()]


def assert_same(result, expected):
    (net, draws), (other, other_draws) = result, expected
    states = net.module_.state_dict(), other.module_.state_dict()
    assert states[0].keys() == states[1].keys()
    different = [name for name in states[0] if not torch.equal(states[0][name], states[1][name])]
    assert not different
    assert table(net) == table(other)
    assert draws == other_draws
    assert all(row["seconds"] >= 0 for row in net.epoch_table())


class Stopped(Exception):
    """What ends a run in these tests, at any place."""


def stop_at(step):
    def after_step(now):
        if now == step:
            raise Stopped

    return after_step


HELD_OUT = [({"x": torch.eye(3)}, torch.ones(3, 2)), ({"x": torch.ones(1, 3)}, torch.ones(1, 2))]
KINDS = {  # what a run may have
    "plain": {},
    "cut short": {"max_steps": 10},
    "held out": {"held_out": HELD_OUT},
    "early": {"held_out": HELD_OUT, "patience": 1, "tol": 10.0},  # ends after the second epoch
    "best weights": {"held_out": HELD_OUT, "patience": 5, "lr": 2.0},  # diverges: the first is best
    "averages": {"ema_decay": 0.7},
    "best averages": {"held_out": HELD_OUT, "patience": 5, "lr": 2.0, "ema_decay": 0.5},
}


@pytest.fixture(scope="module")
def whole():
    """Runs that nothing interrupts and nothing saves."""
    return {kind: train(**params) for kind, params in KINDS.items()}


def test_the_runs_are_what_they_are_meant_to_be(whole):
    plain = whole["plain"][0]
    assert [len(table(whole[kind][0])) for kind in KINDS] == [3, 3, 3, 2, 3, 3, 3]
    assert [whole[kind][0].steps_.step for kind in KINDS] == [12, 10, 12, 8, 12, 12, 12]
    assert not torch.equal(whole["averages"][0].module_.inner.weight, plain.module_.inner.weight)
    losses = [row["held_out_loss"] for row in table(whole["best weights"][0])]
    assert min(losses) < losses[-1]
    assert int(whole["best weights"][0].module_.position) < 12


@pytest.mark.parametrize("kind", KINDS)
def test_saving_changes_nothing(kind, whole, tmp_path):
    assert_same(train(open_checkpoint(tmp_path), **KINDS[kind]), whole[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_every_step(kind, whole, tmp_path):
    for step in range(1, whole[kind][0].steps_.step + 1):
        folder = tmp_path / str(step)
        with pytest.raises(Stopped):
            train(open_checkpoint(folder), after_step=stop_at(step), **KINDS[kind])
        checkpoint = open_checkpoint(folder)
        checkpoint.load()
        ends = range(N_BATCHES, 99, N_BATCHES)
        assert checkpoint.last == max(s for s in range(step) if s % EVERY == 0 or s in ends)
        # Other weights and random numbers to begin with: all of them come from the checkpoint.
        resumed = train(open_checkpoint(folder), seed=step, **KINDS[kind])
        assert_same(resumed, whole[kind])


def test_stopped_again_and_again(whole, tmp_path):
    for step in range(1, 13):
        with pytest.raises(Stopped):
            train(open_checkpoint(tmp_path, every=1), after_step=stop_at(step), seed=step - 1)
    assert_same(train(open_checkpoint(tmp_path, every=1), seed=99), whole["plain"])


def test_stopped_while_it_saves(whole, tmp_path, monkeypatch):
    """Stopped at each place of each save; nothing cleans up, as after SIGKILL."""
    kind, n_saves = "early", 5  # the start, the fifth update, two epochs, the end
    places, stop = [], None

    def stopping(function):
        def call(*args, **kwargs):
            places.append(function.__name__)
            if len(places) == stop:
                raise Stopped
            return function(*args, **kwargs)

        return call

    for owner, name in ((os, "replace"), (os, "fsync"), (_checkpoint, "save_file")):
        monkeypatch.setattr(owner, name, stopping(getattr(owner, name)))
    train(open_checkpoint(tmp_path / "all", every=5), **KINDS[kind])
    one_save = ["save_file", *2 * ["fsync", "replace", "fsync"]]
    assert places == n_saves * one_save
    for place in range(1, len(places) + 1):
        folder = tmp_path / str(place)
        places.clear()
        stop = place
        with pytest.raises(Stopped):
            train(open_checkpoint(folder, every=5), **KINDS[kind])
        seed = place if (folder / "checkpoint.json").exists() else 0
        resumed = train(open_checkpoint(folder, every=5), seed=seed, **KINDS[kind])
        assert_same(resumed, whole[kind])
        committed = json.loads((folder / "checkpoint.json").read_text())["tensors"]["file"]
        assert (folder / committed).exists()


def test_another_kind_of_generator(tmp_path):
    """MT19937 keeps its state in an array, which is no JSON."""
    params = {"bit_generator": np.random.MT19937}
    with pytest.raises(Stopped):
        train(open_checkpoint(tmp_path), after_step=stop_at(8), **params)
    assert_same(train(open_checkpoint(tmp_path), seed=5, **params), train(**params))


def test_masked_language_model(tmp_path):
    """The batches and the module of pre-training, rather than stand-ins."""
    texts = [f"{'word ' * (i % 5)} one two three four {i}" for i in range(20)]
    tokenizer = train_tokenizer(texts)
    ids, _ = tokenizer.encode(texts)

    def loss_terms(outputs, targets):
        logits, chosen, _ = outputs
        return {"loss": masked_language_model_loss(logits.float(), chosen)}

    def pretrain(checkpoint=None, stop=None, seed=0):
        with seeded(seed) as rng:
            mask = partial(mask_tokens, tokenizer=tokenizer, rate=0.3, rng=rng)
            batches = TokenBatches(ids, batch_size=4, rng=rng, mask=mask)
            module = MaskedLanguageModel(CompactBackbone(tokenizer.vocab_size, 16))
            net = TextNet(module, loss_terms, n_epochs=2, lr=0.01)
            net.after_step = lambda *_: stop and stop_at(stop)(net.steps_.step)
            return net.fit_batches(batches, checkpoint=checkpoint), []

    with pytest.raises(Stopped):
        pretrain(open_checkpoint(tmp_path), stop=9)
    assert_same(pretrain(open_checkpoint(tmp_path), seed=1), pretrain())


def test_finished_run_returns_at_once(whole, tmp_path):
    for kind, params in KINDS.items():
        train(open_checkpoint(tmp_path / kind), **params)
        steps = []
        checkpoint = open_checkpoint(tmp_path / kind)
        before = sorted((tmp_path / kind).iterdir())
        result = train(checkpoint, seed=7, after_step=steps.append, **params)
        assert not steps
        assert_same(result, whole[kind])
        assert [row["seconds"] for row in result[0].epoch_table()]
        assert not result[0].module_.training
        assert sorted((tmp_path / kind).iterdir()) == before
        names = checkpoint.load()[0]
        assert not [name for name in names if name.startswith(("optimizer", "best", "average"))]


def test_seconds_of_a_resumed_epoch_are_added(tmp_path):
    with pytest.raises(Stopped):
        train(open_checkpoint(tmp_path), after_step=stop_at(7))  # saved in the second epoch
    path = tmp_path / "checkpoint.json"
    commit = json.loads(path.read_text())
    assert commit["state"]["seconds"] >= 0
    commit["state"]["seconds"] = 1000.0
    commit["checksum"] = _checkpoint._checksum(commit)
    path.write_text(json.dumps(commit))
    with pytest.raises(Stopped):  # and once more in the same epoch
        train(open_checkpoint(tmp_path, every=1), after_step=stop_at(8))
    seconds = [row["seconds"] for row in train(open_checkpoint(tmp_path))[0].epoch_table()]
    assert [s >= 1000 for s in seconds] == [False, True, False]


# --------------------------------------------------------------------------------- interrupts


@pytest.fixture
def interrupt():
    """Function that sends this process what Ctrl-C does; jobs in the background ignore it."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, handler)


def interrupting(function, number, interrupt):
    """A function that is interrupted at the start of one of its calls."""
    calls = []

    def call(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            interrupt()
        return function(*args, **kwargs)

    return call


PLACES = {  # where the eighth update, or what follows it, is interrupted; step that is kept
    "drawn": (Shuffled, "__iter__", 2, 4),
    "forward": (Net, "forward", 10, 7),  # two calls are those of the held-out texts
    "loss": (Net, "terms", 10, 7),
    "gradient": (torch.Tensor, "backward", 8, 7),
    "optimizer": (torch.optim.AdamW, "_init_group", 8, 6),  # after the gradient: not whole
    "after the update": (Net, "push", 8, 6),
    "held-out texts": (TextNet, "evaluate", 2, 8),
    "save": (Checkpoint, "_write_tensors", 5, 8),  # of the end of the epoch
    "commit": (Checkpoint, "_move", 10, 8),
}


@pytest.mark.parametrize("kind", ["held out", "best averages"])
@pytest.mark.parametrize("place", PLACES)
def test_interrupt(kind, place, whole, tmp_path, interrupt, monkeypatch):
    """What is whole is kept, even the half of a step before the weights change."""
    owner, name, number, kept = PLACES[place]
    checkpoint = open_checkpoint(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupting(getattr(owner, name), number, interrupt))
        with pytest.raises(KeyboardInterrupt) as raised:
            train(checkpoint, **KINDS[kind])
    assert checkpoint.last == kept
    assert open_checkpoint(tmp_path).load()[1]["step"] == kept
    assert not list(tmp_path.glob("*.tmp"))
    (note,) = raised.value.__notes__
    assert re.fullmatch(r"fit: interrupted in epoch \d of 3, step \d of 12\.", note)
    assert_same(train(open_checkpoint(tmp_path), seed=3, **KINDS[kind]), whole[kind])


def test_interrupted_within_each_epoch_again_and_again(whole, tmp_path, interrupt, monkeypatch):
    """No update is done twice: each run of four ends after three, in a forward pass."""
    kind = KINDS["averages"]
    for step in (3, 6, 9):
        with monkeypatch.context() as patch:
            patch.setattr(Net, "forward", interrupting(Net.forward, 4, interrupt))
            with pytest.raises(KeyboardInterrupt):
                train(open_checkpoint(tmp_path, every=100), seed=step - 3, **kind)
        assert open_checkpoint(tmp_path).load()[1]["step"] == step
    assert_same(train(open_checkpoint(tmp_path), seed=9, **kind), whole["averages"])


def test_interrupt_once_held_out_texts_are_judged(whole, tmp_path, interrupt, monkeypatch):
    """They are judged again, and must not count as another epoch without a fall."""
    compare = _training._HeldOut._compare

    def interrupted(self, *args):
        compare(self, *args)
        interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(_training._HeldOut, "_compare", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(open_checkpoint(tmp_path), **KINDS["early"])
    assert_same(train(open_checkpoint(tmp_path), seed=1, **KINDS["early"]), whole["early"])


def test_interrupt_while_averages_are_swapped_saves_no_mixture(tmp_path, interrupt, monkeypatch):
    """The swap back is interrupted: a state with some averages in place of weights."""
    swap = _training._Average.swap
    monkeypatch.setattr(_training._Average, "swap", interrupting(swap, 2, interrupt))
    checkpoint = open_checkpoint(tmp_path, every=100)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, **KINDS["best averages"])
    assert checkpoint.last == 0


def test_interrupt_without_a_checkpoint(interrupt, monkeypatch):
    monkeypatch.setattr(Net, "forward", interrupting(Net.forward, 6, interrupt))
    with pytest.raises(KeyboardInterrupt) as raised:
        train()
    assert raised.value.__notes__ == ["fit: interrupted in epoch 2 of 3, step 6 of 12."]


def test_state_that_cannot_be_saved_is_told(tmp_path, interrupt, monkeypatch):
    def full(tensors, path):
        raise SafetensorError("No space left on device")

    def interrupt_on_full_disk():
        monkeypatch.setattr(_checkpoint, "save_file", full)
        interrupt()

    monkeypatch.setattr(Net, "forward", interrupting(Net.forward, 3, interrupt_on_full_disk))
    with pytest.raises(KeyboardInterrupt) as raised:
        train(open_checkpoint(tmp_path))
    _, note = raised.value.__notes__
    assert "of step 2 could not be written" in note
    assert "No space left on device. That of step 0 is still whole." in note


# ---------------------------------------------------------------------------------- the next run


def test_progress_begins_where_the_run_resumes(tmp_path, capsys):
    with pytest.raises(Stopped):
        train(open_checkpoint(tmp_path), after_step=stop_at(8))
    capsys.readouterr()
    train(open_checkpoint(tmp_path), verbose=1)
    bars = capsys.readouterr().err.split("\r")
    first = next(bar for bar in bars if "fit:" in bar)
    assert "12/24" in first  # after six of twelve updates, two texts each
    assert "24/24" in bars[-1]


def test_checkpoint_of_another_number_of_updates(tmp_path):
    """What a fingerprint that forgets something would let through."""
    with pytest.raises(Stopped):
        train(open_checkpoint(tmp_path), after_step=stop_at(8))
    with pytest.raises(ValueError, match="a run of 12 updates, this one has 16"):
        train(open_checkpoint(tmp_path), n_epochs=4)


# --------------------------------------------------------------------------- a killed process


def child(folder):
    """Train up to the save of step 8; between its tensors and its commit, wait to be killed."""
    replace, targets = os.replace, []

    def replace_or_wait(source, target):
        targets.append(target)
        if len(targets) == 10:  # tensors and commit of the steps 0, 3, 4, 6 and 8
            print("ready", flush=True)
            sys.stdin.read()
        replace(source, target)

    os.replace = replace_or_wait
    train(open_checkpoint(folder))


def test_sigkill(whole, tmp_path):
    code = f"from tests.test_checkpoint import child; child({str(tmp_path)!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        line = process.stdout.readline()
        process.kill()  # SIGKILL
    assert line == "ready\n"
    assert process.returncode != 0
    assert len(list(tmp_path.glob("*.tmp"))) == 1
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    checkpoint = open_checkpoint(tmp_path)
    checkpoint.load()
    assert checkpoint.last == 6  # within the second epoch
    assert_same(train(open_checkpoint(tmp_path), seed=4), whole["plain"])


# ------------------------------------------------------------------------------ loss not finite


def test_error_names_the_last_good_checkpoint(tmp_path):
    folder = re.escape(str(tmp_path))
    message = (
        r"The loss is no longer finite in epoch 2, step 6: \{'squared': nan, 'queue': .*\}\. Lower "
        rf"`lr` \(now 0\.05\)\. The last good checkpoint, of step 4, is in {folder}; another `lr`"
    )
    with seeded(0):
        module = Net()
        net = TextNet(module, module.terms, n_epochs=3, lr=0.05)
        batches = Shuffled(np.random.default_rng(0))

        def after_step(outputs, targets):
            if net.steps_.step == 5:
                module.outer.bias.data[0] = torch.nan

        net.after_step = after_step
        with pytest.raises(FloatingPointError, match=message):
            net.fit_batches(batches, checkpoint=open_checkpoint(tmp_path))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """A finite loss can have a gradient that is not: the update spoils the weights, unnoticed."""
    module = Linear()
    batches = [({"x": torch.tensor([x])}, torch.zeros(1)) for x in (1.0, 1.0, 0.0, 1.0)]

    def loss_terms(outputs, targets):
        return {"root": outputs[0].sqrt().sum()}

    net = TextNet(module, loss_terms, n_epochs=1, lr=0.1, weight_decay=0.0)
    message = r"weights are no longer finite in epoch 1, step 3\. Lower .* checkpoint, of step 2,"
    with pytest.raises(FloatingPointError, match=message):
        net.fit_batches(batches, checkpoint=open_checkpoint(tmp_path, every=1))
    tensors, state = open_checkpoint(tmp_path).load()
    assert state["step"] == 2
    assert tensors["module.weight"].isfinite()


class Linear(torch.nn.Module):
    """The root of 0 has no finite slope."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return (self.weight * x,)


# ------------------------------------------------------------------------------ the files


def saved(folder, step=5, **fingerprint):
    checkpoint = open_checkpoint(folder, **fingerprint)
    checkpoint.save({"a": torch.arange(3.0)}, {"step": step, "rows": [{"loss": 0.1}]})
    return checkpoint


def test_round_trip(tmp_path):
    tensors = {
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
        "scalar": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "bytes": torch.get_rng_state(),
    }
    tensors["same"] = tensors["turned"]
    state = {"step": 3, "loss": 0.1 + 0.2, "rng": np.random.default_rng(0).bit_generator.state}
    open_checkpoint(tmp_path).save(tensors, state)
    loaded, loaded_state = open_checkpoint(tmp_path).load()
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype
    assert loaded_state == state


def test_no_checkpoint_yet(tmp_path):
    checkpoint = open_checkpoint(tmp_path / "new" / "folder")
    assert checkpoint.load() is None
    assert checkpoint.last is None
    checkpoint.save({}, {"step": 2})
    assert checkpoint.last == 2


def test_only_the_last_is_kept(tmp_path):
    checkpoint = saved(tmp_path)
    for step in range(6, 9):
        checkpoint.save({"a": torch.full((2,), float(step))}, {"step": step})
    assert len(list(tmp_path.iterdir())) == 2
    tensors, state = open_checkpoint(tmp_path).load()
    assert tensors["a"].tolist() == [8.0, 8.0]
    assert state == {"step": 8}


def test_extras_are_part_of_every_save(tmp_path):
    checkpoint = open_checkpoint(tmp_path)
    checkpoint.extra_tensors["label_vectors"] = torch.eye(2)
    checkpoint.extra_state["seed"] = 2**80
    checkpoint.save({}, {})  # before there is anything else to save
    with pytest.raises(Stopped):
        train(checkpoint, after_step=stop_at(8))
    other = open_checkpoint(tmp_path)
    tensors, _ = other.load()
    assert other.last == 6
    assert torch.equal(other.extra_tensors["label_vectors"], torch.eye(2))
    assert other.extra_state == {"seed": 2**80}
    assert not [name for name in tensors if "label_vectors" in name]
    train(other)
    third = open_checkpoint(tmp_path)
    third.load()
    assert torch.equal(third.extra_tensors["label_vectors"], torch.eye(2))


def test_another_fingerprint_is_refused(tmp_path):
    saved(tmp_path, names=["a", "b"], only_then=1)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    now = Checkpoint(tmp_path, {"lr": 0.1, "data": "abc", "names": ("a",), "only_now": None}, 1)
    with pytest.raises(ValueError, match="belongs to other data or parameters") as error:
        now.load()
    message = str(error.value)
    assert str(tmp_path) in message
    for part in (
        "`lr`: checkpoint 0.05, now 0.1",
        '`names`: checkpoint ["a", "b"], now ["a"]',
        "`only_then`: checkpoint 1, now not set",
        "`only_now`: checkpoint not set, now null",
        "delete the folder",
        "another `checkpoint_dir`",
    ):
        assert part in message
    assert "`data`" not in message
    with pytest.raises(RuntimeError, match="was written or removed by someone else"):
        now.save({}, {"step": 1})
    with pytest.raises(ValueError, match="belongs to other data"):
        train(now)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_equal_fingerprints_of_other_types(tmp_path):
    saved(tmp_path, names=("a", "b"), n=np.int64(3), rate=np.float64(0.1), inner={"b": 1, "a": 2})
    same = {"names": ["a", "b"], "n": 3, "rate": 0.1, "inner": {"a": 2, "b": 1}}
    assert open_checkpoint(tmp_path, **same).load() is not None


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"has \d+ bytes instead of \d+"),
        (lambda path: path.write_bytes(b""), "has 0 bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "does not hold what was"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_damaged_tensors(spoil, message, tmp_path):
    saved(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    spoil(path)
    with pytest.raises(ValueError, match=f"damaged: .*{path.name} {message}.*delete the folder"):
        open_checkpoint(tmp_path).load()
    assert (tmp_path / "checkpoint.json").exists()


@pytest.mark.parametrize("text", ["", "{", '{"format": "skrr2qc ch', "\udcff"])
def test_damaged_commit(text, tmp_path):
    saved(tmp_path)
    path = tmp_path / "checkpoint.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=r"damaged: .*checkpoint.json cannot be read.*delete the"):
        open_checkpoint(tmp_path).load()
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("content", [[], {}, {"format": "other"}, {"format": _checkpoint._FORMAT}])
def test_somebody_elses_commit(content, tmp_path):
    path = tmp_path / "checkpoint.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"checkpoint.json is no checkpoint of this version"):
        open_checkpoint(tmp_path).load()
    assert json.loads(path.read_text()) == content


def test_half_written_files_are_cleaned_up(tmp_path):
    saved(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    strays = [f".checkpoint-{'0' * 32}.tmp", f"checkpoint-00000006-{'0' * 16}.safetensors"]
    for name in strays:
        (tmp_path / name).write_bytes(b"half, or never committed")
    assert open_checkpoint(tmp_path).load()[1]["step"] == 5
    assert {path.name for path in tmp_path.iterdir()} == before | set(
        strays
    )  # may be in the making
    for name in strays:
        os.utime(tmp_path / name, (0, 0))
    assert open_checkpoint(tmp_path).load()[1]["step"] == 5
    assert {path.name for path in tmp_path.iterdir()} == before


def test_half_written_first_checkpoint(tmp_path):
    for name in (f".checkpoint-{'0' * 32}.tmp", f"checkpoint-00000000-{'0' * 16}.safetensors"):
        (tmp_path / name).write_bytes(b"half, or never committed")
        os.utime(tmp_path / name, (0, 0))
    assert open_checkpoint(tmp_path).load() is None
    assert not list(tmp_path.iterdir())


def test_opening_a_folder_twice_loses_nothing(tmp_path, monkeypatch):
    """A second run that loads between tensors and commit of the first removed the tensors."""
    first, replace = saved(tmp_path), os.replace

    def interfere(source, target):
        if str(target).endswith(".json"):
            open_checkpoint(tmp_path).load()
        replace(source, target)

    monkeypatch.setattr(os, "replace", interfere)
    first.save({"weight": torch.zeros(3)}, {"step": 10})
    assert open_checkpoint(tmp_path).load()[1]["step"] == 10


def test_other_files_in_the_folder_stay(tmp_path):
    names = ["notes.txt", "model.safetensors", "checkpoint-1.safetensors", ".checkpoint.tmp"]
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "checkpoints").mkdir()
    saved(tmp_path).save({}, {"step": 9})
    open_checkpoint(tmp_path).load()
    assert [(tmp_path / name).read_text() for name in names] == names
    assert (tmp_path / "checkpoints").is_dir()


def test_two_runs_in_one_folder(tmp_path):
    """Started together, neither sees a checkpoint of the other to refuse."""
    first, second = open_checkpoint(tmp_path, seed=1), open_checkpoint(tmp_path, seed=2)
    assert first.load() is second.load() is None
    first.save({}, {"step": 1})
    with pytest.raises(RuntimeError, match="Give each run a `checkpoint_dir` of its own"):
        second.save({}, {"step": 1})
    first.save({}, {"step": 2})
    assert open_checkpoint(tmp_path, seed=1).load()[1] == {"step": 2}


def test_disk_that_is_full(tmp_path, monkeypatch):
    checkpoint = saved(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        message = "of step 6 could not be written .*No space left.*of step 5 is still whole"
        with pytest.raises(OSError, match=message):
            checkpoint.save({}, {"step": 6})
        with pytest.raises(OSError, match="could not be written"):
            open_checkpoint(tmp_path / "new").save({}, {"step": 6})
    assert not list((tmp_path / "new").iterdir())
    assert open_checkpoint(tmp_path).load()[1]["step"] == 5
    checkpoint.save({}, {"step": 6})  # once there is room


@pytest.mark.parametrize("inner", ["", "folder"])
def test_folder_that_is_a_file(inner, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"`checkpoint_dir` .*(is a file|cannot be written to)"):
        open_checkpoint(tmp_path / "file" / inner)


def test_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ValueError, match=r"cannot be written to .*Permission denied.*or None"):
        open_checkpoint(tmp_path)
