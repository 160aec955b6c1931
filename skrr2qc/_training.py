"""The one training loop, the random state and the device it runs under."""

import math
import sys
import time
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping
from tqdm.auto import tqdm

from ._resume import Saver, Steps

_LONG_FIT = 60.0  # seconds; of a longer one the bar says in words how long it will take
_TIMED_BATCHES = 5


class TextNet(NeuralNet):
    """skorch's loop over batches that are already padded, with a loss of several named terms.

    Parameters
    ----------
    module : torch.nn.Module
        Takes the inputs of a batch as keywords and returns a tuple, logits first.
    loss_terms : callable
        ``(outputs, targets) -> {name: 0-d tensor}``, weights applied; their sum is the loss.
    n_epochs : int
    max_steps : int, default=None
        Updates after which training ends, if it has not before.
    lr : float
        Peak learning rate: it rises linearly over `warmup` of all steps, then falls to zero.
    param_groups : list of (str, dict), default=()
        Name patterns with their own optimizer settings; the first match holds.
    weight_decay, warmup, max_grad_norm : float
    schedule : {"linear", "onecycle"}, default="linear"
        "onecycle" rises from a 25th of `lr` over three tenths of all steps, and falls to zero,
        along cosines; `warmup` is not used then.
    ema_decay : float in (0, 1), default=None
        Averages the weights over the updates, each with so much of the average before it; the
        averages are what is evaluated on held-out batches, and left in the module at the end.
    after_step : callable, default=None
        ``(outputs, targets) -> None`` after each update.
    device : str, default="cpu"
    title : str, default="fit"
        Name on the progress bar.
    verbose : int, default=0
        1 shows a progress bar with the loss terms, texts per second and the time left.
    """

    def __init__(
        self, module, loss_terms, *, n_epochs, lr, param_groups=(), weight_decay=0.01, warmup=0.1,
        max_grad_norm=1.0, schedule="linear", ema_decay=None, after_step=None, device="cpu",
        title="fit", verbose=0, max_steps=None,
    ):  # fmt: skip
        self.loss_terms = loss_terms
        self.schedule = schedule
        self.average = None if ema_decay is None else _Average(ema_decay)
        self.max_steps = max_steps
        self.warmup = warmup
        self.after_step = after_step
        self.title = title
        self._is_mixed = uses_bfloat16(device)
        super().__init__(
            module,
            criterion=torch.nn.Identity,
            optimizer=torch.optim.AdamW,
            optimizer__param_groups=list(param_groups),
            optimizer__weight_decay=weight_decay,
            optimizer__fused=_kind(device) != "mps",
            lr=lr,
            max_epochs=n_epochs,
            train_split=None,
            device=device,
            verbose=0,
            callbacks=[("clip", GradientNormClipping(max_grad_norm))],
        )
        self.set_params(callbacks__print_log=None)
        self.shows_progress = bool(verbose)

    def fit_batches(self, batches, *, held_out=None, patience=None, tol=1e-4, checkpoint=None):
        """Train on an iterable of batches that has a length; return self.

        Parameters
        ----------
        batches : iterable of (inputs, targets)
            Draws from its `rng` alone, and says in `order` which rows an epoch visits; both are
            optional.
        held_out : iterable of (inputs, targets), default=None
            The same each time. The loss terms on it are recorded after each epoch.
        patience : int, default=None
            Stop once the held-out loss has not fallen by more than `tol` in so many epochs; the
            weights of the best epoch are put back at the end.
        tol : float, default=1e-4
        checkpoint : Checkpoint, default=None
            Go on from it, and save to it. Call within `seeded`: the random states are part of it.

        Raises
        ------
        FloatingPointError
            If the loss, or a weight, is no longer finite.
        KeyboardInterrupt
            With a note of where the run stood; the checkpoint is then that of this moment, if no
            update is half done, else the one before.
        """
        if patience is not None and held_out is None:
            raise ValueError("`patience` needs `held_out` batches to watch.")
        self.checkpoint_ = checkpoint
        self.steps_ = Steps(batches, self.max_epochs, self.max_steps)
        n_steps = self.steps_.n_total
        is_linear = self.schedule == "linear"
        factor = _warmup_decay(n_steps, self.warmup) if is_linear else _one_cycle(n_steps)
        watch = None if held_out is None else _HeldOut(held_out, patience, tol)
        saver = None if checkpoint is None else Saver(checkpoint, watch, self.average)
        self.saver_ = saver
        # The saver comes after what it saves, and before the bar, which begins where it resumes.
        new = {"schedule": _Schedule(factor), "average": self.average}
        new |= {"held_out": watch, "saver": saver}
        if self.shows_progress:
            new["progress"] = _Progress(self.title)
        self.callbacks = [*self.callbacks, *((k, v) for k, v in new.items() if v is not None)]
        self.fit(self.steps_)
        if self.average is not None:
            self.average.swap()
        if watch is not None and watch.best:
            self.module_.load_state_dict(watch.best)
        self.check_finite()
        if saver is not None:
            saver.finish(self)
        self.module_.eval()
        return self

    def partial_fit(self, X, y=None, **fit_params):
        """Run the loop; unlike skorch's, an interrupt ends the fit and is not swallowed."""
        fit_params.pop("_routing_method", None)
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except KeyboardInterrupt as interrupt:
            self._keep(interrupt)
            raise
        finally:
            self.notify("on_train_end", X=X, y=y)
        return self

    def _keep(self, interrupt):
        """Say where the run stands, and save it if that can be done."""
        steps, epoch = self.steps_, min(self.steps_.n_epochs_done + 1, self.steps_.n_epochs)
        interrupt.add_note(
            f"{self.title}: interrupted in epoch {epoch} of {steps.n_epochs}, step {steps.step} of "
            f"{steps.n_total}."
        )
        if self.saver_ is None:
            return
        try:
            self.saver_.rescue(self)
        except (OSError, RuntimeError, FloatingPointError) as error:
            interrupt.add_note(f"{self.title}: {error}")

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Run epochs while any are left; a resumed one is brought to its end first."""
        while not self.steps_.is_over:
            self.notify("on_epoch_begin", dataset_train=X, dataset_valid=None)
            self.run_single_epoch(X, training=True, prefix="train", step_fn=self.train_step)
            self.notify("on_epoch_end", dataset_train=X, dataset_valid=None)
        return self

    def on_epoch_begin(self, net, **kwargs):
        if not self.steps_.in_epoch:  # a resumed epoch has its row already
            super().on_epoch_begin(net, **kwargs)

    def on_epoch_end(self, net, **kwargs):
        self.steps_.end_epoch()

    def check_data(self, X, y=None):
        pass

    def infer(self, x, **fit_params):
        with torch.autocast(_kind(self.device), torch.bfloat16, enabled=self._is_mixed):
            return super().infer(x, **fit_params)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        targets = y_true.to(self.device)
        terms = self.loss_terms(y_pred, targets)
        for name, term in terms.items():
            self.history.record_batch(name, term.item())
        loss = sum(terms.values())
        if not torch.isfinite(loss):
            raise self.not_finite("loss is", {name: term.item() for name, term in terms.items()})
        if not loss.requires_grad and loss == 0:  # nothing to learn from in this batch
            loss.requires_grad_()
        return loss

    def check_finite(self):
        """Refuse weights that are not: a finite loss may have had a gradient that is not."""
        if not all(p.isfinite().all() for p in self.module_.parameters()):
            raise self.not_finite("weights are")

    def not_finite(self, what, terms=None):
        """Error that says where training went wrong, and what to go back to."""
        message = (
            f"The {what} no longer finite in epoch {len(self.history)}, step {self.steps_.step}"
            f"{f': {terms}' if terms else ''}. Lower `lr` (now {self.lr:g})."
        )
        last = None if self.checkpoint_ is None else self.checkpoint_.last
        if last is not None:
            message += (
                f" The last good checkpoint, of step {last}, is in {self.checkpoint_.folder}; "
                "another `lr` needs another folder."
            )
        return FloatingPointError(message)

    def train_step(self, batch, **fit_params):
        step = super().train_step(batch, **fit_params)
        if self.after_step is not None:
            self.after_step(step["y_pred"], batch[1])
        return step

    def evaluate(self, batches):
        """Mean of each loss term over the texts of some batches, in eval mode; a dict.

        A term that a batch does not have is averaged over the others.
        """
        self.module_.eval()
        sums, counts = {}, {}
        for inputs, targets in batches:
            with torch.no_grad():
                terms = self.loss_terms(self.infer(inputs), targets.to(self.device))
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + len(targets) * term.item()
                counts[name] = counts.get(name, 0) + len(targets)
        if not sums:
            raise ValueError("`held_out` has no batches, or none when it is iterated again.")
        return {name: sums[name] / counts[name] for name in sums}

    def epoch_table(self):
        """One dict an epoch: mean of each loss term, also on held-out texts, learning seconds."""
        return [epoch.get("row") or self.epoch_row(epoch) for epoch in self.history]

    def epoch_row(self, epoch):
        """Row of `epoch_table` for one entry of the history; skorch's `train_loss` is `loss`."""
        batches = epoch["batches"]
        names = dict.fromkeys(key for b in batches for key in b if not _is_bookkeeping(key))
        row = {"epoch": epoch["epoch"], "seconds": epoch.get("dur")}
        if "dur" in epoch:
            row["seconds"] += epoch.get("seconds_before", 0.0)
        means = {n: float(np.mean([b[n] for b in batches if n in b])) for n in names}
        row |= {"loss" if n == "train_loss" else n: mean for n, mean in means.items()}
        return row | {n: value for n, value in epoch.items() if n.startswith("held_out_")}


