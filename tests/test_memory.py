"""Caches: never another score, every fit counted, nothing stored twice, nothing fitted twice."""

import errno
import logging
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path

import joblib
import numpy as np
import pytest
from filelock import FileLock, SoftFileLock
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from skrr2qc import (
    ClassCenterHead,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TfidfLinearClassifier,
)
from skrr2qc._memory import check_cacheable, fit_cached
from skrr2qc.testing import tiny_encoder as make_encoder
from tests.reference.counted_fits import (
    PATIENCE,
    CountedFit,
    FailingFit,
    Outer,
    count_marks,
    fit_in_process,
    wait_until,
)
from tests.reference.tiny_bert import save_tiny_bert


@pytest.fixture(autouse=True)
def _warnings_of_joblib_are_errors():
    """joblib only warns where a result cannot be stored or a file is broken."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="joblib")
        warnings.filterwarnings("error", message=".*([Cc]ache|[Pp]ersist|[Pp]ickl|collision)")
        yield


@pytest.fixture
def count_fits(monkeypatch):
    """Function that counts the calls of a class's fit from now on."""

    def watch(kind):
        calls, fit = [], kind.fit

        @wraps(fit)  # or its parameters were no longer known
        def counting(self, *args, **kwargs):
            calls.append(self)
            return fit(self, *args, **kwargs)

        monkeypatch.setattr(kind, "fit", counting)
        return calls

    return watch


def make_classifier(labels, memory=None, **params):
    return RetrievalRerankClassifier(
        make_encoder(vocab_size=400, random_state=None),
        ClassCenterHead(n_epochs=1),
        MetaLabelReranker(ClassCenterHead(n_epochs=1)),
        labels=labels,
        validation_fraction=0.5,
        memory=memory,
        **{"random_state": 0, "lexical": None} | params,
    )


def quiet_fit(estimator, X, Y):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*texts have no label")
        return estimator.fit(X, Y)


# ---------------------------------------------------------------------------- the whole classifier


@pytest.mark.parametrize("lexical", [None, "tfidf"])
def test_scores_are_the_same_with_and_without(tmp_path, questions, lexical):
    X, Y, labels = questions.texts, questions.Y, questions.labels
    plain = quiet_fit(make_classifier(labels, lexical=lexical), X, Y)
    expected = plain.predict_proba(X)
    for state in ("empty", "filled"):
        cached = make_classifier(labels, joblib.Memory(tmp_path, verbose=0), lexical=lexical)
        quiet_fit(cached, X, Y)
        assert_array_equal(cached.predict_proba(X), expected, err_msg=f"{state} cache")
        assert_array_equal(cached.threshold_, plain.threshold_)
        assert_array_equal(cached.pipeline_.predict_proba(X), expected)


def test_second_fit_trains_nothing(tmp_path, questions, count_fits):
    kinds = (RCPTEncoder, ClassCenterHead, MetaLabelReranker)
    fits = {kind: count_fits(kind) for kind in kinds}
    for expected in ({"any": True}, {"any": False}):
        classifier = make_classifier(questions.labels, str(tmp_path))
        quiet_fit(classifier, questions.texts, questions.Y)
        assert all(bool(calls) == expected["any"] for calls in fits.values())
        for calls in fits.values():
            calls.clear()


def test_grid_over_reranker_parameters_fits_the_encoder_once_a_fold(
    tmp_path, questions, count_fits
):
    n_folds = 2
    grid = GridSearchCV(
        make_classifier(questions.labels, str(tmp_path)),
        {"reranker__alpha": [0.0, 0.5, 1.0]},
        scoring=lambda fitted, X, y: float(fitted.predict_proba(X).max(axis=1).mean()),
        cv=n_folds,
    )
    encoders, heads = count_fits(RCPTEncoder), count_fits(ClassCenterHead)
    quiet_fit(grid, questions.texts, questions.Y)
    assert len(encoders) == n_folds + 1
    # Each part is trained on the rows that are not held out, and on all: the head once a fold,
    # the meta-label classifier once for each alpha; and both once more to refit.
    n_alphas = len(grid.param_grid["reranker__alpha"])
    assert len(heads) <= n_folds * (2 + 2 * n_alphas) + 2 + 2
    encoders.clear()
    without = grid.set_params(estimator__memory=None)
    quiet_fit(without, questions.texts, questions.Y)
    assert len(encoders) == n_folds * n_alphas + 1  # what memory saves


