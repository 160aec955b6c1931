"""RCPTEncoder: training on texts and labels, the vectors, pretrained folders.

The contract that all estimators share, presets, and resumed runs have files of their own.
"""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

import skrr2qc.encoders._rcpt as rcpt
from skrr2qc import LabelSpace, RCPTEncoder
from skrr2qc._training import TextNet
from skrr2qc.encoders._pretraining import Pretraining
from skrr2qc.hierarchy import distance_ranks, label_set_distances
from skrr2qc.metrics import rank_order_accuracy
from skrr2qc.modules import KeyQueue
from skrr2qc.testing import make_tiny_texts
from tests.reference.tiny_bert import WORDS, save_tiny_bert


@pytest.fixture
def encoder():
    return RCPTEncoder(hidden_size=16, vocab_size=300, n_epochs=1, random_state=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bert")
    save_tiny_bert(path)
    return str(path)


def weights(encoder):
    return {n: t.detach().clone() for n, t in encoder.backbone_.state_dict().items()}


# --- masked-language-model training -----------------------------------------------------------


def test_training_lowers_the_loss_and_moves_the_weights(encoder, questions):
    texts = list(questions.texts)
    untrained = weights(clone(encoder).set_params(n_epochs=0).fit(texts))
    encoder.set_params(n_epochs=12, lr=1e-2).fit(texts)
    losses = [row["masked_language_model"] for row in encoder.history_]
    assert len(losses) == 12
    assert losses[-1] < 0.95 * losses[0]
    assert [row["epoch"] for row in encoder.history_] == list(range(1, 13))
    moved = weights(encoder)
    assert moved.keys() == untrained.keys()
    assert all(not torch.equal(moved[name], untrained[name]) for name in moved)


@pytest.mark.parametrize("kind", ["texts", "labels"])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_share_of_the_initial_weights(tiny, kind, share):
    texts, label_sets = tiny[0], tiny[1] if kind == "labels" else None
    encoder = RCPTEncoder(hidden_size=16, n_epochs=2, lr=1e-2, random_state=0)
    initial = weights(clone(encoder).set_params(n_epochs=0).fit(texts, label_sets))
    trained = weights(clone(encoder).set_params(initial_share=0).fit(texts, label_sets))
    averaged = weights(encoder.set_params(initial_share=share).fit(texts, label_sets))
    for name, weight in averaged.items():
        assert not torch.equal(trained[name], initial[name])
        expected = share * initial[name] + (1 - share) * trained[name]
        assert_allclose(weight, expected, atol=1e-6)


def test_no_epoch_no_training(encoder, questions, monkeypatch):
    monkeypatch.setattr(TextNet, "fit_batches", None)
    encoder.set_params(n_epochs=0).fit(list(questions.texts))
    assert encoder.history_ == []
    assert encoder.label_embeddings_ is None


@pytest.mark.parametrize("n_epochs", [0, 2])
def test_deterministic(encoder, questions, n_epochs):
    texts = list(questions.texts)
    encoder.set_params(n_epochs=n_epochs)
    first = encoder.fit(texts).transform(texts)
    assert_array_equal(clone(encoder).fit(texts).transform(texts), first)
    assert not np.array_equal(encoder.set_params(random_state=1).fit(texts).transform(texts), first)


def test_texts_that_repeat_are_encoded_alike_by_each_fit(encoder):
    """Same seed, other vectors: texts of low rank met random numbers of nobody's seed."""
    texts = [f"{a} of a {b}" for a in ("area", "side") for b in ("circle", "square")] * 12
    encoder.set_params(hidden_size=64)
    vectors = encoder.fit(texts).transform(texts)
    for _ in range(3):
        assert_array_equal(clone(encoder).fit(texts).transform(texts), vectors)


@pytest.mark.parametrize("texts", [[""] * 3, ["one"], ["same text"] * 4, ["", "☃", "\x00"]])
def test_training_with_nothing_to_restore(encoder, texts):
    vectors = encoder.set_params(n_epochs=1).fit(texts).transform([*texts, "new"])
    assert len(encoder.history_) == 1
    assert np.isfinite(vectors).all()


# --- labels -----------------------------------------------------------------------------------

NAMES = ["circle", "triangle", "equation", "sample"]
HIERARCHIES = {
    "tree": {"circle": "geometry", "triangle": "geometry", "equation": "algebra", "geometry": "x"},
    "DAG": {"circle": ["geometry", "algebra"], "triangle": "geometry", "equation": "algebra"},
    "flat": None,
}


@pytest.fixture(scope="module")
def tiny():
    """Texts over four labels, one or two a text, and their indicator."""
    return make_tiny_texts(40)


def fit(data, unlabeled=None, **params):
    small = {"hidden_size": 16, "vocab_size": 200, "n_epochs": 2, "batch_size": 8}
    small |= {"label_epochs": 1, "random_state": 0}
    return RCPTEncoder(**small | params).fit(*data, unlabeled=unlabeled)


def assert_same(encoder, other):
    first, second = weights(encoder), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def terms(encoder):
    return [set(row) - {"epoch", "seconds", "loss"} for row in encoder.history_]


BOTH = {"masked_language_model", "ranking"}


def test_texts_alone_train_the_language_model(tiny):
    encoder = fit((tiny[0],))
    assert terms(encoder) == [{"masked_language_model"}] * 2
    assert encoder.label_embeddings_ is None
    assert_same(fit((*tiny,), rank_weight=0), encoder)  # "TAPT"


@pytest.mark.parametrize("kind", HIERARCHIES)
def test_texts_and_labels_train_both(tiny, kind):
    encoder = fit(tiny, labels=LabelSpace(NAMES, parents=HIERARCHIES[kind]))
    assert terms(encoder) == [BOTH] * 2
    assert all(np.isfinite(row["ranking"]) and row["ranking"] > 0 for row in encoder.history_)
    assert not np.array_equal(encoder.transform(tiny[0]), fit((tiny[0],)).transform(tiny[0]))


def test_hierarchies_are_told_apart(tiny):
    spaces = [LabelSpace(NAMES, parents=parents) for parents in HIERARCHIES.values()]
    vectors = [fit(tiny, labels=labels).transform(tiny[0]) for labels in spaces]
    assert not np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])
    assert not np.array_equal(vectors[1], vectors[2])