def _is_bookkeeping(key):
    return key.startswith("train_batch")


class _Schedule(Callback):
    """Learning rates: a factor of the number of the update, whatever happened before it."""

    def __init__(self, factor):
        self.factor = factor

    def on_train_begin(self, net, **kwargs):
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]

    def on_batch_begin(self, net, training, **kwargs):
        for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
            group["lr"] = rate * self.factor(net.steps_.step - 1)


class _Average(Callback):
    """Moving average of the weights that are trained; the first updates count less long.

    Attributes
    ----------
    is_swapped : bool
        Whether the module has the averages, or a swap is half done.
    """

    def __init__(self, decay):
        self.decay = decay
        self.is_swapped = False

    def on_train_begin(self, net, **kwargs):
        self.trained_ = [p for p in net.module_.parameters() if p.requires_grad]
        self.means_ = [p.detach().clone() for p in self.trained_]

    def on_batch_end(self, net, training, **kwargs):
        n = net.steps_.step
        share = 1.0 - min(self.decay, (1 + n) / (10 + n))
        with torch.no_grad():
            for mean, weight in zip(self.means_, self.trained_, strict=True):
                mean.lerp_(weight, share)

    def go_to(self, means):
        """Take up saved averages, by number; without any, begin at the weights."""
        for number, (mean, weight) in enumerate(zip(self.means_, self.trained_, strict=True)):
            mean.copy_(means.get(str(number), weight.detach()))

    def swap(self):
        """Let the module have the averages, and keep its weights here; and the reverse."""
        for mean, weight in zip(self.means_, self.trained_, strict=True):
            mean.data, weight.data = weight.data, mean.data

    @contextmanager
    def applied(self):
        """The module has the averages inside."""
        self.is_swapped = True
        self.swap()
        try:
            yield
        finally:
            self.swap()
            self.is_swapped = False