def test_head_is_not_trained_again_for_another_reranker(tmp_path, questions, count_fits):
    classifier = make_classifier(questions.labels, str(tmp_path))
    quiet_fit(classifier, questions.texts, questions.Y)
    fits = count_fits(ClassCenterHead)
    n_labels = questions.Y.shape[1]
    quiet_fit(classifier.set_params(reranker__alpha=0.5), questions.texts, questions.Y)
    assert not [head for head in fits if len(head.classes_) == n_labels]


def test_random_state_none_is_never_cached(tmp_path, questions, count_fits):
    fits = count_fits(RCPTEncoder)
    for _ in range(2):
        classifier = make_classifier(questions.labels, str(tmp_path), random_state=None)
        quiet_fit(classifier, questions.texts, questions.Y)
    assert len(fits) == 2
    assert not list(tmp_path.rglob("output.pkl"))


# ----------------------------------------------------------------------------------- single fits


def stored(folder):
    return [joblib.load(path) for path in sorted(folder.rglob("output.pkl"))]


def test_encoder_is_not_stored_with_a_head(tmp_path, tiny_encoder, labelled_texts):
    frozen, memory = FrozenEstimator(tiny_encoder), joblib.Memory(tmp_path, verbose=0)
    head = ClassCenterHead(n_epochs=1, random_state=0)
    first = fit_cached(memory, head, *labelled_texts, encoder=frozen)
    assert first.encoder.estimator is tiny_encoder
    (content,) = stored(tmp_path)
    assert content.encoder is None
    assert content.encoder_ is None
    (path,) = tmp_path.rglob("output.pkl")
    assert tiny_encoder.tokenizer_.definition.encode() not in path.read_bytes()
    second = fit_cached(memory, head, *labelled_texts, encoder=frozen)
    X = labelled_texts[0]
    assert_array_equal(second.predict_proba(X), first.predict_proba(X))


def test_vectorizer_is_not_stored_with_a_head(tmp_path, labelled_texts):
    X, Y = labelled_texts
    frozen = FrozenEstimator(TfidfVectorizer().fit(X))
    head = ClassCenterHead(n_epochs=1, random_state=0)
    fits = [fit_cached(str(tmp_path), head, X, Y, encoder=frozen) for _ in range(2)]
    assert stored(tmp_path)[0].encoder_ is None
    assert_array_equal(fits[0].predict_proba(X), fits[1].predict_proba(X))


def test_encoder_is_not_stored_with_a_reranker(tmp_path, tiny_encoder, questions):
    reranker = MetaLabelReranker(ClassCenterHead(n_epochs=1), labels=questions.labels)
    reranker.set_params(random_state=0)
    frozen = FrozenEstimator(tiny_encoder)
    fits = [
        fit_cached(str(tmp_path), reranker, questions.texts, questions.Y, encoder=frozen)
        for _ in range(2)
    ]
    (path,) = tmp_path.rglob("output.pkl")
    assert tiny_encoder.tokenizer_.definition.encode() not in path.read_bytes()
    first, second = (fitted.meta_scores(questions.texts) for fitted in fits)
    assert_array_equal(first, second)


