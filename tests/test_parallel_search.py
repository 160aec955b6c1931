"""Grid searches by several processes: the scores of one, each fit done once, no fight for cores."""

import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from copy import deepcopy
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.fixes import parse_version

from skrr2qc import ClassCenterHead, MetaLabelReranker, RetrievalRerankClassifier
from skrr2qc._training import uses_bfloat16
from skrr2qc.persistence import load_model
from skrr2qc.testing import tiny_encoder as make_encoder
from tests.reference.counted_fits import (
    CountedEncoder,
    count_marks,
    mean_best_score,
    torch_threads,
)

N_FOLDS = 2
GRID = {"head__class_center_weight": [0.0, 0.2], "reranker__alpha": [0.5, 1.0]}
N_CANDIDATES = 4


def make_classifier(labels, folder, memory=None, **params):
    return RetrievalRerankClassifier(
        CountedEncoder(make_encoder(vocab_size=400, random_state=0), str(folder)),
        params.pop("head", ClassCenterHead(n_epochs=1)),
        params.pop("reranker", MetaLabelReranker()),
        labels=labels,
        validation_fraction=0.5,
        memory=memory,
        **{"random_state": 0, "lexical": None} | params,
    )


def search(classifier, questions, grid=GRID, scoring=mean_best_score, **params):
    search = GridSearchCV(classifier, grid, scoring=scoring, cv=N_FOLDS, **params)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*texts have no label")
        return search.fit(questions.texts, questions.Y.toarray())


def in_workers(backend="loky", **params):
    """As many threads a worker as here: sums depend on it in their last digits."""
    if backend == "loky":
        params["inner_max_num_threads"] = torch.get_num_threads()
    return joblib.parallel_config(backend=backend, n_jobs=2, **params)


def scores_of(search):
    results = search.cv_results_
    return np.array([results[f"split{fold}_test_score"] for fold in range(N_FOLDS)])


def marks(folder):
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def sequential(questions, tmp_path_factory):
    """Scores of one process without memory; the best classifier's scores of all texts."""
    folder = tmp_path_factory.mktemp("marks")
    fitted = search(make_classifier(questions.labels, folder), questions)
    scores = scores_of(fitted)
    assert len(np.unique(scores)) == scores.size  # a candidate in the place of another would show
    assert count_marks(folder, "encoder") == N_FOLDS * N_CANDIDATES + 1
    return scores, fitted.predict_proba(questions.texts)


def assert_same(fitted, sequential, questions, compare=assert_array_equal):
    compare(scores_of(fitted), sequential[0])
    compare(fitted.predict_proba(questions.texts), sequential[1])


def assert_same_vectors(found, expected):
    """Of texts in other company: float32 products see it in the last bit, bfloat16 hides it."""
    assert_allclose(found, expected, rtol=0 if uses_bfloat16("cpu") else 1e-5)


@pytest.mark.parametrize("with_memory", [False, True], ids=["without memory", "with memory"])
def test_processes_find_the_scores_of_one(tmp_path, questions, sequential, with_memory):
    memory = str(tmp_path / "memory") if with_memory else None
    folder = marks(tmp_path / "marks")
    with in_workers():
        fitted = search(make_classifier(questions.labels, folder, memory), questions)
    assert_same(fitted, sequential, questions)
    n_fits = N_FOLDS if with_memory else N_FOLDS * N_CANDIDATES
    assert count_marks(folder, "encoder") == n_fits + 1


def test_two_searches_at_a_time_share_their_fits(tmp_path, questions, sequential):
    """Two scripts of one user, each with a memory of its own over the same folder."""
    folder = marks(tmp_path / "marks")
    classifier = make_classifier(questions.labels, folder, str(tmp_path / "memory"))
    calls = [joblib.delayed(search)(classifier, questions) for _ in range(2)]
    with in_workers():
        fitted = joblib.Parallel()(calls)
    for one in fitted:
        assert_same(one, sequential, questions)
    assert count_marks(folder, "encoder") == N_FOLDS + 1


# ----------------------------------------------------------------------- vectors of the texts

LINEAR = OneVsRestClassifier(LogisticRegression(max_iter=1000))


def make_linear(questions, folder, memory, *, is_frozen, seed=None):
    """A head that learns from vectors; what is not seeded is fitted anew for each candidate."""
    head = clone(LINEAR).set_params(estimator__random_state=seed)
    params = {"head": head, "reranker": "passthrough"}
    classifier = make_classifier(questions.labels, folder, memory, **params)
    if is_frozen:
        encoder = clone(classifier.encoder).fit(questions.texts)
        classifier.set_params(encoder=FrozenEstimator(encoder))
    return classifier