class _HeldOut(Callback):
    """Loss on held-out batches after each epoch; with `patience`, the end of training.

    Attributes
    ----------
    best : dict
        `state_dict` of the epoch with the lowest loss; empty without `patience`.
    state : dict
        The rest of what a later epoch depends on: the lowest loss, the loss from which a fall is
        measured, and the epochs since it last fell.
    """

    def __init__(self, batches, patience=None, tol=1e-4):
        self.batches = batches
        self.patience = patience
        self.tol = tol
        self.best = {}
        self.state = {"lowest": math.inf, "reference": math.inf, "n_idle": 0}

    def on_epoch_end(self, net, **kwargs):
        with nullcontext() if net.average is None else net.average.applied():
            self._look(net)

    def _look(self, net):
        terms = net.evaluate(self.batches)
        loss = sum(terms.values())
        if not math.isfinite(loss):
            raise net.not_finite("held-out loss is", terms)
        for name, value in {**terms, "loss": loss}.items():
            net.history.record(f"held_out_{name}", value)
        if self.patience is not None:
            self._compare(loss, net)

    def _compare(self, loss, net):
        state = self.state
        if loss < state["lowest"]:
            state["lowest"] = loss
            self.best = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}
        if loss < state["reference"] - self.tol:
            state.update(reference=loss, n_idle=0)
        else:
            state["n_idle"] += 1
        net.steps_.is_stopped = state["n_idle"] >= self.patience