def other_encoder(encoder, X):
    return make_encoder(vocab_size=500, random_state=1).fit(X)


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        (lambda X, Y, head, encoder: (list(X), Y.copy(), head, encoder), True),
        (lambda X, Y, head, encoder: (X[1:], Y[1:], head, encoder), False),
        (lambda X, Y, head, encoder: (["?", *X[1:]], Y, head, encoder), False),
        (lambda X, Y, head, encoder: (X, Y[::-1], head, encoder), False),
        (lambda X, Y, head, encoder: (X, Y, head.set_params(lr=0.5), encoder), False),
        (lambda X, Y, head, encoder: (X, Y, head.set_params(random_state=1), encoder), False),
        (lambda X, Y, head, encoder: (X, Y, head, other_encoder(encoder, X)), False),
    ],
    ids=["equal", "fewer rows", "another text", "other targets", "parameter", "seed", "encoder"],
)
def test_key(tmp_path, tiny_encoder, labelled_texts, count_fits, change, is_known):
    X, Y = labelled_texts
    head = ClassCenterHead(n_epochs=1, random_state=0)
    fit_cached(str(tmp_path), head, X, Y, encoder=FrozenEstimator(tiny_encoder))
    fits = count_fits(ClassCenterHead)
    X, Y, head, encoder = change(X, Y, head, tiny_encoder)
    fit_cached(str(tmp_path), head, X, Y, encoder=FrozenEstimator(encoder))
    assert bool(fits) != is_known


def test_key_holds_the_version(tmp_path, labelled_texts, count_fits, monkeypatch):
    encoder = make_encoder(vocab_size=400)
    fit_cached(str(tmp_path), encoder, *labelled_texts)
    fits = count_fits(RCPTEncoder)
    monkeypatch.setattr("skrr2qc._memory.__version__", "0.0.next")
    fit_cached(str(tmp_path), encoder, *labelled_texts)
    assert len(fits) == 1


def test_unlabeled_texts_are_part_of_the_key(tmp_path, labelled_texts, count_fits):
    X, Y = labelled_texts
    encoder = make_encoder(vocab_size=400, n_epochs=1)
    fits, vectors = count_fits(RCPTEncoder), []
    given = [None, ["one more text"], ["another text"], ["one more text"], None]
    for unlabeled in given:
        fitted = fit_cached(str(tmp_path), encoder, X, Y, unlabeled=unlabeled)
        vectors.append(fitted.transform(X))
    assert len(fits) == 3
    assert_array_equal(vectors[3], vectors[1])
    assert_array_equal(vectors[4], vectors[0])
    assert len(np.unique([v.sum() for v in vectors[:3]])) == 3
    plain = fit_cached(None, encoder, X, Y, unlabeled=given[1])
    assert_array_equal(plain.transform(X), vectors[1])


def test_unlabeled_texts_pass_through_the_classifier(tmp_path, questions, count_fits):
    X, Y, more = list(questions.texts), questions.Y, ["a text without labels"]
    fits, scores = count_fits(RCPTEncoder), []
    for memory, unlabeled in ((None, more), (tmp_path, more), (tmp_path, more), (tmp_path, None)):
        classifier = make_classifier(None, memory and str(memory))
        classifier.set_params(reranker="passthrough", encoder__n_epochs=1)
        scores.append(classifier.fit(X, Y, unlabeled=unlabeled).predict_proba(X))
    assert len(fits) == 3
    assert_array_equal(scores[1], scores[0])
    assert_array_equal(scores[2], scores[0])
    assert not np.array_equal(scores[3], scores[0])


def test_given_estimator_stays_unfitted(tmp_path, labelled_texts):
    encoder = make_encoder(vocab_size=400)
    for memory in (None, str(tmp_path)):
        assert fit_cached(memory, encoder, *labelled_texts) is not encoder
        assert not hasattr(encoder, "backbone_")


@pytest.mark.parametrize(
    ("estimator", "is_stored"),
    [
        (TfidfLinearClassifier(C=1.0, random_state=0), True),
        (TfidfLinearClassifier(C=1.0), False),
        (TfidfVectorizer(), True),  # takes no seed
        (make_pipeline(TfidfVectorizer(), OneVsRestClassifier(SGDClassifier())), False),
        (
            make_pipeline(TfidfVectorizer(), OneVsRestClassifier(SGDClassifier(random_state=0))),
            True,
        ),
        (
            make_pipeline(
                TfidfVectorizer(), OneVsRestClassifier(LogisticRegression(random_state=np.int64(3)))
            ),
            True,
        ),
    ],
    ids=["seed", "no seed", "takes none", "part without seed", "part with seed", "numpy seed"],
)
def test_only_what_can_be_repeated_is_stored(tmp_path, labelled_texts, estimator, is_stored):
    """A pipeline whose classifier had no seed was remembered all the same."""
    X, Y = labelled_texts
    fit_cached(str(tmp_path), estimator, X, Y.toarray())
    assert bool(stored(tmp_path)) == is_stored


