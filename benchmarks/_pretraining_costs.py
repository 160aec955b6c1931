"""What a step of ranking contrastive pre-training costs, beside one of the language model alone."""

import json
import os
import tempfile
import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc.datasets import load_set
from skrr2qc.losses import ranking_contrastive_loss, ranking_temperatures
from skrr2qc.modules import KeyQueue, LabelGeometry, MaskedLanguageModel, RankingPretrainer

from ._command_line import check_names, say
from ._machine import describe_machine
from ._models import find_encoder
from ._processes import apart
from ._records import append_record, check_writable, read_lines

_SET = "eurlex57k"
_N_LABELS = 4_271  # of that set
_BATCH, _QUEUE, _PROJECTION = 32, 1_024, 128
_SIZES = ("batch_size", "queue_size", "device")
_WIDTHS = {"compact": 1_024, "minilm": 384}
_N_FIRST = 3  # steps of a fit that are not counted
GENERATED_WORDS = {"long": 300, "arc": 40, "da20k": 90}
_N_GENERATED = 2_000
_OUT = Path(__file__).parent / "results" / "pretraining_costs.jsonl"


@dataclass(frozen=True)
class CostData:
    """Labels of a hierarchy, label sets, and texts of one length that they are given to."""

    labels: LabelSpace
    Y: sp.csr_matrix
    texts: list[str]
    source: str  # of labels and texts


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("--encoders", nargs="+", default=["compact", "minilm"], metavar="ENCODER")
    add("--texts", nargs="+", default=list(GENERATED_WORDS), help="of: long, arc, da20k")
    add("--steps", type=int, default=12, help="steps of a fit that are counted")
    add("--rounds", type=int, default=3, help="fits of each kind, in turn")
    add("--repeats", type=int, default=50, help="runs of the ranking block")
    add("--labels", type=int, metavar="N", help="a generated hierarchy of N labels, no set")
    add("--batch-size", type=int, default=_BATCH)
    add("--queue-size", type=int, default=_QUEUE)
    add("--device", default="cpu")
    add("--out", type=Path, default=_OUT, metavar="FILE")
    add("--force", action="store_true", help="repeat measurements that are in --out")


def measure(options):
    """Measure what is not kept, each case in a process of its own; return the exit status."""
    check_writable(options.out)
    check_names("texts", options.texts, list(GENERATED_WORDS))
    check_names("encoder", options.encoders, list(_WIDTHS))
    sizes = {name: getattr(options, name) for name in _SIZES}
    backbones = dict(find_encoder(name) for name in options.encoders)
    for kind in options.texts:
        data = cost_data(kind, options.labels)
        cases = {}
        if kind == options.texts[0]:
            cases["label distances"] = (measure_distances, (data.labels,), {})
            for width in sorted({_WIDTHS[name] for name in backbones}):
                case = {**sizes, "width": width, "repeats": options.repeats}
                cases[f"ranking block {width}"] = (measure_block, (data, case), case)
        for shown, backbone in backbones.items():
            case = {**sizes, "steps": options.steps, "rounds": options.rounds}
            arguments = (data, backbone, case, options.repeats)
            cases[f"step {shown} {kind}"] = (measure_steps, arguments, case)
        for name, (function, arguments, case) in cases.items():
            about = {"measurement": name, **case, "source": data.source}
            _measure(about, function, arguments, options)
    return 0


def _measure(about, function, arguments, options):
    from skrr2qc import __version__

    about = {**about, "version": __version__}
    if not options.force and any(about.items() <= line.items() for line in read_lines(options.out)):
        say(f"{about['measurement']}: kept; --force repeats it")
        return
    found = apart(function, *arguments)
    append_record(options.out, {**about, **found, **describe_machine()})
    print(about["measurement"], json.dumps(found), flush=True)


# ------------------------------------------------------------------------------------ data


