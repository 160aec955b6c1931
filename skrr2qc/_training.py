"""The one training loop, the random state and the device it runs under."""

import math
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm


class TextNet(NeuralNet):
    """skorch's loop over batches that are already padded, with a loss of several named terms.

    Parameters
    ----------
    module : torch.nn.Module
        Takes the inputs of a batch as keywords and returns a tuple, logits first.
    loss_terms : callable
        ``(outputs, targets) -> {name: 0-d tensor}``, weights applied; their sum is the loss.
    n_epochs : int
    lr : float
        Peak learning rate: it rises linearly over `warmup` of all steps, then falls to zero.
    param_groups : list of (str, dict), default=()
        Name patterns with their own optimizer settings; the first match holds.
    weight_decay, warmup, max_grad_norm : float
    after_step : callable, default=None
        ``(outputs, targets) -> None`` after each update.
    device : str, default="cpu"
    title : str, default="fit"
        Name on the progress bar.
    verbose : int, default=0
        1 shows a progress bar with the loss terms and the time left.
    """

    def __init__(
        self, module, loss_terms, *, n_epochs, lr, param_groups=(), weight_decay=0.01, warmup=0.1,
        max_grad_norm=1.0, after_step=None, device="cpu", title="fit", verbose=0,
    ):  # fmt: skip
        self.loss_terms = loss_terms
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

    def fit_batches(self, batches):
        """Train on an iterable of batches that has a length; return self."""
        schedule = LRScheduler(
            policy=LambdaLR,
            lr_lambda=_warmup_decay(self.max_epochs * len(batches), self.warmup),
            step_every="batch",
            event_name=None,
        )
        self.callbacks = [*self.callbacks, ("schedule", schedule)]
        if self.shows_progress:
            n_steps = self.max_epochs * len(batches)
            self.callbacks.append(("progress", _Progress(self.title, n_steps)))
        self.fit(batches)
        self.module_.eval()
        return self

    def partial_fit(self, X, y=None, **fit_params):
        """Run the loop; unlike skorch's, an interrupt ends the fit and is not swallowed."""
        fit_params.pop("_routing_method", None)
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        finally:
            self.notify("on_train_end", X=X, y=y)
        return self

    def get_dataset(self, X, y=None):
        return X

    def get_iterator(self, dataset, training=False):
        return dataset

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
            values = {name: term.item() for name, term in terms.items()}
            raise FloatingPointError(
                f"The loss is no longer finite in epoch {len(self.history)}, "
                f"step {len(self.history[-1]['batches'])}: {values}. Lower `lr` (now {self.lr:g})."
            )
        return loss

    def train_step(self, batch, **fit_params):
        step = super().train_step(batch, **fit_params)
        if self.after_step is not None:
            self.after_step(step["y_pred"], batch[1])
        return step

    def epoch_table(self):
        """One dict an epoch: mean of each loss term, learning seconds."""
        rows = []
        for epoch in self.history:
            batches = epoch["batches"]
            names = [key for key in batches[0] if not key.startswith("train_batch")]
            means = {n: float(np.mean([b[n] for b in batches if n in b])) for n in names}
            rows.append({"epoch": epoch["epoch"], "seconds": epoch.get("dur"), **means})
        return rows


class _Progress(Callback):
    """One bar over all steps, with the terms of the loss."""

    def __init__(self, title, n_steps):
        self.title = title
        self.n_steps = n_steps

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=self.n_steps, desc=self.title, leave=True, unit="step")

    def on_batch_end(self, net, training, **kwargs):
        if training:
            last = net.history[-1]["batches"][-1]
            self.bar_.set_postfix(
                {k: f"{v:.3f}" for k, v in last.items() if not k.startswith("train_batch")},
                refresh=False,
            )
            self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()


def forward_batches(module, batches, device):
    """Outputs of a module, batch by batch, as float32 arrays on the host.

    Yields
    ------
    outputs : tuple of ndarray
        For ``batches.order[i : i + B]``, the texts in the order in which they travelled.
    """
    module.to(device).eval()
    with (
        torch.inference_mode(),
        torch.autocast(_kind(device), torch.bfloat16, enabled=uses_bfloat16(device)),
    ):
        for inputs, _ in batches:
            outputs = module(**{name: tensor.to(device) for name, tensor in inputs.items()})
            yield tuple(output.float().cpu().numpy() for output in outputs)


def collect_outputs(module, batches, device, keep=0):
    """Output number `keep` of a module for all texts, in their own order; (n, ...) float32."""
    result, start = None, 0
    for outputs in forward_batches(module, batches, device):
        part = outputs[keep]
        if result is None:
            result = np.empty((len(batches.order), part.shape[1]), dtype=np.float32)
        result[batches.order[start : start + len(part)]] = part
        start += len(part)
    return result


def sigmoid(logits):
    """Scores from logits, which are cut off at 30 either way, so that no score is exactly 0."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


@contextmanager
def seeded(random_state):
    """Random numbers of torch follow `random_state` inside; the global state is left alone.

    Yields
    ------
    rng : numpy.random.Generator
        For everything that is drawn on the host.
    """
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
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