def test_other_weights_in_the_same_folder_are_another_encoder(tmp_path):
    """The key once held the folder's name alone, so that a re-trained encoder was never read."""
    folder, memory = tmp_path / "encoder", str(tmp_path / "memory")
    vectors = []
    for seed in (0, 0, 1):
        if len(vectors) != 1:
            save_tiny_bert(folder, seed=seed)
        encoder = fit_cached(memory, RCPTEncoder(str(folder), random_state=0), ["mean"], None)
        vectors.append(encoder.transform(["mean"]))
    assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])


# ------------------------------------------------------------------- what cannot be remembered


def plain_loss(logits, Y):
    return (logits - Y).square().mean()


def unnamed_loss():
    return lambda logits, Y: (logits - Y).square().mean()


def head_with(loss, **params):
    return ClassCenterHead(loss=loss, n_epochs=1, random_state=0).set_params(**params)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (head_with(unnamed_loss()), "loss"),
        (MetaLabelReranker(head_with(unnamed_loss()), random_state=0), "classifier__loss"),
        (
            make_pipeline(TfidfVectorizer(tokenizer=lambda text: text.split())),
            "tfidfvectorizer__tokenizer",
        ),
    ],
    ids=["head", "reranker", "pipeline"],
)
def test_parameter_that_has_no_content_to_be_known_by(tmp_path, estimator, name):
    """A lambda as `loss` failed in joblib, after the encoder had been trained."""
    message = f"`{name}` == .*, which cannot be pickled.*top level of a module, or set memory=None"
    for memory in (str(tmp_path), joblib.Memory(tmp_path, verbose=0)):
        with pytest.raises(TypeError, match=message):
            check_cacheable(memory, estimator)
        with pytest.raises(TypeError, match=message):
            fit_cached(memory, estimator, ["a text"], None)
    check_cacheable(None, estimator)
    assert not list(tmp_path.rglob("output.pkl"))


def test_what_is_never_remembered_may_hold_anything(tmp_path, labelled_texts):
    X, Y = labelled_texts
    encoder = FrozenEstimator(make_encoder(vocab_size=400).fit(X))
    head = head_with(unnamed_loss(), random_state=None)
    check_cacheable(str(tmp_path), head)
    scores = fit_cached(str(tmp_path), head, X, Y, encoder=encoder).predict_proba(X)
    assert scores.shape == Y.shape


def test_function_with_a_name_is_remembered(tmp_path, labelled_texts, count_fits):
    X, Y = labelled_texts
    encoder = FrozenEstimator(make_encoder(vocab_size=400).fit(X))
    fits = count_fits(ClassCenterHead)
    for _ in range(2):
        check_cacheable(str(tmp_path), head_with(plain_loss))
        fit_cached(str(tmp_path), head_with(plain_loss), X, Y, encoder=encoder)
    assert len(fits) == 1


def test_what_is_no_memory(labelled_texts):
    with pytest.raises(ValueError, match="'memory' should be None"):
        check_cacheable(3, ClassCenterHead())


def test_pipeline_is_stored_without_its_frozen_encoder(tmp_path, tiny_encoder, labelled_texts):
    """Every pipeline over an encoder once held another copy of it."""
    X, Y = labelled_texts
    frozen = FrozenEstimator(tiny_encoder)
    linear = OneVsRestClassifier(LogisticRegression(random_state=0))
    pipeline = make_pipeline(frozen, linear)
    plain = clone(pipeline).fit(X, Y.toarray())
    for _ in range(2):
        fitted = fit_cached(str(tmp_path), pipeline, X, Y.toarray())
        assert fitted[0].estimator is tiny_encoder
        assert_array_equal(fitted.predict_proba(X), plain.predict_proba(X))
    assert pipeline[0] is frozen
    (path,) = tmp_path.rglob("output.pkl")
    assert tiny_encoder.tokenizer_.definition.encode() not in path.read_bytes()
    other = make_pipeline(FrozenEstimator(other_encoder(None, X)), linear)
    fit_cached(str(tmp_path), other, X, Y.toarray())
    assert len(stored(tmp_path)) == 2


