"""TextCNNClassifier: what is special about it; the network is tested in tests/modules."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

import skrr2qc.baselines._text_cnn as text_cnn
from skrr2qc import TextCNNClassifier
from tests.reference.word_order import word_order_texts


@pytest.fixture
def classifier():
    return TextCNNClassifier(
        widths=(2, 3),
        n_filters=16,
        embedding_size=12,
        vocab_size=300,
        n_epochs=3,
        batch_size=16,
        random_state=0,
    )


def test_learns_the_order_of_words(classifier):
    """A bag of words cannot: both labels have the same words."""
    texts, Y = word_order_texts()
    classifier.set_params(n_epochs=15, lr=5e-3, dropout=0.1).fit(texts[:80], Y[:80])
    predicted = classifier.predict_proba(texts[80:]).argmax(axis=1)
    assert (predicted == Y[80:].argmax(axis=1)).mean() > 0.9
    losses = [row["cross_entropy"] for row in classifier.history_]
    assert losses[-1] < 0.5 * losses[0]


def test_threshold_is_chosen_on_rows_that_training_did_not_see(
    classifier, labelled_texts, monkeypatch
):
    X, Y = labelled_texts
    trained_on, chosen_on = [], []
    train, threshold = TextCNNClassifier._train, text_cnn.best_global_threshold

    def watch_train(self, ids, targets, rng):
        trained_on.append(targets.toarray())
        return train(self, ids, targets, rng)

    def watch_threshold(targets, scores):
        chosen_on.append((targets.toarray(), scores))
        return 0.123

    monkeypatch.setattr(TextCNNClassifier, "_train", watch_train)
    monkeypatch.setattr(text_cnn, "best_global_threshold", watch_threshold)
    classifier.set_params(validation_fraction=0.25).fit(X, Y)
    (held_out, scores), *others = chosen_on
    assert not others
    assert 15 <= len(held_out) <= 25
    assert scores.shape == held_out.shape
    assert [len(targets) for targets in trained_on] == [80 - len(held_out), 80]
    assert_array_equal(
        np.sum(trained_on[0], axis=0) + held_out.sum(axis=0), Y.toarray().sum(axis=0)
    )
    assert classifier.threshold_ == 0.123
    assert threshold(held_out, scores) != 0.5
    assert_array_equal(classifier.predict(X), classifier.predict_proba(X) > 0.123)


def test_final_model_is_the_one_of_all_rows(classifier, labelled_texts):
    X, Y = labelled_texts
    classifier.fit(X, Y)
    assert len(classifier.history_) == 3
    assert classifier.predict_proba(X).shape == Y.shape


def test_single_row_has_nothing_to_hold_out(classifier):
    classifier.set_params(n_epochs=20, lr=1e-2).fit(["area of a circle"], np.array([[1, 0]]))
    scores = classifier.predict_proba(["area", ""])
    assert np.isfinite(scores).all()
    assert classifier.predict(["area of a circle"]).tolist() == [[1, 0]]


def test_texts_alone_or_together(classifier, labelled_texts, monkeypatch):
    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)
    X, Y = labelled_texts
    texts = [*X[:10], "x", "", "a b"]
    together = classifier.fit(X, Y).predict_proba(texts)
    alone = np.vstack([classifier.predict_proba([text]) for text in texts])
    assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("widths", [(1,), (5,), [2, 3, 4], (7, 2)])
def test_texts_shorter_than_the_filters(classifier, widths):
    texts, Y = ["x", "y", "", "x y"] * 5, np.array([[1], [0], [0], [1]] * 5)
    classifier.set_params(widths=widths).fit(texts, Y)
    assert np.isfinite(classifier.predict_proba(["", "x", "never seen " * 50])).all()


def test_deterministic(classifier, labelled_texts):
    X, Y = labelled_texts
    scores = classifier.fit(X, Y).predict_proba(X)
    assert_array_equal(clone(classifier).fit(X, Y).predict_proba(X), scores)
    other = clone(classifier).set_params(random_state=1).fit(X, Y).predict_proba(X)
    assert not np.array_equal(other, scores)


def test_pickle(classifier, labelled_texts):
    X, Y = labelled_texts
    scores = classifier.fit(X, Y).predict_proba(X)
    back = pickle.loads(pickle.dumps(classifier))
    assert_array_equal(back.predict_proba(X), scores)
    assert back.threshold_ == classifier.threshold_


def test_label_without_a_text_ranks_low(classifier, labelled_texts):
    X, Y = labelled_texts
    Y = sp.hstack([Y, sp.csr_matrix((80, 1))]).tocsr()
    scores = classifier.set_params(n_epochs=10, lr=5e-3).fit(X, Y).predict_proba(X)
    assert scores[:, -1].mean() < scores[:, :-1].mean()


@pytest.mark.parametrize(
    "params, error",
    [
        ({"widths": (0,)}, ValueError),
        ({"widths": (2.5,)}, TypeError),
        ({"n_filters": 0}, ValueError),
        ({"embedding_size": 0}, ValueError),
        ({"dropout": 1.0}, ValueError),
        ({"dropout": -0.1}, ValueError),
        ({"vocab_size": 2}, ValueError),
        ({"max_length": 1}, ValueError),
        ({"n_epochs": 0}, ValueError),
        ({"lr": 0}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"weight_decay": -1}, ValueError),
        ({"validation_fraction": 0.0}, ValueError),
        ({"validation_fraction": 0.51}, ValueError),
        ({"device": "abacus"}, ValueError),
    ],
)
def test_invalid_parameters_stop_before_training(
    classifier, labelled_texts, params, error, monkeypatch
):
    monkeypatch.setattr(text_cnn, "train_tokenizer", None)
    with pytest.raises(error, match=f"`{next(iter(params))}`"):
        classifier.set_params(**params).fit(*labelled_texts)


def test_progress_goes_to_the_error_stream(classifier, labelled_texts, capsys):
    classifier.set_params(verbose=1).fit(*labelled_texts)
    output = capsys.readouterr()
    assert output.out == ""
    assert "TextCNN" in output.err
    assert "cross_entropy" in output.err


@pytest.mark.parametrize("widths", [(), "", 3, None, np.array(3), {2: 3}])
def test_widths_that_are_no_sequence(widths):
    """The maximum of none of them failed after the tokenizer had been trained."""
    classifier = TextCNNClassifier(widths=widths)
    with pytest.raises(TypeError, match="`widths` must be a sequence of at least one width"):
        classifier.fit(["a", "b"], np.eye(2))
    assert not hasattr(classifier, "classes_")
