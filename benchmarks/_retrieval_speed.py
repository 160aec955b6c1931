"""How near a training step and a prediction of the tower come to what the machine can do."""

import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest import mock

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from skrr2qc import ClassCenterHead, RCPTEncoder
from skrr2qc.datasets import make_questions
from skrr2qc.modules import TextTower
from skrr2qc.text import TextTokenizer, TokenBatches

from ._machine import describe_machine, peak_memory
from ._models import find_encoder, parameters_of
from ._runs import load
from ._sets import has_set

_SET = "arc"
_N_GENERATED = 2_000
_PRODUCT_ROWS = 4_096
_PRODUCT_REPEATS = 20
_N_FIRST = 3  # steps of a fit that are not counted
_PARTS = ("batching", "forward", "backward", "optimizer")
_STEP = [(name, float) for name in ("step", *_PARTS, "macs", "tokens", "padded")]


@dataclass(frozen=True)
class Work:
    """Multiply-adds of a training step: of each token, of each pair of tokens, of each text.

    Forward once; backward once for a weight that is trained, and once for an input that has a
    gradient. Look-ups, norms, activations and losses, where no matrix is multiplied, are free.
    """

    per_token: int
    per_pair: int
    per_text: int

    def of(self, lengths):
        """Multiply-adds of texts of so many tokens; padding needs none."""
        lengths = np.asarray(lengths, dtype=np.int64)
        n_pairs = int((lengths**2).sum())
        of_tokens = self.per_token * int(lengths.sum()) + self.per_pair * n_pairs
        return of_tokens + self.per_text * len(lengths)


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("--encoder", default="minilm", help="minilm, folder or hub name; default: minilm")
    add("--set", default=_SET, help=f"where it is at hand; else generated; default: {_SET}")
    add("--generated", type=int, metavar="N", help="N generated questions, no set")
    add("--limit-train", type=int, metavar="N", help="N rows of the set at most")
    add("--rounds", type=int, default=5, help="of products, fit and prediction in turn")
    add("--seed", type=int, default=0)


def cases(options):
    """What is recorded, and what measures it."""
    shown, backbone = find_encoder(options.encoder)
    if backbone == "compact":
        raise ValueError("--encoder: speed is measured against transformer layers; give minilm")
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    source, texts, Y = _texts(options)
    case = {"rounds": options.rounds, "device": options.device, "seed": options.seed}
    head = ClassCenterHead(RCPTEncoder(backbone, n_epochs=0))
    about = {
        "measurement": "speed", "set": source, "n_texts": len(texts), "n_labels": Y.shape[1],
        "encoder": shown, **case, "parameters": parameters_of(head, backbone, shown),
    }  # fmt: skip
    return [(about, lambda call: call(measure, texts, Y, backbone, case))]


def _texts(options):
    if options.generated is not None or not has_set(options.set):
        n_texts = _N_GENERATED if options.generated is None else options.generated
        data = make_questions(n_texts, random_state=options.seed)
        return "generated questions", data.texts, data.Y
    texts = load(options.set, limit_train=options.limit_train)
    return options.set, texts.train, texts.Y_train


