"""Decision thresholds for any multi-label classifier, as a meta-estimator."""

import warnings
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._thresholds import check_rule, choose_decision
from .._validation import check_flag, check_label_matrix, check_number, check_texts
from ..model_selection import MultilabelStratifiedKFold, train_holdout_split
from ..persistence import SavedModelMixin
from ._parts import fit_multilabel, label_probabilities
from ._sparse_scores import score_blocks


def _estimator_has(method):
    return lambda tuner: hasattr(getattr(tuner, "estimator_", tuner.estimator), method)


class MultilabelThresholdTuner(SavedModelMixin, ClassifierMixin, BaseEstimator):
    """Choose on held-out rows which scores of a multi-label classifier become labels.

    Parameters
    ----------
    estimator : estimator
        Multi-label classifier with ``predict_proba`` (one array, or one a label) or
        ``decision_function``, of texts, arrays, sparse matrices or frames.
    threshold : {"global", "per_label", "top_k", "cardinality"} or float, default="global"
        "global": one threshold for all labels, the best for micro-F1. "per_label": one a label,
        the best for its F1, drawn to a common one where it is rare: for macro-F1. "top_k": every
        text gets the rounded mean number of labels. "cardinality": one threshold at which as
        many labels are predicted as there are. A float is the threshold itself, and nothing is
        held out.
    cv : float, int, splitter, iterable of splits or "prefit", default=0.2
        Where held-out scores come from. A float in (0, 1) is the share of rows that one fit
        leaves out, without taking a label's last row from training; an integer, the folds whose
        out-of-fold scores are pooled; splits hold row numbers or masks; "prefit" takes all rows
        for a fitted `estimator`, which must not have seen them. Splitters that stratify by
        classes, such as ``StratifiedKFold``, do so where every row has one label, or there is
        but one; for label sets there is `MultilabelStratifiedKFold`, which an integer means.
    refit : bool, default=True
        Whether all rows train the final estimator. False keeps the one that chose, which needs
        a single split; it has to be False with "prefit".
    random_state : int, RandomState instance or None, default=None
        For the split into rows that train and rows that are held out.

    Attributes
    ----------
    estimator_ : fitted classifier
    decision_ : object
        ``apply(scores)`` gives the labels of any scores; `rule`, `threshold` and `k` say how.
    best_threshold_ : float or ndarray of shape (L,)
        -inf for "top_k", where the rank alone decides.
    classes_ : ndarray of shape (L,)
        Column numbers.
    unseen_ : ndarray of int
        Labels without a positive whose held-out scores are all the same: never predicted. A
        classifier that knows only negatives of a label gives such a constant, at times above
        the scores of others.
    n_validation_ : int
        Rows that the thresholds were chosen on; 0 if it had to be those of training.

    See Also
    --------
    RetrievalRerankClassifier : Chooses its thresholds itself.
    sklearn.model_selection.TunedThresholdClassifierCV : The same for two classes.

    Examples
    --------
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.metrics import f1_score
    >>> from sklearn.multiclass import OneVsRestClassifier
    >>> from skrr2qc import MultilabelThresholdTuner
    >>> X, Y = make_multilabel_classification(400, n_classes=8, random_state=0)
    >>> linear = OneVsRestClassifier(LogisticRegression(C=0.01))
    >>> tuner = MultilabelThresholdTuner(linear, threshold="per_label", cv=5)
    >>> tuner.fit(X[:200], Y[:200]).best_threshold_.shape
    (8,)
    >>> plain = linear.fit(X[:200], Y[:200]).predict(X[200:])
    >>> tuned = tuner.predict(X[200:])
    >>> f1_score(Y[200:], tuned, average="macro") > f1_score(Y[200:], plain, average="macro")
    True
    """

    def __init__(self, estimator, *, threshold="global", cv=0.2, refit=True, random_state=None):
        self.estimator = estimator
        self.threshold = threshold
        self.cv = cv
        self.refit = refit
        self.random_state = random_state

    def fit(self, X, y):
        """Score held-out rows, choose the thresholds, and train on all rows.

        Parameters
        ----------
        X : sequence of n str, array-like or sparse matrix of shape (n, d)
            Whatever `estimator` takes.
        y : indicator matrix (n, L), dense or CSR

        Returns
        -------
        self : MultilabelThresholdTuner

        Raises
        ------
        TypeError, ValueError
            If a parameter or the targets are not as described, or no row has a label.

        Warns
        -----
        UserWarning
            If no row with a label could be held out: thresholds are then chosen on the training
            rows, whose scores are too high.
        """
        rule = self._check_parameters()
        X = self._check_X(X)
        Y = check_label_matrix(y, n_samples=_num_samples(X), name="y")
        is_chosen = isinstance(rule, str)
        if is_chosen and not Y.nnz:
            raise ValueError(
                f"`y` has no positive entry (shape {Y.shape}): there is nothing to choose "
                "thresholds on. Give rows with labels, or `threshold` as a number."
            )
        splits = self._splits(X, Y, is_chosen)
        fitted, scores = self._fit_and_score(X, Y, splits)
        rows = np.concatenate([np.empty(0, dtype=np.int64), *(held_out for _, held_out in splits)])
        self.n_validation_ = len(rows) if is_chosen else 0
        if is_chosen and not splits:
            rows, scores = np.arange(Y.shape[0]), _label_scores(fitted, X, Y.shape[1])
        is_constant = (scores == scores[:1]).all(axis=0) if is_chosen else False
        self.unseen_ = np.flatnonzero((Y.getnnz(axis=0) == 0) & is_constant)
        self.decision_ = choose_decision(
            *(Y[rows], self._without_unseen(scores), rule),
            at_least_one=bool(np.diff(Y.indptr).all()),
        )
        self.best_threshold_ = self.decision_.threshold
        self.estimator_ = fitted
        self.classes_ = np.arange(Y.shape[1])
        return self

    def predict(self, X):
        """Labels by the rule that was chosen.

        Where all rows of `fit` had labels, a row that it leaves without any gets the one that
        ranks first, unless `threshold` is a number.

        Returns
        -------
        Y : ndarray of shape (n, L), int8, {0, 1}
        """
        check_is_fitted(self, "decision_")
        X = self._check_X(X)
        n_samples, n_labels = _num_samples(X), len(self.classes_)
        predicted = np.zeros((n_samples, n_labels), dtype=np.int8)

        def score(rows):
            return _label_scores(self.estimator_, _safe_indexing(X, rows), n_labels)

        for rows, scores in score_blocks(score, n_samples, n_labels):
            predicted[rows] = self.decision_.apply(self._without_unseen(scores))
        return predicted

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """What the fitted estimator's ``predict_proba`` returns."""
        check_is_fitted(self, "decision_")
        return self.estimator_.predict_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """What the fitted estimator's ``decision_function`` returns."""
        check_is_fitted(self, "decision_")
        return self.estimator_.decision_function(X)

    @property
    def n_features_in_(self):
        """Number of features that the fitted estimator saw, if it says so."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the features that the fitted estimator saw, if it says so."""
        return self.estimator_.feature_names_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.single_output = False
        return tags

    def _check_parameters(self):
        rule = check_rule(self.threshold)
        check_flag(self.refit, "refit")
        if isinstance(self.estimator, (str, type)) or not hasattr(self.estimator, "fit"):
            raise TypeError(
                f"`estimator` must be a multi-label classifier, got {self.estimator!r}. "
                "Pass an instance with predict_proba or decision_function."
            )
        cv = self.cv
        if isinstance(cv, str) and cv == "prefit":
            if self.refit:
                raise ValueError("`refit` must be False with cv='prefit': nothing is to be fitted.")
            check_is_fitted(self.estimator)
        elif cv is None or isinstance(cv, (str, bool)):
            raise ValueError(
                "`cv` must be a share of rows, a number of folds, a splitter, splits or 'prefit', "
                f"got {cv!r}. The default is 0.2."
            )
        elif isinstance(cv, Integral):
            check_number(cv, "cv", minimum=2, integer=True)
        elif isinstance(cv, Real) and not 0 < cv < 1:
            raise ValueError(
                f"`cv` == {cv}, must lie between 0 and 1 as a share of rows. Pass an integer for "
                "a number of folds."
            )
        return rule

    def _check_X(self, X):
        """Texts are checked here, before rows are picked; of anything else `estimator` knows."""
        first = self.estimator
        while getattr(first, "steps", None):
            first = first.steps[0][1]
        kinds = get_tags(first).input_tags if hasattr(first, "fit") else None
        takes_texts = kinds is not None and kinds.string and not kinds.two_d_array
        if sp.issparse(X):  # rows cannot be picked from all formats
            return X.tocsr()
        return check_texts(X) if takes_texts or X is None or isinstance(X, (str, bytes)) else X

    def _splits(self, X, Y, is_chosen):
        """Training and held-out rows of each fit; none where there is nothing to choose on."""
        if isinstance(self.cv, str):
            return [(None, np.arange(Y.shape[0]))]
        if not is_chosen:
            return []
        if isinstance(self.cv, Integral):
            cv = MultilabelStratifiedKFold(self.cv, shuffle=True, random_state=self.random_state)
        elif isinstance(self.cv, Real):
            cv = [train_holdout_split(Y, self.cv, random_state=self.random_state)]
        else:
            cv = self.cv
        splits = _split(check_cv(cv), X, Y)
        if len(splits) > 1 and not self.refit:
            raise ValueError(
                f"`refit` must be True with {len(splits)} folds: none of their classifiers is to "
                "be kept. For refit=False pass a share of rows, such as cv=0.2."
            )
        n_held_out = sum(len(held_out) for _, held_out in splits)
        if any(Y[held_out].nnz for _, held_out in splits):
            return splits
        warnings.warn(
            f"{n_held_out} of {Y.shape[0]} rows could be held out, and none of them has a label: "
            "thresholds are chosen on the training rows, where scores are too high. Give more "
            "rows, another `cv`, or `threshold` as a number.",
            UserWarning,
            stacklevel=3,
        )
        return []

    def _fit_and_score(self, X, Y, splits):
        """The final estimator, and scores of all held-out rows."""
        fitted, scores = None, [np.empty((0, Y.shape[1]), dtype=np.float32)]
        for train, held_out in splits:
            if train is None:
                fitted = self.estimator
            else:
                X_train = _safe_indexing(X, train)
                fitted = fit_multilabel(clone(self.estimator), X_train, Y[train])
            scores.append(_label_scores(fitted, _safe_indexing(X, held_out), Y.shape[1]))
        if self.refit or fitted is None:
            fitted = fit_multilabel(clone(self.estimator), X, Y)
        return fitted, np.concatenate(scores)

    def _without_unseen(self, scores):
        if not self.unseen_.size:
            return scores
        scores = scores.copy()
        scores[:, self.unseen_] = -np.inf
        return scores