def cost_data(kind, n_labels=None):
    """EURLEX57K's labels on texts of a kind, or generated ones where the sets are not at hand.

    Parameters
    ----------
    kind : {"long", "arc", "da20k"}
        Laws of more than 256 tokens, or the questions of another set.
    n_labels : int, default=None
        Of a generated hierarchy; no set is looked for.
    """
    root = Path(os.environ.get("SKRR2QC_DATA") or "-")
    if n_labels is not None or not (root / _SET / "labels.json").is_file():
        return generated_data(kind, n_labels or _N_LABELS)
    laws = load_set(root, _SET, n_characters=3_000, subset="subset_train5k")
    labels, Y, source = laws.labels, laws.train.Y, _SET
    labelled = np.flatnonzero(np.diff(Y.indptr))
    if kind == "long":
        long = [i for i in labelled if len(laws.train.texts[i]) >= 2_000]
        return CostData(labels, Y[long], [laws.train.texts[i] for i in long], source)
    if not (root / kind / "labels.json").is_file():
        texts, source = generated_data(kind, 10).texts, f"{_SET}, generated texts"
    else:
        texts, source = load_set(root, kind).train.texts, f"{_SET}, {kind}"
    return CostData(labels, Y[np.resize(labelled, len(texts))], texts, source)


