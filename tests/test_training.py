"""The training loop, the random state and the device: promises that every estimator rests on."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.utils import check_random_state

from skrr2qc import ClassCenterHead
from skrr2qc._training import TextNet, forward_batches, resolve_device, seeded, uses_bfloat16


class Linear(torch.nn.Module):
    """y = w x with one weight, as a module that takes keywords and returns a tuple."""

    def __init__(self, start=0.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(start))
        self.offset = torch.nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return (self.weight * x + self.offset,)


class Batches(list):
    """Batches of a list, two texts each, four steps an epoch."""

    def __init__(self, targets=(3.0, 3.0, 3.0, 3.0)):
        super().__init__(({"x": torch.ones(2)}, torch.full((2,), target)) for target in targets)
        self.order = np.arange(2 * len(self))


def squared(outputs, targets):
    return {"squared": (outputs[0] - targets).square().mean()}


def make_net(module=None, loss_terms=squared, **params):
    return TextNet(module or Linear(), loss_terms, **{"n_epochs": 3, "lr": 0.1} | params)


def test_learns():
    net = make_net(n_epochs=50, lr=0.3).fit_batches(Batches())
    losses = [row["squared"] for row in net.epoch_table()]
    assert len(losses) == 50
    assert losses[-1] < 0.01 * losses[0]
    assert not net.module_.training


def test_trains_the_module_that_it_was_given():
    module = Linear()
    assert make_net(module).fit_batches(Batches()).module_ is module


def test_first_step_is_that_of_adamw():
    module = Linear(start=1.0)
    lr, n_warmup = 0.1, 2  # of 12 steps
    net = make_net(module, lr=lr, weight_decay=0.5)
    steps = []
    net.after_step = lambda outputs, targets: steps.append(module.weight.item())
    net.fit_batches(Batches())
    first_lr = lr / n_warmup
    # Adam's first step is the learning rate along the sign, after decay by lr * weight_decay.
    assert_allclose(steps[0], 1.0 - first_lr * 0.5 * 1.0 + first_lr, rtol=1e-5)


def test_schedule_warms_up_and_decays():
    net = make_net(n_epochs=5, lr=0.2, warmup=0.25)
    rates = []
    net.after_step = lambda *_: rates.append(net.optimizer_.param_groups[0]["lr"])
    net.fit_batches(Batches())
    n_steps, n_warmup = 20, 5
    up = [0.2 * (step + 1) / n_warmup for step in range(n_warmup)]
    down = [0.2 * (n_steps - step) / (n_steps - n_warmup) for step in range(n_warmup, n_steps)]
    assert_allclose(rates, up + down, rtol=1e-9)
    assert rates[-1] > 0  # no step is wasted


def rates_of(net, batches=None):
    rates = []
    net.after_step = lambda *_: rates.append(net.optimizer_.param_groups[0]["lr"])
    net.fit_batches(Batches() if batches is None else batches)
    return rates


@pytest.mark.parametrize("schedule", ["linear", "onecycle"])
@pytest.mark.parametrize("n_steps", [1, 2])
def test_schedule_of_very_few_steps(n_steps, schedule):
    net = make_net(n_epochs=1, lr=0.2, schedule=schedule)
    rates = rates_of(net, Batches([3.0] * n_steps))
    assert rates[0] == pytest.approx(0.2)
    assert len(rates) == n_steps


def test_one_cycle_follows_cosines():
    rates = rates_of(make_net(n_epochs=5, lr=0.2, schedule="onecycle"))
    n_steps, n_up = 20, 6
    up = 0.04 + 0.96 * (1 - np.cos(np.pi * np.arange(1, n_up + 1) / n_up)) / 2
    left = n_steps - n_up
    down = (1 + np.cos(np.pi * np.arange(1, left + 1) / (left + 1))) / 2
    assert_allclose(rates, 0.2 * np.concatenate([up, down]), rtol=1e-9)
    assert np.argmax(rates) == n_up - 1
    assert 0 < rates[-1] < 0.2 * 0.02


# ---------------------------------------------------------------------------- weight averages


def test_average_of_the_weights_is_left_at_the_end():
    module, weights = Linear(start=1.0), []
    net = make_net(module, ema_decay=0.6)
    net.after_step = lambda *_: weights.append(module.weight.item())
    net.fit_batches(Batches())
    mean = 1.0
    for n, weight in enumerate(weights, start=1):
        kept = min(0.6, (1 + n) / (10 + n))
        mean = kept * mean + (1 - kept) * weight
    assert_allclose(module.weight.item(), mean, rtol=1e-5)
    assert module.weight.item() != weights[-1]


def test_averaging_does_not_disturb_training():
    def weights(**params):
        module, seen = Linear(), []
        net = make_net(module, after_step=lambda *_: seen.append(module.weight.item()), **params)
        net.fit_batches(Batches(), held_out=Batches([3.0]))
        return seen

    assert weights(ema_decay=0.9) == weights()


@pytest.mark.parametrize("patience", [None, 2])
def test_averages_are_what_is_watched_and_kept(patience):
    """The rate is too large: single weights jump about the solution, their average does not."""
    module, held_out = Linear(), Batches([1.0])
    net = make_net(module, ema_decay=0.5, n_epochs=8, lr=1.0)
    net.fit_batches(Batches([1.0]), held_out=held_out, patience=patience)
    losses = [row["held_out_loss"] for row in net.epoch_table()]
    kept = net.evaluate(held_out)["squared"]
    assert_allclose(kept, losses[-1] if patience is None else min(losses), rtol=1e-6)


def test_averages_leave_frozen_parameters_alone():
    module = Linear(start=1.0)
    module.offset.requires_grad_(False)
    make_net(module, ema_decay=0.9).fit_batches(Batches())
    assert module.offset.item() == 0.0
    assert 1.0 < module.weight.item() < 3.0


def test_terms_are_recorded_and_summed():
    seen = []

    def loss_terms(outputs, targets):
        terms = {"first": (outputs[0] - targets).square().mean(), "second": outputs[0].mean() + 7}
        seen.append({name: term.item() for name, term in terms.items()})
        return terms

    net = make_net(loss_terms=loss_terms, n_epochs=2).fit_batches(Batches([1.0, 2.0, 3.0, 4.0]))
    for epoch, row in enumerate(net.epoch_table()):
        batches = seen[4 * epoch : 4 * epoch + 4]
        for name in ("first", "second"):
            assert_allclose(row[name], np.mean([batch[name] for batch in batches]))
        assert_allclose(row["loss"], row["first"] + row["second"], rtol=1e-6)
        assert row["epoch"] == epoch + 1
        assert row["seconds"] >= 0


def test_estimators_keep_the_terms():
    X, Y = np.random.default_rng(0).normal(size=(40, 3)), np.eye(4)[np.arange(40) % 4]
    history = ClassCenterHead(n_epochs=3, random_state=0).fit(X, Y).history_
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert {"cross_entropy", "class_center", "seconds"} <= set(history[0])
    without = ClassCenterHead(n_epochs=1, class_center_weight=0, random_state=0).fit(X, Y)
    assert "class_center" not in without.history_[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops(value):
    net = make_net(lr=0.25)
    message = (
        r"no longer finite in epoch 1, step 3: \{'squared': (nan|inf)\}. Lower `lr` \(now 0.25\)"
    )
    with pytest.raises(FloatingPointError, match=message):
        net.fit_batches(Batches([3.0, 3.0, value, 3.0]))
    assert np.isfinite(net.module_.weight.item())  # stopped before the weights were spoilt


def test_step_that_fails_is_counted_over_all_epochs():
    steps = []

    def loss_terms(outputs, targets):
        steps.append(1)
        return {"a": outputs[0].mean(), "b": outputs[0].mean() / (len(steps) != 7)}

    message = r"epoch 2, step 7: \{'a': -?0\.\d+, 'b': -?inf\}. Lower `lr` \(now 0.1\)\.$"
    with pytest.raises(FloatingPointError, match=message):
        make_net(loss_terms=loss_terms).fit_batches(Batches())


def test_gradients_are_clipped():
    steps = []
    module = Linear()

    def keep(outputs, targets):
        steps.append(torch.stack([p.grad for p in module.parameters()]).norm().item())

    make_net(module, max_grad_norm=0.5, n_epochs=1, after_step=keep).fit_batches(Batches())
    assert_allclose(steps, 0.5, rtol=1e-4)


def test_after_step_sees_the_batch_after_the_update():
    module, seen = Linear(), []

    def after_step(outputs, targets):
        seen.append((outputs[0].detach().clone(), targets.clone(), module.weight.item()))

    make_net(module, n_epochs=1, after_step=after_step).fit_batches(Batches([1.0, 2.0, 3.0, 4.0]))
    assert [targets[0].item() for _, targets, _ in seen] == [1.0, 2.0, 3.0, 4.0]
    assert seen[0][0].tolist() == [0.0, 0.0]
    assert seen[0][2] > 0


def test_param_groups():
    module = Linear(start=1.0)
    net = make_net(module, param_groups=[("weight", {"lr": 0.0})], weight_decay=0.0)
    net.fit_batches(Batches())
    assert module.weight.item() == 1.0
    assert module.offset.item() != 0.0


def test_frozen_parameters_stay():
    module = Linear(start=1.0)
    module.weight.requires_grad_(False)
    make_net(module, weight_decay=0.5).fit_batches(Batches())
    assert module.weight.item() == 1.0
    assert module.offset.item() > 0


def test_progress_is_shown_on_demand(capsys):
    make_net(verbose=0).fit_batches(Batches())
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    make_net(verbose=1, title="labels").fit_batches(Batches())
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.split("\r")[-1]
    assert "labels: 100%" in last
    assert "24/24" in last  # two texts a batch, four batches an epoch, three epochs
    assert "texts/s" in last
    assert "squared=" in last


class Bars(list):
    """Stands in for tqdm, and keeps what it is told."""

    def __call__(self, **kwargs):
        self.append(SimpleNamespace(**kwargs, n=kwargs["initial"], postfix=None))
        bar = self[-1]
        bar.set_postfix = lambda values, refresh: setattr(bar, "postfix", dict(values))
        bar.update = lambda n: setattr(bar, "n", bar.n + n)
        bar.refresh = bar.close = lambda: None
        bar.written = []
        bar.write = lambda text, file: bar.written.append(text)
        return bar


@pytest.fixture
def bars(monkeypatch):
    bars = Bars()
    monkeypatch.setattr("skrr2qc._training.tqdm", bars)
    return bars


@pytest.mark.parametrize("max_steps, n_texts", [(None, 24), (8, 16), (9, 18), (10, 20), (99, 24)])
def test_progress_counts_texts(bars, max_steps, n_texts):
    totals = []
    net = make_net(verbose=1, max_steps=max_steps)
    net.after_step = lambda *_: totals.append(bars[0].total)
    net.fit_batches(Batches(), held_out=Batches([1.0]))
    assert set(totals) == {n_texts}  # from the start, so that the time left is right
    assert (bars[0].n, bars[0].total, bars[0].initial) == (n_texts, n_texts, 0)
    assert bars[0].unit == " texts"
    assert bars[0].postfix.keys() == {"squared", "train_loss", "held_out_loss"}


def test_progress_of_uneven_batches_cut_short(bars):
    batches = Batches()
    batches[0] = ({"x": torch.ones(1)}, torch.ones(1))  # the short batch, of an epoch of 7 texts
    batches.order = batches.order[:7]
    make_net(verbose=1, n_epochs=1, max_steps=2).fit_batches(batches)
    assert (bars[0].n, bars[0].total) == (3, 3)


def test_progress_shows_every_term(bars):
    """A term that not every batch has stays on the bar."""

    def loss_terms(outputs, targets):
        terms = squared(outputs, targets)
        return terms | {"rank": terms["squared"]} if targets[0] > 2 else terms

    make_net(loss_terms=loss_terms, verbose=1).fit_batches(Batches([3.0, 1.0]))
    assert bars[0].postfix.keys() == {"squared", "rank", "train_loss"}


class Clock:
    """Each look at it takes a second, from the second look on: the first batch is slow."""

    def __init__(self, seconds):
        self.now, self.seconds = 1000.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(
    "seconds, n_epochs, expected",
    [
        (100.0, 12, ["labels: about 14 min for 8 texts x 12 epochs"]),  # 100 s a 10 texts: 84 left
        (5.0, 12, []),  # 42 s are not worth a sentence
        (100.0, 1, []),  # over before five batches are timed
    ],
)
def test_long_fit_says_how_long(bars, monkeypatch, seconds, n_epochs, expected):
    monkeypatch.setattr("skrr2qc._training.time.perf_counter", Clock(seconds))
    make_net(verbose=1, title="labels", n_epochs=n_epochs).fit_batches(Batches())
    assert bars[0].written == expected
    make_net(verbose=1, n_epochs=12).fit_batches(list(Batches()))  # of how many nobody knows
    assert bars[1].written == []


def test_progress_of_batches_that_do_not_say_how_many_texts_they_hold(bars):
    make_net(verbose=1).fit_batches(list(Batches()))
    assert (bars[0].n, bars[0].total) == (24, None)


def test_forward_batches():
    batches = [({"x": torch.tensor([1.0, 2.0])}, None), ({"x": torch.tensor([3.0])}, None)]
    module = Linear(start=2.0).train()
    outputs = [output for (output,) in forward_batches(module, batches, "cpu")]
    assert [output.tolist() for output in outputs] == [[2.0, 4.0], [6.0]]
    assert all(output.dtype == np.float32 for output in outputs)
    assert not module.training


def test_prediction_that_is_left_half_way_leaves_gradients_on():
    """The mode lasted as long as the abandoned generator: the next fit had no gradient."""
    module = torch.nn.Linear(2, 1)
    batches = [({"input": torch.ones(1, 2)}, None)] * 2
    outputs = forward_batches(module, batches, "cpu")
    next(outputs)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert len(list(outputs)) == 1


# --------------------------------------------------------------------------------- how long


@pytest.mark.parametrize("max_steps, sizes", [(1, [1]), (4, [4]), (6, [4, 2]), (50, [4, 4, 4])])
def test_max_steps(max_steps, sizes):
    losses = []
    net = make_net(max_steps=max_steps)
    net.after_step = lambda outputs, targets: losses.append(squared(outputs, targets)["squared"])
    table = net.fit_batches(Batches([1.0, 2.0, 3.0, 4.0])).epoch_table()
    assert len(losses) == sum(sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    for row, start, size in zip(table, starts, sizes, strict=True):  # the cut one has its row
        expected = np.mean([loss.item() for loss in losses[start : start + size]])
        assert_allclose(row["squared"], expected, rtol=1e-6)


def test_schedule_fits_max_steps():
    def rates(**params):
        net, seen = make_net(**params), []
        net.after_step = lambda *_: seen.append(net.optimizer_.param_groups[0]["lr"])
        net.fit_batches(Batches())
        return seen

    assert_allclose(rates(max_steps=8), rates(n_epochs=2), rtol=0)
    assert rates(max_steps=6) != rates(n_epochs=2)[:6]


def test_max_steps_draws_no_batch_too_many():
    """Drawing one more would move on the random numbers of what comes next."""
    drawn = []

    class Counted(Batches):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                drawn.append(number)
                yield batch

    make_net(max_steps=6).fit_batches(Counted())
    assert drawn == [0, 1, 2, 3, 0, 1]


def test_zero_loss_of_a_batch_with_nothing_to_learn():
    module, steps = Linear(start=1.0), []

    def loss_terms(outputs, targets):
        return squared(outputs, targets) if targets[0] else {"squared": torch.zeros(())}

    net = make_net(module, loss_terms, after_step=lambda *_: steps.append(module.weight.item()))
    net.fit_batches(Batches([0.0, 3.0]), held_out=Batches([0.0]))
    assert steps[0] == 1.0
    assert steps[1] != 1.0
    assert [row["held_out_loss"] for row in net.epoch_table()] == [0.0, 0.0, 0.0]


# ---------------------------------------------------------------------------- held-out batches


class Shaky(Linear):
    """With dropout that changes everything, unless the module is in eval mode."""

    def forward(self, x):
        return (torch.nn.functional.dropout(super().forward(x)[0], 0.9, self.training),)


def two_terms(outputs, targets):
    terms = squared(outputs, targets)
    return terms | {"mean": outputs[0].mean()} if targets[0] != 5 else terms


def test_held_out_terms_by_hand():
    held_out = [
        ({"x": torch.tensor([1.0, 2.0, 3.0])}, torch.zeros(3)),
        ({"x": torch.tensor([4.0])}, torch.full((1,), 5.0)),
    ]
    module, expected, modes = Shaky(start=1.0), [], []

    def after_step(outputs, targets):
        with torch.no_grad():
            weight, offset = module.weight, module.offset
            first, second = (weight * batch["x"] + offset for batch, _ in held_out)
            square = (first.square().sum() + (second - 5.0).square().sum()) / 4  # four texts
            expected.append((square.item(), first.mean().item()))  # the second has no such term

    def loss_terms(outputs, targets):
        modes.append((module.training, outputs[0].requires_grad))
        return two_terms(outputs, targets)

    net = make_net(module, loss_terms, n_epochs=2, after_step=after_step)
    with seeded(0):
        table = net.fit_batches(Batches([3.0, 2.0]), held_out=held_out).epoch_table()
    for row, (square, mean) in zip(table, expected[1::2], strict=True):
        assert_allclose(row["held_out_squared"], square, rtol=1e-5)
        assert_allclose(row["held_out_mean"], mean, rtol=1e-5)
        assert_allclose(row["held_out_loss"], square + mean, rtol=1e-5)
    assert modes == 2 * [(True, True), (True, True), (False, False), (False, False)]


def test_held_out_batches_change_no_weight():
    weights = []
    for held_out in (None, Batches([1.0, 2.0])):
        with seeded(0):
            net = make_net(Shaky(), n_epochs=2).fit_batches(Batches(), held_out=held_out)
        weights.append(net.module_.weight.item())
    assert weights[0] == weights[1]


class Planned(torch.nn.Module):
    """Held-out losses as planned, one an epoch; `count` tells the epochs apart."""

    def __init__(self, losses):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.0))
        self.register_buffer("count", torch.tensor(0))
        self.losses = losses

    def forward(self, x):
        return (self.weight * x,)

    def terms(self, outputs, targets):
        if self.training:
            self.count += 1
            return {"loss": (outputs[0] - targets).square().mean()}
        return {"loss": torch.tensor(self.losses[int(self.count) - 1])}


@pytest.mark.parametrize(
    "losses, patience, n_epochs, best",
    [
        ([3.0, 2.0, 1.0, 0.5, 0.25], 2, 5, 5),  # falls to the end
        ([3.0, 2.0, 2.5, 2.6, 0.0], 2, 4, 2),
        ([3.0, 2.0, 2.5, 1.0, 1.5, 1.6, 0.0], 2, 6, 4),  # one bad epoch is forgiven
        ([3.0, 3.5, 0.0], 1, 2, 1),
        ([3.0, 3.0 - 6e-5, 3.0 - 9e-5, 0.0], 2, 3, 3),  # the lowest, if not by more than tol
        ([3.0, 3.0 - 6e-5, 3.0 - 12e-5, 3.0, 3.0, 0.0], 2, 5, 3),  # slowly, but it falls
        ([3.0, 2.0, 2.5], 9, 3, 2),  # best weights even if nothing stops
    ],
)
def test_early_stopping(losses, patience, n_epochs, best):
    module = Planned(losses)
    net = make_net(module, module.terms, n_epochs=len(losses))
    seen = []
    net.after_step = lambda *_: seen.append(module.weight.item())
    net.fit_batches(Batches([3.0]), held_out=Batches([3.0]), patience=patience)
    assert len(net.epoch_table()) == n_epochs
    assert int(module.count) == best  # buffers are put back as well
    assert module.weight.item() == seen[best - 1]
    assert not module.training


def test_without_patience_the_last_weights_stay():
    module = Planned([3.0, 2.0, 2.5])
    net = make_net(module, module.terms).fit_batches(Batches([3.0]), held_out=Batches([3.0]))
    assert int(module.count) == 3
    assert_allclose([row["held_out_loss"] for row in net.epoch_table()], [3.0, 2.0, 2.5])


def test_held_out_loss_that_is_not_finite_stops():
    module = Planned([3.0, float("nan")])
    net = make_net(module, module.terms)
    message = r"held-out loss is no longer finite in epoch 2, step 2: \{'loss': nan\}. Lower `lr`"
    with pytest.raises(FloatingPointError, match=message):
        net.fit_batches(Batches([3.0]), held_out=Batches([3.0]))


def test_patience_needs_held_out_batches():
    with pytest.raises(ValueError, match="`patience` needs `held_out`"):
        make_net().fit_batches(Batches(), patience=2)


@pytest.mark.parametrize("held_out", [[], iter(Batches([3.0]))])
def test_held_out_batches_that_run_dry(held_out):
    with pytest.raises(ValueError, match="`held_out` has no batches"):
        make_net().fit_batches(Batches(), held_out=held_out)


# ------------------------------------------------------------------------------- random state


def global_states():
    numpy_state = check_random_state(None).get_state()
    return (
        random.getstate(),
        numpy_state[1].tolist(),
        numpy_state[2],
        torch.get_rng_state().tolist(),
    )


def test_seeded_leaves_the_global_state_alone():
    before = global_states()
    with seeded(0) as rng:
        torch.rand(3)
        rng.random(3)
    assert global_states() == before


def test_seeded_leaves_the_global_state_alone_after_an_error():
    before = global_states()

    def fail():
        with seeded(0):
            torch.rand(3)
            raise KeyError

    pytest.raises(KeyError, fail)
    assert global_states() == before


def draws(random_state):
    with seeded(random_state) as rng:
        return [*torch.rand(2).tolist(), *rng.random(2)]


def test_seeded_follows_the_seed():
    assert draws(0) == draws(0)
    assert draws(0) != draws(1)
    torch.rand(5)  # whatever happened outside
    assert draws(0) == draws(0)


def test_seeded_takes_what_scikit_learn_takes():
    assert draws(np.random.RandomState(3)) == draws(3)
    generator = np.random.RandomState(3)
    assert draws(generator) != draws(generator)  # as with scikit-learn, it moves on
    assert draws(None) != draws(None)
    with pytest.raises(ValueError, match="cannot be used to seed"):
        draws("seed")


# ------------------------------------------------------------------------------------- device


def test_resolve_device():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("cpu:0") == "cpu:0"
    assert resolve_device("auto") in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("has_cuda", [True, False])
def test_auto_takes_cuda_where_it_is(monkeypatch, has_cuda):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == ("cuda" if has_cuda else "cpu")


@pytest.mark.parametrize("device", ["tpu", "cuda:1", "", "gpu"])
def test_device_that_is_not_there(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = rf"`device` == '{device}' is not available here; choose from \['auto', .*'cpu'"
    with pytest.raises(ValueError, match=message):
        resolve_device(device)


@pytest.mark.parametrize("device", [None, 0, torch.device("cpu")])
def test_device_of_another_type(device):
    with pytest.raises(TypeError, match="`device` must be a str such as 'auto'"):
        resolve_device(device)


def test_bfloat16_only_where_the_hardware_has_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert uses_bfloat16("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert not uses_bfloat16("cpu")
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    assert not uses_bfloat16("cpu")
    assert not uses_bfloat16("mps")


@pytest.mark.gpu
def test_accelerator_agrees_on_the_ranking(labelled_texts):
    """Run where there is one: shapes, finiteness and the best label, not digits."""
    from skrr2qc.testing import tiny_encoder

    X, Y = labelled_texts
    scores = {}
    for device in ("cpu", resolve_device("auto")):
        encoder = tiny_encoder(device=device)
        head = ClassCenterHead(encoder, device=device, random_state=0).fit(X, Y)
        scores[device] = head.predict_proba(X)
    cpu, other = scores.values()
    assert np.isfinite(other).all()
    assert (cpu.argmax(axis=1) == other.argmax(axis=1)).mean() > 0.8


def test_interrupt_ends_the_fit():
    """skorch swallows Ctrl-C, which left a half-trained model that counted as fitted."""

    class Interrupted:
        def __len__(self):
            return 2

        def __iter__(self):
            raise KeyboardInterrupt

    module = torch.nn.Linear(2, 2)
    net = TextNet(module, lambda outputs, Y: {"loss": outputs.sum()}, n_epochs=1, lr=0.1)
    with pytest.raises(KeyboardInterrupt):
        net.fit_batches(Interrupted())
