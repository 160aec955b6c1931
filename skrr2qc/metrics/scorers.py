"""Scorers of multi-label rankings for cross_val_score and GridSearchCV.

``sklearn.metrics.make_scorer(response_method="predict_proba")`` does not fit: with two labels it
takes `predict_proba` for a binary problem and keeps one column, and where an estimator returns one
array per label it mistakes "label never seen" for "label certain". These scorers are plain
callables ``(estimator, X, y) -> float`` that scikit-learn accepts wherever it accepts a scorer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._f1 import f1_at_1
from ._inputs import Matrix, check_option
from ._ranking import ndcg_at_k, precision_at_k, r_precision_at_k

RESPONSE_METHODS = ("predict_proba", "decision_function")


@dataclass(frozen=True)
class AtKScorer:
    """Callable scorer; build it with `make_at_k_scorer`.

    Parameters
    ----------
    metric : callable
        ``metric(Y_true, scores, **params) -> float``, greater is better.
    params : tuple of (str, value) pairs
        Keyword arguments of `metric`.
    response_method : {"predict_proba", "decision_function"}
        Method of the estimator that gives the scores, (n, L).
    """

    metric: Callable[..., float]
    params: tuple[tuple[str, Any], ...] = ()
    response_method: str = "predict_proba"

    def __call__(self, estimator: Any, X: Any, y: Matrix) -> float:
        """Score a fitted estimator on texts (or features) `X` with truth `y` of shape (n, L)."""
        method = getattr(estimator, self.response_method, None)
        if method is None:
            raise TypeError(
                f"The scorer needs an estimator with {self.response_method}(), got "
                f"{estimator!r:.80}. "
                f"Pass another response_method to make_at_k_scorer(): one of {RESPONSE_METHODS}."
            )
        scores = method(X)
        if isinstance(scores, list) and scores and np.ndim(scores[0]) == 2:
            scores = _stack_outputs(scores, estimator.classes_)
        return self.metric(y, scores, **dict(self.params))


def make_at_k_scorer(
    metric: Callable[..., float],
    k: int | None = None,
    *,
    response_method: str = "predict_proba",
    **params: Any,
) -> AtKScorer:
    """Turn a ranking metric into a scorer for cross-validation and grid search.

    Parameters
    ----------
    metric : callable
        ``metric(Y_true, scores, k=k, **params) -> float``, greater is better, such as
        `ndcg_at_k`. A function defined at module level, if the scorer is to be pickled.
    k : int, default=None
        Cut-off; None for a metric that has none, such as `f1_at_1`.
    response_method : {"predict_proba", "decision_function"}, default="predict_proba"
        Method that gives scores of shape (n, L). Lists with one (n, 2) array per label, which
        `MultiOutputClassifier` and forests return, are stacked.
    **params
        More keyword arguments of `metric`.

    Returns
    -------
    scorer : AtKScorer
        Callable ``(estimator, X, y) -> float``. Two scorers with equal arguments are equal.

    Raises
    ------
    ValueError, TypeError
        If `metric` is not callable, or `response_method` is unknown.

    Examples
    --------
    >>> from skrr2qc.metrics import recall_at_k
    >>> from skrr2qc.metrics.scorers import make_at_k_scorer
    >>> class Constant:
    ...     def predict_proba(self, X):
    ...         return [[0.9, 0.2, 0.6]] * len(X)
    >>> make_at_k_scorer(recall_at_k, k=2)(Constant(), ["one", "two"], [[1, 0, 0], [0, 1, 1]])
    0.75
    """
    if not callable(metric):
        raise TypeError(
            f"`metric` must be a function (Y_true, scores) -> float, got {metric!r:.60}."
        )
    check_option(response_method, "response_method", RESPONSE_METHODS)
    if k is not None:
        params = {"k": k} | params
    return AtKScorer(metric, tuple(params.items()), response_method)


def _stack_outputs(outputs: list[Any], classes: list[Any]) -> NDArray[np.float64]:
    """Scores (n, L) from one (n, n_classes) array per label; a label that is never true gets 0."""
    scores = np.zeros((len(outputs[0]), len(outputs)))
    for label, (output, known) in enumerate(zip(outputs, classes, strict=True)):
        positive = np.flatnonzero(np.asarray(known) == 1)
        if positive.size:
            scores[:, label] = output[:, positive[0]]
    return scores


precision_at_1_scorer = make_at_k_scorer(precision_at_k, k=1)
precision_at_5_scorer = make_at_k_scorer(precision_at_k, k=5)
ndcg_at_5_scorer = make_at_k_scorer(ndcg_at_k, k=5)
r_precision_at_5_scorer = make_at_k_scorer(r_precision_at_k, k=5)
macro_f1_at_1_scorer = make_at_k_scorer(f1_at_1, average="macro", zero_division="supported")
