"""TF-IDF features and one linear model per label: the baseline that every method has to beat."""

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._platt import fit_sigmoid
from .._thresholds import best_global_threshold
from .._validation import (
    check_choice,
    check_label_matrix,
    check_number,
    check_seed,
    check_texts,
)
from ..metrics import ndcg_at_k, precision_at_k
from ..persistence import SavedModelMixin
from . import _row_products
from ._features import make_vectorizer
from ._one_vs_rest import fit_columns

# The logistic loss needs a weak penalty: with C of order 1 rare labels stay untrained.
C_GRIDS = {
    "squared_hinge": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    "log_loss": (1.0, 10.0, 100.0, 1000.0),
}
C_STARTS = {"squared_hinge": 1.0, "log_loss": 100.0}

_MIN_GAIN = 0.005  # of held-out quality, for a step along the grid: less is noise
_MAX_LABEL_ROWS = 8_000_000  # of n_negatives="auto": about 100 seconds of one core
_LEAST_NEGATIVES = 2000  # however many labels there are
_LIBLINEAR_TOL = 0.1  # liblinear's own default; tighter ones cost time and change no ranking
_MAX_HELD_OUT = 5_000  # rows: enough for one C, one threshold and two calibration numbers
_BLOCK_ENTRIES = 4_000_000  # scores computed at a time while predicting


