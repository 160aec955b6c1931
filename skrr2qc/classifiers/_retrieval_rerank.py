"""The composite: encoder, retrieval head and meta-label reranker as one classifier of texts."""

import warnings
from collections import namedtuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._memory import fit_cached
from .._thresholds import best_global_threshold
from .._training import resolve_device
from .._validation import check_label_matrix, check_label_to_meta, check_number, check_texts
from ..baselines import TfidfLinearClassifier
from ..encoders import RCPTEncoder
from ..label_space import LabelSpace
from ..metrics import top_k
from ..model_selection import train_holdout_split
from ._class_center import ClassCenterHead
from ._explain import explain_texts
from ._lexical import LexicalBlend, choose_blend, logits_of
from ._parts import inherit, targets_for, with_encoder
from ._reranker import MetaLabelReranker
from ._steps import EncodeStep, RerankStep, ScoreStep

_BLOCK = 2048  # texts scored at once by predict and predict_topk
_FEWEST_HELD_OUT = 20  # rows; below, choices made on them are noise

_Parts = namedtuple("_Parts", "head lexical reranker")


class RetrievalRerankClassifier(ClassifierMixin, BaseEstimator):
    """Retrieve labels with a fine-tuned encoder, then rerank them by their meta-labels [1]_.

    Parameters
    ----------
    encoder : estimator, default=None
        An encoder that is not fitted, a fitted one in ``FrozenEstimator``, or any vectorizer of
        texts. None: ``RCPTEncoder(n_epochs=0)``, the compact backbone without pre-training.
    head : estimator, default=None
        Classifier that scores labels; None: `ClassCenterHead`. One with an `encoder` parameter
        is given the fitted encoder, any other is trained on its features.
    reranker : MetaLabelReranker, "passthrough" or None, default=None
        None reranks where `labels` has meta-labels; "passthrough" never does.
    labels : LabelSpace, default=None
        Names, hierarchy and meta-labels of the columns. None: columns 0..L-1, or the names met
        in `Y` where it holds label sets.
    lexical : estimator, "tfidf" or None, default="tfidf"
        Classifier of texts whose logits are added to the head's, with the weight that ranks
        held-out rows best (which may be 0). "tfidf": ``TfidfLinearClassifier(C=1.0)``.
    validation_fraction : float, default=0.1
        Share of the rows, in (0, 0.5], held out to choose the lexical weight and the threshold.
    refit : bool, default=True
        Whether all rows, the held-out ones included, train the final parts. Costs a second
        training; without it the parts trained on the rest are kept.
    memory : None, str or joblib.Memory, default=None
        Where fitted encoders and parts are remembered by content. Never changes a score.
        Needs an integer `random_state`.
    device : str, default="auto"
        "auto" takes CUDA, then MPS, then the CPU; parts follow where they say "auto".
    random_state : int, RandomState instance or None, default=None
        Parts that have none get their own seeds from it.
    verbose : int, default=0
        1 shows progress, losses and the time left.

    Attributes
    ----------
    encoder_, head_, lexical_, reranker_ : fitted parts; the last two may be None
    unseen_ : ndarray of int
        Labels without a training text; they rank last.
    lexical_weight_ : float in [0, 1]
        Share of the lexical logits in the retrieval score.
    threshold_ : float
        Score above which `predict` reports a label: the best for micro-F1 on held-out rows.
    labels_ : LabelSpace or None
    pipeline_ : Pipeline
        Fitted steps `encoder`, `head`, `reranker` with the scores of this classifier.
    classes_ : ndarray of shape (L,)
        Column numbers.
    n_validation_ : int
        Rows held out.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier
    >>> texts = ["area of a circle", "area of a square", "mean of a sample"] * 10
    >>> Y = [{"circle", "area"}, {"area"}, {"mean"}] * 10
    >>> clf = RetrievalRerankClassifier(
    ...     RCPTEncoder(hidden_size=16), ClassCenterHead(n_epochs=3), random_state=0
    ... )
    >>> names, scores = clf.fit(texts, Y).predict_topk(["the mean"], k=1)
    >>> names.tolist()
    [['mean']]
    """

    def __init__(
        self,
        encoder=None,
        head=None,
        reranker=None,
        labels=None,
        *,
        lexical="tfidf",
        validation_fraction=0.1,
        refit=True,
        memory=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.head = head
        self.reranker = reranker
        self.lexical = lexical
        self.labels = labels
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.memory = memory
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, Y, unlabeled=None):
        """Train encoder, head and reranker, and choose weight and threshold on held-out rows.

        Parameters
        ----------
        X : sequence of n str
        Y : indicator matrix (n, L), dense or CSR, or list of n sets of label names
        unlabeled : sequence of m str, default=None
            Further texts for the encoder, whose labels nobody knows.

        Returns
        -------
        self : RetrievalRerankClassifier

        Raises
        ------
        TypeError, ValueError
            If texts, targets, labels or parameters are not as described; before any work starts.
        """
        check_number(self.validation_fraction, "validation_fraction", above=0, maximum=0.5)
        resolve_device(self.device)
        self._check_parts()
        X, Y = self._check_data(X, Y)
        self.classes_ = np.arange(Y.shape[1])
        train, held_out = self._split(Y)
        self.encoder_ = self._fit_encoder(X, Y, held_out, unlabeled)
        parts = self._fit_parts([X[i] for i in train], Y[train])
        self._choose(parts, [X[i] for i in held_out], Y[held_out])
        if self.refit and self.n_validation_:
            with warnings.catch_warnings():  # said once already
                warnings.filterwarnings("ignore", message="There is no map from labels")
                parts = self._fit_parts(X, Y, with_lexical=self.lexical_weight_ > 0)
        self._keep(parts, X, Y)
        return self

    def predict_proba(self, X):
        """Scores of all labels, after reranking.

        Parameters
        ----------
        X : sequence of n str

        Returns
        -------
        scores : ndarray of shape (n, L), float32
            In [0, 1]. Calibrated on held-out rows where nothing was reranked; a reranked score
            is a product, which orders labels and is smaller than a probability.
        """
        check_is_fitted(self)
        X = check_texts(X)
        return self._rerank(self.retriever_.predict_proba(X), X)

    def predict(self, X):
        """Labels whose score exceeds `threshold_`.

        Returns
        -------
        Y : ndarray of shape (n, L), int8, {0, 1}
        """
        check_is_fitted(self)
        X = check_texts(X)
        predicted = np.zeros((len(X), len(self.classes_)), dtype=np.int8)
        for start in range(0, len(X), _BLOCK):
            block = X[start : start + _BLOCK]
            predicted[start : start + len(block)] = self.predict_proba(block) > self.threshold_
        return predicted

    def predict_topk(self, X, k=5):
        """The best labels of each text; memory grows with n * k only.

        Parameters
        ----------
        X : sequence of n str
        k : int, default=5
            At most the number of labels.

        Returns
        -------
        names : ndarray of shape (n, k), of str
            Best first; column numbers where the classifier knows no names.
        scores : ndarray of shape (n, k), float32
        """
        check_is_fitted(self)
        X = check_texts(X)
        check_number(k, "k", minimum=1, maximum=len(self.classes_), integer=True)
        columns = np.empty((len(X), k), dtype=np.int64)
        best = np.empty((len(X), k), dtype=np.float32)
        for start in range(0, len(X), _BLOCK):
            scores = self.predict_proba(X[start : start + _BLOCK])
            rows = slice(start, start + len(scores))
            columns[rows] = top_k(scores, k)
            best[rows] = np.take_along_axis(scores, columns[rows], axis=1)
        if self.labels_ is None:
            return columns, best
        return np.array(self.labels_.names, dtype=object)[columns], best

    def explain(self, X, k=3):
        """Why labels were proposed.

        Parameters
        ----------
        X : str, or sequence of n str
        k : int, default=3
            Labels explained per text.

        Returns
        -------
        explanations : list of n Explanation
            ``print`` shows one in words: retrieval score and rank, each meta-label's score, and
            the training texts with that label that are nearest. One Explanation if `X` is a str.
        """
        check_is_fitted(self)
        if isinstance(X, str):
            return explain_texts(self, [X], k)[0]
        return explain_texts(self, check_texts(X), k)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.target_tags.single_output = False
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def _check_parts(self):
        needs = [
            ("encoder", "transform"),
            ("head", "predict_proba"),
            ("lexical", "predict_proba"),
            ("reranker", "rerank"),
        ]
        words = {"lexical": "tfidf", "reranker": "passthrough"}
        for name, method in needs:
            part = getattr(self, name)
            if part is None or (isinstance(part, str) and part == words.get(name)):
                continue
            if isinstance(part, (str, type)) or not _offers(part, method):
                hint = f", {words[name]!r}" if name in words else ""
                raise TypeError(
                    f"`{name}` must be an estimator with `{method}`{hint} or None, got {part!r}."
                )
        if self.labels is not None and not isinstance(self.labels, LabelSpace):
            raise TypeError(
                f"`labels` must be a LabelSpace or None, got {type(self.labels).__name__}. "
                "Build one with LabelSpace(names)."
            )

    def _check_data(self, X, Y):
        X = check_texts(X)
        labels = self.labels
        if labels is None and _holds_names(Y):
            labels = LabelSpace.from_targets(Y)
        Y = check_label_matrix(Y, n_samples=len(X), labels=labels)
        if not Y.nnz:
            raise ValueError(
                f"`Y` has no positive entry (shape {Y.shape}): expected at least one text with a "
                "label."
            )
        self._check_part_labels(Y)
        self.labels_ = labels
        self.unseen_ = np.flatnonzero(Y.getnnz(axis=0) == 0)
        n_empty = int((np.diff(Y.indptr) == 0).sum())
        n_unseen = len(self.unseen_)
        if n_empty or n_unseen:
            warnings.warn(
                f"{n_empty} of {Y.shape[0]} texts have no label and count as negatives of all; "
                f"{n_unseen} of {Y.shape[1]} labels have no training text and will rank last.",
                UserWarning,
                stacklevel=3,
            )
        return X, Y

    def _check_part_labels(self, Y):
        """Say now what the parts would say once those before them are trained."""
        for part in (self.head, self.reranker):
            labels = getattr(part, "labels", None)
            if isinstance(labels, LabelSpace):
                check_label_matrix(Y, labels=labels)
        label_to_meta = getattr(self.reranker, "label_to_meta", None)
        if label_to_meta is not None:
            check_label_to_meta(label_to_meta, Y.shape[1])

    def _split(self, Y):
        seed = 0 if self.random_state is None else self.random_state
        train, held_out = train_holdout_split(Y, self.validation_fraction, random_state=seed)
        self.n_validation_ = len(held_out)
        if len(held_out) < _FEWEST_HELD_OUT or not Y[held_out].nnz:
            warnings.warn(
                f"Only {len(held_out)} rows could be held out, too few to choose on: the "
                "threshold is chosen on the training rows, where scores are too high, and no "
                "lexical evidence is used. Give more rows, or a larger `validation_fraction`.",
                UserWarning,
                stacklevel=3,
            )
            self.n_validation_ = 0
            train = held_out = np.arange(Y.shape[0])
        return train, held_out

    def _fit_encoder(self, X, Y, held_out, unlabeled):
        """The encoder reads all texts, and no label that is to be predicted from its vectors."""
        encoder = RCPTEncoder(n_epochs=0) if self.encoder is None else self.encoder
        encoder = inherit(encoder, self, 0)
        known = encoder.get_params(deep=False)
        if "labels" in known and known["labels"] is None:
            encoder.set_params(labels=self.labels_)
        if unlabeled is not None and not has_fit_parameter(encoder, "unlabeled"):
            raise TypeError(
                f"{type(encoder).__name__} takes no `unlabeled` texts in fit. Leave them out, or "
                "use RCPTEncoder."
            )
        if self.n_validation_:
            Y = sp.csr_matrix(Y, copy=True)
            Y.data[np.repeat(np.isin(np.arange(Y.shape[0]), held_out), np.diff(Y.indptr))] = 0
            Y.eliminate_zeros()
        return fit_cached(self.memory, encoder, X, Y, unlabeled=unlabeled)

    def _fit_parts(self, X, Y, with_lexical=True):
        frozen = FrozenEstimator(self.encoder_)
        head = ClassCenterHead() if self.head is None else self.head
        head = self._fit_part(head, 1, X, Y, frozen)
        lexical = None
        if self.lexical is not None and self.n_validation_ and with_lexical:
            lexical = (
                TfidfLinearClassifier(C=1.0) if isinstance(self.lexical, str) else self.lexical
            )
            lexical = inherit(lexical, self, 2)
            lexical = fit_cached(self.memory, lexical, X, targets_for(lexical, Y))
        reranker = None
        if self._reranks():
            reranker = MetaLabelReranker() if self.reranker is None else self.reranker
            reranker = self._fit_part(reranker, 3, X, Y, frozen)
        return _Parts(head, lexical, reranker)

    def _fit_part(self, part, seed_offset, X, Y, frozen):
        part = inherit(part, self, seed_offset)
        known = part.get_params(deep=False)
        if "labels" in known and known["labels"] is None:
            part.set_params(labels=self.labels_)
        if "encoder" in known:
            memory = self.memory if hasattr(part, "detach_encoder") else None
            return fit_cached(memory, part, X, targets_for(part, Y), encoder=frozen)
        return fit_cached(self.memory, with_encoder(part, frozen), X, targets_for(part, Y))

    def _reranks(self):
        if isinstance(self.reranker, str):
            return False
        has_map = self.labels_ is not None and self.labels_.label_to_meta is not None
        return has_map or self.reranker is not None

    def _choose(self, parts, X, Y):
        """Set lexical weight, calibration and threshold from held-out rows."""
        head = logits_of(parts.head, X)
        lexical = None if parts.lexical is None else logits_of(parts.lexical, X)
        seen = np.setdiff1d(self.classes_, self.unseen_)
        self.lexical_weight_, self.curves_ = choose_blend(
            Y[:, seen], head[:, seen], None if lexical is None else lexical[:, seen]
        )
        scores = self._blend(None, None).blend(head, lexical)
        if parts.reranker is not None:
            scores = parts.reranker.rerank(scores, X)
        self.threshold_ = best_global_threshold(Y, scores)

    def _keep(self, parts, X, Y):
        self.head_, self.lexical_, self.reranker_ = parts
        if not self.lexical_weight_:
            self.lexical_ = None
        self.retriever_ = self._blend(self.head_, self.lexical_)
        if self.reranker_ is not None:
            self.reranker_.attach_retriever(FrozenEstimator(self.retriever_), self.threshold_)
        self.train_texts_, self.train_labels_ = X, Y
        self.pipeline_ = Pipeline(
            [
                ("encoder", EncodeStep(self.encoder_, self.retriever_, self.reranker_)),
                ("head", ScoreStep(self.retriever_)),
                ("reranker", RerankStep(self.reranker_, len(self.classes_), self.threshold_)),
            ]
        )

    def _blend(self, head, lexical):
        return LexicalBlend(head, lexical, self.lexical_weight_, self.curves_, self.unseen_)

    def _rerank(self, scores, X):
        return scores if self.reranker_ is None else self.reranker_.rerank(scores, X)


def _offers(part, method):
    if hasattr(part, method):
        return True
    if method != "predict_proba" or not hasattr(part, "fit"):
        return False
    # Log-odds will do, and some classifiers show their methods only once they are fitted.
    return hasattr(part, "decision_function") or is_classifier(part)


def _holds_names(Y):
    if hasattr(Y, "shape") or isinstance(Y, (str, bytes)) or not hasattr(Y, "__len__"):
        return False
    return any(
        isinstance(row, (set, frozenset)) or any(isinstance(item, str) for item in row)
        for row in Y
        if hasattr(row, "__iter__") and not isinstance(row, str)
    )