class _Progress(Callback):
    """One bar over all texts of all epochs, with the terms of the loss.

    Of a long fit it says in words, once some batches have been timed, how long it will take.
    """

    def __init__(self, title):
        self.title = title

    def on_train_begin(self, net, **kwargs):
        self.shown_, self.n_timed_ = {}, 0
        self.bar_ = tqdm(
            total=net.steps_.n_texts_total,
            initial=net.steps_.n_texts,
            desc=self.title,
            unit=" texts",
            leave=True,
        )

    def on_batch_end(self, net, training, **kwargs):
        last = net.history[-1]["batches"][-1]
        self._show({name: value for name, value in last.items() if not _is_bookkeeping(name)})
        self.bar_.update(net.steps_.n_texts - self.bar_.n)
        self._estimate(net.steps_)

    def _estimate(self, steps):
        """After the first batch, which is slower, time a few; then speak, if ever."""
        if self.n_timed_ == 0:
            self.start_ = time.perf_counter(), steps.n_texts
        self.n_timed_ += 1
        total = steps.n_texts_total
        if self.n_timed_ != _TIMED_BATCHES + 1 or total is None:
            return
        seconds = time.perf_counter() - self.start_[0]
        left = seconds * (total - steps.n_texts) / (steps.n_texts - self.start_[1])
        if left >= _LONG_FIT:
            n_texts = len(steps.batches.order)
            sentence = f"{self.title}: about {left / 60:.0f} min for {n_texts:,} texts"
            self.bar_.write(f"{sentence} x {steps.n_epochs} epochs", file=sys.stderr)

    def on_epoch_end(self, net, **kwargs):
        if "held_out_loss" in net.history[-1]:
            self._show({"held_out_loss": net.history[-1]["held_out_loss"]})

    def on_train_end(self, net, **kwargs):
        if net.steps_.is_over and self.bar_.total is not None:
            self.bar_.total = self.bar_.n  # known now, even if an epoch was cut short
            self.bar_.refresh()
        self.bar_.close()

    def _show(self, values):
        self.shown_ |= {name: f"{value:.3f}" for name, value in values.items()}
        self.bar_.set_postfix(self.shown_, refresh=False)


def forward_batches(module, batches, device):
    """Outputs of a module, batch by batch, as float32 arrays on the host.

    Yields
    ------
    outputs : tuple of ndarray
        For ``batches.order[i : i + B]``, the texts in the order in which they travelled.
    """
    module.to(device).eval()
    for inputs, _ in batches:
        # Not around `yield`: whoever stops half-way would be left without gradients.
        with (
            torch.inference_mode(),
            torch.autocast(_kind(device), torch.bfloat16, enabled=uses_bfloat16(device)),
        ):
            outputs = module(**{name: tensor.to(device) for name, tensor in inputs.items()})
            outputs = tuple(output.float().cpu().numpy() for output in outputs)
        yield outputs


def collect_outputs(module, batches, device):
    """First output of a module for all texts, in their own order; (n, ...) float32."""
    result, start = None, 0
    for part, *_ in forward_batches(module, batches, device):
        if result is None:
            result = np.empty((len(batches.order), part.shape[1]), dtype=np.float32)
        result[batches.order[start : start + len(part)]] = part
        start += len(part)
    return result


def sigmoid(logits):
    """Scores from logits, which are cut off at 30 either way, so that no score is exactly 0."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


def draw_seed(random_state):
    """The seed that `seeded` draws from a random state."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@contextmanager
def seeded(random_state, seed=None):
    """Random numbers of torch follow `random_state` inside; the global state is left alone.

    Parameters
    ----------
    random_state : int, RandomState instance or None
    seed : int, default=None
        Drawn before with `draw_seed`; None draws it now.

    Yields
    ------
    rng : numpy.random.Generator
        For everything that is drawn on the host.
    """
    seed = draw_seed(random_state) if seed is None else seed
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield np.random.default_rng(seed)


def resolve_device(device):
    """Name of the device to compute on; "auto" takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        If the device is not known, or is not there.
    """
    if not isinstance(device, str):
        raise TypeError(f"`device` must be a str such as 'auto' or 'cuda:0', got {device!r}.")
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_there in has.items() if is_there)
    if not has.get(_kind(device), False):
        there = ["auto", *(name for name, is_there in has.items() if is_there)]
        raise ValueError(f"`device` == {device!r} is not available here; choose from {there}.")
    return device


def uses_bfloat16(device):
    """Whether the hardware multiplies bfloat16 natively."""
    if _kind(device) == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if _kind(device) == "cpu":
        features = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return False


def _kind(device):
    return str(device).split(":")[0]


def _warmup_decay(n_steps, warmup):
    n_warmup = max(1, math.ceil(warmup * n_steps))

    def factor(step):
        if step < n_warmup:
            return (step + 1) / n_warmup
        return max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))

    return factor


def _one_cycle(n_steps, start=0.04, rise=0.3):
    n_up = max(1, math.ceil(rise * n_steps))

    def factor(step):
        if step < n_up:
            return start + (1 - start) * (1 - math.cos(math.pi * (step + 1) / n_up)) / 2
        return (1 + math.cos(math.pi * (step + 1 - n_up) / (n_steps - n_up + 1))) / 2

    return factor