def measure(texts, Y, backbone, case):
    """Figures of all rounds: medians, and each round's ratios."""
    device = _device(case["device"])
    dtype = _dtype(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = FrozenEstimator(RCPTEncoder(backbone, n_epochs=0, device=device).fit(texts, Y))
        make_head = partial(
            ClassCenterHead, encoder, n_epochs=1, device=device, random_state=case["seed"]
        )
        rounds = [_round(make_head, texts, Y, device, dtype) for _ in range(case["rounds"])]
    names = list(rounds[0])
    medians = {name: float(np.median([found[name] for found in rounds])) for name in names}
    ratios = ("share_of_rate", "prediction_ratio")
    return {
        "dtype": str(dtype).removeprefix("torch."),
        **medians,
        **{f"{name}s": [found[name] for found in rounds] for name in ratios},
        "memory_mib": peak_memory(),
    }


def _round(make_head, texts, Y, device, dtype):
    """Products, steps, prediction, bare pass, products again: a busy machine slows all alike."""
    width, inner = _widths(make_head.args[0])
    before = product_rate(width, inner, dtype, device)
    head, steps = timed_fit(make_head(), texts, Y)
    predicting = timed_prediction(head, texts, device)
    rate = max(before, product_rate(width, inner, dtype, device))
    needed = steps["macs"].sum() / steps["step"].sum()
    return {
        "product_rate": rate,
        "needed_rate": needed,
        "share_of_rate": needed / rate,
        "step_seconds": steps["step"].mean(),
        **{f"{name}_seconds": steps[name].mean() for name in _PARTS},
        "other_seconds": (steps["step"] - sum(steps[name] for name in _PARTS)).mean(),
        "step_macs": steps["macs"].mean(),
        "step_tokens": steps["tokens"].mean(),
        "padding_percent": 100 * (1 - steps["tokens"].sum() / steps["padded"].sum()),
        "n_steps": len(steps),
        **predicting,
    }


# ------------------------------------------------------------------------------ the machine


def product_rate(width, inner, dtype, device):
    """Multiply-adds a second of the matrix products of a layer, the fastest of its shapes."""
    shapes = {(width, inner), (inner, width), (width, width)}
    return max(_rate(*shape, dtype, device) for shape in sorted(shapes))


def _rate(n_in, n_out, dtype, device):
    left = torch.ones(_PRODUCT_ROWS, n_in, dtype=dtype, device=device)
    right = torch.ones(n_in, n_out, dtype=dtype, device=device)
    seconds = []
    for _ in range(_PRODUCT_REPEATS + _N_FIRST):
        start = _now()
        torch.matmul(left, right)
        seconds.append(_now() - start)
    return _PRODUCT_ROWS * n_in * n_out / float(np.median(seconds[_N_FIRST:]))


def _widths(encoder):
    """Width of the hidden states, and the largest one within a layer."""
    linear = [m for m in encoder.backbone_.modules() if isinstance(m, nn.Linear)]
    return encoder.backbone_.hidden_size, max(m.out_features for m in linear)


def _device(name):
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _dtype(device):
    """What products are computed in: bfloat16 where the hardware multiplies it."""
    if torch.device(device).type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = describe_machine()["machine"]["bf16"]
    return torch.bfloat16 if has_bfloat16 else torch.float32


# --------------------------------------------------------------------------- training steps


def timed_fit(head, texts, Y):
    """A fitted head, and its steps but for the first ones and the last.

    Returns
    -------
    head : ClassCenterHead
    steps : structured ndarray
        Seconds from one batch being asked for to the next (step), of which until it is there
        (batching), of the forward pass, the backward pass, and from there to the end of the
        update, gradient clipping included (optimizer); multiply-adds; tokens, and places for them.
    """
    with timed_steps() as rows:
        head.fit(texts, Y)
    if len(rows) < _N_FIRST + 2 or "optimizer" not in rows[-1]:
        raise RuntimeError(f"{len(rows)} steps were seen: more texts, or another loop, are needed")
    starts = [row["start"] for row in rows]
    steps = np.empty(len(rows) - 1, dtype=_STEP)
    steps["step"] = np.diff(starts)
    for name in (*_PARTS, "macs", "tokens", "padded"):
        steps[name] = [row[name] for row in rows[:-1]]
    return head, steps[_N_FIRST:]


@contextmanager
def timed_steps():
    """Watch the public parts that a fit goes through.

    Yields
    ------
    rows : list of dict
        One a training step, in order.
    """
    rows, clock, works = [], {}, {}
    forward, backward, batches = TextTower.forward, torch.Tensor.backward, TokenBatches.__iter__

    def iterate(self):
        iterator = batches(self)
        while True:
            clock["start"] = _now()
            batch = next(iterator, None)
            if batch is None:
                return
            clock["batching"] = _now() - clock["start"]
            yield batch

    def timed_forward(self, attention_mask, **inputs):
        if not self.training:
            return forward(self, attention_mask, **inputs)
        if id(self) not in works:
            works[id(self)] = training_work(self, attention_mask, inputs)
        start = _now()
        outputs = forward(self, attention_mask, **inputs)
        lengths = attention_mask.sum(dim=1).tolist()
        rows.append({**clock, "forward": _now() - start, "macs": works[id(self)].of(lengths)})
        rows[-1] |= {"tokens": sum(lengths), "padded": attention_mask.numel()}
        return outputs

    def timed_backward(self, *args, **kwargs):
        start = _now()
        backward(self, *args, **kwargs)
        clock["learned"] = _now()
        rows[-1]["backward"] = clock["learned"] - start

    def updated(*args):
        rows[-1]["optimizer"] = _now() - clock["learned"]

    with ExitStack() as stack:
        for owner, name, function in (
            (TokenBatches, "__iter__", iterate),
            (TextTower, "forward", timed_forward),
            (torch.Tensor, "backward", timed_backward),
        ):
            stack.enter_context(mock.patch.object(owner, name, function))
        stack.callback(register_optimizer_step_post_hook(updated).remove)
        yield rows


def training_work(tower, attention_mask, inputs):
    """`Work` of a `TextTower`, seen in one forward pass that leaves no trace."""
    per_token = []

    def count(layer, given, _):
        n_times = 1 + layer.weight.requires_grad + given[0].requires_grad
        per_token.append(n_times * layer.weight.numel())

    layers = [m for m in tower.upper.modules() if isinstance(m, nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        tower.upper(attention_mask=attention_mask, **_above(tower, attention_mask, inputs))
    for hook in hooks:
        hook.remove()
    # Of attention two products, each with two gradients: the projections before it are trained.
    per_pair = 3 * 2 * tower.upper.hidden_size * tower.upper.n_layers
    return Work(sum(per_token), per_pair, 3 * tower.head.weight.numel())


def _above(tower, attention_mask, inputs):
    """Inputs of the trained part alone."""
    if inputs.get("hidden") is not None:
        return {"hidden": inputs["hidden"].float()}
    if tower.lower is None:
        return {"input_ids": inputs["input_ids"]}
    return {"hidden": tower.lower_states(inputs["input_ids"], attention_mask).float()}


# ------------------------------------------------------------------------------ prediction


def timed_prediction(head, texts, device):
    """Seconds of `predict_proba`, of tokenising within it, and of a bare pass of the encoder.

    The bare pass runs the network alone over the same padded batches, and keeps nothing.
    """
    backbone = head.encoder_.backbone_.to(device).eval()
    batches = token_batches(head, texts)
    bare_pass(backbone, batches, device)
    tokenising, encode = [], TextTokenizer.encode

    def timed_encode(self, *args):
        start = _now()
        result = encode(self, *args)
        tokenising.append(_now() - start)
        return result

    with mock.patch.object(TextTokenizer, "encode", timed_encode):
        start = _now()
        head.predict_proba(texts)
        whole = _now() - start
    start = _now()
    bare_pass(backbone, batches, device)
    bare = _now() - start
    return {
        "prediction_seconds": whole,
        "tokenising_seconds": sum(tokenising),
        "bare_seconds": bare,
        "prediction_ratio": (whole - sum(tokenising)) / bare,
        "prediction_ratio_with_tokenising": whole / bare,
    }


def token_batches(head, texts):
    """Inputs that a prediction gives the network, batch by batch."""
    seen, batches = [], TokenBatches.__iter__

    def watched(self):
        for inputs, targets in batches(self):
            seen.append(inputs)
            yield inputs, targets

    with mock.patch.object(TokenBatches, "__iter__", watched):
        head.predict_proba(texts)
    if not seen:
        raise RuntimeError("a prediction no longer iterates over TokenBatches: watch what it does")
    return seen


def bare_pass(backbone, batches, device):
    """Run the encoder over token batches."""
    dtype = _dtype(device)
    is_mixed = dtype != torch.float32
    kind = torch.device(device).type
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=is_mixed):
        for inputs in batches:
            backbone(**{name: tensor.to(device) for name, tensor in inputs.items()})


def _now():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