# -------------------------------------------------------------- several that need the same fit

TEXTS = ["one", "two", "three"]


@pytest.fixture
def counted(tmp_path):
    """Estimator that counts its fits, in files, for processes to share."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return CountedFit(str(folder))


@pytest.fixture
def memory(tmp_path):
    return joblib.Memory(tmp_path / "memory", verbose=0)


def locks(memory):
    return sorted(Path(memory.location).rglob("*.lock"))


def in_thread(function, *args):
    """Future of a call; its result has to come before patience ends."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *args)
    pool.shutdown(wait=False)
    return future


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_one_fit_for_all_who_need_it(counted, memory, backend):
    calls = [joblib.delayed(fit_in_process)(memory, counted, TEXTS) for _ in range(6)]
    for _ in range(2):
        lengths = joblib.Parallel(n_jobs=2, backend=backend)(calls)
        assert_array_equal(lengths, [[3, 3, 5]] * 6)
        assert count_marks(counted.folder, "fit") == 1


def test_lock_has_the_name_of_what_it_locks(counted, memory, tmp_path):
    for n in range(3):
        fit_cached(memory, clone(counted).set_params(n=n), TEXTS, None)
    results = {path.parent.name for path in tmp_path.rglob("output.pkl")}
    assert {path.stem for path in locks(memory)} == results | {"function"}
    assert len(results) == 3


def test_other_fits_do_not_wait(counted, memory):
    """Both are in their fits at once, or the test would fail by its patience."""
    hold = Path(counted.folder, "hold-fit")
    hold.touch()
    others = [clone(counted).set_params(n=n) for n in range(3)]
    futures = [in_thread(fit_in_process, memory, other, TEXTS) for other in others]
    wait_until(lambda: count_marks(counted.folder, "fit") == 3)
    hold.unlink()
    assert all(future.result(PATIENCE).tolist() == [3, 3, 5] for future in futures)


def test_who_reads_does_not_wait(counted, memory):
    fit_cached(memory, counted, TEXTS, None)
    (path,) = (path for path in locks(memory) if path.stem != "function")
    with FileLock(path):
        assert in_thread(fit_in_process, memory, counted, TEXTS).result(PATIENCE).sum() == 11
    assert count_marks(counted.folder, "fit") == 1


def test_fit_within_a_fit(counted, memory):
    outer = Outer(counted, memory)
    fits = [in_thread(fit_cached, memory, outer, TEXTS, None) for _ in range(3)]
    assert all(fit.result(PATIENCE).inner_.lengths_.sum() == 11 for fit in fits)
    assert [count_marks(counted.folder, kind) for kind in ("outer", "fit")] == [1, 1]


def test_failed_fit_sets_the_lock_free(memory):
    for _ in range(2):
        future = in_thread(fit_cached, memory, FailingFit(), TEXTS, None)
        with pytest.raises(ArithmeticError):
            future.result(PATIENCE)


def start_process(memory, estimator):
    code = (
        "import joblib, sys\n"
        "from pathlib import Path\n"
        "from tests.reference.counted_fits import *\n"
        "location, folder = sys.argv[1:]\n"
        "fit_in_process(joblib.Memory(Path(location), verbose=0), CountedFit(folder), "
        f"{TEXTS!r})"
    )
    location = str(Path(memory.location))
    return subprocess.Popen(
        [sys.executable, "-c", code, location, estimator.folder], cwd=Path(__file__).parents[1]
    )


