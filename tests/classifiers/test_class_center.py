"""ClassCenterHead: frozen layers, centers, detaching, features; the contract is elsewhere."""

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import normalize

import skrr2qc.classifiers._class_center as class_center_module
from skrr2qc import ClassCenterHead, LabelSpace, MetaLabelReranker, RCPTEncoder
from skrr2qc.metrics.scorers import ndcg_at_5_scorer
from skrr2qc.model_selection import MultilabelStratifiedKFold
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


def test_weight_decay_leaves_the_centers_alone(head, labelled_texts, monkeypatch):
    nets = []

    class Watched(class_center_module.TextNet):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            nets.append(self)

    monkeypatch.setattr(class_center_module, "TextNet", Watched)
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
        monkeypatch.setattr(ClassCenterHead, "_train", lambda self, batches, defaults, device: [])
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


@pytest.mark.parametrize("n_frozen_layers", [5, 99])
def test_more_frozen_layers_than_there_are(bert, bert_texts, n_frozen_layers, monkeypatch):
    monkeypatch.setattr(ClassCenterHead, "_train", None)
    head = ClassCenterHead(FrozenEstimator(bert), n_frozen_layers=n_frozen_layers)
    with pytest.raises(ValueError, match=f"== {n_frozen_layers}, but the backbone has 4 layers"):
        head.fit(*bert_texts)


def test_frozen_states_kept_in_memory_change_no_score(bert, bert_texts, monkeypatch):
    """Where hidden states are too large to keep, they are computed anew in each step."""
    for module in (class_center_module, "skrr2qc._training"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.uses_bfloat16", lambda device: False)
    head = ClassCenterHead(FrozenEstimator(bert), n_epochs=2, lr=1e-3, random_state=0)
    kept = head.fit(*bert_texts).predict_proba(bert_texts[0])
    monkeypatch.setattr(class_center_module, "_HIDDEN_BYTES", 0)
    head.fit(*bert_texts)
    assert_allclose(head.predict_proba(bert_texts[0]), kept, rtol=1e-3)


def test_encoder_that_is_not_frozen_is_fitted_here(labelled_texts):
    X, Y = labelled_texts
    encoder = RCPTEncoder(hidden_size=16, vocab_size=300, random_state=0)
    head = ClassCenterHead(encoder, n_epochs=1, random_state=0).fit(X, Y)
    assert not hasattr(encoder, "backbone_")
    assert hasattr(head.encoder_, "backbone_")
    frozen = FrozenEstimator(encoder.fit(X, Y))
    fitted = ClassCenterHead(frozen, n_epochs=1, random_state=0).fit(X, Y)
    assert_array_equal(fitted.predict_proba(X), head.predict_proba(X))


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
        ({"device": "tpu"}, ValueError),
        ({"device": 0}, TypeError),
    ],
)
def test_invalid_parameters(head, labelled_texts, params, error, monkeypatch):
    monkeypatch.setattr(ClassCenterHead, "_train", None)  # nothing may be trained
    with pytest.raises(error, match=f"`{next(iter(params))}`"):
        head.set_params(**params).fit(*labelled_texts)


def test_diverging_loss_is_told_with_the_learning_rate(labelled_texts, tiny_encoder):
    X, Y = labelled_texts
    features = tiny_encoder.transform(X)
    head = ClassCenterHead(class_center_weight=1e38, lr=1e6, random_state=0)
    with pytest.raises(FloatingPointError, match=r"Lower `lr` \(now 1e\+06\)"):
        head.fit(features, Y)


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
