"""ClassCenterHead: frozen layers, centers, detaching, features; the contract is elsewhere."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import normalize

import skrr2qc.classifiers._class_center as class_center_module
from skrr2qc import ClassCenterHead, LabelSpace, MetaLabelReranker, RCPTEncoder
from skrr2qc.losses import (
    asymmetric_loss,
    class_balanced_weights,
    focal_loss,
    multilabel_cross_entropy,
    zlpr_loss,
)
from skrr2qc.metrics.scorers import ndcg_at_5_scorer
from skrr2qc.model_selection import MultilabelStratifiedKFold
from skrr2qc.modules import CompactBackbone, PretrainedBackbone, TextTower
from skrr2qc.testing import make_tiny_texts
from tests.reference.tiny_bert import WORDS, save_tiny_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """Encoder of four layers, half of which are frozen by default."""
    folder = tmp_path_factory.mktemp("bert")
    save_tiny_bert(folder)
    return RCPTEncoder(str(folder)).fit(WORDS)


@pytest.fixture(scope="module")
def bert_texts():
    rng = np.random.default_rng(0)
    Y = rng.random((40, 3)) < 0.4
    texts = [
        " ".join([*rng.choice(WORDS[6:], rng.integers(1, 6)), *np.array(WORDS[:3])[row]])
        for row in Y
    ]
    return texts, Y.astype(int)


@pytest.fixture
def head(tiny_encoder):
    return ClassCenterHead(FrozenEstimator(tiny_encoder), n_epochs=2, random_state=0)


@pytest.fixture
def nets(monkeypatch):
    """The loops that heads train with, as they are made."""
    nets = []

    class Watched(class_center_module.TextNet):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            nets.append(self)

    monkeypatch.setattr(class_center_module, "TextNet", Watched)
    return nets


def tensors(module):
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def assert_learned(head):
    losses = [row["cross_entropy"] for row in head.history_]
    assert losses[-1] < losses[0]


# --- learning ---------------------------------------------------------------------------------


def test_filters_learn_the_labels_without_the_bag(head, labelled_texts, nets):
    X, Y = labelled_texts
    head.set_params(class_center_weight=0, n_epochs=4, batch_size=len(X), filter_weight=0.5)
    terms = head.fit(X, Y).history_
    assert terms[-1]["filters"] < terms[0]["filters"]
    for row in terms:
        assert row["loss"] == pytest.approx(row["cross_entropy"] + row["filters"], rel=1e-5)
    module = nets[-1].module_.train()
    n_bag, layer = module.upper.n_bag, module.head
    ids, mask = torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.bool)
    logits, vectors, _ = module(mask, ids)
    expected = layer.log_scale.exp() * 2**0.5 * vectors[:, n_bag:] @ layer.weight[:, n_bag:].T
    assert_allclose(logits[2:].detach(), (expected + layer.bias).detach(), atol=1e-4)
    assert module.eval()(mask, ids)[0].shape == (2, Y.shape[1])


def test_twice_the_filter_weight_is_twice_the_term(head, labelled_texts):
    X, Y = labelled_texts
    head.set_params(n_epochs=1, batch_size=len(X))
    once, twice, never = (
        clone(head).set_params(filter_weight=weight).fit(X, Y).history_[0] for weight in (1, 2, 0)
    )
    assert twice["filters"] == pytest.approx(2 * once["filters"], rel=1e-6)
    assert "filters" not in never
    assert never["cross_entropy"] == pytest.approx(once["cross_entropy"], rel=1e-6)


def test_held_out_rows_are_judged_as_they_are_predicted(head, labelled_texts):
    row = head.set_params(validation_fraction=0.25).fit(*labelled_texts).history_[0]
    assert "filters" in row
    assert "held_out_cross_entropy" in row
    assert "held_out_filters" not in row


@pytest.mark.parametrize("on_texts", [False, True])
def test_only_filters_that_are_trained_have_a_loss(labelled_texts, tiny_encoder, on_texts):
    X, Y = labelled_texts
    head = ClassCenterHead(n_epochs=1).fit(tiny_encoder.transform(X), Y)
    if on_texts:
        head = ClassCenterHead(FrozenEstimator(tiny_encoder), n_epochs=1, n_frozen_layers=1)
        head.fit(X, Y)
    assert "filters" not in head.history_[0]


def test_a_loss_may_change_its_targets(head, labelled_texts):
    """Filters are judged by the same targets: changed in place, these were changed twice."""

    def smoothed(logits, Y):
        return squared_hinge(logits, Y.mul_(0.9).add_(0.05))

    def of_a_copy(logits, Y):
        return squared_hinge(logits, 0.9 * Y + 0.05)

    found, expected = (
        clone(head).set_params(loss=loss).fit(*labelled_texts).history_[-1]["loss"]
        for loss in (smoothed, of_a_copy)
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_learns_from_texts(head, labelled_texts):
    X, Y = labelled_texts
    head.set_params(n_epochs=10, lr=1e-2).fit(X, Y)
    assert_learned(head)
    assert head.centers_.shape == head.module_.head.weight.shape
    assert head.centers_.shape[0] == Y.shape[1]
    best = head.predict_proba(X).argmax(axis=1)
    assert Y.toarray()[np.arange(len(X)), best].mean() > 0.6  # the commonest label alone: 0.43


def test_learns_on_features(labelled_texts, tiny_encoder):
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)
    head = ClassCenterHead(n_epochs=40, lr=1e-2, random_state=0).fit(features, Y)
    assert_learned(head)
    best = head.predict_proba(features).argmax(axis=1)
    assert Y.toarray()[np.arange(len(X)), best].mean() > 0.7
    assert not hasattr(head, "encoder_")


@pytest.mark.parametrize("form", ["paper", "released"])
def test_class_center_loss_draws_texts_to_their_centers(head, labelled_texts, form):
    X, Y = labelled_texts
    shares = normalize(Y, norm="l1").toarray()
    is_labelled = shares.any(axis=1)

    def spread(weight):
        head.set_params(class_center_weight=weight, class_center_form=form)
        head.set_params(n_epochs=8, lr=2e-2).fit(X, Y)
        distances = np.linalg.norm(head.embed(X) - shares @ head.centers_, axis=1)
        return distances[is_labelled].mean()

    assert spread(10.0) < 0.9 * spread(0.0)


def test_forms_differ(head, labelled_texts):
    paper = head.fit(*labelled_texts).history_[0]["class_center"]
    released = head.set_params(class_center_form="released").fit(*labelled_texts).history_[0]
    assert released["class_center"] != pytest.approx(paper, rel=1e-3)


def test_weight_of_the_class_center_loss_is_a_factor(labelled_texts, tiny_encoder):
    """On features without dropout, one batch: the first loss is that of the start."""
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)

    def first_loss(weight):
        head = ClassCenterHead(
            class_center_weight=weight, n_epochs=1, batch_size=len(X), random_state=0
        )
        return head.fit(features, Y).history_[0]

    assert first_loss(0.6)["class_center"] == pytest.approx(3 * first_loss(0.2)["class_center"])
    assert "class_center" not in first_loss(0)


def test_centers_stay_where_they_are_without_class_center_loss(head, labelled_texts):
    """No gradient reaches them then."""
    head.set_params(class_center_weight=0, weight_decay=0.5)
    after_one = head.set_params(n_epochs=1).fit(*labelled_texts).centers_
    assert_array_equal(after_one, head.set_params(n_epochs=4).fit(*labelled_texts).centers_)
    assert_allclose(np.linalg.norm(after_one, axis=1), 1, rtol=1e-5)


def test_weight_decay_leaves_the_centers_alone(head, labelled_texts, nets):
    head.set_params(weight_decay=0.25).fit(*labelled_texts)
    groups = nets[0].optimizer_.param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decay.pop(id(head.module_.head.centers)) == 0
    assert id(head.module_.head.weight) in decay
    assert set(decay.values()) == {0.25}


def test_label_without_a_text_keeps_a_center_and_ranks_low(head, labelled_texts):
    X, Y = labelled_texts
    Y = sp.hstack([Y, sp.csr_matrix((Y.shape[0], 1))]).tocsr()
    head.set_params(n_epochs=6).fit(X, Y)
    assert np.isfinite(head.centers_).all()
    scores = head.predict_proba(X)
    assert scores[:, -1].mean() < scores[:, :-1].mean()


# --- where weights and centers begin ----------------------------------------------------------


@pytest.fixture
def starts(monkeypatch):
    """Called with a head and data: the vectors its weights begin with; training is left out."""

    def record(head, X, y):
        monkeypatch.setattr(ClassCenterHead, "_train", lambda self, *args: [])
        head.fit(X, y)
        monkeypatch.undo()
        assert_array_equal(head.module_.head.weight.detach(), head.centers_)
        return head.centers_

    return record


def test_centers_start_from_class_means(head, labelled_texts, tiny_encoder, starts):
    X, Y = labelled_texts
    expected = normalize(np.asarray(Y.T @ tiny_encoder.transform(X)))
    assert Y.sum(axis=0).min() > 0
    head.set_params(center_init="means")
    assert_allclose(starts(head, X, Y), expected, atol=2e-2)  # batches differ in bfloat16


def test_centers_start_from_label_texts(head, labelled_texts, questions, tiny_encoder, starts):
    head.set_params(center_init="texts", labels=questions.labels)
    expected = normalize(tiny_encoder.transform(list(questions.labels.texts)))
    assert_allclose(starts(head, *labelled_texts), expected, atol=1e-6)


def test_blend_counts_the_name_as_one_text(head, labelled_texts, questions, tiny_encoder, starts):
    X, Y = labelled_texts
    head.set_params(center_init="blend", labels=questions.labels)
    names = tiny_encoder.transform(list(questions.labels.texts))
    expected = normalize(np.asarray(Y.T @ tiny_encoder.transform(X)) + names)
    assert_allclose(starts(head, X, Y), expected, atol=2e-2)


def test_blend_without_label_names_is_the_class_mean(head, labelled_texts, starts):
    means = starts(head.set_params(center_init="means"), *labelled_texts)
    assert_array_equal(starts(head.set_params(center_init="blend"), *labelled_texts), means)


def test_unseen_label_starts_somewhere_on_the_sphere(head, labelled_texts, starts):
    X, Y = labelled_texts
    Y = sp.hstack([Y, sp.csr_matrix((Y.shape[0], 2))]).tocsr()
    centers = starts(head.set_params(center_init="means"), X, Y)
    assert_allclose(np.linalg.norm(centers, axis=1), 1, rtol=1e-5)
    assert not np.allclose(centers[-1], centers[-2])


@pytest.mark.parametrize("params", [{"labels": None}, {"encoder": None}])
def test_texts_as_centers_need_names_and_an_encoder(head, labelled_texts, questions, params):
    head.set_params(**{"center_init": "texts", "labels": questions.labels, **params})
    with pytest.raises(ValueError, match="needs `labels`"):
        head.fit(*labelled_texts)


# --- frozen layers ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_frozen_layers", [None, 1, 4])
def test_frozen_layers_are_the_encoders_own_and_do_not_move(bert, bert_texts, n_frozen_layers):
    before = tensors(bert.backbone_)
    vectors = bert.transform(bert_texts[0])
    head = ClassCenterHead(
        FrozenEstimator(bert), n_frozen_layers=n_frozen_layers, n_epochs=2, lr=1e-2, random_state=0
    ).fit(*bert_texts)
    assert_same_tensors(tensors(bert.backbone_), before)
    assert_array_equal(bert.transform(bert_texts[0]), vectors)
    n_frozen = 2 if n_frozen_layers is None else n_frozen_layers
    own_layers, lower = list(bert.backbone_.layers), head.module_.lower
    assert lower.embeddings is bert.backbone_.embeddings
    assert len(lower.layers) == n_frozen
    for frozen, own in zip(lower.layers, own_layers[:n_frozen], strict=True):
        assert frozen is own
    upper = list(head.module_.upper.layers)
    assert len(upper) == 4 - n_frozen
    for trained, own in zip(upper, own_layers[n_frozen:], strict=True):
        pairs = list(zip(trained.parameters(), own.parameters(), strict=True))
        assert any(not torch.equal(a, b) for a, b in pairs)
        assert not any(a is b for a, b in pairs)


def test_no_frozen_layer_trains_a_copy_of_everything(bert, bert_texts):
    before = tensors(bert.backbone_)
    head = ClassCenterHead(
        FrozenEstimator(bert), n_frozen_layers=0, n_epochs=1, lr=1e-2, random_state=0
    ).fit(*bert_texts)
    assert head.module_.lower is None
    assert_same_tensors(tensors(bert.backbone_), before)
    trained = head.module_.upper.word_embeddings.weight
    assert not torch.equal(trained, bert.backbone_.word_embeddings.weight)


def test_training_leaves_the_encoder_trainable_and_awake_as_it_was(bert, bert_texts):
    flags = [p.requires_grad for p in bert.backbone_.parameters()]
    ClassCenterHead(FrozenEstimator(bert), n_epochs=1, random_state=0).fit(*bert_texts)
    assert [p.requires_grad for p in bert.backbone_.parameters()] == flags
    assert all(p.grad is None for p in bert.backbone_.parameters())
    assert not bert.backbone_.training


@pytest.mark.parametrize("loss", [None, lambda z, Y: 1 / 0])
def test_a_fit_that_fails_leaves_the_head_that_there_was(labelled_texts, tiny_encoder, loss):
    X, Y = labelled_texts
    head = ClassCenterHead(FrozenEstimator(tiny_encoder), n_epochs=1, random_state=0).fit(X, Y)
    before = head.predict_proba(X)
    head.set_params(**({"n_frozen_layers": 99} if loss is None else {"loss": loss}))
    with pytest.raises((ValueError, ZeroDivisionError)):
        head.fit(X, Y[:, :3])
    assert_array_equal(head.predict_proba(X), before)


@pytest.mark.parametrize("n_frozen_layers", [5, 99])
def test_more_frozen_layers_than_there_are(bert, bert_texts, n_frozen_layers, monkeypatch):
    monkeypatch.setattr(ClassCenterHead, "_train", None)
    head = ClassCenterHead(FrozenEstimator(bert), n_frozen_layers=n_frozen_layers)
    with pytest.raises(ValueError, match=f"== {n_frozen_layers}, but the backbone has 4 layers"):
        head.fit(*bert_texts)


def test_more_frozen_layers_than_there_are_before_the_encoder_is_fitted(monkeypatch, bert_texts):
    """It was told once the encoder was trained."""
    monkeypatch.setattr(RCPTEncoder, "fit", None)
    head = ClassCenterHead(RCPTEncoder(n_epochs=5), n_frozen_layers=2)
    with pytest.raises(ValueError, match="`n_frozen_layers` == 2, but the backbone has 1 layer"):
        head.fit(*bert_texts)


def test_frozen_states_kept_in_memory_change_no_score(bert, bert_texts, monkeypatch):
    """Where hidden states are too large to keep, they are computed anew in each step."""
    for module in (class_center_module, "skrr2qc._training"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.uses_bfloat16", lambda device: False)
    head = ClassCenterHead(FrozenEstimator(bert), n_epochs=2, lr=1e-3, random_state=0)
    calls, lower_states = [], TextTower.lower_states

    def counted(self, *args, **kwargs):
        calls.append(1)
        return lower_states(self, *args, **kwargs)

    monkeypatch.setattr(TextTower, "lower_states", counted)
    kept = head.fit(*bert_texts).predict_proba(bert_texts[0])
    n_kept = len(calls)
    head.set_params(memory_budget=0)
    head.fit(*bert_texts)
    assert len(calls) - n_kept > n_kept
    assert_allclose(head.predict_proba(bert_texts[0]), kept, rtol=1e-3)


def test_memory_budget_is_enough_to_the_byte(bert, bert_texts, monkeypatch):
    monkeypatch.setattr(class_center_module, "uses_bfloat16", lambda device: False)
    kept, lower_states = [], ClassCenterHead._lower_states
    monkeypatch.setattr(
        ClassCenterHead, "_lower_states", lambda *args: kept.append(lower_states(*args)) or kept[-1]
    )
    n_tokens = sum(map(len, bert.tokenizer_.encode(bert_texts[0])[0]))
    needed = 4 * n_tokens * bert.backbone_.hidden_size
    head = ClassCenterHead(FrozenEstimator(bert), n_epochs=1, validation_fraction=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        head.set_params(memory_budget=needed, random_state=0).fit(*bert_texts)
        head.set_params(memory_budget=0).fit(*bert_texts)  # asked for
    message = rf"`memory_budget` == {needed - 1:,} .* need {needed:,} .*memory_budget={needed}"
    with pytest.warns(UserWarning, match=message):
        head.set_params(memory_budget=needed - 1).fit(*bert_texts)
    assert sum(states.nbytes for states in kept[0]) == needed
    assert kept[1] == kept[2] == [None, None]


def test_memory_budget_too_small_is_told_to_who_asked_for_it(bert, bert_texts):
    head = ClassCenterHead(FrozenEstimator(bert), n_epochs=1, memory_budget=100, random_state=0)
    with pytest.warns(UserWarning, match="`memory_budget` == 100 bytes") as caught:
        head.fit(*bert_texts)
    assert [warning.filename for warning in caught] == [__file__]


def test_encoder_that_is_not_frozen_is_fitted_here(labelled_texts):
    X, Y = labelled_texts
    encoder = RCPTEncoder(hidden_size=16, vocab_size=300, random_state=0)
    head = ClassCenterHead(encoder, n_epochs=1, random_state=0).fit(X, Y)
    assert not hasattr(encoder, "backbone_")
    assert hasattr(head.encoder_, "backbone_")
    frozen = FrozenEstimator(encoder.fit(X, Y))
    fitted = ClassCenterHead(frozen, n_epochs=1, random_state=0).fit(X, Y)
    assert_array_equal(fitted.predict_proba(X), head.predict_proba(X))


# --- losses of the label scores -------------------------------------------------------------


def squared_hinge(logits, Y):
    return torch.relu(1 - (2 * Y - 1) * logits).square().sum(dim=1).mean()


LOSSES = ["bce", "asymmetric", "zlpr", "focal", "class_balanced", squared_hinge]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(labelled_texts, tiny_encoder, loss):
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)
    head = clone(ClassCenterHead(loss=loss, lr=1e-2, random_state=0)).fit(features, Y)
    assert head.loss is loss
    best = head.predict_proba(features).argmax(axis=1)
    assert Y.toarray()[np.arange(len(X)), best].mean() > 0.7


def test_loss_of_a_user_is_tried_once_and_before_the_encoder_is_fitted(
    head, labelled_texts, monkeypatch
):
    """It was tried a second time after the encoder, and without a look at its gradient."""
    calls, X, Y = [], *labelled_texts

    def loss(logits, Y):
        calls.append(torch.is_grad_enabled() and logits.requires_grad)
        return squared_hinge(logits, Y)

    head.set_params(loss=loss, n_epochs=1, batch_size=len(X)).fit(X, Y)
    assert calls == [True] * 3  # the trial, and in the one step the texts and what filters found
    monkeypatch.setattr(RCPTEncoder, "fit", None)
    head = ClassCenterHead(RCPTEncoder(), loss=lambda logits, Y: logits.detach().mean())
    with pytest.raises(ValueError, match="`loss` .*has no gradient"):
        head.fit(X, Y)


def test_losses_differ_and_have_their_names(labelled_texts, tiny_encoder):
    X, Y = labelled_texts
    features, first = tiny_encoder.transform(X), {}
    for loss in LOSSES:
        head = ClassCenterHead(loss=loss, class_center_weight=0, n_epochs=1, batch_size=len(X))
        row = head.set_params(random_state=0).fit(features, Y).history_[0]
        name = set(row) - {"epoch", "seconds", "loss"}
        first[loss] = (*name, row["loss"])
    names = ["cross_entropy", "asymmetric", "zlpr", "focal", "cross_entropy", "label_loss"]
    assert [name for name, _ in first.values()] == names
    assert len({round(value, 3) for _, value in first.values()}) == len(LOSSES)


def test_losses_by_hand_at_the_start(labelled_texts, tiny_encoder):
    """One batch: the loss of the first step is that of the scores before it."""
    X, Y = labelled_texts
    features, seen = tiny_encoder.transform(X), {}

    def keep(logits, targets):
        seen.update(logits=logits.detach().clone(), Y=targets.clone())
        return logits.sum() * 0.0

    params = {"class_center_weight": 0, "n_epochs": 1, "batch_size": len(X), "random_state": 0}
    ClassCenterHead(loss=keep, **params).fit(features, Y)
    logits, targets, n_labels = seen["logits"], seen["Y"], Y.shape[1]
    weights = class_balanced_weights(Y.getnnz(axis=0))
    expected = {
        "bce": n_labels * multilabel_cross_entropy(logits, targets),
        "asymmetric": asymmetric_loss(logits, targets),
        "zlpr": zlpr_loss(logits, targets),
        "focal": n_labels * focal_loss(logits, targets),
        "class_balanced": n_labels * multilabel_cross_entropy(logits, targets, weights),
    }
    for loss, value in expected.items():
        row = ClassCenterHead(loss=loss, **params).fit(features, Y).history_[0]
        assert row["loss"] == pytest.approx(float(value), rel=1e-4), loss


def test_loss_is_left_to_the_backbone(head, labelled_texts, tiny_encoder):
    """Compact towers weigh rare labels up; on features, as for pretrained ones, nothing does."""
    X, Y = labelled_texts
    assert (CompactBackbone.label_loss, PretrainedBackbone.label_loss) == ("class_balanced", "bce")
    for part, data, expected in (
        (head, X, "class_balanced"),
        (ClassCenterHead(n_epochs=2, random_state=0), tiny_encoder.transform(X), "bce"),
    ):
        scores = clone(part).fit(data, Y).predict_proba(data)
        named = {
            loss: clone(part).set_params(loss=loss).fit(data, Y).predict_proba(data)
            for loss in ("bce", "class_balanced")
        }
        assert_array_equal(scores, named[expected])
        assert (named["bce"] != named["class_balanced"]).any()


# --- ancestors as auxiliary targets -----------------------------------------------------------


@pytest.mark.parametrize("on_texts", [True, False])
def test_ancestors_change_what_is_learned_and_not_what_is_predicted(
    head, labelled_texts, questions, tiny_encoder, on_texts
):
    X, Y = labelled_texts
    if not on_texts:
        X, head = tiny_encoder.transform(X), ClassCenterHead(random_state=0)
    assert head.ancestor_weight > 0
    head.set_params(n_epochs=6)
    head.set_params(labels=questions.labels, ancestor_weight=0.0, meta_weight=0.0)
    plain = head.fit(X, Y).predict_proba(X)
    assert "ancestors" not in head.history_[0]
    names = set(tensors(head.module_))
    half, whole = (
        clone(head).set_params(ancestor_weight=weight, batch_size=len(Y.indptr)).fit(X, Y)
        for weight in (0.5, 1.0)
    )
    ratio = whole.history_[0]["ancestors"] / half.history_[0]["ancestors"]
    assert ratio == pytest.approx(2, rel=0.02)
    assert set(tensors(whole.module_)) == names  # nothing is left of the second layer
    assert whole.predict_proba(X).shape == plain.shape
    head.set_params(ancestor_weight=1.0).fit(X, Y)
    assert np.abs(head.predict_proba(X) - plain).max() > 1e-3
    assert head.history_[-1]["ancestors"] < head.history_[0]["ancestors"]


@pytest.mark.parametrize("labels", [None, "flat"])
def test_ancestors_without_a_hierarchy_change_nothing(head, labelled_texts, labels):
    X, Y = labelled_texts
    labels = None if labels is None else LabelSpace([f"label {i}" for i in range(Y.shape[1])])
    head.set_params(labels=labels)
    plain = head.fit(X, Y).predict_proba(X)
    assert_array_equal(head.set_params(ancestor_weight=2.0).fit(X, Y).predict_proba(X), plain)


# --- how it is trained ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"schedule": "onecycle"},
        {"ema_decay": 0.5},
        {"validation_fraction": 0.25},
        {"layer_decay": 0.1},
    ],
)
def test_options_change_something_and_repeat(bert, bert_texts, params):
    head = ClassCenterHead(FrozenEstimator(bert), n_epochs=3, lr=1e-2, random_state=0)
    plain = head.fit(*bert_texts).predict_proba(bert_texts[0])
    head.set_params(**params)
    scores = head.fit(*bert_texts).predict_proba(bert_texts[0])
    assert np.abs(scores - plain).max() > 1e-4
    assert_array_equal(head.fit(*bert_texts).predict_proba(bert_texts[0]), scores)


@pytest.mark.parametrize("ancestor_weight", [0.0, 0.5])
@pytest.mark.parametrize("n_frozen_layers", [0, 2])
def test_lower_layers_learn_more_slowly(bert, bert_texts, nets, n_frozen_layers, ancestor_weight):
    labels = LabelSpace(["a", "b", "c"], parents={"a": "x", "b": "x"})
    head = ClassCenterHead(
        FrozenEstimator(bert), labels=labels, layer_decay=0.5, lr=0.01, n_epochs=1,
        n_frozen_layers=n_frozen_layers, ancestor_weight=ancestor_weight, random_state=0,
    ).fit(*bert_texts)  # fmt: skip
    groups = nets[0].optimizer_.param_groups
    peak = max(group["lr"] for group in groups)
    share = {id(p): group["lr"] / peak for group in groups for p in group["params"]}
    upper = head.module_.upper
    parts = [*reversed(upper.layers), *([] if n_frozen_layers else [upper.embeddings])]
    for depth, part in enumerate(parts):
        assert {share[id(p)] for p in part.parameters()} == {0.5**depth}
    assert {share[id(p)] for p in head.module_.head.parameters()} == {1.0}
    assert len(share) == len(list(nets[0].module_.parameters()))


def test_held_out_rows_are_watched_and_not_learned_from(labelled_texts, tiny_encoder):
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)
    head = ClassCenterHead(
        validation_fraction=0.25, patience=2, lr=0.3, n_epochs=60, random_state=0
    ).fit(features, Y)
    losses = [row["held_out_loss"] for row in head.history_]
    assert len(losses) < 60  # at this rate the loss on other rows soon grows
    assert int(np.argmin(losses)) == len(losses) - 3
    short = clone(head).set_params(n_epochs=60, patience=1).fit(features, Y)
    assert len(short.history_) <= len(losses)
    assert "held_out_cross_entropy" in head.history_[0]


def test_nothing_can_be_held_out_where_each_text_is_the_only_one_of_a_label():
    X, Y = np.eye(4, dtype=np.float32), np.eye(4, dtype=int)
    head = ClassCenterHead(validation_fraction=0.5, n_epochs=2, random_state=0)
    with pytest.warns(UserWarning, match="No row could be held out of 4"):
        head.fit(X, Y)
    assert len(head.history_) == 2
    plain = clone(head).set_params(validation_fraction=None).fit(X, Y)
    assert len(plain.history_) == 2


def test_prediction_travels_in_wide_batches_and_keeps_the_order(head, labelled_texts, monkeypatch):
    X, Y = labelled_texts
    head.fit(X, Y)
    one_by_one = np.vstack([head.decision_function([text]) for text in X])
    assert_allclose(head.decision_function(X), one_by_one, atol=0.1)  # bfloat16, where it is used
    monkeypatch.setattr("skrr2qc._training.uses_bfloat16", lambda device: False)
    exact = np.vstack([head.decision_function([text]) for text in X])
    assert_allclose(head.decision_function(X), exact, atol=1e-4)
    made, init = [], class_center_module.TokenBatches.__init__

    def kept(self, *args, **kwargs):
        init(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(class_center_module.TokenBatches, "__init__", kept)
    head.predict(X * 20)
    sizes = [inputs["attention_mask"].shape for inputs, _ in made[0]]
    assert max(n for n, _ in sizes) > head.batch_size
    assert max(n * width for n, width in sizes) <= made[0].max_tokens


# --- the encoder left out and put back --------------------------------------------------------


@pytest.mark.parametrize("n_frozen_layers", [0, 2, 4])
def test_detached_and_attached_again(bert, bert_texts, n_frozen_layers):
    frozen = FrozenEstimator(bert)
    head = ClassCenterHead(frozen, n_frozen_layers=n_frozen_layers, n_epochs=1, random_state=0).fit(
        *bert_texts
    )
    scores, whole = head.predict_proba(bert_texts[0]), len(pickle.dumps(head))
    detached = head.detach_encoder()
    assert detached is head
    packed = pickle.dumps(detached)
    assert len(packed) < whole - len(pickle.dumps(bert)) / 2
    back = pickle.loads(packed).attach_encoder(frozen)
    assert_array_equal(back.predict_proba(bert_texts[0]), scores)
    if n_frozen_layers:
        assert back.module_.lower.embeddings is bert.backbone_.embeddings
    assert_array_equal(head.attach_encoder(frozen).predict_proba(bert_texts[0]), scores)


def test_frozen_layers_are_not_pickled_twice(bert, bert_texts):
    def size(n_frozen_layers):
        head = ClassCenterHead(
            FrozenEstimator(bert), n_frozen_layers=n_frozen_layers, n_epochs=1, random_state=0
        )
        return len(pickle.dumps(head.fit(*bert_texts)))

    assert size(4) < size(2) < size(0)
    assert size(4) < len(pickle.dumps(bert)) + 5_000  # the head itself: 3 labels


def test_detached_head_behind_a_vectorizer(labelled_texts):
    X, Y = labelled_texts
    frozen = FrozenEstimator(TfidfVectorizer().fit(X))
    head = ClassCenterHead(frozen, n_epochs=1, random_state=0).fit(X, Y)
    scores = head.predict_proba(X)
    back = pickle.loads(pickle.dumps(head.detach_encoder())).attach_encoder(frozen)
    assert_array_equal(back.predict_proba(X), scores)


def test_detaching_what_has_no_encoder_changes_nothing(labelled_texts, tiny_encoder):
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)
    head = ClassCenterHead(n_epochs=1, random_state=0).fit(features, Y)
    scores = head.predict_proba(features)
    assert_array_equal(head.detach_encoder().predict_proba(features), scores)


# --- scores and vectors -----------------------------------------------------------------------


def test_scores_from_embeddings(head, labelled_texts):
    X, Y = labelled_texts
    vectors = head.fit(X, Y).embed(X)
    assert_array_equal(head.score_embeddings(vectors), head.decision_function(X))
    assert (np.linalg.norm(vectors, axis=1) < 1 + 1e-5).all()
    expected = 1 / (1 + np.exp(-head.decision_function(X).astype(np.float64)))
    assert_allclose(head.predict_proba(X), expected, rtol=1e-4)


@pytest.mark.parametrize("passthrough", [False, True])
def test_transform_on_texts(head, labelled_texts, passthrough):
    X, Y = labelled_texts
    head.set_params(passthrough=passthrough).fit(X, Y)
    output = head.transform(X)
    assert_array_equal(output[:, : Y.shape[1]], head.predict_proba(X))
    if passthrough:
        assert_array_equal(output[:, Y.shape[1] :], head.embed(X))
    assert output.shape[1] == Y.shape[1] + passthrough * head.centers_.shape[1]


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_transform_on_features(labelled_texts, tiny_encoder, passthrough, form):
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)
    features[features < 0] = 0
    head = ClassCenterHead(n_epochs=1, passthrough=passthrough, random_state=0)
    output = head.fit(form(features), Y).transform(form(features))
    scores = head.predict_proba(form(features))
    assert sp.issparse(output) == (passthrough and form is not np.asarray)
    output = output.toarray() if sp.issparse(output) else output
    assert_array_equal(output[:, : Y.shape[1]], scores)
    assert_array_equal(output[:, Y.shape[1] :], features if passthrough else features[:, :0])
    assert output.dtype == np.float32


def test_sparse_features_are_made_dense_a_batch_at_a_time(labelled_texts, monkeypatch):
    X, Y = labelled_texts
    features = TfidfVectorizer().fit_transform(X)
    expected = ClassCenterHead(n_epochs=2, random_state=0).fit(features, Y).predict_proba(features)
    rows = []
    for kind in (sp.csr_matrix, sp.csr_array):
        toarray = kind.toarray
        monkeypatch.setattr(
            kind,
            "toarray",
            lambda self, *a, toarray=toarray: rows.append(self.shape[0]) or toarray(self, *a),
        )
    head = ClassCenterHead(n_epochs=2, batch_size=8, random_state=0).fit(features, Y)
    assert max(rows) == 8
    assert np.isfinite(head.predict_proba(features[:8])).all()
    assert expected.shape == Y.shape


def test_wide_features_are_reduced():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 700)).astype(np.float32)
    Y = np.eye(3, dtype=int)[rng.integers(3, size=60)]
    X[:, :3] += 20 * Y
    head = ClassCenterHead(random_state=0).fit(X, Y)
    assert head.module_.projection.weight.shape == (60, 700)
    assert (head.predict_proba(X).argmax(axis=1) == Y.argmax(axis=1)).all()


def test_string_classes_on_features(labelled_texts, tiny_encoder):
    features = tiny_encoder.transform(labelled_texts[0])
    kind = np.where(features[:, 0] > np.median(features[:, 0]), "positive", "negative")
    kind[features[:, 1] > np.quantile(features[:, 1], 0.8)] = "third"
    head = ClassCenterHead(random_state=0).fit(features, kind)
    assert head.classes_.tolist() == ["negative", "positive", "third"]
    scores = head.predict_proba(features)
    assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert_array_equal(head.predict(features), head.classes_[scores.argmax(axis=1)])
    assert (head.predict(features) == kind).mean() > 0.8
    two = kind != "third"
    head.fit(features[two], kind[two])
    assert head.decision_function(features).shape == (len(features),)
    is_second = head.decision_function(features) > 0
    assert_array_equal(head.predict(features), head.classes_[is_second.astype(int)])


def test_vectorizer_as_encoder(labelled_texts):
    X, Y = labelled_texts
    head = ClassCenterHead(TfidfVectorizer(), random_state=0).fit(X, Y)
    features = head.encoder_.transform(X)
    alone = ClassCenterHead(random_state=0).fit(features, Y)
    assert_array_equal(head.predict_proba(X), alone.predict_proba(features))
    assert head.transform(["never seen zzz"]).shape == (1, Y.shape[1])


# --- targets and labels -----------------------------------------------------------------------


@pytest.mark.parametrize("on_texts", [True, False])
def test_labels_of_another_number(head, labelled_texts, tiny_encoder, on_texts):
    X, Y = labelled_texts
    if not on_texts:
        X, head = tiny_encoder.transform(X), ClassCenterHead()
    head.set_params(labels=LabelSpace(["one", "two"]))
    with pytest.raises(ValueError, match="expected 2 columns, got 12"):
        head.fit(X, Y)


def test_label_names_as_targets(head, labelled_texts, questions):
    X, Y = labelled_texts
    head.set_params(labels=questions.labels)
    expected = head.fit(X, Y).predict_proba(X)
    names = [set(row) for row in questions.labels.decode(Y)]
    assert_array_equal(head.fit(X, names).predict_proba(X), expected)


@pytest.mark.parametrize(
    "params, error",
    [
        ({"class_center_weight": -0.1}, ValueError),
        ({"class_center_weight": np.nan}, ValueError),
        ({"class_center_form": "squared"}, ValueError),
        ({"center_init": "random"}, ValueError),
        ({"n_frozen_layers": -1}, ValueError),
        ({"n_frozen_layers": 1.5}, TypeError),
        ({"n_epochs": 0}, ValueError),
        ({"lr": 0.0}, ValueError),
        ({"lr": "fast"}, TypeError),
        ({"batch_size": 0}, ValueError),
        ({"weight_decay": -1}, ValueError),
        ({"loss": "hinge"}, ValueError),
        ({"loss": 3}, ValueError),
        ({"loss": lambda logits, Y: logits}, TypeError),
        ({"loss": lambda logits, Y: 1.0}, TypeError),
        ({"ancestor_weight": -0.1}, ValueError),
        ({"schedule": "constant"}, ValueError),
        ({"layer_decay": 0.0}, ValueError),
        ({"layer_decay": 1.1}, ValueError),
        ({"ema_decay": 0.0}, ValueError),
        ({"ema_decay": 1.0}, ValueError),
        ({"validation_fraction": 0.0}, ValueError),
        ({"validation_fraction": 0.6}, ValueError),
        ({"patience": 0}, ValueError),
        ({"patience": 1.5}, TypeError),
        ({"memory_budget": -1}, ValueError),
        ({"device": "tpu"}, ValueError),
        ({"device": 0}, TypeError),
    ],
)
def test_invalid_parameters(head, labelled_texts, params, error, monkeypatch):
    monkeypatch.setattr(ClassCenterHead, "_train", None)  # nothing may be trained
    with pytest.raises(error, match=f"`{next(iter(params))}`"):
        head.set_params(**params).fit(*labelled_texts)


@pytest.mark.parametrize("on_texts", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_diverging_loss_is_told_with_the_learning_rate(
    bert, bert_texts, labelled_texts, tiny_encoder, loss, on_texts
):
    X, Y = (
        bert_texts if on_texts else (tiny_encoder.transform(labelled_texts[0]), labelled_texts[1])
    )
    encoder = FrozenEstimator(bert) if on_texts else None
    head = ClassCenterHead(encoder, loss=loss, lr=1e6, n_epochs=20, random_state=0)
    with pytest.raises(FloatingPointError, match=r"step \d+.* Lower `lr` \(now 1e\+06\)"):
        head.fit(X, Y)


def test_loss_of_a_user_that_turns_nan_stops_the_fit_at_its_step(head, labelled_texts):
    """Fine when it is tried, and in the first two steps."""
    calls = []

    def loss(logits, Y):
        calls.append(1)
        return logits.square().mean() * (torch.nan if len(calls) > 5 else 1.0)

    head.set_params(loss=loss, n_epochs=5)
    with pytest.raises(FloatingPointError, match=r"step 3: \{'label_loss': nan"):
        head.fit(*labelled_texts)
    assert len(calls) == 7  # once when it is tried, twice in each step


def test_targets_stay_sparse_outside_of_batches():
    """3,000 texts x 20,000 labels: a dense copy of the targets alone would take 240 MB."""
    rng = np.random.default_rng(0)
    n, n_labels = 3000, 20_000
    texts = [f"{a} {b}" for a, b in rng.choice(["area", "mean", "root", "sum"], (n, 2))]
    columns = rng.integers(n_labels, size=2 * n)
    Y = sp.csr_matrix((np.ones(2 * n), columns, np.arange(0, 2 * n + 1, 2)), shape=(n, n_labels))
    Y.sum_duplicates()
    Y.data[:] = 1
    encoder = RCPTEncoder(hidden_size=8, vocab_size=100, random_state=0).fit(texts)
    head = ClassCenterHead(
        FrozenEstimator(encoder), n_epochs=1, batch_size=32, lr=1e-3, random_state=0
    )
    tracemalloc.start()
    try:
        head.fit(texts, Y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(head.history_) == 1
    assert peak < 40e6


# --- in plain pipelines -----------------------------------------------------------------------


@pytest.fixture
def flat_pipeline(questions):
    return Pipeline(
        [
            ("encoder", RCPTEncoder(hidden_size=16, vocab_size=300, random_state=0)),
            ("head", ClassCenterHead(passthrough=True, n_epochs=2, random_state=0)),
            (
                "reranker",
                MetaLabelReranker(
                    ClassCenterHead(n_epochs=2),
                    label_to_meta=questions.labels.label_to_meta,
                    random_state=0,
                ),
            ),
        ]
    )


def test_flat_pipeline_on_texts(flat_pipeline, labelled_texts, questions):
    X, Y = labelled_texts
    scores = flat_pipeline.fit(X, Y.toarray()).predict_proba(X)
    features = flat_pipeline["encoder"].transform(X)
    label_scores = flat_pipeline["head"].predict_proba(features)
    meta_scores = flat_pipeline["reranker"].classifier_.predict_proba(features)
    label_to_meta = questions.labels.label_to_meta.toarray()
    means = meta_scores @ label_to_meta.T / np.maximum(label_to_meta.sum(axis=1), 1)
    means[:, label_to_meta.sum(axis=1) == 0] = 1
    assert_allclose(scores, label_scores * means, rtol=1e-4)
    assert set(np.unique(flat_pipeline.predict(X))) <= {0, 1}


def test_grid_search_over_a_flat_pipeline(flat_pipeline, labelled_texts, tmp_path):
    X, Y = labelled_texts
    grid = {"head__class_center_weight": [0.0, 0.5], "reranker__alpha": [0, 1]}
    search = GridSearchCV(
        flat_pipeline.set_params(memory=str(tmp_path)),
        grid,
        cv=MultilabelStratifiedKFold(2),
        scoring=ndcg_at_5_scorer,
        error_score="raise",
    ).fit(X, Y.toarray())
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert (search.cv_results_["mean_test_score"] > 0).all()
    assert search.predict_proba(X[:3]).shape == (3, Y.shape[1])


def test_pipeline_of_a_vectorizer_and_string_classes(labelled_texts):
    X, Y = labelled_texts
    kind = np.where(Y[:, 3].toarray().ravel() > 0, "common", "rare")
    pipeline = make_pipeline(TfidfVectorizer(), ClassCenterHead(random_state=0)).fit(X, kind)
    assert (pipeline.predict(X) == kind).mean() > 0.9
    assert pipeline.score(X, kind) > 0.9


def test_label_vectors_of_another_label_space_are_not_taken():
    """Centers of as many other labels silently started at the encoder's own label vectors."""
    X, Y = make_tiny_texts()
    Y = np.asarray(Y)
    names = [f"word {i}" for i in range(Y.shape[1])]
    own, other = LabelSpace(names), LabelSpace(X[: Y.shape[1]])
    encoder = RCPTEncoder(labels=own, hidden_size=16, n_epochs=0, random_state=0).fit(X, Y)
    params = {"center_init": "texts", "n_epochs": 1, "lr": 1e-9, "random_state": 0}
    for labels in (own, other):
        head = ClassCenterHead(FrozenEstimator(encoder), labels=labels, **params).fit(X, Y)
        assert_allclose(head.centers_, encoder.transform(list(labels.texts)), atol=1e-5)


