"""The training loop, the random state and the device: promises that every estimator rests on."""

import random

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
    """Batches of a list, four steps an epoch."""

    def __init__(self, targets=(3.0, 3.0, 3.0, 3.0)):
        super().__init__(({"x": torch.ones(2)}, torch.full((2,), target)) for target in targets)


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


@pytest.mark.parametrize("n_steps", [1, 2])
def test_schedule_of_very_few_steps(n_steps):
    net = make_net(n_epochs=1, lr=0.2)
    rates = []
    net.after_step = lambda *_: rates.append(net.optimizer_.param_groups[0]["lr"])
    net.fit_batches(Batches([3.0] * n_steps))
    assert rates[0] == pytest.approx(0.2)
    assert len(rates) == n_steps


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
        assert_allclose(row["train_loss"], row["first"] + row["second"], rtol=1e-6)
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
    assert "labels: 100%" in captured.err
    assert "12/12" in captured.err
    assert "squared=" in captured.err


def test_forward_batches():
    batches = [({"x": torch.tensor([1.0, 2.0])}, None), ({"x": torch.tensor([3.0])}, None)]
    module = Linear(start=2.0).train()
    outputs = [output for (output,) in forward_batches(module, batches, "cpu")]
    assert [output.tolist() for output in outputs] == [[2.0, 4.0], [6.0]]
    assert all(output.dtype == np.float32 for output in outputs)
    assert not module.training


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