class TfidfLinearClassifier(SavedModelMixin, ClassifierMixin, BaseEstimator):
    """One-vs-rest linear classifier on TF-IDF of words and characters.

    Parameters
    ----------
    analyzer : {"auto", "word", "char", "token"} or vectorizer, default="auto"
        "word": word 1-2-grams, LaTeX commands and numbers kept whole, beside character
        3-5-grams within word boundaries. "token", for text without blanks between words:
        1-3-grams of Chinese, Japanese and Korean characters, LaTeX commands, numbers, words of
        other scripts and signs. To both, all numbers are one, except integers of four digits and
        more, digits after a letter and what has several points, such as dates. "char": character
        1-3-grams. "auto": "token" where the training texts hold more Chinese, Japanese or Korean
        characters than words of other scripts, "word" elsewhere. Or any unfitted scikit-learn
        transformer from texts to non-negative features.
    loss : {"squared_hinge", "log_loss"}, default="squared_hinge"
        Linear support vector machine or logistic regression, both by liblinear; the former, where
        rows are few for their features and labels, for all labels at once from the products of
        the rows, which is several times faster. The objective then ends within 1 % of its minimum.
    C : float or "auto", default="auto"
        Inverse strength of the l2 penalty, > 0. "auto" begins at 1 (100 for "log_loss") and goes
        along a grid, down or else up, while each step raises the mean of P@1 and nDCG@5 on
        held-out rows by half a point: three trainings on most sets.
    validation_fraction : float, default=0.2
        Share of the training rows, in [0, 1), held out (5,000 at most) to choose `C` and the
        threshold and to calibrate. The final model is trained on all rows. 0 holds none out,
        for when the ranking alone matters: `C` must be given, distances are scores as they are,
        and `threshold_` is 0.5.
    n_negatives : int, "auto" or None, default=None
        Negative rows that a label is told from, but at least five for each of its positive ones,
        where there are more: half of them the most like its mean text, half drawn and weighed up
        to stand for all others. Many times faster on tens of thousands of rows with hundreds of
        labels, at a small loss. "auto": 8,000,000 over the number of labels, but at least 2,000,
        and all of them where products of rows are used. None: all of them.
    max_features : int, default=200000
        Upper bound on each of the vocabularies of words and of character n-grams.
    n_jobs : int, default=None
        Processes over the labels that liblinear learns; None means 1 unless in a joblib context,
        -1 all processors. Products of rows take as many threads as NumPy does.
    random_state : int, RandomState or None, default=None
        Chooses the held-out rows and the order of liblinear's updates.

    Attributes
    ----------
    classes_ : ndarray of shape (L,)
        Label columns 0..L-1.
    C_ : float
        Penalty in use.
    coef_ : csc_matrix of shape (L, n_features), float32
        Pruned weights; empty rows for labels without examples or in every training text.
    intercept_ : ndarray of shape (L,), float32
    calibration_ : tuple of two floats
        Slope and intercept of the sigmoid shared by all labels.
    threshold_ : float
        Probability above which `predict` accepts a label.
    vectorizer_ : transformer
        Fitted on all training texts.

    See Also
    --------
    skrr2qc.RetrievalRerankClassifier : The method of this package.

    Notes
    -----
    A label without training examples has the constant score 0 in scikit-learn's one-vs-rest,
    which outranks every label that was learned and rejected. Here such labels score below
    everything that a learned label can reach, and labels found in every text above it.

    Weights below 0.2 % of their label's norm are dropped, an idea of [2]_: about one in twenty
    remains, so that memory follows the examples rather than labels times features.

    References
    ----------
    .. [1] R.-E. Fan, K.-W. Chang, C.-J. Hsieh, X.-R. Wang, C.-J. Lin. LIBLINEAR: a library for
       large linear classification. JMLR 9, 2008.
    .. [2] R. Babbar, B. Schoelkopf. DiSMEC: distributed sparse machines for extreme multi-label
       classification. WSDM, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skrr2qc.baselines import TfidfLinearClassifier
    >>> X = ["area of a circle", "area of a square", "roots of an equation"] * 5
    >>> Y = np.array([[1, 0], [1, 0], [0, 1]] * 5)
    >>> classifier = TfidfLinearClassifier(random_state=0).fit(X, Y)
    >>> classifier.predict(["circle and square", "one equation"])
    array([[1, 0],
           [0, 1]])
    """

    def __init__(
        self,
        *,
        analyzer="auto",
        loss="squared_hinge",
        C="auto",
        validation_fraction=0.2,
        n_negatives=None,
        max_features=200_000,
        n_jobs=None,
        random_state=None,
    ):
        self.analyzer = analyzer
        self.loss = loss
        self.C = C
        self.validation_fraction = validation_fraction
        self.n_negatives = n_negatives
        self.max_features = max_features
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y):
        """Fit vectorizer, penalty, threshold and one linear model per label.

        Parameters
        ----------
        X : sequence of n str
            Texts.
        y : array-like or sparse matrix of shape (n, L), {0, 1}
            Indicator of the labels of each text.

        Returns
        -------
        self : TfidfLinearClassifier

        Raises
        ------
        TypeError
            If `X` is no sequence of str, or `C` is neither a number nor "auto".
        ValueError
            If shapes do not agree, a parameter is out of range, or no text holds a character.
        """
        X = check_texts(X)
        Y = check_label_matrix(y, n_samples=len(X), name="y")
        self._check_parameters()
        if not any(text.strip() for text in X):
            raise ValueError(
                f"`X` must hold at least one text that is not blank, got {len(X)} blank ones. "
                "Check how the texts were read."
            )
        rng = check_random_state(self.random_state)
        order, seed = rng.permutation(len(X)), int(rng.randint(np.iinfo(np.int32).max))
        self.vectorizer_ = self.make_vectorizer(X)
        features = self._fit_vectorizer(X)
        self.classes_ = np.arange(Y.shape[1])
        if not self.validation_fraction:
            self.C_, self.calibration_, self.threshold_ = float(self.C), (1.0, 0.0), 0.5
            self.coef_, self.intercept_ = self._fit_labels(features, Y, self.C_, seed)
            return self
        held_out, rest = np.split(order, [self._n_held_out(len(X))])
        best = self._choose_C(features[rest], Y[rest], features[held_out], Y[held_out], seed)
        self.C_, held_out_scores = best
        self.coef_, self.intercept_ = self._fit_labels(features, Y, self.C_, seed)
        if held_out_scores is None:  # one row: nothing can be held out
            held_out = order
            held_out_scores = _linear_scores(features, self.coef_.T, self.intercept_)
        Y = Y[held_out]
        self.calibration_ = _fit_sigmoid(Y, held_out_scores)
        self.threshold_ = best_global_threshold(Y, self._calibrate(held_out_scores))
        return self

    def decision_function(self, X):
        """Signed distances to the separating planes, comparable within a row.

        Parameters
        ----------
        X : sequence of n str
            Texts.

        Returns
        -------
        scores : ndarray of shape (n, L), float32
        """
        check_is_fitted(self)
        X = check_texts(X)
        return self._score_blocks(len(X), lambda rows: self.vectorizer_.transform(X[rows]))

    def predict_proba(self, X):
        """Probabilities of the labels: one sigmoid of the decision function for all labels.

        Parameters
        ----------
        X : sequence of n str
            Texts.

        Returns
        -------
        scores : ndarray of shape (n, L), float32, in [0, 1]
        """
        return self._calibrate(self.decision_function(X))

    def predict(self, X):
        """Labels whose probability exceeds the threshold chosen on held-out rows.

        Parameters
        ----------
        X : sequence of n str
            Texts.

        Returns
        -------
        Y : ndarray of shape (n, L), {0, 1}
            Rows may be empty.
        """
        return (self.predict_proba(X) > self.threshold_).astype(np.int64)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.two_d_labels = True
        tags.target_tags.one_d_labels = False
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags

    def _check_parameters(self):
        if not hasattr(self.analyzer, "fit"):
            check_choice(self.analyzer, "analyzer", ("auto", "word", "char", "token"))
        check_choice(self.loss, "loss", C_GRIDS)
        if not isinstance(self.C, str) or self.C != "auto":
            check_number(self.C, "C", above=0)
        check_number(self.validation_fraction, "validation_fraction", minimum=0)
        if self.validation_fraction == 0 and isinstance(self.C, str):
            raise ValueError(
                "`C` == 'auto' is chosen on held-out rows, and `validation_fraction` == 0 holds "
                "none out. Give a number for `C`, or a larger `validation_fraction`."
            )
        if self.validation_fraction >= 1:
            raise ValueError(
                f"`validation_fraction` == {self.validation_fraction}, must be < 1: "
                "some rows have to remain for training."
            )
        if isinstance(self.n_negatives, str):
            check_choice(self.n_negatives, "n_negatives", ("auto",))
        elif self.n_negatives is not None:
            check_number(self.n_negatives, "n_negatives", minimum=2, integer=True)
        check_number(self.max_features, "max_features", minimum=1, integer=True)
        if self.n_jobs is not None:
            check_number(self.n_jobs, "n_jobs", integer=True)
            if self.n_jobs == 0:
                raise ValueError(
                    "`n_jobs` == 0, must be a number of processes, -1 for all, or None."
                )
        check_seed(self.random_state)

    def make_vectorizer(self, texts):
        """Vectorizer that `analyzer` means for texts like these, not fitted."""
        if hasattr(self.analyzer, "fit"):
            return clone(self.analyzer)
        return make_vectorizer(self.analyzer, texts, self.max_features)

    def _fit_vectorizer(self, texts):
        features = self.vectorizer_.fit_transform(texts)
        return sp.csr_matrix(features, dtype=np.float64)  # what liblinear computes in

    def _n_held_out(self, n_samples):
        wanted = round(self.validation_fraction * n_samples)
        return min(max(wanted, 1), _MAX_HELD_OUT, n_samples - 1)

    def _choose_C(self, features, Y, held_out_features, held_out_Y, seed):
        """Best penalty and the held-out scores of its model, None where no row is held out."""
        is_free = isinstance(self.C, str)
        start = C_STARTS[self.loss] if is_free else self.C
        if held_out_features.shape[0] == 0:
            return float(start), None

        def judge(C):
            coef, intercept = self._fit_labels(features, Y, C, seed)
            scores = _linear_scores(held_out_features, coef.T, intercept)
            return _ranking_quality(held_out_Y, scores), float(C), scores

        first = best = judge(start)
        grid = C_GRIDS[self.loss] if is_free else ()
        down, up = [C for C in reversed(grid) if start > C], [C for C in grid if start < C]
        for path in (down, up):
            for C in path if best is first else ():
                other = judge(C)
                if other[0] < best[0] + _MIN_GAIN:
                    break
                best = other
        return best[1:]

    def _fit_labels(self, features, Y, C, seed):
        """Pruned weights (L, n_features) and intercepts (L,) of all labels."""
        columns = Y.tocsc()
        n_samples, n_labels = Y.shape
        counts = np.diff(columns.indptr)
        learnable = np.flatnonzero((counts > 0) & (counts < n_samples))
        empty = sp.csr_matrix((1, features.shape[1]), dtype=np.float32)
        rows = [empty] * n_labels
        intercept = np.zeros(n_labels, dtype=np.float32)
        fitted = self._fit_columns(features, columns, learnable, C, seed)
        for label, (weights, bias) in fitted.items():
            rows[label], intercept[label] = weights, bias
        coef = sp.vstack(rows, format="csr")
        lowest, highest = _score_bounds(features, coef[learnable], intercept[learnable])
        intercept[counts == 0] = lowest - 1
        intercept[counts == n_samples] = highest + 1
        return coef.tocsc(), intercept  # by feature, as a text asks for them

    def _fit_columns(self, features, columns, labels, C, seed):
        """Pruned weights and intercept of each of these labels."""
        fitted = {}
        if self._learns_from_products(features, len(labels)):
            found = _row_products.fit_columns(features, columns, labels, C)
            fitted = {label: one for label, one in zip(labels, found, strict=True) if one}
        left = np.array([label for label in labels if label not in fitted], dtype=int)
        found = fit_columns(
            features,
            columns,
            left,
            self._make_linear(C, seed),
            n_negatives=self._n_negatives(columns.shape[1]),
            n_jobs=self.n_jobs,
            seed=seed,
        )
        return fitted | dict(zip(left, found, strict=True))

    def _learns_from_products(self, features, n_labels):
        wanted = self.n_negatives
        takes_all = wanted is None or isinstance(wanted, str) or wanted >= features.shape[0]
        has_loss = self.loss == "squared_hinge"
        return takes_all and has_loss and _row_products.is_worthwhile(features, n_labels)

    def _n_negatives(self, n_labels):
        if isinstance(self.n_negatives, str):
            return max(_LEAST_NEGATIVES, _MAX_LABEL_ROWS // n_labels)
        return self.n_negatives

    def _make_linear(self, C, seed):
        if self.loss == "squared_hinge":
            return LinearSVC(C=C, tol=_LIBLINEAR_TOL, dual=True, random_state=seed)
        return LogisticRegression(
            C=C, tol=_LIBLINEAR_TOL, dual=True, solver="liblinear", random_state=seed
        )

    def _score_features(self, features):
        """What `decision_function` gives for texts of which `vectorizer_` made these features."""
        features = sp.csr_matrix(features, dtype=np.float32)
        return self._score_blocks(features.shape[0], features.__getitem__)

    def _score_blocks(self, n_samples, features_of):
        n_labels = len(self.classes_)
        weights = self.coef_.T.tocsr()  # nothing to do, but for models saved by label
        scores = np.empty((n_samples, n_labels), dtype=np.float32)
        n_rows = max(1, _BLOCK_ENTRIES // n_labels)
        for start in range(0, n_samples, n_rows):
            rows = slice(start, start + n_rows)
            scores[rows] = _linear_scores(features_of(rows), weights, self.intercept_)
        return scores

    def _calibrate(self, scores):
        slope, intercept = self.calibration_
        return expit(np.float32(slope) * scores + np.float32(intercept))


def _linear_scores(features, weights, intercept):
    features = sp.csr_matrix(features, dtype=np.float32)
    return (features @ weights).toarray() + intercept


def _ranking_quality(Y, scores):
    """Mean of P@1 and nDCG@5 over the texts that have a label."""
    has_label = np.diff(Y.indptr) > 0
    if not has_label.any():
        return 0.0
    Y, scores = Y[has_label], scores[has_label]
    return (precision_at_k(Y, scores, 1) + ndcg_at_k(Y, scores, min(5, Y.shape[1]))) / 2


def _score_bounds(features, coef, intercept):
    """Lowest and highest score that texts with features of this norm can get."""
    if coef.shape[0] == 0:
        return 0.0, 0.0
    text_norm = np.sqrt(features.multiply(features).sum(axis=1).max())
    reach = text_norm * np.sqrt(np.asarray(coef.multiply(coef).sum(axis=1)).ravel())
    return float((intercept - reach).min()), float((intercept + reach).max())


def _fit_sigmoid(Y, scores):
    """Slope and intercept of one sigmoid from scores to label frequencies."""
    is_learned = np.ptp(scores, axis=0) > 0  # a constant far off would flatten the sigmoid
    return fit_sigmoid(Y[:, is_learned], scores[:, is_learned])