@pytest.fixture(scope="module")
def order(tiny):
    """Rank order accuracy of an encoder that learned the labels of the tiny texts, flat."""
    texts, Y = tiny
    ranks = distance_ranks(label_set_distances(Y, Y, LabelSpace(NAMES).distances(), 1))
    np.fill_diagonal(ranks, -1)

    def accuracy(**params):
        vectors = fit(tiny, n_epochs=8, lr=1e-2, **params).transform(texts)
        return rank_order_accuracy(vectors @ vectors.T, ranks)

    return accuracy


def test_vectors_follow_the_labels(order):
    """The language model alone knows nothing of them."""
    without = order(rank_weight=0)
    assert order() > without + 0.05
    assert order(rank_weight=1.0, variant="rince") > without + 0.05


def test_no_label_space_is_a_flat_one(tiny):
    params = {"closeness": "none", "label_epochs": 0}
    assert_same(fit(tiny, **params), fit(tiny, labels=LabelSpace(NAMES), **params))


@pytest.mark.parametrize("form", ["csr", "csr array", "list of lists", "bool", "sets", "frame"])
def test_forms_of_targets(tiny, form):
    texts, Y = tiny
    labels = LabelSpace(NAMES)
    forms = {
        "csr": sp.csr_matrix(Y),
        "csr array": sp.csr_array(Y),
        "list of lists": Y.tolist(),
        "bool": Y.astype(bool),
        "sets": [set(names) for names in labels.decode(Y)],
    }
    if form == "frame":
        forms[form] = pytest.importorskip("pandas").DataFrame(Y, columns=NAMES)
    assert_same(fit((texts, forms[form]), labels=labels), fit(tiny, labels=labels))


def test_sets_of_names_need_a_label_space(tiny):
    with pytest.raises(TypeError, match="`y` holds label names, which need a label space"):
        fit((tiny[0], [{"circle"}] * 40))


@pytest.mark.parametrize(
    "form",
    [np.asarray, list, tuple, lambda y: np.asarray(NAMES)[y], lambda y: [NAMES[i] for i in y]],
)
def test_classes_are_one_label_a_text(tiny, form):
    classes = np.arange(40) % 4
    expected = fit((tiny[0], np.eye(4, dtype=int)[classes]))
    encoder = fit((tiny[0], form(classes)))
    if form in (np.asarray, list, tuple):  # names are in another order
        assert_same(encoder, expected)
    assert encoder.label_embeddings_.shape == (4, 16)
    assert terms(encoder) == [BOTH] * 2


def test_classes_that_a_label_space_names(tiny):
    """Columns were classes in the order of the alphabet, distances those of `labels`."""
    names = ["triangle", "circle", "equation", "sample", "unused"]
    labels = LabelSpace(names, parents={"circle": "geometry", "triangle": "geometry"})
    classes = [names[i % 4] for i in range(40)]
    expected = fit((tiny[0], [{name} for name in classes]), labels=labels)
    assert_same(fit((tiny[0], classes), labels=labels), expected)
    assert_same(fit((tiny[0], np.array(classes)), labels=labels), expected)
    with pytest.raises(ValueError, match="trianglx.*did you mean 'triangle'"):
        fit((tiny[0], [*classes[:-1], "trianglx"]), labels=labels)


