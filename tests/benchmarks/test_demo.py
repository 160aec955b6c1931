"""The demo: its table, its words and its picture on made-up results, and once as a whole."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from benchmarks import demo
from benchmarks._demo_words import choose_examples, explain_in_words
from skrr2qc import (
    ClassCenterHead,
    LabelSpace,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TextCNNClassifier,
    TfidfLinearClassifier,
)

LABELS = LabelSpace(
    ["circle area", "square area", "circle length"],
    meta_labels={
        "circle area": ["circle", "area"],
        "square area": ["square", "area"],
        "circle length": ["circle", "length"],
    },
)
RESULT = demo.Result(0.5, 0.625, {"head": 0.75, "medium": 0.25, "tail": 0.125}, 3.4)


def reason(name, score, retrieval_score, retrieval_rank, metas, nearest=()):
    column = LABELS.names.index(name)
    meta_scores = {LABELS.meta_names[m]: metas[m] for m in LABELS.label_to_meta[column].indices}
    return SimpleNamespace(
        label=name, score=score, retrieval_score=retrieval_score, retrieval_rank=retrieval_rank,
        meta_scores=meta_scores, nearest=list(nearest),
    )  # fmt: skip


class Explains:
    """Stands for a fitted classifier: looks its explanations up."""

    labels_ = LABELS

    def __init__(self, reasons):
        self.reasons = reasons

    def explain(self, X, k):
        return [SimpleNamespace(text=text, reasons=self.reasons[text][:k]) for text in X]


@pytest.fixture
def explained():
    """Texts, right labels and a classifier that saw the four of them."""
    area, circle, length, square = 0, 1, 2, 3  # as meta_names has them
    assert LABELS.meta_names == ("area", "circle", "length", "square")
    moved, sure = {area: 0.9, circle: 0.9, length: 0.1, square: 0.1}, dict.fromkeys(range(4), 0.5)
    reasons = {
        "moved": [
            reason("circle area", 0.54, 0.6, 2, moved, [("a disc", 0.8)]),
            reason("circle length", 0.35, 0.7, 1, moved),
        ],
        "wrong": [
            reason("square area", 0.5, 0.4, 2, sure), reason("circle area", 0.4, 0.5, 1, sure)
        ],
        "alike": [
            reason("circle area", 0.6, 0.8, 1, moved), reason("square area", 0.3, 0.7, 2, moved)
        ],
        "plain": [reason("square area", 0.9, 0.9, 1, sure)],
    }  # fmt: skip
    Y = sp.csr_matrix([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
    return list(reasons), Y, Explains(reasons)


def test_examples_show_reranking_and_look_alikes(explained):
    texts, Y, classifier = explained
    first, second = choose_examples(classifier, texts, Y)
    assert (first.kind, first.explanation.text, first.rival.label) == (
        "reranked", "moved", "circle length",
    )  # fmt: skip
    assert (second.kind, second.explanation.text, second.rival.label) == (
        "look-alike", "alike", "square area",
    )  # fmt: skip


def test_wrong_predictions_are_never_examples(explained):
    texts, Y, classifier = explained
    rows = [texts.index("wrong"), texts.index("plain")]
    examples = choose_examples(classifier, [texts[i] for i in rows], Y[rows])
    assert [(example.kind, example.explanation.text) for example in examples] == [
        ("plain", "plain")
    ]


def test_words_of_a_reranked_prediction(explained):
    texts, Y, classifier = explained
    words = explain_in_words(choose_examples(classifier, texts, Y)[0], LABELS)
    assert "Right answer: circle area." in words
    assert "Retrieval alone would have answered “circle length” (0.70, against 0.60)" in words
    assert "circle area    area 0.90, circle 0.90" in words
    assert "moved “circle area” from place 2 to the first" in words
    assert "“a disc”" in words


def test_words_of_look_alikes(explained):
    texts, Y, classifier = explained
    words = explain_in_words(choose_examples(classifier, texts, Y)[1], LABELS)
    assert "“circle area” and “square area” share “area”" in words
    assert "0.60 for the one and 0.30 for the other" in words


def test_table():
    lines = demo.format_table({"TF-IDF": RESULT, "x": replace(RESULT, seconds=120.2)}).splitlines()
    assert lines[0].split() == [
        *["P@1", "nDCG@5", "F1", "head", "F1", "medium", "F1", "tail", "seconds"]
    ]
    assert lines[2].split() == ["TF-IDF", "50.0", "62.5", "75.0", "25.0", "12.5", "3"]
    assert lines[3].split()[-1] == "120"
    assert len({len(line) for line in lines}) == 1


@pytest.fixture
def questions():
    Y = sp.csr_matrix(np.eye(3)[[0, 0, 0, 0, 1, 1, 2]])
    X = ["circle area"] * 4 + ["square area"] * 2 + ["circle length"]
    return demo.Questions(LABELS, X, Y, X, Y, Y)


def test_measure_compares_what_is_predicted_with_what_is_right(questions):
    class Always(TfidfLinearClassifier):
        """Knows one label: a third of the groups is found."""

        def fit(self, X, Y):
            return self

        def predict_proba(self, X):
            return np.tile([0.9, 0.5, 0.1], (len(X), 1))

        def predict(self, X):
            return np.tile([1, 0, 0], (len(X), 1))

    result = demo.measure(Always(), questions)
    assert_allclose(result.precision, 4 / 7)
    assert_allclose(result.ndcg, (4 + 2 / np.log2(3) + 1 / np.log2(4)) / 7)
    assert_allclose(list(result.group_f1.values()), [2 * 4 / (7 + 4), 0, 0])
    assert list(result.group_f1) == ["head", "medium", "tail"]


def test_picture(questions, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "demo.png"
    demo.draw_picture({"a": RESULT, "b": RESULT, "c": RESULT}, questions, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5_000


def test_a_folder_that_cannot_be_written_is_found_first(monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(demo.os, "access", lambda *args: False)
    monkeypatch.setattr(demo, "draw_questions", lambda: pytest.fail("work began"))
    assert demo.main() == 1
    assert "demo.png cannot be written" in capsys.readouterr().err


def test_drawn_questions_are_split(monkeypatch):
    monkeypatch.setattr(demo, "N_TRAIN", 50)
    monkeypatch.setattr(demo, "N_TEST", 30)
    questions = demo.draw_questions()
    sizes = [len(questions.train), questions.Y_train.shape[0], len(questions.test)]
    assert sizes == [50, 50, 30]
    assert questions.Y_test.shape == questions.Y_asked.shape == (30, len(questions.labels))


def test_models_are_at_their_defaults():
    for classifier in demo.make_models(LABELS).values():
        changed = {"labels": None, "random_state": None, "verbose": 0}
        known = classifier.get_params(deep=False)
        classifier.set_params(**{name: v for name, v in changed.items() if name in known})
        assert classifier.get_params() == type(classifier)().get_params()


@pytest.mark.slow
def test_the_whole(monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "N_TRAIN", 300)
    monkeypatch.setattr(demo, "N_TEST", 100)
    monkeypatch.setattr(demo, "make_models", tiny_models)
    assert demo.main() == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "demo.png").exists()
    for part in ("F1 tail", "Right answer", "Nearest training question", "What to do next"):
        assert part in printed


def tiny_models(labels):
    head = ClassCenterHead(n_epochs=2)
    return {
        "TF-IDF + linear SVM": TfidfLinearClassifier(C=1.0, random_state=0),
        "TextCNN": TextCNNClassifier(n_filters=8, embedding_size=16, n_epochs=1, random_state=0),
        "skrr2qc": RetrievalRerankClassifier(
            RCPTEncoder(hidden_size=16),
            head,
            MetaLabelReranker(head),
            labels=labels,
            random_state=0,
        ),
    }
