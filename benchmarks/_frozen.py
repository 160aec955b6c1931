"""A pretrained encoder that is not trained any further, and logistic regression on its vectors."""

import warnings

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from skrr2qc import MultilabelThresholdTuner
from skrr2qc.metrics import ndcg_at_k, precision_at_k
from skrr2qc.model_selection import train_holdout_split

C_GRID = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of features that are scaled to variance 1
_PATIENCE = 2  # steps along the grid without a gain
_LABELS_AT_ONCE = 256
_LARGEST_LOGIT = 30.0


class LogisticRegressions(ClassifierMixin, BaseEstimator):
    """One logistic regression a label, all by one L-BFGS: what OneVsRestClassifier fits in turn.

    Parameters
    ----------
    C : float, default=1.0
        As in `sklearn.linear_model.LogisticRegression`; intercepts are not penalised.
    tol : float, default=1e-6
        Relative fall of the objective below which it is taken to be lowest.
    max_iter : int, default=1000

    Attributes
    ----------
    coef_ : ndarray of shape (d + 1, L)
        Intercepts last. 0 for a label of no row or of all rows: there is nothing to learn.
    counts_ : ndarray of shape (L,)
        Rows of each label.
    """

    def __init__(self, C=1.0, *, tol=1e-6, max_iter=1000):
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y, start=None):
        """Fit to vectors (n, d) and an indicator (n, L); `start` is the `coef_` of another C."""
        columns = sp.csc_matrix(y, dtype=np.float32)
        n_samples, n_labels = columns.shape
        self.counts_, self.n_samples_ = columns.getnnz(axis=0), n_samples
        self.classes_ = np.arange(n_labels)
        X = torch.from_numpy(np.column_stack([X, np.ones(n_samples)]).astype(np.float32))
        self.coef_ = np.zeros((X.shape[1], n_labels))
        learnable = np.flatnonzero((self.counts_ > 0) & (self.counts_ < n_samples))
        # Labels of like frequency take about as many steps.
        learnable = learnable[np.argsort(self.counts_[learnable], kind="stable")]
        for begin in range(0, len(learnable), _LABELS_AT_ONCE):
            chunk = learnable[begin : begin + _LABELS_AT_ONCE]
            first = np.zeros((X.shape[1], len(chunk))) if start is None else start[:, chunk]
            if start is None:
                first[-1] = np.log(self.counts_[chunk] / (n_samples - self.counts_[chunk]))
            self.coef_[:, chunk] = self._solve(X, columns[:, chunk], first)
        return self

    def predict_proba(self, X):
        """Probabilities (n, L), float32; 0 for labels without a row, and for no other."""
        logits = (X @ self.coef_[:-1] + self.coef_[-1]).astype(np.float32)
        logits = np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        logits[:, self.counts_ == 0] = -np.inf
        logits[:, self.counts_ == self.n_samples_] = np.inf
        return expit(logits)

    def _solve(self, X, Y, first):
        Y = torch.from_numpy(Y.toarray())

        def objective(flat):
            coef = flat.reshape(first.shape)
            logits = X @ torch.from_numpy(coef.astype(np.float32))
            loss = F.binary_cross_entropy_with_logits(logits, Y, reduction="sum").item()
            gradient = (X.T @ (logits.sigmoid_() - Y)).numpy().astype(np.float64)
            gradient[:-1] += coef[:-1] / self.C
            return loss + np.sum(coef[:-1] ** 2) / (2 * self.C), gradient.ravel()

        options = {"maxiter": self.max_iter, "ftol": self.tol, "gtol": 1e-9}
        found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options)
        if found.status == 1:
            warnings.warn(
                f"No optimum after {self.max_iter} steps at C={self.C:g}: raise `max_iter`.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return found.x.reshape(first.shape)


class FrozenEncoderClassifier(ClassifierMixin, BaseEstimator):
    """Vectors of an encoder as it is, scaled, and one logistic regression a label.

    Parameters
    ----------
    encoder : RCPTEncoder
    C : float or "auto", default="auto"
        "auto" goes up `C_GRID` until held-out texts are ranked worse twice. With a small `C`
        rare labels remain untrained.
    tol : float, default=1e-6
        See `LogisticRegressions`.
    validation_fraction : float, default=0.1
        Share of the rows that choose `C` and the threshold. The final model has all rows.
    device : str, default="auto"
        Where texts are encoded.
    random_state : int, default=None

    Attributes
    ----------
    C_, threshold_ : float
    n_validation_ : int
    """

    def __init__(
        self, encoder, *, C="auto", tol=1e-6, validation_fraction=0.1, device="auto",
        random_state=None,
    ):  # fmt: skip
        self.encoder = encoder
        self.C = C
        self.tol = tol
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def fit(self, X, y):
        """Fit to texts and an indicator (n, L), dense or CSR."""
        Y = sp.csr_matrix(y)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self.encoder_ = clone(self.encoder).set_params(device=self.device, random_state=seed)
        vectors = self.encoder_.fit(X).transform(X)
        self.scaler_ = StandardScaler().fit(vectors)
        vectors = self.scaler_.transform(vectors)
        rows, held_out = train_holdout_split(Y, self.validation_fraction, random_state=seed)
        if not Y[held_out].nnz:  # a label in each row, and each row the only one of its label
            rows = held_out = np.arange(Y.shape[0])
        best = self._choose(vectors[rows], Y[rows], vectors[held_out], Y[held_out])
        tuner = MultilabelThresholdTuner(best, cv="prefit", refit=False)
        self.threshold_ = tuner.fit(vectors[held_out], Y[held_out]).best_threshold_
        self.C_, self.n_validation_ = best.C, len(held_out)
        self.classifier_ = clone(best).fit(vectors, Y, start=best.coef_)
        self.classes_ = self.classifier_.classes_
        return self

    def predict_proba(self, X):
        """Probabilities (n, L), float32; 0 for labels without a training text."""
        return self.classifier_.predict_proba(self.scaler_.transform(self.encoder_.transform(X)))

    def predict(self, X):
        """Labels above `threshold_`, (n, L), int8."""
        return (self.predict_proba(X) > self.threshold_).astype(np.int8)

    def _choose(self, vectors, Y, held_out_vectors, held_out_Y):
        """Classifier of the best `C`, each of the grid from where the one before it ended."""
        best, highest, n_idle, start = None, -np.inf, 0, None
        is_free = isinstance(self.C, str)
        for C in C_GRID if is_free else [self.C]:
            fitted = LogisticRegressions(C, tol=self.tol).fit(vectors, Y, start=start)
            quality = _ranking_quality(held_out_Y, fitted.predict_proba(held_out_vectors))
            start, n_idle = fitted.coef_, n_idle + 1
            if quality > highest:
                best, highest, n_idle = fitted, quality, 0
            if n_idle == _PATIENCE:
                break
        return best


def _ranking_quality(Y, scores):
    """Mean of P@1 and nDCG@5, by which the TF-IDF baseline chooses, too."""
    return (precision_at_k(Y, scores, 1) + ndcg_at_k(Y, scores, min(5, Y.shape[1]))) / 2