@pytest.mark.parametrize(
    "y, error, message",
    [
        (np.zeros((39, 4)), ValueError, "expected 40 rows, got 39"),
        (list("ab") * 19, ValueError, "expected 40, got 38"),
        (np.full((40, 4), 2), ValueError, "`y` must hold only 0 and 1"),
        (np.zeros((40, 3)), ValueError, "expected 4 columns, got 3"),
        ([{"circel"}] * 40, ValueError, "circel.*did you mean 'circle'"),
        ("circle", TypeError, "`y`"),
        (np.zeros((40, 4, 1)), ValueError, r"`y`.*\(40, 4, 1\)"),
    ],
)
def test_bad_targets_stop_before_training(tiny, y, error, message, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    with pytest.raises(error, match=message):
        fit((tiny[0], y), labels=LabelSpace(NAMES))


@pytest.mark.parametrize("labels", [NAMES, {"names": NAMES}, LabelSpace])
def test_labels_of_a_wrong_type(tiny, labels):
    with pytest.raises(TypeError, match="`labels` must be a LabelSpace or None"):
        fit(tiny, labels=labels)


# --- texts without labels ---------------------------------------------------------------------

MORE = ["median of a circle", "given the root", "which number is shown with the side"]


@pytest.fixture
def pushed(monkeypatch):
    """Rows that went to the queue, in order."""
    rows, push = [], KeyQueue.push

    def watched(self, new, **columns):
        rows.extend(new.tolist())
        return push(self, new, **columns)

    monkeypatch.setattr(KeyQueue, "push", watched)
    return rows


def test_unlabeled_texts_are_rows_without_labels(tiny):
    texts, Y = tiny
    expected = fit((texts + MORE, np.vstack([Y, np.zeros((3, 4))])))
    for form in (list, tuple, np.array):
        assert_same(fit(tiny, unlabeled=form(MORE)), expected)
    assert not np.array_equal(expected.transform(texts), fit(tiny).transform(texts))


def test_unlabeled_texts_beside_texts_alone(tiny):
    assert_same(fit((tiny[0],), unlabeled=MORE), fit((tiny[0] + MORE,)))


def test_texts_without_labels_never_come_to_the_queue(tiny, pushed):
    texts, Y = tiny
    Y = Y.copy()
    Y[3:11] = 0
    encoder = fit((texts, Y), unlabeled=MORE)
    labelled = [i for i in range(40) if i not in range(3, 11)]
    assert sorted(pushed) == sorted(2 * labelled)
    assert terms(encoder) == [BOTH] * 2


def test_texts_without_labels_teach_the_language_model(tiny):
    """Their words are known afterwards, and targets are chosen among them."""
    encoder = fit(tiny, unlabeled=["zygote mitosis"] * 9, n_epochs=0)
    assert "mitosis" in encoder.tokenizer_.tokens("mitosis")
    assert "mitosis" not in fit(tiny, n_epochs=0).tokenizer_.tokens("mitosis")
    alone = fit(tiny, rank_weight=0)
    more = fit(tiny, rank_weight=0, unlabeled=MORE)
    assert alone.history_[0]["masked_language_model"] != more.history_[0]["masked_language_model"]


@pytest.mark.parametrize(
    "unlabeled, error, message",
    [
        ("one text", TypeError, r"`unlabeled` must be a sequence of texts.*\[unlabeled\]"),
        (["a", None], TypeError, r"unlabeled\[1\] = None"),
        (3, TypeError, "`unlabeled` must be a sequence of str"),
        (["\ud83d"], ValueError, r"`unlabeled\[0\]` is no valid Unicode"),
    ],
)
def test_bad_unlabeled_texts_stop_before_training(tiny, unlabeled, error, message, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    with pytest.raises(error, match=message):
        fit(tiny, unlabeled=unlabeled)


# --- labels that give little to rank by -------------------------------------------------------


@pytest.mark.parametrize(
    "y, reason",
    [
        (np.ones((40, 1)), "all labelled texts share one label"),
        ([1] * 40, "all labelled texts share one label"),
        (np.zeros((40, 3)), "no text has a label"),
        (np.eye(3)[[2] * 20].repeat(2, axis=0), "all labelled texts share one label"),
    ],
)
def test_nothing_to_rank(tiny, y, reason):
    with pytest.warns(UserWarning, match=f"{reason}. Only the language model is trained") as caught:
        encoder = fit((tiny[0], y))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_same(encoder, fit((tiny[0],)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit((tiny[0], y), rank_weight=0)  # as the warning proposes


@pytest.mark.parametrize("variant", ["in", "out", "paper", "rince"])
def test_no_two_texts_share_a_label(tiny, variant):
    """A text's own key is then its only positive; without it there is none in the first epoch."""
    data = tiny[0], np.eye(40)
    encoder = fit(data, variant=variant, own_key_positive=True)
    assert all(row["ranking"] for row in encoder.history_)
    without = fit(data, variant=variant, own_key_positive=False)
    assert without.history_[0]["ranking"] == 0
    assert np.isfinite(without.transform(tiny[0])).all()


@pytest.mark.parametrize("params", [{}, {"ranks": "unique"}, {"preset": "released"}], ids=str)
def test_each_two_texts_share_a_label_but_no_label_is_in_all(tiny, params):
    """The only distance is 0: with unique ranks the temperatures were 0 / 0."""
    Y = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]] * 13)
    encoder = fit((tiny[0][:39], Y), **params | {"n_epochs": 2})
    assert np.isfinite(encoder.transform(tiny[0])).all()
    assert all(np.isfinite(row["ranking"]) for row in encoder.history_)


@pytest.mark.parametrize("queue_size", [1, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_any_queue_with_any_batch(tiny, queue_size, batch_size):
    sizes = {"queue_size": queue_size, "batch_size": batch_size}
    encoder = fit(tiny, **sizes, n_epochs=1, max_steps=9, own_key_positive=True)
    (row,) = encoder.history_
    assert np.isfinite(row["ranking"])
    assert row["ranking"] > 0
    assert np.isfinite(encoder.transform(tiny[0])).all()


def test_one_text_against_nothing():
    """The first batch of one text finds an empty queue."""
    data = ["area of a circle", "mean of a sample"], [[1, 0], [0, 1]]
    encoder = fit(data, batch_size=1, n_epochs=1, max_steps=1)
    assert encoder.history_[0]["ranking"] == 0


@pytest.mark.parametrize("max_length", [2, 5])
def test_long_texts_are_compared_by_what_is_read(tiny, max_length):
    with pytest.warns(UserWarning, match=rf"texts are longer than {max_length} tokens") as caught:
        encoder = fit(tiny, max_length=max_length)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isfinite(encoder.transform(tiny[0])).all()


# --- vectors of labels ------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [None, LabelSpace(NAMES)], ids=["none", "texts"])
def test_label_vectors(tiny, labels):
    vectors = fit(tiny, labels=labels).label_embeddings_
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 16)
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_label_without_a_text_of_its_own(tiny):
    Y = np.hstack([tiny[1], np.zeros((40, 1))])
    vectors = fit((tiny[0], Y), labels=LabelSpace([*NAMES, "root"])).label_embeddings_
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    without = fit((tiny[0], Y)).label_embeddings_
    assert without.shape == (5, 16)
    assert_array_equal(without[4], np.zeros(16))


def test_label_vectors_survive_pickle(tiny):
    encoder = fit(tiny)
    copy = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(copy.label_embeddings_, encoder.label_embeddings_)
    assert copy.history_ == encoder.history_


# --- how long it trains -----------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch):
    """One entry for each update of the backbone, the title of its run."""
    done, step = [], TextNet.train_step

    def watched(self, *args, **kwargs):
        done.append(self.title)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(TextNet, "train_step", watched)
    return done


@pytest.mark.parametrize("max_steps, n_epochs", [(1, 1), (5, 1), (7, 2), (99, 3)])
def test_max_steps(tiny, steps, max_steps, n_epochs):
    encoder = fit(tiny, n_epochs=3, max_steps=max_steps)  # five batches an epoch
    assert steps.count("pre-training") == min(max_steps, 15)
    assert [row["epoch"] for row in encoder.history_] == list(range(1, n_epochs + 1))


@pytest.fixture
def states(monkeypatch):
    """Weights of the backbone as they are when held-out texts are looked at."""
    seen, evaluate = [], TextNet.evaluate

    def watched(self, batches):
        backbone = self.module_.language_model.backbone
        seen.append({n: t.detach().clone() for n, t in backbone.state_dict().items()})
        return evaluate(self, batches)

    monkeypatch.setattr(TextNet, "evaluate", watched)
    return seen


def test_early_stopping_keeps_the_best_epoch(tiny, states):
    patience = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2}
    encoder = fit(tiny, **patience, n_epochs=40, lr=0.05, initial_share=0)
    losses = [row["held_out_loss"] for row in encoder.history_]
    assert len(losses) == len(states) < 40
    best = int(np.argmin(losses))
    assert best < len(losses) - 1
    assert all(torch.equal(t, states[best][name]) for name, t in weights(encoder).items())
    assert any(not torch.equal(t, states[-1][name]) for name, t in weights(encoder).items())
    averaged = weights(encoder.set_params(initial_share=0.5).fit(*tiny))
    initial = weights(fit(tiny, n_epochs=0))
    for name, weight in averaged.items():
        assert_allclose(weight, (states[best][name] + initial[name]) / 2, atol=1e-6)


def test_held_out_texts_keep_their_labels_and_train_nothing(tiny, monkeypatch, pushed):
    """Each text is one word of its own, by which it is known among shuffled rows."""
    n = 30
    words = [f"{a}{b}" for a in "bcdfgh" for b in "aeiou"]
    Y = np.eye(n)
    parts = {}

    def watched(name):
        method = getattr(Pretraining, name)

        def call(self, ids, *args):
            parts[name] = self, ids
            return method(self, ids, *args)

        monkeypatch.setattr(Pretraining, name, call)

    watched("batches")
    watched("held_out")
    params = {"early_stopping": True, "validation_fraction": 0.2, "n_epochs": 1}
    encoder = fit(([word + " " + word for word in words], Y), **params)
    run, held_out = parts["held_out"]
    assert len(held_out) == 6
    train = [ids for ids in fit_ids(encoder, words) if not any(same(ids, h) for h in held_out)]
    assert len(train) == 24
    label_sets = run.geometry.label_sets.dense(torch.arange(n)).numpy()
    known = fit_ids(encoder, words)
    for row, ids in enumerate(held_out, start=24):
        (text,) = [i for i in range(n) if same(known[i], ids)]
        assert_array_equal(label_sets[row], Y[text])
    assert sorted(pushed) == list(range(24))


def fit_ids(encoder, words):
    return encoder.tokenizer_.encode([word + " " + word for word in words])[0]


def same(ids, other):
    return np.array_equal(ids, other)


def test_history_is_a_table(tiny):
    pandas = pytest.importorskip("pandas")
    names = ["masked_language_model", "ranking"]
    encoder = fit(tiny, early_stopping=True, validation_fraction=0.3, n_epochs=3)
    table = pandas.DataFrame(encoder.history_)
    held_out = [f"held_out_{name}" for name in [*names, "loss"]]
    assert {"epoch", "seconds", *names, *held_out} <= set(table.columns)
    assert table["epoch"].tolist() == [1, 2, 3]
    assert (table["seconds"] >= 0).all()
    assert_allclose(table[held_out[:2]].sum(axis=1), table["held_out_loss"])
    assert not table.isna().any(axis=None)
    assert set(fit(tiny).history_[0]) == {"epoch", "seconds", *names, "loss"}


def test_too_few_texts_to_hold_any_out(tiny):
    """Early stopping was asked for, and silently there was none."""
    data = tiny[0][:5], tiny[1][:5]
    with pytest.warns(UserWarning, match="early_stopping"):
        fit(data, early_stopping=True)


@pytest.mark.parametrize("targets", [True, False])
def test_nothing_of_training_stays_with_the_encoder(tiny, targets):
    """Gradients of the last step stayed, and doubled what an encoder takes in memory."""
    encoder = fit(tiny if targets else tiny[:1])
    assert not encoder.backbone_.training
    assert all(p.grad is None for p in encoder.backbone_.parameters())


@pytest.mark.parametrize("lr", [1e30, 1e12])
def test_training_that_diverges(tiny, tmp_path, lr):
    message = (
        r"no longer finite in epoch \d+, step \d+.*Lower `lr` \(now 1e\+\d\d\).*"
        r"last good checkpoint, of step \d+, is in .*another folder"
    )
    with pytest.raises(FloatingPointError, match=message):
        fit(tiny, lr=lr, checkpoint_dir=tmp_path, checkpoint_steps=1)


def test_term_that_diverges_is_named(tiny, monkeypatch, tmp_path):
    ranking_loss, calls = Pretraining.ranking_loss, []

    def spoiled(self, *args):
        calls.append(args)
        return ranking_loss(self, *args) * (np.nan if len(calls) == 7 else 1)

    monkeypatch.setattr(Pretraining, "ranking_loss", spoiled)
    message = r"loss is no longer finite in epoch 2, step 7: \{'masked_language_model': [0-9.]+, "
    message += rf"'ranking': nan\}}.*checkpoint, of step 6, is in {tmp_path}"
    with pytest.raises(FloatingPointError, match=message):
        fit(tiny, checkpoint_dir=tmp_path, checkpoint_steps=3)


# --- vectors ----------------------------------------------------------------------------------


def test_vectors_have_length_one(encoder, questions):
    texts = list(questions.texts)
    vectors = encoder.fit(texts).transform(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (80, 16)
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_text_without_a_known_token_is_no_longer_than_others(encoder, questions):
    vectors = encoder.fit(list(questions.texts)).transform(["", " ", "☃", "area of a circle"])
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) < 1 + 1e-5).all()
    assert_array_equal(vectors[0], vectors[1])


