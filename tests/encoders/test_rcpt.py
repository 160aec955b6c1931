"""RCPTEncoder: training on texts, the vectors, pretrained folders; the contract is elsewhere."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

import skrr2qc.encoders._rcpt as rcpt
from skrr2qc import RCPTEncoder
from tests.reference.tiny_bert import WORDS, save_tiny_bert


@pytest.fixture
def encoder():
    return RCPTEncoder(hidden_size=16, vocab_size=300, random_state=0)


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
    untrained = weights(clone(encoder).fit(texts))
    encoder.set_params(n_epochs=12, lr=1e-2).fit(texts)
    losses = [row["masked_language_model"] for row in encoder.history_]
    assert len(losses) == 12
    assert losses[-1] < 0.95 * losses[0]
    assert [row["epoch"] for row in encoder.history_] == list(range(1, 13))
    moved = weights(encoder)
    assert moved.keys() == untrained.keys()
    assert all(not torch.equal(moved[name], untrained[name]) for name in moved)


def test_no_epoch_no_training(encoder, questions, monkeypatch):
    monkeypatch.setattr(rcpt, "TextNet", None)
    encoder.fit(list(questions.texts))
    assert encoder.history_ == []


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


def test_targets_change_nothing_yet(encoder, labelled_texts):
    X, Y = labelled_texts
    expected = encoder.fit(X).transform(X)
    assert_array_equal(encoder.fit(X, Y).transform(X), expected)
    with pytest.raises(ValueError, match="expected 80 rows, got 79"):
        encoder.fit(X, Y[:79])


@pytest.mark.parametrize("texts", [[""] * 3, ["one"], ["same text"] * 4, ["", "☃", "\x00"]])
def test_training_with_nothing_to_restore(encoder, texts):
    vectors = encoder.set_params(n_epochs=1).fit(texts).transform([*texts, "new"])
    assert len(encoder.history_) == 1
    assert np.isfinite(vectors).all()


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
        ({"device": "abacus"}, ValueError),
        ({"device": True}, TypeError),
    ],
)
def test_invalid_parameters_stop_before_training(encoder, params, error, monkeypatch):
    monkeypatch.setattr(rcpt, "train_tokenizer", None)
    with pytest.raises(error, match=f"`{next(iter(params))}`"):
        encoder.set_params(**params).fit(["a text"])


@pytest.mark.parametrize("hidden_size", [8, 9, 13, 17])
def test_any_width(encoder, hidden_size):
    texts = ["area of a circle", "mean of a sample"] * 4
    encoder.set_params(hidden_size=hidden_size, n_epochs=1).fit(texts)
    assert encoder.transform(texts).shape == (8, hidden_size)


def test_progress_goes_to_the_error_stream(encoder, capsys):
    encoder.set_params(n_epochs=2, verbose=1).fit(["area of a circle", "mean of a sample"] * 9)
    output = capsys.readouterr()
    assert output.out == ""
    assert "language model" in output.err
    assert "masked_language_model=" in output.err
    assert "step" in output.err
    encoder.set_params(verbose=0).fit(["area of a circle", "mean of a sample"] * 9)
    assert capsys.readouterr() == ("", "")


# --- pretrained backbones ---------------------------------------------------------------------


def test_vectors_of_a_folder_are_masked_means(folder, monkeypatch):
    from transformers import AutoModel, PreTrainedTokenizerFast

    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)
    texts = ["area of the circle", "mean", "solve the equation of the square root"]
    vectors = RCPTEncoder(folder).fit(texts).transform(texts)
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
    start = weights(RCPTEncoder(folder).fit(texts))
    encoder = RCPTEncoder(folder, n_epochs=4, lr=5e-3, random_state=0).fit(texts)
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