# --- meta-labels as further targets -----------------------------------------------------------


@pytest.fixture
def flat(questions):
    """Labels with meta-labels, and without a hierarchy."""
    names = questions.labels.names
    return LabelSpace(names, meta_labels=questions.labels.label_to_meta)


def with_meta_labels(kind, head, X, encoder, labels, **params):
    """A head for texts, a head on features, and what it reads."""
    if kind == "texts":
        return head.set_params(labels=labels, **params), X
    return ClassCenterHead(
        labels=labels, **{"n_epochs": 2, "random_state": 0} | params
    ), encoder.transform(X)


KINDS = ["texts", "features"]


@pytest.mark.parametrize("kind", KINDS)
def test_meta_scores_come_from_the_vectors_of_the_tower(
    head, labelled_texts, questions, tiny_encoder, kind
):
    X, Y = labelled_texts
    head, X = with_meta_labels(kind, head, X, tiny_encoder, questions.labels)
    vectors = head.fit(X, Y).embed(X)
    n_meta = questions.labels.label_to_meta.shape[1]
    assert head.meta_coef_.shape == (n_meta, vectors.shape[1])
    assert head.meta_intercept_.shape == (n_meta,)
    logits = vectors @ head.meta_coef_.T + head.meta_intercept_
    assert_allclose(head.score_meta(vectors), logits, rtol=1e-4, atol=1e-5)
    assert head.score_meta(vectors).dtype == np.float32
    assert_allclose(head.meta_scores(X), 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_kept_layer_gives_the_logits_that_were_trained(
    head, labelled_texts, questions, monkeypatch
):
    """Weights of the layer are scaled inside; the ancestors' layer stands beside it."""
    X, Y = labelled_texts
    layers, keep = [], ClassCenterHead._keep_meta_layer
    monkeypatch.setattr(
        ClassCenterHead, "_keep_meta_layer", lambda self, net: layers.append(net) or keep(self, net)
    )
    head.set_params(labels=questions.labels).fit(X, Y)
    vectors = head.embed(X)
    with torch.inference_mode():
        expected = layers[0](torch.from_numpy(vectors)).numpy()
    assert expected.shape == (80, questions.labels.label_to_meta.shape[1])
    assert_allclose(head.score_meta(vectors), expected, rtol=1e-4, atol=1e-4)
    assert {"ancestors", "meta_labels"} <= set(head.history_[0])


@pytest.mark.parametrize("kind", KINDS)
def test_meta_labels_are_learned(head, labelled_texts, flat, tiny_encoder, kind):
    X, Y = labelled_texts
    params = {"n_epochs": 30, "lr": 1e-2}
    head, X = with_meta_labels(kind, head, X, tiny_encoder, flat, **params)
    head.fit(X, Y)
    losses = [row["meta_labels"] for row in head.history_]
    assert losses[-1] < 0.8 * losses[0]
    scores, targets = head.meta_scores(X), flat.meta_targets(Y).toarray() > 0
    common = targets.mean(axis=0)
    better = np.mean([s[t].mean() > s[~t].mean() for s, t in zip(scores.T, targets.T, strict=True)])
    assert better > 0.9
    assert targets[np.arange(80), scores.argmax(axis=1)].mean() > common.max() + 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_weight_of_meta_labels_is_a_factor(head, labelled_texts, flat, tiny_encoder, kind):
    X, Y = labelled_texts
    params = {"n_epochs": 1, "batch_size": 80}
    head, X = with_meta_labels(kind, head, X, tiny_encoder, flat, **params)

    def first_loss(weight):
        return clone(head).set_params(meta_weight=weight).fit(X, Y).history_[0]

    assert first_loss(0.6)["meta_labels"] == pytest.approx(3 * first_loss(0.2)["meta_labels"])
    assert "meta_labels" not in first_loss(0)
    assert first_loss(0.6)["cross_entropy"] == pytest.approx(first_loss(0)["cross_entropy"])


def test_loss_of_meta_labels_by_hand(labelled_texts, flat, tiny_encoder, monkeypatch):
    """A text has a meta-label if one of its labels has; losses are summed over meta-labels."""
    X, Y = labelled_texts
    seen = []

    def watched(logits, targets):
        seen.append((logits.detach(), targets))
        return multilabel_cross_entropy(logits, targets)

    monkeypatch.setattr(class_center_module, "multilabel_cross_entropy", watched)
    head = ClassCenterHead(labels=flat, n_epochs=1, batch_size=80, meta_weight=0.5, random_state=0)
    head.fit(tiny_encoder.transform(X), Y)
    ((logits, targets),) = seen
    has_meta = [set(flat.label_to_meta[row.indices].indices) for row in Y]
    rows = [set(np.flatnonzero(row)) for row in targets.numpy()]
    assert sorted(map(sorted, rows)) == sorted(map(sorted, has_meta))  # batches are shuffled
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    expected = 0.5 * losses.sum(dim=1).mean().item()
    assert head.history_[0]["meta_labels"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "params", [{"labels": None}, {"meta_weight": 0.0}, {"labels": LabelSpace(list("abcdefghijkl"))}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_without_meta_labels_there_is_no_layer(
    head, labelled_texts, questions, tiny_encoder, params, kind
):
    X, Y = labelled_texts
    head, X = with_meta_labels(kind, head, X, tiny_encoder, questions.labels)
    head.set_params(**params).fit(X, Y)
    assert head.meta_coef_ is None
    assert head.meta_intercept_ is None
    assert head.meta_scores(X) is None
    assert "meta_labels" not in head.history_[0]


def test_meta_labels_of_other_weight_change_what_is_learned(head, labelled_texts, flat):
    X, Y = labelled_texts
    plain = head.set_params(labels=flat, meta_weight=0.0).fit(X, Y).predict_proba(X)
    names = set(tensors(head.module_))
    other = head.set_params(meta_weight=1.0).fit(X, Y).predict_proba(X)
    assert np.abs(other - plain).max() > 1e-4
    assert set(tensors(head.module_)) == names  # the layer is kept as arrays, beside the module


def test_meta_labels_do_nothing_for_labels_of_another_fit(head, labelled_texts, flat):
    X, Y = labelled_texts
    head.set_params(labels=flat).fit(X, Y)
    head.set_params(labels=None).fit(X, Y)
    assert head.meta_scores(X) is None


def test_label_without_meta_labels_and_meta_label_without_texts(head, labelled_texts):
    """Of such a meta-label nothing is known: it starts somewhere, and is learned to be absent."""
    X, Y = labelled_texts
    Y = sp.hstack([Y, sp.csr_matrix((80, 1))]).tocsr()
    label_to_meta = np.zeros((13, 3))
    label_to_meta[:6, 0] = label_to_meta[3:9, 1] = label_to_meta[12, 2] = 1
    labels = LabelSpace([f"label {i}" for i in range(13)], meta_labels=label_to_meta)
    head.set_params(labels=labels, n_epochs=20, lr=1e-2).fit(X, Y)
    scores = head.meta_scores(X)
    assert np.isfinite(scores).all()
    assert scores[:, 2].mean() < min(scores[:, 0].mean(), scores[:, 1].mean())


def test_meta_layer_survives_pickle_and_detaching(head, labelled_texts, flat, tiny_encoder):
    X, Y = labelled_texts
    head.set_params(labels=flat).fit(X, Y)
    scores = head.meta_scores(X)
    assert_array_equal(pickle.loads(pickle.dumps(head)).meta_scores(X), scores)
    vectors = head.embed(X)
    head.detach_encoder()
    assert_allclose(1 / (1 + np.exp(-head.score_meta(vectors))), scores, rtol=1e-5)
    assert_array_equal(head.attach_encoder(FrozenEstimator(tiny_encoder)).meta_scores(X), scores)


@pytest.mark.parametrize(
    "params", [{"validation_fraction": 0.25}, {"ema_decay": 0.5}, {"layer_decay": 0.5}]
)
def test_meta_labels_beside_other_options(head, labelled_texts, questions, params):
    X, Y = labelled_texts
    head.set_params(labels=questions.labels, **params).fit(X, Y)
    scores = head.meta_scores(X)
    assert np.isfinite(scores).all()
    assert_array_equal(clone(head).fit(X, Y).meta_scores(X), scores)
    watched = "held_out_meta_labels" in head.history_[0]
    assert watched == ("validation_fraction" in params)


def test_classes_of_one_dimension_are_not_the_labels_of_a_label_space(questions):
    """Their targets were multiplied with the map of other labels, which shapes did not allow."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 3
    head = ClassCenterHead(labels=questions.labels, n_epochs=2, random_state=0).fit(X, y)
    expected = clone(head).set_params(labels=None).fit(X, y)
    assert head.meta_coef_ is None
    assert_array_equal(head.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize(
    ("weight", "error"), [(-0.1, ValueError), (np.nan, ValueError), ("0.3", TypeError)]
)
def test_weight_of_meta_labels_out_of_range(head, labelled_texts, monkeypatch, weight, error):
    monkeypatch.setattr(ClassCenterHead, "_train", None)
    with pytest.raises(error, match="`meta_weight`"):
        head.set_params(meta_weight=weight).fit(*labelled_texts)


@pytest.mark.parametrize(("other", "expected"), [({}, "own"), ({"texts": ["x", "y", "z"]}, "new")])
def test_vectors_of_label_texts_are_the_encoders_own(bert, bert_texts, other, expected):
    """A map to meta-labels made the label space another one, and the vectors were lost."""
    X, Y = bert_texts
    labels = LabelSpace(["a", "b", "c"])
    encoder = clone(bert).set_params(labels=labels, n_epochs=0).fit(X)
    assert encoder.label_embeddings_.shape[0] == 3
    encoder.label_embeddings_ = 0 * encoder.label_embeddings_ + 1
    known = LabelSpace(labels.names, meta_labels={"a": ["m"], "b": ["m"]}, **other)
    head = ClassCenterHead(FrozenEstimator(encoder), labels=known, n_epochs=1, random_state=0)
    names = head.fit(X, Y)._label_names()
    assert (names == 1).all() == (expected == "own")