def test_texts_alone_or_together(encoder, questions, monkeypatch):
    """Padding and company do not count, beyond rounding."""
    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)
    texts = [*questions.texts[:20], "x", ""]
    together = encoder.fit(list(questions.texts)).transform(texts)
    alone = np.vstack([encoder.transform([text]) for text in texts])
    assert_allclose(alone, together, atol=1e-5)
    encoder.set_params(batch_size=3)
    assert_allclose(encoder.transform(texts), together, atol=1e-5)


def test_like_texts_are_near(encoder):
    texts = ["area of a circle", "radius of a circle", "mean of a sample", "median of a sample"] * 5
    vectors = encoder.fit(texts).transform(texts[:4])
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2:].max()
    assert similarity[2, 3] > similarity[2, :2].max()


def test_long_texts_are_read_up_to_max_length_and_one_warning_says_so(encoder, questions):
    encoder.set_params(max_length=12)
    with pytest.warns(UserWarning, match=r"\d+ of 80 texts are longer than 12 tokens") as caught:
        encoder.fit(list(questions.texts))
    assert len(caught) == 1
    start = "find the area of a circle with a radius of two metres and so on and on "
    assert_array_equal(encoder.transform([start + "x" * 999]), encoder.transform([start + "y"]))


def test_names_of_the_columns(encoder, questions):
    encoder.fit(list(questions.texts))
    names = encoder.get_feature_names_out()
    assert names.tolist() == [f"rcptencoder{i}" for i in range(16)]


