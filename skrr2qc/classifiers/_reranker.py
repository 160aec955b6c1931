"""Reranking by meta-labels, over any two multi-label classifiers."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted, validate_data

from .._thresholds import best_global_threshold
from .._training import sigmoid
from .._validation import (
    check_choice,
    check_label_matrix,
    check_label_to_meta,
    check_number,
    check_part,
    check_seed,
    check_texts,
)
from ..label_space import check_labels
from ..metrics import jain_propensities
from ..model_selection import train_holdout_split
from ..persistence import SavedModelMixin
from ._class_center import ClassCenterHead
from ._combination import fit_combination, with_unseen_shift
from ._cooccurrence import LabelCooccurrence, has_company
from ._neighbors import KINDS, LabelNeighbors, rarity
from ._parts import fit_multilabel, inherit, label_probabilities, with_encoder
from ._rerank_scores import LEAST, MEANS, mean_meta_scores, rerank_scores

_FEWEST_ROWS = 3  # of training, for propensities to mean something
_N_BEST = 10  # labels of a text, whose mean "rare_retrieval" is counted from
_LEAST_RATE = 1e-4  # share of texts, before its logarithm is taken


def scores_meta_labels(tower, label_to_meta):
    """Whether a fitted head scores the meta-labels of a map itself."""
    if getattr(tower, "meta_coef_", None) is None:
        return False
    known, label_to_meta = tower.labels.label_to_meta, sp.csr_matrix(label_to_meta)
    return known.shape == label_to_meta.shape and (known != label_to_meta).nnz == 0


class MetaLabelReranker(SavedModelMixin, TransformerMixin, ClassifierMixin, BaseEstimator):
    """Rerank label scores by the scores of the meta-labels that each label is made of.

    Parameters
    ----------
    classifier : estimator, default=None
        Multi-label classifier of meta-labels with ``predict_proba``. None: the retriever itself
        where it scores meta-labels, as `ClassCenterHead` does (one tower for both); else a
        `ClassCenterHead` of their own.
    retriever : estimator, default=None
        Multi-label classifier of labels with ``predict_proba``. None: the first L columns of
        `X` are label scores, and further columns the features for `classifier`, as
        ``ClassCenterHead(passthrough=True)`` hands them on in a Pipeline.
    encoder : estimator, default=None
        Given to `classifier`; then `X` holds texts.
    labels : LabelSpace, default=None
        Its `label_to_meta` is used if there is no other.
    label_to_meta : array-like or sparse matrix of shape (L, M), default=None
        Which meta-labels each label has. Without any map, there are no meta-label scores.
    combine : {"product", "learned"}, default="product"
        "product": label score times mean meta-label score (Eq. 15 of [1]_). "learned": a weighted
        sum of log-odds of the label, log of that mean over its share among training texts,
        likeness to the nearest training text of the label over what is typical of the label, its
        share among the nearest training texts over that among all, and how much likelier the
        text's best labels make it than other texts' labels do; log-odds and likeness once more for
        rare labels. The weights are learned on rows that no part was trained on.
    alpha : float, default=1.0
        Exponent of the mean in the product; 0 switches reranking off.
    mean : {"arithmetic", "geometric"}, default="arithmetic"
        How the scores of a label's meta-labels are averaged.
    top_r : int, default=None
        Labels of each text, best first, whose order the product may change; None: all.
    validation_fraction : float, default=0.1
        Share of the rows, in (0, 0.5], held out for "learned" in a fit of its own; in
        `RetrievalRerankClassifier`, its own held-out rows serve.
    device, random_state, verbose
        For the default classifier.

    Attributes
    ----------
    classifier_, retriever_ : fitted estimators, or None
    label_to_meta_ : csr_matrix of shape (L, M), or None
    log_rates_ : ndarray of shape (L,), or None
        Log of the mean share of training texts that have the meta-labels of each label.
    combination_ : Combination or None
        Learned weights: of "retrieval", "rare_retrieval", "meta_labels", "neighbors",
        "rare_neighbors", "votes" and "co_occurrence", as far as there are such.
    threshold_ : float
        Score above which `predict` reports a label: the best for micro-F1 on the training rows,
        or on the rows that a combination was learned on.
    label_counts_ : ndarray of shape (L,), int
        Training texts of each label.
    classes_ : ndarray of shape (L,)

    See Also
    --------
    RetrievalRerankClassifier : Chooses the threshold on held-out rows.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skrr2qc import MetaLabelReranker
    >>> X, Y = np.array([[0.0], [1.0], [2.0]]), np.array([[1, 0], [0, 1], [0, 1]])
    >>> knn = KNeighborsClassifier(1)
    >>> reranker = MetaLabelReranker(knn, retriever=knn, label_to_meta=[[1, 0], [1, 1]])
    >>> reranker.fit(X, Y).predict_proba(X[:1]).tolist()
    [[1.0, 0.0]]
    """

    def __init__(
        self,
        classifier=None,
        *,
        retriever=None,
        encoder=None,
        labels=None,
        label_to_meta=None,
        combine="product",
        alpha=1.0,
        mean="arithmetic",
        top_r=None,
        validation_fraction=0.1,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.classifier = classifier
        self.retriever = retriever
        self.encoder = encoder
        self.labels = labels
        self.label_to_meta = label_to_meta
        self.combine = combine
        self.alpha = alpha
        self.mean = mean
        self.top_r = top_r
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y):
        """Fit the meta-label classifier, and the retriever unless it is frozen.

        Parameters
        ----------
        X : sequence of n str, or array-like of shape (n, d)
        y : indicator matrix (n, L), dense or CSR
            Labels, not meta-labels.

        Returns
        -------
        self : MetaLabelReranker

        Warns
        -----
        UserWarning
            If there is no map: the scores of the retriever are then returned unchanged.
        """
        self._check_parameters()
        X, Y = self._check_data(X, y)
        self._begin(Y)
        learned = self._learn_on_held_out(X, Y) if self._can_hold_out() else None
        self._fit_parts(X, Y)
        if learned is not None:
            self.combination_, self.threshold_ = learned
        elif self.retriever_ is not None or self.encoder is None:
            self.threshold_ = best_global_threshold(Y, self.predict_proba(X))
        return self

    def fit_shared(self, tower, X, Y):
        """Train nothing: a fitted head scores labels and meta-labels both.

        Parameters
        ----------
        tower : ClassCenterHead
            Fitted with the map of this reranker.
        X : sequence of n str
            Its training texts.
        Y : csr_matrix of shape (n, L)

        Returns
        -------
        self : MetaLabelReranker
        """
        self._begin(Y)
        return self.attach_tower(tower, X, Y)

    def predict_proba(self, X):
        """Reranked scores of all labels.

        Returns
        -------
        scores : ndarray of shape (n, L), float32
            In [0, 1].
        """
        check_is_fitted(self, "classes_")
        if self.retriever_ is not None:
            n_labels = len(self.classes_)
            return self.rerank(label_probabilities(self.retriever_, X, n_labels), X)
        if self.encoder is not None:
            raise ValueError(
                "There is no retriever whose scores could be reranked: set `retriever` before fit, "
                "or call rerank(label_scores, X)."
            )
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        scores = X[:, : len(self.classes_)]
        return self.rerank(scores.toarray() if sp.issparse(scores) else scores, X)

    def predict(self, X):
        """Labels whose reranked score exceeds `threshold_`; ndarray (n, L), {0, 1}."""
        return (self.predict_proba(X) > self.threshold_).astype(np.int8)

    def transform(self, X):
        """Reranked scores, as `predict_proba` gives them; ndarray (n, L)."""
        return self.predict_proba(X)

    def meta_scores(self, X, vectors=None):
        """Scores of all meta-labels; ndarray of shape (n, M), or None without a map.

        `vectors`, if the tower gave them for `X` already, spare a pass through it.
        """
        check_is_fitted(self, "classes_")
        if self._shares():
            vectors = self.tower_.embed(X) if vectors is None else vectors
            return sigmoid(self.tower_.score_meta(vectors))
        if self.classifier_ is None:
            return None
        n_meta = self.label_to_meta_.shape[1]
        return label_probabilities(self.classifier_, self._meta_features(X), n_meta)

    def rerank(self, label_scores, X, vectors=None):
        """Rerank given label scores of the texts or features `X`.

        Parameters
        ----------
        label_scores : ndarray of shape (n, L)
        X : as in `fit`
        vectors : ndarray of shape (n, D), default=None
            What the tower's ``embed`` gave for `X`, where that is known.

        Returns
        -------
        scores : ndarray of shape (n, L)
        """
        if vectors is None and self.reads_vectors:
            vectors = self.tower_.embed(X)
        meta_scores = self.meta_scores(X, vectors) if self.reads_meta_scores else None
        return self.fuse(label_scores, meta_scores, vectors)

    def fuse(self, label_scores, meta_scores, vectors=None):
        """Scores from those that are at hand; without any, `label_scores` themselves."""
        if self.combination_ is not None:
            evidence = self._evidence(label_scores, meta_scores, vectors)
            return self.combination_.apply(evidence, self._unseen())
        if meta_scores is None:
            return label_scores
        return rerank_scores(
            label_scores,
            meta_scores,
            self.label_to_meta_,
            alpha=self.alpha,
            mean=self.mean,
            top_r=self.top_r,
        )

    def learn(self, Y, label_scores, X, vectors=None, *, Y_train, knows_unseen=False):
        """Learn what `combine` asks for, on texts that no part was trained on.

        Parameters
        ----------
        Y : csr_matrix of shape (n, L)
        label_scores : ndarray of shape (n, L)
        X : as in `fit`
        vectors : ndarray of shape (n, D), default=None
            As in `rerank`.
        Y_train : csr_matrix of shape (N, L)
            Labels of the texts that the parts were trained on.
        knows_unseen : bool, default=False
            Whether scores of labels without a training text tell anything, as they do where the
            labels' own texts are read. Then as many such labels are expected as there are.

        Returns
        -------
        combination : Combination or None
            None where nothing is to be learned. Kept as `combination_`, too.
        """
        if self.combine == "learned":
            self.combination_ = None  # all evidence counts again
            self.label_counts_ = Y_train.getnnz(axis=0)
            if vectors is None and self.tower_ is not None:
                vectors = self.tower_.embed(X)
            meta_scores = self.meta_scores(X, vectors)
            evidence = self._evidence(label_scores, meta_scores, vectors)
            is_enough = Y_train.shape[0] >= _FEWEST_ROWS
            label_weights = 1 / jain_propensities(Y_train) if is_enough else None
            self.combination_ = fit_combination(Y, evidence, label_weights)
            if knows_unseen:
                self.combination_ = with_unseen_shift(self.combination_, evidence, Y_train)
        return self.combination_

    def contributions(self, label_scores, meta_scores, X):
        """What the kinds of evidence add to the log-odds of reranked scores.

        Returns
        -------
        contributions : dict of str to ndarray of shape (n, L)
            With the constant as "base"; empty where nothing was learned.
        """
        if self.combination_ is None:
            return {}
        vectors = self.tower_.embed(X) if self.reads_vectors else None
        evidence = self._evidence(label_scores, meta_scores, vectors)
        weights = {name: w for name, w in self.combination_.weights.items() if w}
        added = {name: np.float32(w) * evidence[name] for name, w in weights.items()}
        base = self.combination_.base(self._unseen())
        return added | {"base": np.full(label_scores.shape, base, dtype=np.float32)}

    def needs_classifier(self, tower):
        """Whether meta-labels need a classifier, as there are some and `tower` scores others."""
        label_to_meta = self._map()
        if label_to_meta is None:
            return False
        return self.classifier is not None or not scores_meta_labels(tower, label_to_meta)

    @property
    def reads_meta_scores(self):
        """Whether scores of meta-labels are needed to rerank."""
        weights = None if self.combination_ is None else self.combination_.weights
        return bool(self.alpha if weights is None else weights.get("meta_labels"))

    @property
    def reads_vectors(self):
        """Whether vectors of the tower are needed to rerank."""
        weights = {} if self.combination_ is None else self.combination_.weights
        is_shared = self._shares() and self.reads_meta_scores
        return is_shared or any(weights.get(kind) for kind in KINDS)

    def attach_tower(self, tower, X, Y):
        """Look at texts through a head's vectors, if it has any, and at what `X` and `Y` tell."""
        if hasattr(tower, "embed"):
            self.tower_ = tower
        self.cooccurrence_ = None
        self.label_counts_ = Y.getnnz(axis=0)  # a cached fit of before does not know them
        if self.combine == "learned":
            if self.tower_ is not None:
                self.neighbors_ = LabelNeighbors(tower.embed(X), Y)
            if has_company(Y):
                self.cooccurrence_ = LabelCooccurrence(Y)
        return self

    def attach_retriever(self, retriever, threshold):
        """Rerank the scores of a fitted retriever from now on, and predict above `threshold`."""
        self.retriever = self.retriever_ = retriever
        self.threshold_ = threshold
        return self

    def detach_encoder(self):
        """Leave the encoder out of this object, as `ClassCenterHead.detach_encoder` does."""
        self.encoder = None
        if hasattr(self.classifier_, "detach_encoder"):
            self.classifier_.detach_encoder()
        return self

    def attach_encoder(self, encoder):
        """Undo `detach_encoder`."""
        self.encoder = encoder
        if hasattr(self.classifier_, "attach_encoder"):
            self.classifier_.attach_encoder(encoder)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.single_output = False
        return tags

    def _check_parameters(self):
        check_labels(self.labels)
        for name, method in {
            "classifier": "fit",
            "encoder": "transform",
            "retriever": "fit",
        }.items():
            check_part(getattr(self, name), name, method)
        check_seed(self.random_state)
        check_choice(self.combine, "combine", ("product", "learned"))
        check_choice(self.mean, "mean", MEANS)
        check_number(self.alpha, "alpha", minimum=0)
        if self.top_r is not None:
            check_number(self.top_r, "top_r", minimum=1, integer=True)
        check_number(self.validation_fraction, "validation_fraction", above=0, maximum=0.5)

    def _begin(self, Y):
        self.label_to_meta_ = self._check_map(Y.shape[1])
        self.log_rates_ = self._log_rates(Y)
        self.classes_ = np.arange(Y.shape[1])
        self.classifier_ = self.retriever_ = None
        self.combination_ = self.tower_ = self.neighbors_ = self.cooccurrence_ = None
        self.label_counts_ = Y.getnnz(axis=0)

    def _fit_parts(self, X, Y):
        if self.retriever is not None:
            self.retriever_ = fit_multilabel(clone(self.retriever), X, Y)
            self.attach_tower(self.retriever_, X, Y)
        if self.label_to_meta_ is not None and not self._shares():
            targets = check_label_matrix((Y @ self.label_to_meta_ > 0).astype(np.float32))
            classifier = ClassCenterHead(loss="bce") if self.classifier is None else self.classifier
            classifier = inherit(classifier, self)
            classifier = with_encoder(classifier, self._encoder_of_texts())
            self.classifier_ = fit_multilabel(classifier, self._meta_features(X), targets)

    def _encoder_of_texts(self):
        """The encoder given, or else the one that the retriever reads texts with."""
        encoder = getattr(self.retriever_, "encoder_", None)
        if self.encoder is not None or encoder is None or self.classifier is not None:
            return self.encoder
        return encoder if isinstance(encoder, FrozenEstimator) else FrozenEstimator(encoder)

    def _shares(self):
        """Whether the tower scores just the meta-labels of the map, and nothing else shall."""
        if self.classifier is not None or self.label_to_meta_ is None:
            return False
        return scores_meta_labels(self.tower_, self.label_to_meta_)

    def _can_hold_out(self):
        """Whether something is learned in this fit; raises where that would be on rows read."""
        if self.combine != "learned" or (self.retriever is None and self.encoder is not None):
            return False
        if self.retriever is None or isinstance(self.retriever, FrozenEstimator):
            raise ValueError(
                "combine='learned' needs label scores of rows that the retriever was not trained "
                "on. Give an unfitted `retriever`, use RetrievalRerankClassifier, or take "
                "combine='product'."
            )
        return True

    def _learn_on_held_out(self, X, Y):
        seed = 0 if self.random_state is None else self.random_state
        train, held_out = train_holdout_split(Y, self.validation_fraction, random_state=seed)
        if not len(held_out) or not Y[held_out].nnz:
            warnings.warn(
                f"No labelled row could be held out of {Y.shape[0]} to learn a combination on: "
                "scores are multiplied. Give more rows, or a larger `validation_fraction`.",
                UserWarning,
                stacklevel=3,
            )
            return None
        part = clone(self)
        part._begin(Y[train])
        part._fit_parts(_safe_indexing(X, train), Y[train])
        X, Y, Y_train = _safe_indexing(X, held_out), Y[held_out], Y[train]
        scores = label_probabilities(part.retriever_, X, Y.shape[1])
        combination = part.learn(Y, scores, X, Y_train=Y_train)
        return combination, best_global_threshold(Y, part.rerank(scores, X))

    def _evidence(self, label_scores, meta_scores, vectors):
        """What speaks for each label, as far as it is known; a dict of (n, L) arrays.

        Mean meta-label scores count as what they are above the share of training texts that have
        such meta-labels: how frequent a label is, retrieval knows already.
        """
        scores = np.asarray(label_scores, dtype=np.result_type(label_scores, np.float32))
        scores = np.clip(scores, LEAST, 1 - LEAST)
        evidence = {"retrieval": np.log(scores / (1 - scores))}
        if self._has_weight("rare_retrieval"):
            of_rare = rarity(self.label_counts_).astype(np.float32)
            evidence["rare_retrieval"] = of_rare * _over_the_best(evidence["retrieval"])
        if meta_scores is not None:
            means = mean_meta_scores(meta_scores, self.label_to_meta_, self.mean)
            has_none = np.asarray(self.label_to_meta_.sum(axis=1)).ravel() == 0
            means[:, has_none] = scores[:, has_none]  # a label without meta-labels is its own
            evidence["meta_labels"] = np.log(np.maximum(means, LEAST)) - self.log_rates_
        kinds = [kind for kind in KINDS if self._has_weight(kind)]
        if kinds and vectors is not None and self.neighbors_ is not None:
            evidence |= self.neighbors_.evidence(vectors, kinds)
        if self._has_weight("co_occurrence") and self.cooccurrence_ is not None:
            evidence["co_occurrence"] = self.cooccurrence_.lift(scores)
        return evidence

    def _unseen(self):
        """Which labels have no training text, (L,) bool; None for models saved before."""
        return None if self.label_counts_ is None else self.label_counts_ == 0

    def _has_weight(self, name):
        """Whether a kind of evidence counts; before anything is learned, each may."""
        return self.combination_ is None or self.combination_.weights.get(name, 0) > 0

    def _log_rates(self, Y):
        """Log of the mean share of texts that have a label's meta-labels, (L,); floored."""
        if self.label_to_meta_ is None:
            return None
        label_to_meta = sp.csr_matrix(self.label_to_meta_)
        meta_rates = ((Y @ label_to_meta) > 0).sum(axis=0) / Y.shape[0]
        rates = mean_meta_scores(np.asarray(meta_rates, dtype=np.float64), label_to_meta)[0]
        has_none = np.asarray(label_to_meta.sum(axis=1)).ravel() == 0
        rates[has_none] = (np.asarray(Y.sum(axis=0)).ravel() / Y.shape[0])[has_none]
        return np.log(np.maximum(rates, _LEAST_RATE)).astype(np.float32)

    def _check_data(self, X, y):
        if self.encoder is not None:
            X = check_texts(X)
            return X, check_label_matrix(y, n_samples=len(X), labels=self.labels, name="y")
        if self.retriever is not None:  # texts, arrays or frames: the parts know
            n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
            return X, check_label_matrix(y, n_samples=n_samples, labels=self.labels, name="y")
        Y = check_label_matrix(y, labels=self.labels, name="y")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32)
        Y = check_label_matrix(Y, n_samples=X.shape[0], name="y")
        scores = X[:, : Y.shape[1]]
        if X.shape[1] < Y.shape[1] or scores.min() < 0 or scores.max() > 1:
            raise ValueError(
                f"Without `retriever`, the first {Y.shape[1]} columns of X must be label scores in "
                f"[0, 1]; got shape {X.shape}, values from {scores.min():g} to {scores.max():g}. "
                "Set `retriever`, or put ClassCenterHead(passthrough=True) before this step."
            )
        return X, Y

    def _map(self):
        if self.label_to_meta is None and self.labels is not None:
            return self.labels.label_to_meta
        return self.label_to_meta

    def _check_map(self, n_labels):
        label_to_meta = self._map()
        if label_to_meta is not None:
            return check_label_to_meta(label_to_meta, n_labels)
        if self.combine == "learned":  # from other evidence
            return None
        warnings.warn(
            "There is no map from labels to meta-labels, so scores are not reranked. Pass "
            "labels=LabelSpace(..., meta_labels=...) or `label_to_meta`.",
            UserWarning,
            stacklevel=3,
        )
        return None

    def _meta_features(self, X):
        if self.retriever_ is not None or self.encoder is not None:
            return X
        features = X if sp.issparse(X) else np.asarray(X, dtype=np.float32)
        n_labels = len(self.classes_)
        return features[:, n_labels:] if features.shape[1] > n_labels else features


def _over_the_best(log_odds):
    """Log-odds (n, L) less the mean of each row's ten best."""
    n_best = min(_N_BEST, log_odds.shape[1])
    best = np.partition(log_odds, -n_best, axis=1)[:, -n_best:]
    return log_odds - best.mean(axis=1, keepdims=True)