@pytest.mark.parametrize(
    ("is_frozen", "seed", "n_jobs"),
    [(True, 0, 1), (True, None, 2), (False, None, 1), (False, 0, 2)],
)
def test_each_text_is_encoded_once(tmp_path, questions, n_jobs, seed, is_frozen):
    folder, memory = marks(tmp_path / "marks"), str(tmp_path / "memory")
    classifier = make_linear(questions, folder, memory, is_frozen=is_frozen, seed=seed)
    grid = {"head__estimator__C": [0.1, 1.0, 10.0]}
    with in_workers():
        fitted = search(classifier, questions, grid, n_jobs=n_jobs)
    n_texts = len({*questions.texts, *questions.labels.texts})
    n_encoders = 1 if is_frozen else N_FOLDS + 1
    assert count_marks(folder, "text") == n_encoders * n_texts
    again = search(classifier, questions, grid)
    assert count_marks(folder, "text") == n_encoders * n_texts
    plain = search(clone(classifier).set_params(memory=None), questions, grid)
    assert count_marks(folder, "text") > 3 * n_encoders * n_texts
    for other in (again, plain):
        expected = scores_of(other), other.predict_proba(questions.texts)
        assert_same(fitted, expected, questions, assert_same_vectors)


@pytest.fixture
def remembering(tmp_path, questions):
    """Classifier whose vectors are in a file, and the marks of its encoder."""
    folder = marks(tmp_path / "marks")
    memory = str(tmp_path / "memory")
    classifier = make_linear(questions, folder, memory, is_frozen=True)
    classifier.encoder = FrozenEstimator(classifier.encoder.encoder_)  # ours, which can be saved
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*texts have no label")
        return classifier.fit(questions.texts, questions.Y)


def test_copies_know_nothing_of_the_file(tmp_path, questions, remembering):
    scores = remembering.predict_proba(questions.texts)
    kept = [path.stat().st_size for path in tmp_path.rglob("*.sqlite")]
    assert len(kept) == 1
    remembering.save(tmp_path / "model")
    copies = [load_model(tmp_path / "model"), pickle.loads(pickle.dumps(remembering))]
    for copy in (*copies, deepcopy(remembering)):
        assert_same_vectors(copy.predict_proba(questions.texts), scores)
        copy.predict_proba([f"{i} texts that nobody has seen" for i in range(2000)])
    assert kept == [path.stat().st_size for path in tmp_path.rglob("*.sqlite")]


@pytest.mark.parametrize("content", [b"no database", None], ids=["other", "cut"])
def test_broken_file_of_vectors(tmp_path, questions, remembering, content):
    scores = remembering.predict_proba(questions.texts)
    (path,) = tmp_path.rglob("*.sqlite")
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.warns(UserWarning, match="Vectors cannot be kept .*Clear the folder"):
        assert_same_vectors(remembering.predict_proba(questions.texts), scores)


def test_vectors_in_a_cleared_memory(tmp_path, questions, remembering):
    scores = remembering.predict_proba(questions.texts)
    joblib.Memory(str(tmp_path / "memory"), verbose=0).clear(warn=False)
    assert_same_vectors(remembering.predict_proba(questions.texts), scores)


def test_what_is_no_text_is_refused_as_ever(questions, remembering):
    encoder = remembering.head_[0]
    assert encoder.transform(np.array(questions.texts, dtype=object)).shape == (80, 16)
    for wrong in ([1, 2], [], ["a", None]):
        with pytest.raises((TypeError, ValueError)) as expected:
            encoder.estimator.transform(wrong)
        with pytest.raises(expected.type, match=re.escape(str(expected.value))):
            encoder.transform(wrong)


# --------------------------------------------------------------------------- threads and forks

COUNT_THREADS = """
import json, os, sys, warnings
import joblib, torch
from skrr2qc.datasets import make_questions
from tests.reference.counted_fits import setting_left_behind, torch_threads
from tests.test_parallel_search import make_classifier, search

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    questions = make_questions(80, n_labels=12, random_state=0)
    classifier = make_classifier(questions.labels, sys.argv[1])
    classifier.fit(questions.texts, questions.Y)  # tokenizers and torch have their threads now
    before = torch.get_num_threads(), dict(os.environ)
    scoring = {"threads": torch_threads, "setting": setting_left_behind}
    grid = {"head__class_center_weight": [0.0, 0.2]}
    found = {"cores": joblib.cpu_count(), "granted": [], "seen": [], "settings": []}
    for n_threads in (None, 1):
        with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=n_threads):
            results = search(classifier, questions, grid, scoring, refit=False).cv_results_
        found["granted"].append(n_threads or max(1, joblib.cpu_count() // 2))
        threads = [results[f"split{fold}_test_threads"].tolist() for fold in range(2)]
        found["seen"].append(threads)
        found["settings"].append(results["mean_test_setting"].tolist())
    found["parent is as it was"] = before == (torch.get_num_threads(), dict(os.environ))
    print(json.dumps(found))
"""