def test_pandas_output(encoder, questions):
    pandas = pytest.importorskip("pandas")
    texts = pandas.Series(questions.texts[:9], index=range(100, 109))
    plain = encoder.fit(texts).transform(texts)
    frame = encoder.set_output(transform="pandas").transform(texts)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == encoder.get_feature_names_out().tolist()
    assert_array_equal(frame.to_numpy(), plain)


@pytest.mark.parametrize("form", [np.asarray, list, tuple])
def test_before_a_linear_model(encoder, questions, form):
    """A Pipeline hands the classes of its last step to the encoder, which refused them."""
    topic = ["equation" if "quation" in text else "other" for text in questions.texts]
    topic = form(topic)
    pipeline = make_pipeline(encoder, LinearSVC()).fit(list(questions.texts), topic)
    assert pipeline.predict(["an equation"])[0] in set(topic)
    assert len(pipeline[:-1].get_feature_names_out()) == 16
    with pytest.raises(ValueError, match="expected 79, got 80"):
        encoder.fit(list(questions.texts[:79]), topic)


def test_pickle_holds_arrays_and_no_module(encoder, questions):
    texts = list(questions.texts)
    vectors = encoder.fit(texts).transform(texts)
    packed = pickle.dumps(encoder)
    assert b"torch" not in packed.replace(b"skrr2qc", b"")
    assert_array_equal(pickle.loads(packed).transform(texts), vectors)


