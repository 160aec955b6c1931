"""What a service relies on: threads, batches of any make, and memory that does not grow."""

import gc
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc.datasets import make_questions
from skrr2qc.metrics import top_k
from skrr2qc.testing import make_tiny_texts, tiny_encoder
from skrr2qc.text import TokenBatches
from tests.reference.tiny_bert import save_tiny_bert

ROOT = Path(__file__).resolve().parents[1]
KINDS = ["compact", "transformer", "csr", "dense"]
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def data():
    """Enough rows to hold some out, so that all channels, and reranking, take part."""
    return make_questions(240, n_labels=12, random_state=0)


@pytest.fixture(scope="module")
def served(data):
    """64 texts: of many lengths, longer than is read, and without a word."""
    words = ["area", "of", "the", "circle", "root", "equation", "mean", "a", "sample"]
    lengths = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 18, 19, 23, 24, 31, 40, 63, 90, 400]
    made = [" ".join((words * 50)[i : i + n]) for i, n in enumerate(lengths)]
    return made + list(data.texts[: 64 - len(made)])


@pytest.fixture(scope="module")
def classifiers(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_bert")
    save_tiny_bert(folder)
    encoders = {
        "compact": RCPTEncoder(hidden_size=32, n_epochs=0),
        "transformer": RCPTEncoder(str(folder), n_epochs=0),
        "csr": TfidfVectorizer(),
        "dense": make_pipeline(TfidfVectorizer(), TruncatedSVD(24, random_state=0)),
    }
    fitted = {}

    def get(kind):
        if kind not in fitted:
            head = ClassCenterHead(n_epochs=8 if kind in ("csr", "dense") else 3)
            classifier = RetrievalRerankClassifier(
                encoders[kind], head, labels=data.labels, random_state=0
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                fitted[kind] = classifier.fit(list(data.texts), data.Y)
        return fitted[kind]

    return get


# ------------------------------------------------------------------------------------ batches


def in_batches(score, texts, size):
    return np.vstack([score(texts[i : i + size]) for i in range(0, len(texts), size)])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_the_batch(classifiers, served, kind):
    """Scores of a text alone were up to 1e-5 away from those in a batch: padding, and products
    of one row, round otherwise; twenty times a cosine, and a slope after that, made it visible.
    """
    classifier = classifiers(kind)
    together = classifier.predict_proba(served)
    names, _ = classifier.predict_topk(served, k=5)
    order = np.random.default_rng(0).permutation(len(served))
    back = np.argsort(order)
    shuffled = [served[i] for i in order]
    assert_allclose(classifier.predict_proba(shuffled)[back], together, rtol=0, atol=TOLERANCE)
    assert_array_equal(classifier.predict_topk(shuffled, k=5)[0][back], names)
    for size in (1, 2, 7):
        scores = in_batches(classifier.predict_proba, served, size)
        assert_allclose(scores, together, rtol=0, atol=TOLERANCE, err_msg=f"batches of {size}")
        found = in_batches(lambda texts: classifier.predict_topk(texts, k=5)[0], served, size)
        assert_array_equal(found, names)
    spread = together.max(axis=1) - together.min(axis=1)
    assert spread.mean() > 1e3 * TOLERANCE  # scores that are all alike would prove nothing


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_and_meta_scores_do_not_depend_on_the_batch(classifiers, served, kind):
    head = classifiers(kind).head_
    alone = np.vstack([head.embed([text]) for text in served])
    assert_allclose(head.embed(served), alone, rtol=0, atol=TOLERANCE)
    assert head.meta_coef_ is not None
    together = head.score_meta(alone)
    each = np.vstack([head.score_meta(row[None, :]) for row in alone])
    assert_allclose(each, together, rtol=1e-7)


def test_labels_that_are_alike_keep_the_order_of_their_columns(served, data):
    """Equal weights have equal scores in batches of any size, and the lower column goes first."""
    head = ClassCenterHead(n_epochs=1, random_state=0).fit(np.eye(12)[:, :9], np.eye(12))
    layer = head.module_.head
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter[3:] = parameter[2].clone()
    X = np.random.default_rng(0).normal(size=(33, 9))
    together = top_k(head.predict_proba(X), 12)
    alone = np.vstack([top_k(head.predict_proba(X[i : i + 1]), 12) for i in range(len(X))])
    assert_array_equal(alone, together)
    alike = np.array([[j for j in row if j >= 2] for row in together])
    assert_array_equal(alike, np.tile(np.arange(2, 12), (len(X), 1)))


def test_texts_travel_with_those_of_their_padded_length():
    lengths = [20, 0, 3, 8, 9, 16, 17, 19, 20, 5]
    ids = [np.full(n, 5, dtype=np.int32) for n in lengths]
    batches = TokenBatches(ids, batch_size=3, max_length=20)
    seen = [inputs["attention_mask"] for inputs, _ in batches]
    assert [tuple(mask.shape) for mask in seen] == [(3, 20), (1, 20), (2, 16), (3, 8), (1, 8)]
    travelled = np.concatenate([mask.sum(dim=1).numpy() for mask in seen])
    assert_array_equal(travelled, np.array(lengths)[batches.order])
    assert len(batches) == len(seen)
    bounded = TokenBatches(ids, batch_size=9, max_length=20, max_tokens=40)
    assert max(mask.numel() for mask in (i["attention_mask"] for i, _ in bounded)) == 40
    with pytest.raises(ValueError, match="`max_length` and `rng` do not go together"):
        TokenBatches(ids, max_length=20, rng=np.random.default_rng(0))


# ------------------------------------------------------------------------------------ threads

IN_THREADS = """
import random, sys, threading
from concurrent.futures import ThreadPoolExecutor
from skrr2qc.persistence import load_model

texts = [f"area of the {w} of a sample mean" + " root" * i for i, w in enumerate(["circle"] * 16)]
tasks = [(m, texts[i : i + 4 + i]) for i in range(8) for m in ("proba", "topk", "explain")]
barrier = threading.Barrier(8)


def ask(model, task):
    method, given = task
    if method == "proba":
        return model.predict_proba(given).tobytes()
    if method == "topk":
        names, scores = model.predict_topk(given, k=3)
        return names.tolist(), scores.tobytes()
    return repr(model.explain(given, k=2))


def work(model, mine):
    barrier.wait()  # all begin with a call that nobody has made before
    return [ask(model, task) for task in mine]


for folder in sys.argv[1:]:
    model = load_model(folder)
    shares = [tasks[i::8] + tasks[i : i + 1] for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda mine: work(model, mine), shares))
    fresh = load_model(folder)
    expected = [[ask(fresh, task) for task in mine] for mine in shares]
    assert found == expected, f"threads disagree with one another: {folder}"
    assert found == [[ask(model, task) for task in mine] for mine in shares]
print("equal")
"""


def test_first_calls_from_eight_threads_equal_sequential_ones(classifiers, tmp_path):
    """In a process of its own, where whatever is imported lazily has not been imported yet."""
    folders = []
    for kind in ("compact", "transformer", "csr"):
        folders.append(str(tmp_path / kind))
        classifiers(kind).save(folders[-1])
    run = subprocess.run(
        [sys.executable, "-c", IN_THREADS, *folders],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "equal"


def global_state():
    import random

    numpy_state = np.random.get_state()  # noqa: NPY002  the state that must not be touched
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (numpy_state[1].tolist(), numpy_state[2]),
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": list(warnings.filters),
    }


@pytest.mark.parametrize("kind", ["compact", "transformer"])
def test_predictions_touch_no_global_state(classifiers, served, kind):
    classifier, before = classifiers(kind), global_state()
    classifier.predict_proba(served[:20])
    classifier.predict_topk(served[:20], k=2)
    classifier.predict(served[:20])
    classifier.explain(served[0])
    assert global_state() == before


# ------------------------------------------------------------------------------------- memory


def resident_bytes():
    """Memory of this process that is in use now; None where nobody counts it."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def one_round(texts, Y, seed):
    classifier = RetrievalRerankClassifier(
        tiny_encoder(), ClassCenterHead(n_epochs=1), refit=False, random_state=seed
    ).fit(texts, Y)
    classifier.predict_proba(texts)
    classifier.predict_topk(texts, k=2)
    classifier.explain(texts[0], k=1)


def measured():
    gc.collect()
    return tracemalloc.get_traced_memory()[0], resident_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("n_rounds", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_fits_and_predictions(n_rounds):
    texts, Y = make_tiny_texts(40)
    for seed in range(5):  # what is imported, compiled and pooled once
        one_round(texts, Y, seed)
    tracemalloc.start()
    try:
        one_round(texts, Y, 5)
        objects, resident = measured()
        for seed in range(n_rounds):
            one_round(texts, Y, seed)
        objects_after, resident_after = measured()
    finally:
        tracemalloc.stop()
    # One tiny model takes 100 KB: were it kept, 20 rounds would leave 2 MB.
    assert objects_after - objects < 200_000 + 1_000 * n_rounds
    if resident is not None:
        assert resident_after - resident < 24 * 2**20