def generated_data(kind, n_labels, n_texts=None):
    """Random words, and label sets of about five labels in a random DAG of depth about five."""
    n_texts = _N_GENERATED if n_texts is None else n_texts
    rng = np.random.default_rng(0)
    n_inner = max(2, n_labels // 10)
    parents = {}
    for node in range(2, n_inner + n_labels):
        above = rng.integers(max(0, node // 6), max(1, node // 3), size=rng.integers(1, 3))
        names = {f"node {a}" for a in above.clip(max=n_inner - 1)}
        parents[f"node {node}"] = sorted(names - {f"node {node}"})
    names = [f"node {i}" for i in range(n_inner, n_inner + n_labels)]
    labels = LabelSpace(names, parents=parents)
    counts = np.minimum(1 + rng.poisson(4, n_texts), n_labels)
    columns = np.concatenate([rng.choice(n_labels, c, replace=False) for c in counts])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(len(columns), dtype=np.float32)
    Y = sp.csr_matrix((ones, columns, indptr), shape=(n_texts, n_labels))
    words = rng.zipf(1.3, (n_texts, GENERATED_WORDS[kind])) % 20_000
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    return CostData(labels, Y, texts, f"generated, {n_labels} labels")


# ------------------------------------------------------------------------ what is measured


def measure_distances(labels):
    """Seconds of all distances between labels, prepared once."""
    start = time.perf_counter()
    distances = labels.distances()
    return {
        "seconds": time.perf_counter() - start,
        "n_labels": labels.n_labels,
        "n_nodes": labels.n_nodes,
        "max_depth": labels.max_depth,
        "is_tree": labels.is_tree,
        "distances_mib": distances.nbytes / 2**20,
    }


def measure_block(data, case):
    """Seconds and memory of ranks, closeness, loss and its gradient for one batch."""
    state = ranking_state(data, **{name: case[name] for name in _SIZES}, width=case["width"])
    n_repeats = case["repeats"]
    return {
        "seconds": _seconds(lambda: ranking_block(state), n_repeats),
        "ranks_seconds": _seconds(lambda: ranks_of(state), n_repeats),
        "extra_peak_mib": peak_allocation(lambda: ranking_block(state), case["device"]) / 2**20,
        "extra_peak_by": "torch's allocator, during one call",
        "geometry_mib": _bytes(state.geometry) / 2**20,  # distances, label vectors, label sets
        "queue_mib": _bytes(state.queue) / 2**20,
        "n_labels": data.labels.n_labels,
        "labels_per_text": data.Y.nnz / data.Y.shape[0],
    }


def ranking_state(data, *, batch_size, queue_size, width, device):
    """What the ranking part of a step looks at, random but for the labels; the queue is full.

    Returns
    -------
    state : SimpleNamespace
        geometry, queue, temperatures, and rows, queries and keys of one batch.
    """
    rng = torch.Generator().manual_seed(0)

    def unit(*shape):
        return F.normalize(torch.randn(*shape, generator=rng), dim=-1).to(device)

    labels, n_texts = data.labels, data.Y.shape[0]
    vectors = unit(labels.n_labels, width).cpu().numpy()
    geometry = LabelGeometry(
        data.Y, labels.distances(), 2 * labels.max_depth, label_vectors=vectors
    ).to(device)
    queue = KeyQueue(queue_size, keys=_PROJECTION, means=width).to(device)
    bank = torch.arange(queue_size, device=device) % n_texts
    queue.push(bank, keys=unit(queue_size, _PROJECTION), means=geometry.mean_vectors(bank))
    return SimpleNamespace(
        geometry=geometry,
        queue=queue,
        temperatures=ranking_temperatures(geometry.max_rank),
        rows=torch.randint(n_texts, (batch_size,), generator=rng).to(device),
        queries=unit(batch_size, _PROJECTION).requires_grad_(),
        keys=unit(batch_size, _PROJECTION),
    )


def ranking_block(state):
    """Loss of a batch, after its gradient: what `RCPTEncoder` does, from the same public parts.

    The gradient ends at the queries, where that of the backbone begins.
    """
    geometry, rows = state.geometry, state.rows
    columns, bank, ranks, n_shared = ranks_of(state)
    similarities = state.queries @ torch.cat([state.keys, columns["keys"]]).T
    means = geometry.mean_vectors(rows)
    bank_means = torch.cat([means, columns["means"]])
    closeness = geometry.closeness(rows, bank, n_shared, means, bank_means)
    valid = geometry.has_labels(rows)[:, None] & geometry.has_labels(bank)
    loss = ranking_contrastive_loss(similarities, ranks, state.temperatures, closeness, valid)
    state.queries.grad = None
    loss.backward()
    return loss.detach()


def ranks_of(state):
    """The first part of it: columns of the queue, rows of the bank, ranks, shared labels."""
    queue_rows, columns = state.queue.content()
    bank = torch.cat([state.rows, queue_rows])
    return columns, bank, *state.geometry.ranks(state.rows, bank)


def measure_steps(data, backbone, case, repeats):
    """Seconds of the steps of real fits, with and without ranking in turn, and their shares."""
    mlm, rcpt, ratios = [], [], []
    for _ in range(case["rounds"]):
        mlm.append(timed_fit(data, backbone, case, rank_weight=0))
        rcpt.append(timed_fit(data, backbone, case))
        ratios.append(_median(rcpt[-1], "step") / _median(mlm[-1], "step"))
    mlm, rcpt = np.concatenate(mlm), np.concatenate(rcpt)
    mlm_step, rcpt_step = _median(mlm, "step"), _median(rcpt, "step")
    key_forward, update = _median(rcpt, "key_forward"), _median(rcpt, "update")
    width = _WIDTHS["compact" if backbone == "compact" else "minilm"]
    state = ranking_state(data, **{name: case[name] for name in _SIZES}, width=width)
    block = _seconds(lambda: ranking_block(state), repeats)
    return {
        "mlm_step_seconds": mlm_step,
        "rcpt_step_seconds": rcpt_step,
        "ratio": float(np.median(ratios)),
        "ratios": ratios,
        "key_forward_seconds": key_forward,
        "update_seconds": update,
        "floor_ratio": (mlm_step + key_forward) / mlm_step,  # the momentum forward and no more
        "key_forward_percent": 100 * key_forward / rcpt_step,
        "update_percent": 100 * update / rcpt_step,
        "ranking_block_seconds": block,
        "ranking_block_percent": 100 * block / rcpt_step,
        "padded_tokens": float(rcpt["width"].mean()),
        "n_steps": [len(mlm), len(rcpt)],
    }


def timed_fit(data, backbone, case, **parameters):
    """Time the steps of one fit of `RCPTEncoder`, but for its first ones.

    Returns
    -------
    steps : structured ndarray with the fields step, key_forward, update (seconds) and width
        A step lasts from one forward pass to the next: masking, both passes, loss, optimizer,
        queue. The key forward is what the pass with momentum encoder takes longer than that of
        the language model within it, both projections included.
    """
    n_steps = _N_FIRST + case["steps"] + 1
    per_epoch = -(-len(data.texts) // case["batch_size"])
    encoder = RCPTEncoder(
        backbone, labels=data.labels, n_epochs=-(-n_steps // per_epoch), max_steps=n_steps,
        batch_size=case["batch_size"], queue_size=case["queue_size"], label_epochs=0,
        projection_size=_PROJECTION, device=case["device"], random_state=0, **parameters,
    )  # fmt: skip
    with timed_steps() as rows, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder.fit(data.texts, data.Y)
    starts = np.array([row.pop("start") for row in rows])
    kind = [("step", float), ("key_forward", float), ("update", float), ("width", float)]
    steps = [
        (seconds, row["key_forward"], row["update"], row["width"])
        for seconds, row in zip(np.diff(starts), rows, strict=False)
    ]
    return np.array(steps[_N_FIRST : _N_FIRST + case["steps"]], dtype=kind)


@contextmanager
def timed_steps():
    """Watch the modules that a fit trains; their queue is filled before the first step.

    Yields
    ------
    rows : list of dict
        One a step, in order.
    """
    rows, seconds = [], {"language_model": 0.0}
    forward, whole = MaskedLanguageModel.forward, RankingPretrainer.forward
    update = RankingPretrainer.update

    def language_model(self, input_ids, *args, **kwargs):
        start = _now()
        rows.append({"start": start, "key_forward": 0.0, "update": 0.0})
        rows[-1]["width"] = input_ids.shape[1]
        outputs = forward(self, input_ids, *args, **kwargs)
        seconds["language_model"] = _now() - start
        return outputs

    def both(self, *args, **kwargs):
        if not rows:
            _fill(self)
        start = _now()
        outputs = whole(self, *args, **kwargs)
        rows[-1]["key_forward"] = _now() - start - seconds["language_model"]
        return outputs

    def after_step(self, *args):
        start = _now()
        update(self, *args)
        rows[-1]["update"] = _now() - start

    with ExitStack() as stack:
        for owner, name, function in (
            (MaskedLanguageModel, "forward", language_model),
            (RankingPretrainer, "forward", both),
            (RankingPretrainer, "update", after_step),
        ):
            stack.enter_context(mock.patch.object(owner, name, function))
        yield rows


def peak_allocation(function, device="cpu"):
    """Most bytes that a call holds at once beyond those before it, as torch's allocator says.

    Each allocation and release of torch is read from a profile of the call on the CPU, so that
    buffers within an operation count; CUDA counts its peak itself.
    """
    function()
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        function()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    changes = [(e["ts"], e["args"]["Bytes"]) for e in events if e.get("name") == "[memory]"]
    held = np.cumsum([n_bytes for _, n_bytes in sorted(changes, key=lambda change: change[0])])
    return int(held.max(initial=0))


def _fill(pretrainer):
    """Push random keys until the queue is full, as it is after its first texts."""
    queue, geometry = pretrainer.queue, pretrainer.geometry
    device = queue.rows.device
    labelled = torch.arange(len(geometry.label_sets.indptr) - 1, device=device)
    labelled = labelled[geometry.has_labels(labelled)]
    rows = labelled[torch.arange(queue.size, device=device) % len(labelled)]
    keys = F.normalize(torch.randn(queue.size, queue.keys.shape[1], device=device), dim=-1)
    queue.push(rows, keys=keys, means=geometry.mean_vectors(rows))


def _seconds(function, repeats):
    """Median seconds of a call."""
    durations = []
    for _ in range(repeats + _N_FIRST):
        start = _now()
        function()
        durations.append(_now() - start)
    return float(np.median(durations[_N_FIRST:]))


def _now():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _median(steps, field):
    return float(np.median(steps[field]))


def _bytes(module):
    """Bytes of a module's buffers."""
    return sum(buffer.numel() * buffer.element_size() for buffer in module.buffers())
