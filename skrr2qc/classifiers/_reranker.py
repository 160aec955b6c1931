"""Reranking by meta-labels, over any two multi-label classifiers."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from .._thresholds import best_global_threshold
from .._validation import check_label_matrix, check_label_to_meta, check_number, check_texts
from ._class_center import ClassCenterHead
from ._parts import fit_multilabel, inherit, label_probabilities, with_encoder


def rerank_scores(label_scores, meta_scores, label_to_meta, *, alpha=1.0):
    """Label scores times the mean score of each label's meta-labels (Eq. 15 of [1]_).

    Parameters
    ----------
    label_scores : ndarray of shape (n, L)
    meta_scores : ndarray of shape (n, M)
    label_to_meta : sparse matrix of shape (L, M), {0, 1}
        A label without a meta-label keeps its score.
    alpha : float, default=1.0
        Exponent of the mean; 0 leaves the scores as they are.

    Returns
    -------
    scores : ndarray of shape (n, L)
        For ranking: a product of two probabilities is not one.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> label_to_meta = sp.csr_matrix(np.array([[1, 1], [0, 0]]))
    >>> rerank_scores(np.array([[0.5, 0.4]]), np.array([[0.2, 0.6]]), label_to_meta).tolist()
    [[0.2, 0.4]]
    """
    label_scores, meta_scores = _as_floats(label_scores), _as_floats(meta_scores)
    label_to_meta = sp.csr_matrix(label_to_meta, dtype=meta_scores.dtype)
    expected = (label_scores.shape[1], meta_scores.shape[1])
    if label_to_meta.shape != expected or len(label_scores) != len(meta_scores):
        raise ValueError(
            f"Scores of shapes {label_scores.shape} and {meta_scores.shape} need as many rows each "
            f"and a `label_to_meta` of shape {expected}, got {label_to_meta.shape}."
        )
    n_meta = np.asarray(label_to_meta.sum(axis=1)).ravel()
    means = (label_to_meta @ meta_scores.T).T  # (n, L)
    means /= np.maximum(n_meta, 1)
    means[:, n_meta == 0] = 1.0
    if alpha != 1.0:
        means **= alpha
    means *= label_scores
    return means.astype(label_scores.dtype, copy=False)


def _as_floats(scores):
    scores = np.asarray(scores)
    return scores if scores.dtype.kind == "f" else scores.astype(np.float64)


class MetaLabelReranker(TransformerMixin, ClassifierMixin, BaseEstimator):
    """Multiply label scores by the scores of the meta-labels that each label is made of.

    Parameters
    ----------
    classifier : estimator, default=None
        Multi-label classifier of meta-labels with ``predict_proba``; None: `ClassCenterHead`.
    retriever : estimator, default=None
        Multi-label classifier of labels with ``predict_proba``. None: the first L columns of
        `X` are label scores, and further columns the features for `classifier`, as
        ``ClassCenterHead(passthrough=True)`` hands them on in a Pipeline.
    encoder : estimator, default=None
        Given to `classifier`; then `X` holds texts.
    labels : LabelSpace, default=None
        Its `label_to_meta` is used if there is no other.
    label_to_meta : array-like or sparse matrix of shape (L, M), default=None
        Which meta-labels each label has. Without any map, scores pass unchanged.
    alpha : float, default=1.0
        Exponent of the mean meta-label score; 0 switches reranking off.
    device, random_state, verbose
        For the default classifier.

    Attributes
    ----------
    classifier_, retriever_ : fitted estimators, or None
    label_to_meta_ : csr_matrix of shape (L, M), or None
    threshold_ : float
        Score above which `predict` reports a label: the best for micro-F1 on the training rows.
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
        alpha=1.0,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.classifier = classifier
        self.retriever = retriever
        self.encoder = encoder
        self.labels = labels
        self.label_to_meta = label_to_meta
        self.alpha = alpha
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
        check_number(self.alpha, "alpha", minimum=0)
        X, Y = self._check_data(X, y)
        self.label_to_meta_ = self._check_map(Y.shape[1])
        self.classes_ = np.arange(Y.shape[1])
        self.retriever_ = None
        if self.retriever is not None:
            self.retriever_ = fit_multilabel(clone(self.retriever), X, Y)
        self.classifier_ = None
        if self.label_to_meta_ is not None:
            targets = check_label_matrix((Y @ self.label_to_meta_ > 0).astype(np.float32))
            classifier = ClassCenterHead(loss="bce") if self.classifier is None else self.classifier
            classifier = inherit(classifier, self)
            classifier = with_encoder(classifier, self.encoder)
            self.classifier_ = fit_multilabel(classifier, self._meta_features(X), targets)
        if self.retriever_ is not None or self.encoder is None:
            self.threshold_ = best_global_threshold(Y, self.predict_proba(X))
        return self

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

    def meta_scores(self, X):
        """Scores of all meta-labels; ndarray of shape (n, M), or None without a map."""
        check_is_fitted(self, "classes_")
        if self.classifier_ is None:
            return None
        n_meta = self.label_to_meta_.shape[1]
        return label_probabilities(self.classifier_, self._meta_features(X), n_meta)

    def rerank(self, label_scores, X):
        """Rerank given label scores of the texts or features `X`.

        Parameters
        ----------
        label_scores : ndarray of shape (n, L)
        X : as in `fit`

        Returns
        -------
        scores : ndarray of shape (n, L)
        """
        meta_scores = self.meta_scores(X) if self.alpha else None
        return self.combine(label_scores, meta_scores)

    def combine(self, label_scores, meta_scores):
        """Eq. 15 on scores that are at hand; `meta_scores` None leaves `label_scores`."""
        if meta_scores is None:
            return label_scores
        return rerank_scores(label_scores, meta_scores, self.label_to_meta_, alpha=self.alpha)

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

    def _check_map(self, n_labels):
        label_to_meta = self.label_to_meta
        if label_to_meta is None and self.labels is not None:
            label_to_meta = self.labels.label_to_meta
        if label_to_meta is not None:
            return check_label_to_meta(label_to_meta, n_labels)
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