def run_script(code, folder):
    """Output of a script whose environment says nothing of threads."""
    said = ("OMP", "MKL", "OPENBLAS", "TOKENIZERS", "RAYON", "LOKY")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(said)}
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    root = str(Path(__file__).parents[1])
    environment |= {"PYTHONPATH": root, "OMP_WAIT_POLICY": "passive"}  # cores may be busy
    run = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env=environment, cwd=root, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run


def test_workers_keep_to_the_threads_that_they_were_granted(tmp_path):
    run = run_script(COUNT_THREADS, tmp_path)
    found = json.loads(run.stdout.splitlines()[-1])
    for granted, seen in zip(found["granted"], found["seen"], strict=True):
        assert_array_equal(seen, np.full((2, 2), granted))
        assert 2 * granted <= max(2, found["cores"])
    assert_array_equal(found["settings"], 0)
    assert found["parent is as it was"]
    if parse_version(joblib.__version__) >= parse_version("1.5"):  # older ones fork a helper
        assert "just got forked" not in run.stderr  # what tokenizers say where a fork may hang


ONE_THREAD = """
import os, sys
import torch
from skrr2qc.datasets import make_questions
from skrr2qc._training import uses_bfloat16
from skrr2qc.persistence import load_model
from skrr2qc.testing import tiny_encoder

texts = make_questions(300, random_state=0).texts
encoder = tiny_encoder().fit(texts)
definition = encoder.tokenizer_.definition
tokenizer = type(encoder.tokenizer_)(definition, max_length=64)
several = tokenizer.encode(texts)
torch.set_num_threads(1)
alone = tokenizer.encode(texts)
print(several[1] == alone[1], all((a == b).all() for a, b in zip(several[0], alone[0])))
"""


def test_ids_are_the_same_on_one_thread(tmp_path):
    assert run_script(ONE_THREAD, tmp_path).stdout.split() == ["True", "True"]


# --------------------------------------------------------------------- clusters, as local ones


@pytest.fixture
def dask_cluster():
    distributed = pytest.importorskip("distributed", reason="needs skrr2qc[parallel]")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, distributed.Client(cluster):
        yield "dask"


@pytest.fixture
def ray_cluster(monkeypatch):
    ray = pytest.importorskip("ray", reason="needs skrr2qc[parallel]")
    from ray.util.joblib import register_ray

    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    register_ray()
    yield "ray"
    ray.shutdown()


@pytest.fixture(params=["dask", "ray"])
def cluster(request):
    return request.getfixturevalue(f"{request.param}_cluster")


@pytest.mark.slow
def test_clusters_find_the_scores_of_one(tmp_path, questions, sequential, cluster):
    for memory in (None, str(tmp_path / "memory")):
        folder = marks(tmp_path / f"marks-{memory is None}")
        with in_workers(cluster):
            fitted = search(make_classifier(questions.labels, folder, memory), questions)
        assert_same(fitted, sequential, questions)
        n_fits = N_FOLDS * N_CANDIDATES if memory is None else N_FOLDS
        assert count_marks(folder, "encoder") == n_fits + 1


@pytest.mark.slow
def test_workers_of_clusters_have_a_thread_each(tmp_path, questions, cluster):
    grid = {"head__class_center_weight": [0.0, 0.2]}
    classifier = make_classifier(questions.labels, marks(tmp_path / "marks"))
    with in_workers(cluster):
        fitted = search(classifier, questions, grid, torch_threads, refit=False)
    assert_array_equal(scores_of(fitted), 1)


@pytest.mark.slow
def test_fits_that_would_be_shared_out_do_not_wait_for_each_other(tmp_path, questions, cluster):
    """Tasks of a fit under a lock must not queue behind the workers that wait for the lock."""
    folder = marks(tmp_path / "marks")
    grid = {"threshold": ["global", "per_label", "top_k", "cardinality"]}
    memory = str(tmp_path / "memory")
    classifier = make_linear(questions, folder, memory, is_frozen=False, seed=0)
    with in_workers(cluster):
        fitted = search(classifier, questions, grid)
    assert count_marks(folder, "encoder") == N_FOLDS + 1
    expected = search(classifier.set_params(memory=None), questions, grid)
    assert_array_equal(scores_of(fitted), scores_of(expected))