def _split(cv, X, Y):
    """Training and held-out rows of each split, as numbers."""
    try:
        splits = list(cv.split(X, Y))
    except (TypeError, ValueError):
        try:
            splits = list(cv.split(X, _classes(Y)))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`cv`, a {type(cv).__name__}, cannot split {Y.shape[0]} rows of {Y.shape[1]} "
                f"labels: {str(error):.150} Pass an integer, a MultilabelStratifiedKFold or a "
                "KFold that fits the rows; or the splits themselves, by classes and groups of "
                "your own: list(cv.split(X, classes, groups))."
            ) from error
    return [tuple(_row_numbers(part, Y.shape[0]) for part in split) for split in splits]


def _classes(Y):
    """One class a row, where every row has one label or there is one label; else dense targets."""
    if Y.shape[1] > 1 and (np.diff(Y.indptr) == 1).all():
        return Y.indices
    targets = Y.astype(np.int8).toarray()
    return targets.ravel() if Y.shape[1] == 1 else targets


def _row_numbers(part, n_rows):
    """Rows of one side of a split, given by number or as a mask."""
    rows = np.asarray(part)
    if rows.dtype == bool and rows.shape == (n_rows,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype == bool or (rows.size and rows.dtype.kind not in "iu"):
        raise ValueError(
            f"`cv` must hold row numbers or masks of {n_rows} rows, got {rows.shape} of "
            f"{rows.dtype}. A splitter's split(X, y) gives such pairs."
        )
    if rows.size and not (rows.min() >= 0 and rows.max() < n_rows):
        raise ValueError(
            f"`cv` must hold rows from 0 to {n_rows - 1}, got {rows.min()} to {rows.max()}. "
            "Were the splits made for other data?"
        )
    return rows.astype(np.int64)


def _label_scores(estimator, X, n_labels):
    """Probabilities, or else the decision function, as one array (n, L)."""
    if hasattr(estimator, "predict_proba"):
        scores = label_probabilities(estimator, X, n_labels)
    elif hasattr(estimator, "decision_function"):
        scores = np.asarray(estimator.decision_function(X), dtype=np.float32)
        scores = scores[:, None] if scores.ndim == 1 else scores
    else:
        raise TypeError(
            f"{estimator!r} has neither predict_proba nor decision_function: there are no scores "
            "to choose thresholds for. Wrap it, such as in sklearn's CalibratedClassifierCV."
        )
    if scores.ndim != 2 or scores.shape[1] != n_labels:
        raise ValueError(
            f"The scores of {estimator!r} must have one column per label: expected {n_labels}, "
            f"got shape {scores.shape}. Pass a multi-label classifier."
        )
    return scores