# --- parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, error",
    [
        ({"backbone": None}, TypeError),
        ({"backbone": ""}, TypeError),
        ({"backbone": 3}, TypeError),
        ({"backbone": LinearSVC()}, TypeError),
        ({"n_epochs": -1}, ValueError),
        ({"n_epochs": 0.5}, TypeError),
        ({"mlm_rate": 0.0}, ValueError),
        ({"mlm_rate": 1.0}, ValueError),
        ({"lr": -1e-3}, ValueError),
        ({"lr": np.inf}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"weight_decay": -1}, ValueError),
        ({"vocab_size": 3}, ValueError),
        ({"hidden_size": 0}, ValueError),
        ({"hidden_size": 16.0}, TypeError),
        ({"max_length": 1}, ValueError),
        ({"max_steps": 0}, ValueError),
        ({"max_steps": 2.5}, TypeError),
        ({"preset": "best"}, ValueError),
        ({"rank_weight": -0.1}, ValueError),
        ({"rank_weight": "1"}, TypeError),
        ({"variant": "inside"}, ValueError),
        ({"variant": 1}, ValueError),
        ({"min_temperature": 0}, ValueError),
        ({"min_temperature": 0.7}, ValueError),
        ({"max_temperature": np.inf}, ValueError),
        ({"temperature_spacing": "cosine"}, ValueError),
        ({"ranks": 3}, ValueError),
        ({"positive_share": 0}, ValueError),
        ({"positive_share": 1.1}, ValueError),
        ({"set_distance": "max"}, ValueError),
        ({"label_sets": "last"}, ValueError),
        ({"closeness": "cosine"}, ValueError),
        ({"momentum": -0.1}, ValueError),
        ({"momentum": 1.01}, ValueError),
        ({"momentum": True}, TypeError),
        ({"queue_size": 0}, ValueError),
        ({"queue_size": 10.0}, TypeError),
        ({"own_key_positive": "no"}, TypeError),
        ({"projection_size": -1}, ValueError),
        ({"views": "both"}, ValueError),
        ({"label_epochs": -1}, ValueError),
        ({"initial_share": 1.1}, ValueError),
        ({"n_frozen_layers": -1}, ValueError),
        ({"n_frozen_layers": 1}, ValueError),
        ({"n_frozen_layers": 0.5}, TypeError),
        ({"validation_fraction": 0}, ValueError),
        ({"validation_fraction": 0.6}, ValueError),
        ({"n_iter_no_change": 0}, ValueError),
        ({"early_stopping": "yes"}, TypeError),
        ({"checkpoint_steps": 0}, ValueError),
        ({"checkpoint_dir": 3}, TypeError),
        ({"device": "abacus"}, ValueError),
        ({"device": True}, TypeError),
    ],
)
def test_invalid_parameters_stop_before_training(encoder, params, error, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    ((name, value),) = params.items()
    with pytest.raises(error, match=f"`{name}`") as raised:
        encoder.set_params(**params).fit(["a text"])
    assert str(value)[:20] in str(raised.value)


def test_checkpoint_dir_that_is_a_file(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    file = tmp_path / "taken"
    file.write_text("mine")
    with pytest.raises(ValueError, match=r"`checkpoint_dir` must be a folder, but .*taken"):
        fit(tiny, checkpoint_dir=file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("hidden_size", [8, 9, 13, 17])
def test_any_width(encoder, hidden_size):
    texts = ["area of a circle", "mean of a sample"] * 4
    encoder.set_params(hidden_size=hidden_size, n_epochs=1).fit(texts)
    assert encoder.transform(texts).shape == (8, hidden_size)


def test_progress_goes_to_the_error_stream(encoder, capsys):
    encoder.set_params(n_epochs=2, verbose=1).fit(["area of a circle", "mean of a sample"] * 9)
    output = capsys.readouterr()
    assert output.out == ""
    assert "pre-training" in output.err
    assert "masked_language_mode" in output.err  # an older tqdm cuts the rest
    assert "texts/s" in output.err
    encoder.set_params(verbose=0).fit(["area of a circle", "mean of a sample"] * 9)
    assert capsys.readouterr() == ("", "")


# --- pretrained backbones ---------------------------------------------------------------------


def test_vectors_of_a_folder_are_masked_means(folder, monkeypatch):
    from transformers import AutoModel, PreTrainedTokenizerFast

    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)
    texts = ["area of the circle", "mean", "solve the equation of the square root"]
    vectors = RCPTEncoder(folder, n_epochs=0).fit(texts).transform(texts)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    network = AutoModel.from_pretrained(folder).eval()
    expected = []
    for text in texts:  # one at a time: nothing is padded
        with torch.no_grad():
            hidden = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        expected.append(hidden.mean(dim=0).numpy())
    assert_allclose(vectors, normalize(np.array(expected)), atol=1e-5)


def test_pretraining_goes_on_from_the_folder(folder):
    texts = [f"{first} of the {second}" for first in WORDS[:7] for second in WORDS[:7]]
    start = weights(RCPTEncoder(folder, n_epochs=0).fit(texts))
    params = {"n_frozen_layers": 0, "n_epochs": 4, "lr": 5e-3, "random_state": 0}
    encoder = RCPTEncoder(folder, **params).fit(texts)
    losses = [row["masked_language_model"] for row in encoder.history_]
    assert losses[-1] < losses[0]
    moved = [not torch.equal(t, start[name]) for name, t in weights(encoder).items()]
    assert np.mean(moved) > 0.8


def test_max_length_is_at_most_what_the_folder_takes(folder):
    long = " ".join(["circle"] * 100)
    with pytest.warns(UserWarning, match="1 of 1 texts are longer than 20 tokens"):
        encoder = RCPTEncoder(folder, max_length=512).fit([long])
    assert encoder.transform([long]).shape == (1, 16)
    with pytest.warns(UserWarning, match="longer than 7 tokens"):
        RCPTEncoder(folder, max_length=7).fit([long])


def test_pickle_of_a_pretrained_encoder_needs_no_folder(tmp_path):
    save_tiny_bert(tmp_path)
    texts = ["area of the circle", "mean", ""]
    encoder = RCPTEncoder(str(tmp_path)).fit(texts)
    vectors, packed = encoder.transform(texts), pickle.dumps(encoder)
    for path in tmp_path.iterdir():
        path.unlink()
    assert_array_equal(pickle.loads(packed).transform(texts), vectors)


def test_folder_that_does_not_exist():
    with pytest.raises(ValueError, match=r"no folder.*'compact', which needs none"):
        RCPTEncoder("./no/such/folder").fit(["a text"])
    with pytest.raises(ValueError, match="no-such-model"):
        RCPTEncoder("no-such-model", local_files_only=True).fit(["a text"])


def test_folder_in_half_precision(tmp_path):
    """It could neither be pickled nor trained where the hardware has no bfloat16."""
    import json

    network = save_tiny_bert(tmp_path)
    network.to(torch.bfloat16).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    encoder = RCPTEncoder(str(tmp_path)).fit(["area of the circle"])
    assert {t.dtype for t in encoder.backbone_.parameters()} == {torch.float32}
    vectors = encoder.transform(["mean"])
    assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(["mean"]), vectors)


def test_labels_train_a_pretrained_backbone(folder, tiny):
    texts = [f"{first} of the {second}" for first in WORDS[:6] for second in WORDS[:3]]
    labels = LabelSpace(["area", "circle", "square"], parents={"circle": "x", "square": "x"})
    Y = np.tile(np.eye(3, dtype=int), (6, 1))
    encoder = RCPTEncoder(folder, labels=labels, n_epochs=1, label_epochs=1, random_state=0)
    assert terms(encoder.fit(texts, Y)) == [BOTH]
    assert encoder.label_embeddings_.shape == (3, 16)
    assert np.isfinite(encoder.transform(texts)).all()


@pytest.mark.parametrize("kind", ["texts", "labels"])
@pytest.mark.parametrize("n_frozen_layers, n_expected", [(None, 2), (0, 0), (1, 1), (3, 3)])
def test_lower_layers_stay_what_they_were(folder, kind, n_frozen_layers, n_expected):
    texts = [f"{first} of the {second}" for first in WORDS[:6] for second in WORDS[:3]]
    Y = np.tile(np.eye(3, dtype=int), (6, 1)) if kind == "labels" else None
    encoder = RCPTEncoder(folder, n_frozen_layers=n_frozen_layers, n_epochs=1, random_state=0)
    initial = weights(clone(encoder).set_params(n_epochs=0).fit(texts, Y))
    trained = weights(encoder.fit(texts, Y))
    backbone = encoder.backbone_
    lower = [backbone.embeddings, *backbone.layers[:n_expected]] if n_expected else []
    frozen = {id(weight) for part in lower for weight in part.parameters()}
    for name, weight in backbone.named_parameters():
        assert torch.equal(trained[name], initial[name]) == (id(weight) in frozen)
        assert weight.requires_grad


@pytest.mark.parametrize("n_frozen_layers", [4, 99])
def test_nothing_left_to_train(folder, n_frozen_layers, monkeypatch):
    monkeypatch.setattr(rcpt, "train_label_vectors", None)
    params = {"labels": LabelSpace(["area", "mean"]), "n_frozen_layers": n_frozen_layers}
    data = ["area of the circle", "mean"], [[1, 0], [0, 1]]
    message = f"`n_frozen_layers` == {n_frozen_layers}, but the backbone has"
    with pytest.raises(ValueError, match=f"{message} 4 layers: .* n_epochs=0"):
        RCPTEncoder(folder, **params).fit(*data)
    with pytest.raises(ValueError, match=f"{message} 1 layer: "):
        RCPTEncoder(**params).fit(*data)
    RCPTEncoder(folder, n_epochs=0, **params).fit(*data)


def test_tokenizer_without_mask_token(tmp_path, monkeypatch):
    """The language model stumbled over `None` among the token ids."""
    save_tiny_bert(tmp_path, mask_token=None)
    data = ["area of the circle", "mean"], [[1, 0], [0, 1]]
    encoder = RCPTEncoder(str(tmp_path), labels=LabelSpace(["area", "mean"]))
    with pytest.raises(ValueError, match=r"no mask token.*n_epochs=0"):
        encoder.fit(*data)
    assert encoder.set_params(n_epochs=0).fit(*data).transform(["mean"]).shape == (1, 16)


def test_missing_mask_token_is_told_before_labels_are_learned(tmp_path, monkeypatch):
    save_tiny_bert(tmp_path, mask_token=None)
    monkeypatch.setattr(rcpt, "train_label_vectors", None)
    encoder = RCPTEncoder(str(tmp_path), labels=LabelSpace(["area", "mean"]))
    with pytest.raises(ValueError, match="no mask token"):
        encoder.fit(["area of the circle", "mean"], [[1, 0], [0, 1]])


def test_hub_name_goes_to_the_hub_as_it_is(monkeypatch):
    import sentence_transformers

    asked = []

    def hub(name, **kwargs):
        asked.append((name, kwargs["local_files_only"]))
        raise ConnectionError("no network in tests")

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", hub)
    encoder = RCPTEncoder("someone/Their-Model_v1.5")
    assert clone(encoder).get_params()["backbone"] == "someone/Their-Model_v1.5"
    with pytest.raises(OSError, match="someone/Their-Model_v1.5.*ConnectionError"):
        encoder.fit(["a text"])
    assert asked == [("someone/Their-Model_v1.5", False)]


def test_failed_fit_leaves_the_estimator_as_it_was(tiny, monkeypatch):
    """Half-trained vectors came out of an encoder whose second fit was interrupted."""
    encoder = fit(tiny)
    before = encoder.transform(tiny[0])
    fitted = {name: value for name, value in vars(encoder).items() if name.endswith("_")}

    def interrupt(self, outputs, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pretraining, "_after_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        encoder.set_params(n_epochs=3).fit(*tiny)
    assert_array_equal(encoder.transform(tiny[0]), before)
    assert all(vars(encoder)[name] is value for name, value in fitted.items())
    with pytest.raises(KeyboardInterrupt):
        (fresh := clone(encoder)).fit(*tiny)
    with pytest.raises(NotFittedError):
        fresh.transform(tiny[0])


def test_weights_that_are_not_finite_stop_the_fit(tiny):
    """A finite loss, a gradient that is not: the fit succeeded with vectors of NaN."""
    with pytest.raises(FloatingPointError, match="no longer finite"):
        fit(tiny, lr=1e38, n_epochs=1, batch_size=len(tiny[0]))