@pytest.mark.parametrize("moment", ["fit", "dump"])
@pytest.mark.parametrize("verbose", [0, 1])
def test_killed_owner(counted, memory, caplog, moment, verbose):
    """The one that waits goes on, and takes nothing that was written half."""
    hold = Path(counted.folder, f"hold-{moment}")
    hold.touch()
    process = start_process(memory, counted)
    try:
        wait_until(lambda: count_marks(counted.folder, moment) == 1)
        if verbose:  # else nobody waits when it is killed
            caplog.set_level(logging.INFO, "skrr2qc")
            waiting = in_thread(fit_in_process, memory, counted, TEXTS)
            wait_until(lambda: "CountedFit is being fitted elsewhere" in caplog.text)
    finally:
        process.kill()
        process.wait()
    hold.unlink()
    if not verbose:
        waiting = in_thread(fit_in_process, memory, counted, TEXTS)
    assert waiting.result(PATIENCE).tolist() == [3, 3, 5]
    assert count_marks(counted.folder, "fit") == 2
    assert fit_cached(memory, counted, TEXTS, None).lengths_.tolist() == [3, 3, 5]
    assert count_marks(counted.folder, "fit") == 2
    assert len([record for record in caplog.records if "elsewhere" in record.message]) == verbose


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_broken_result_is_made_anew_by_one(counted, memory, tmp_path, caplog, share):
    fit_cached(memory, counted, TEXTS, None)
    (path,) = tmp_path.rglob("output.pkl")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    calls = [joblib.delayed(fit_in_process)(memory, counted, TEXTS) for _ in range(4)]
    lengths = joblib.Parallel(n_jobs=2, backend="threading")(calls)
    assert_array_equal(lengths, [[3, 3, 5]] * 4)
    assert count_marks(counted.folder, "fit") == 2
    assert path.read_bytes() == whole
    assert "Exception while loading results" in caplog.text  # of joblib: somebody should know


def test_memory_cleared_during_a_fit(counted, memory):
    hold = Path(counted.folder, "hold-fit")
    hold.touch()
    fits = [in_thread(fit_in_process, memory, counted, TEXTS)]
    wait_until(lambda: count_marks(counted.folder, "fit") == 1)
    memory.clear(warn=False)
    fits.append(in_thread(fit_in_process, memory, counted, TEXTS))
    wait_until(lambda: count_marks(counted.folder, "fit") == 2)  # what it locked is gone
    hold.unlink()
    assert [fit.result(PATIENCE).sum() for fit in fits] == [11, 11]
    fit_cached(memory, counted, TEXTS, None)
    assert count_marks(counted.folder, "fit") == 2


class LockWithoutFolder(FileLock):
    n_refused = 0

    def acquire(self, *args, **kwargs):
        if self.n_refused == 0:
            type(self).n_refused += 1
            raise FileNotFoundError(self.lock_file)
        return super().acquire(*args, **kwargs)


def test_folder_of_locks_cleared_at_the_worst_moment(counted, memory, monkeypatch):
    monkeypatch.setattr("skrr2qc._locks.FileLock", LockWithoutFolder)
    assert fit_cached(memory, counted, TEXTS, None).lengths_.sum() == 11
    assert LockWithoutFolder.n_refused == 1


class NoLock(FileLock):
    def acquire(self, *args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("kind", [NoLock, SoftFileLock])
def test_file_system_without_locks(counted, memory, monkeypatch, kind):
    """A marker file in the place of a lock is none: nobody removes it for the dead."""
    monkeypatch.setattr("skrr2qc._locks.FileLock", kind)
    with pytest.warns(UserWarning, match="cannot be locked .*Put `memory` on a local disk"):
        assert fit_cached(memory, counted, TEXTS, None).lengths_.sum() == 11
    assert not locks(memory)
    fit_cached(memory, counted, TEXTS, None)  # reads: nothing to warn of
    assert count_marks(counted.folder, "fit") == 1


class OwnMemory:
    """As scikit-learn allows it: anything that has `cache`."""

    def cache(self, function, ignore):
        return function


@pytest.mark.parametrize("memory", [joblib.Memory(None), OwnMemory()], ids=["no place", "own"])
def test_memories_without_files(counted, memory):
    for n in (1, 2):
        assert fit_cached(memory, counted, TEXTS, None).lengths_.sum() == 11
        assert count_marks(counted.folder, "fit") == n
