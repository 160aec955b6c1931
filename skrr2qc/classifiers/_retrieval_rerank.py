"""The composite: encoder, retrieval head and meta-label reranker as one classifier of texts."""

import warnings
from collections import namedtuple
from collections.abc import Iterator
from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._memory import check_cacheable, fit_cached
from .._runs import checkpoints_in, noting_interrupt, undone_on_failure
from .._thresholds import best_global_threshold, check_rule, choose_decision
from .._training import resolve_device
from .._validation import check_label_matrix, check_number, check_texts, in_terms_of
from ..baselines import TfidfLinearClassifier
from ..encoders import RCPTEncoder
from ..label_space import LabelSpace
from ..meta_labels import NameDecomposer
from ..model_selection import train_holdout_split
from ..persistence import SavedModelMixin
from ._blend import ChannelBlend, channel_logits, choose_blend, unseen_log_odds
from ._calibration import fit_calibration
from ._class_center import ClassCenterHead
from ._composite_checks import check_part_labels, check_parts
from ._cooccurrence import has_company
from ._explain import explain_texts
from ._label_texts import LabelTextSimilarity, add_label_texts
from ._parts import inherit, targets_for, with_encoder
from ._reranker import MetaLabelReranker
from ._sparse_scores import score_blocks, topk_arrays, topk_csr
from ._steps import EncodeStep, RerankStep, ScoreStep
from ._tower_training import check_frozen_layers, check_loss

_FEWEST_HELD_OUT = 20  # rows; below, choices made on them are noise
_MAX_TO_CHOOSE_C = 2_000_000  # labels x rows: half a minute, at most, for each penalty tried
_ROWS_TO_CHOOSE_C = 3_000  # of more than that

_DEFAULT_PARTS = {  # what None stands for
    "encoder": partial(RCPTEncoder, n_epochs=0),
    "head": ClassCenterHead,
    "reranker": partial(MetaLabelReranker, combine="learned"),
}
_PARTS = (*_DEFAULT_PARTS, "lexical", "meta_labels")
_Parts = namedtuple("_Parts", "channels reranker")
# Arrays of shape (n, L), but for `meta`: (n, M), or None where meta-labels are not asked.
Stages = namedtuple("Stages", "retrieval meta reranked final")


class RetrievalRerankClassifier(SavedModelMixin, ClassifierMixin, BaseEstimator):
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
        None: ``MetaLabelReranker(combine="learned")``; "passthrough" never reranks.
    labels : LabelSpace, default=None
        Names, hierarchy and meta-labels of the columns. None: columns 0..L-1, or the names met
        in `Y` where it holds label sets.
    meta_labels : "auto", decomposer or None, default="auto"
        What makes meta-labels of label names where `labels` has none: "auto" for a
        `NameDecomposer` where names are known, or any object with
        ``decompose(labels) -> LabelSpace``.
    lexical : estimator, "tfidf" or None, default="tfidf"
        Classifier of texts whose logits are added to the head's, with a weight that ranks
        held-out rows well (which may be 0). "tfidf": a ``TfidfLinearClassifier``.
    label_texts : bool, default=True
        Whether what a label is called counts, where that is known: its text is one more training
        text of it, and the likeness of the two (the cosine of their TF-IDF vectors) one more
        channel of retrieval, weighed like the others. Labels without a training text can then
        be proposed.
    threshold : {"per_label", "global", "cardinality", "top_k"} or float, default="per_label"
        How `predict` decides, chosen on held-out rows: above one score for all labels that is
        the best for micro-F1; above one a label, drawn to a common one where its examples are
        few, the best for macro-F1; above one score that predicts as many labels as there are;
        or the best labels of every text, as many as a text has on average. Where every text of
        `fit` has a label, none is predicted without. A number is the score to exceed, no more.
    validation_fraction : float, default=0.1
        Share of the rows, in (0, 0.5], held out to weigh the channels and choose the threshold.
    refit : bool, default=True
        Whether all rows, the held-out ones included, train the final parts. Costs a second
        training; without it the parts trained on the rest are kept.
    memory : None, str or joblib.Memory, default=None
        Where fitted encoders and parts are remembered by content. Never changes a score.
        Needs an integer `random_state`.
    checkpoint_dir : str or path, default=None
        Folder in which every part that is trained step by step, and has no `checkpoint_dir` of
        its own, keeps its run in a subfolder named by its content. The same fit after an
        interruption of any kind, a whole grid search of it too, goes on from there to the same
        scores; parts that were done are not trained again. Each takes the bytes of its weights,
        four times that while it is trained. Nothing else reads the folder: delete it once the
        fit is done.
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
        Labels without a training text. They rank last unless `label_texts` tells of them.
    channel_weights_ : dict
        Shares of "head", "lexical" and "label_texts" in the retrieval score; they sum to 1, and
        a channel that would have less than a twentieth has none.
    threshold_ : float or ndarray of shape (L,)
        Score above which `predict` reports a label.
    decision_ : Decision
        What `predict` applies to scores.
    calibration_ : CalibrationCurve
        Rising curve that made scores probabilities on held-out rows.
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
        meta_labels="auto",
        lexical="tfidf",
        label_texts=True,
        threshold="per_label",
        validation_fraction=0.1,
        refit=True,
        memory=None,
        checkpoint_dir=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.head = head
        self.reranker = reranker
        self.meta_labels = meta_labels
        self.lexical = lexical
        self.label_texts = label_texts
        self.threshold = threshold
        self.labels = labels
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.memory = memory
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params):
        """Set parameters by name, those of parts as ``head__n_epochs``.

        A part that is None becomes the default one, with these parameters.

        Returns
        -------
        self : RetrievalRerankClassifier

        Raises
        ------
        ValueError
            If there is no such parameter, or a part that is a word is to have one.
        """
        parts = {key.partition("__")[0] for key in params if "__" in key} - params.keys()
        for name in parts.intersection(_PARTS):
            if getattr(self, name) is None and name in _DEFAULT_PARTS:
                params[name] = _DEFAULT_PARTS[name]()
            elif not hasattr(getattr(self, name), "set_params"):
                raise ValueError(
                    f"`{name}` is {getattr(self, name)!r} and has no parameters: pass an estimator "
                    f"as `{name}`."
                )
        return super().set_params(**params)

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
        OSError
            If a checkpoint cannot be written; the one before is still whole.
        KeyboardInterrupt
            With notes of where the fit stood and what is kept of it.
        """
        check_number(self.validation_fraction, "validation_fraction", above=0, maximum=0.5)
        check_rule(self.threshold)
        resolve_device(self.device)
        check_parts(self)
        with undone_on_failure(self), checkpoints_in(self.checkpoint_dir):
            X, Y = self._check_data(X, Y)
            self._check_before_work(Y)
            self.classes_ = np.arange(Y.shape[1])
            train, held_out = self._split(Y)
            self.encoder_ = self._fit_encoder(X, Y, held_out, unlabeled)
            parts = self._fit_parts([X[i] for i in train], Y[train])
            self._choose(parts, X, Y, train, held_out)
            if self.refit and self.n_validation_:
                with warnings.catch_warnings():  # said once already
                    warnings.filterwarnings("ignore", message="There is no map from labels")
                    C = getattr(parts.channels.get("lexical"), "C_", None)
                    parts = self._fit_parts(X, Y, self._blend(parts.channels).names, C)
            self._keep(parts, X, Y)
        return self

    def predict_proba(self, X, top_k=None):
        """Scores of all labels, after reranking and calibration.

        Parameters
        ----------
        X : sequence of n str
        top_k : int, default=None
            Keep only so many of the best scores of each text; memory grows with n * top_k.

        Returns
        -------
        scores : ndarray of shape (n, L), float32, or csr_matrix if `top_k`
            In [0, 1]; calibrated on held-out rows.
        """
        check_is_fitted(self)
        X = check_texts(X)
        if top_k is None:
            scores = np.empty((len(X), len(self.classes_)), dtype=np.float32)
            for rows, block in score_blocks(lambda rows: self._scores(X[rows]), *scores.shape):
                scores[rows] = block
            return scores
        return topk_csr(lambda rows: self._scores(X[rows]), len(X), len(self.classes_), top_k)

    def predict(self, X):
        """Labels that the rule of `threshold` accepts.

        Where all texts of `fit` had labels, a text that it leaves without any gets the one that
        ranks first, unless `threshold` is a number.

        Returns
        -------
        Y : ndarray of shape (n, L), int8, {0, 1}
        """
        check_is_fitted(self)
        X = check_texts(X)
        n_labels = len(self.classes_)
        predicted = np.zeros((len(X), n_labels), dtype=np.int8)
        for rows, scores in score_blocks(lambda rows: self._scores(X[rows]), len(X), n_labels):
            predicted[rows] = self.decision_.apply(scores)
        return predicted

    def predict_topk(self, X, k=5):
        """The best labels of each text; memory grows with n * k only.

        Parameters
        ----------
        X : sequence of n str
        k : int, default=5
            More than there are labels means all.

        Returns
        -------
        names : ndarray of shape (n, min(k, L)), of str
            Best first; column numbers where the classifier knows no names.
        scores : ndarray of shape (n, min(k, L)), float32
        """
        check_is_fitted(self)
        X = check_texts(X)
        n_labels = len(self.classes_)
        k = min(check_number(k, "k", minimum=1, integer=True), n_labels)
        columns, best = topk_arrays(lambda rows: self._scores(X[rows]), len(X), n_labels, k)
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

    def _part(self, name):
        """The part of that name, or what None stands for."""
        part = getattr(self, name)
        return _DEFAULT_PARTS[name]() if part is None else part

    def _check_data(self, X, Y):
        X = check_texts(X)
        labels = self.labels
        if isinstance(Y, Iterator):
            Y = list(Y)
        if labels is None and _holds_names(Y):
            with in_terms_of("Y"):
                labels = LabelSpace.from_targets(Y)
        Y = check_label_matrix(Y, n_samples=len(X), labels=labels)
        if not Y.nnz:
            raise ValueError(
                f"`Y` has no positive entry (shape {Y.shape}): expected at least one text with a "
                "label."
            )
        check_part_labels(self, Y)
        self.labels_ = self._with_meta_labels(labels)
        self.unseen_ = np.flatnonzero(Y.getnnz(axis=0) == 0)
        self._unseen_shift = unseen_log_odds(Y)
        self._has_company = has_company(Y)
        n_empty = int((np.diff(Y.indptr) == 0).sum())
        n_unseen = len(self.unseen_)
        if n_empty or n_unseen:
            fate = "will rank last (give `labels` with their texts, and label_texts=True)"
            if self._reads_labels():
                fate = "are known by their own text alone"
            warnings.warn(
                f"{n_empty} of {Y.shape[0]} texts have no label and count as negatives of all; "
                f"{n_unseen} of {Y.shape[1]} labels have no training text and {fate}.",
                UserWarning,
                stacklevel=3,
            )
        return X, Y

    def _check_before_work(self, Y):
        """Say now what would be found out once the encoder is trained."""
        encoder = self._part("encoder")
        for offset, part in enumerate((encoder, self.head, self.lexical, self.reranker)):
            if hasattr(part, "get_params"):
                check_cacheable(self.memory, inherit(part, self, offset))
        if isinstance(self.head, ClassCenterHead):
            check_loss(self.head.loss, Y, resolve_device(self.device))
        for part in (self.head, getattr(self.reranker, "classifier", None)):
            check_frozen_layers(getattr(part, "n_frozen_layers", None), encoder)

    def _with_meta_labels(self, labels):
        has_map = getattr(labels, "label_to_meta", None) is not None
        if has_map or self.meta_labels is None or self.reranker == "passthrough":
            return labels
        if isinstance(self.meta_labels, str):
            return labels if labels is None else NameDecomposer().decompose(labels)
        if labels is None:
            raise ValueError(
                "`meta_labels` are made of label names, and none are known: give `labels`, or "
                "label sets as `Y`."
            )
        decomposed = self.meta_labels.decompose(labels)
        if getattr(decomposed, "names", None) != labels.names:
            raise ValueError(
                "`meta_labels` must return a LabelSpace of the same labels in the same order, got "
                f"{decomposed!r} for {labels!r}."
            )
        return decomposed

    def _split(self, Y):
        seed = 0 if self.random_state is None else self.random_state
        train, held_out = train_holdout_split(Y, self.validation_fraction, random_state=seed)
        self.n_validation_ = len(held_out)
        if len(held_out) < _FEWEST_HELD_OUT or not Y[held_out].nnz:
            warnings.warn(
                f"Only {len(held_out)} rows could be held out, too few to choose on: the "
                "threshold is chosen on the training rows, where scores are too high, and labels "
                "are scored by the head alone, times the scores of their meta-labels where there "
                "are any. Give more rows, or a larger `validation_fraction`.",
                UserWarning,
                stacklevel=3,
            )
            self.n_validation_ = 0
            train = held_out = np.arange(Y.shape[0])
        return train, held_out

    def _fit_encoder(self, X, Y, held_out, unlabeled):
        """The encoder reads all texts, and no label that is to be predicted from its vectors."""
        encoder = self._part("encoder")
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
        with _noting("encoder"):
            return fit_cached(self.memory, encoder, X, Y, unlabeled=unlabeled)

    def _fit_parts(self, X, Y, wanted=("lexical", "label_texts"), C=None):
        """Channels of retrieval and the reranker; the head is trained whether wanted or not.

        `C` is the penalty that an earlier training of the default lexical channel chose.
        """
        frozen = FrozenEstimator(self.encoder_)
        head = self._part("head")
        reads_labels = self._reads_labels()
        texts, targets = add_label_texts(X, Y, self.labels_) if reads_labels else (X, Y)
        with _noting("head"):
            channels = {"head": self._fit_part(head, 1, texts, targets, frozen)}
        if self.lexical is not None and self.n_validation_ and "lexical" in wanted:
            is_default = isinstance(self.lexical, str)
            lexical = self._default_lexical(X, Y, C) if is_default else self.lexical
            lexical = inherit(lexical, self, 2)
            with _noting("lexical"):
                channels["lexical"] = fit_cached(
                    self.memory, lexical, texts, targets_for(lexical, targets)
                )
        if reads_labels and "label_texts" in wanted:
            lexical = channels.get("lexical")
            is_own = isinstance(lexical, TfidfLinearClassifier)
            vectorizer = lexical.vectorizer_ if is_own else None
            channels["label_texts"] = LabelTextSimilarity(self.labels_, vectorizer).fit(X)
        with _noting("reranker"):
            return _Parts(channels, self._fit_reranker(channels["head"], X, Y, frozen))

    def _default_lexical(self, X, Y, C):
        """Its penalty is chosen in the first training, on a sample of many; the refit keeps it.

        Nothing else is held out inside it: the rows that weigh the channels calibrate their sum.
        """
        if C is None and np.prod(Y.shape, dtype=float) > _MAX_TO_CHOOSE_C:
            rows = np.linspace(0, len(X) - 1, min(len(X), _ROWS_TO_CHOOSE_C)).astype(int)
            chooser = inherit(TfidfLinearClassifier(n_negatives="auto"), self, 2)
            C = fit_cached(self.memory, chooser, [X[i] for i in rows], Y[rows]).C_
        fraction = 0.2 if C is None else 0
        C = "auto" if C is None else C
        return TfidfLinearClassifier(C=C, validation_fraction=fraction, n_negatives="auto")

    def _fit_reranker(self, head, X, Y, frozen):
        """None where there is nothing to rerank by: no meta-labels, vectors or labels together."""
        has_map = self.labels_ is not None and self.labels_.label_to_meta is not None
        has_evidence = has_map or hasattr(head, "embed") or self._has_company
        if isinstance(self.reranker, str) or (self.reranker is None and not has_evidence):
            return None
        reranker = clone(self._part("reranker"))
        if reranker.labels is None:
            reranker.set_params(labels=self.labels_)
        if reranker.needs_classifier(head):
            return self._fit_part(reranker, 3, X, Y, frozen).attach_tower(head, X, Y)
        return reranker.fit_shared(head, X, Y)

    def _fit_part(self, part, seed_offset, X, Y, frozen):
        part = inherit(part, self, seed_offset)
        known = part.get_params(deep=False)
        if "labels" in known and known["labels"] is None:
            part.set_params(labels=self.labels_)
        if "encoder" in known:
            memory = self.memory if hasattr(part, "detach_encoder") else None
            return fit_cached(memory, part, X, targets_for(part, Y), encoder=frozen)
        return fit_cached(self.memory, with_encoder(part, frozen), X, targets_for(part, Y))

    def _choose(self, parts, X, Y, train, held_out):
        """Weigh the channels, and set the threshold, on held-out rows."""
        all_labelled = bool(np.diff(Y.indptr).all())
        X, Y, Y_train = [X[i] for i in held_out], Y[held_out], Y[train]
        tower = None if parts.reranker is None else parts.reranker.tower_
        vectors = None if tower is None else tower.embed(X)
        logits = channel_logits(parts.channels, X, len(self.classes_), vectors)
        for name, values in logits.items():
            if not np.isfinite(values).all():
                raise ValueError(
                    f"The channel {name!r} gave scores that are not finite on held-out rows. "
                    "Look at what its classifier returns, or leave it out."
                )
        seen = np.setdiff1d(self.classes_, self.unseen_)
        known = {name: z[:, seen] for name, z in logits.items()}
        self.blend_ = choose_blend(Y[:, seen], known, None if self.n_validation_ else "head")
        self.channel_weights_ = self.blend_["weights"]
        scores = self._blend(parts.channels).blend(logits)
        self._combination = None
        if parts.reranker is not None:
            if self.n_validation_:
                self._combination = parts.reranker.learn(
                    Y, scores, X, vectors, Y_train=Y_train, knows_unseen=self._reads_labels()
                )
            scores = parts.reranker.rerank(scores, X, vectors)
            self._raw_threshold = best_global_threshold(Y, scores)
        self.calibration_ = fit_calibration(Y, scores)
        self.decision_ = choose_decision(
            Y, self.calibration_(scores), self.threshold, at_least_one=all_labelled
        )
        self.threshold_ = self.decision_.threshold

    def _keep(self, parts, X, Y):
        self.head_, self.reranker_ = parts.channels["head"], parts.reranker
        self.retriever_ = self._blend(parts.channels)
        self.lexical_ = self.retriever_.channels.get("lexical")
        if self.reranker_ is not None:
            retriever = FrozenEstimator(self.retriever_)
            self.reranker_.attach_retriever(retriever, self._raw_threshold)
            self.reranker_.combination_ = self._combination
        self.train_texts_, self.train_labels_ = X, Y
        n_labels = len(self.classes_)
        steps = [
            ("encoder", EncodeStep(self.encoder_, self.retriever_, self.reranker_)),
            ("head", ScoreStep(self.retriever_, self.reranker_)),
            ("reranker", RerankStep(self.reranker_, n_labels, self.calibration_, self.decision_)),
        ]
        self.pipeline_ = Pipeline(steps)

    def _blend(self, channels):
        n_labels = len(self.classes_)
        blend = ChannelBlend(
            channels,
            **self.blend_,
            unseen=self.unseen_,
            unseen_shift=self._unseen_shift,
            n_labels=n_labels,
        )
        return blend.set_params(channels={name: channels[name] for name in blend.names})

    def _reads_labels(self):
        return self.label_texts and self.labels_ is not None

    def _scores(self, X):
        return self._stages(X).final

    def _stages(self, X):
        """Scores of labels and of meta-labels as they arise; the tower reads the texts once."""
        reranker = self.reranker_
        if reranker is None:
            retrieval = self.retriever_.predict_proba(X)
            return Stages(retrieval, None, retrieval, self.calibration_(retrieval))
        vectors = self.head_.embed(X) if reranker.reads_vectors else None
        retrieval = self.retriever_.predict_proba(X, vectors)
        meta = reranker.meta_scores(X, vectors) if reranker.reads_meta_scores else None
        reranked = reranker.fuse(retrieval, meta, vectors)
        return Stages(retrieval, meta, reranked, self.calibration_(reranked))


def _noting(part):
    return noting_interrupt(
        f"RetrievalRerankClassifier: interrupted while `{part}` was fitted; parts that were fitted "
        "before are kept in `memory` or `checkpoint_dir`, if there is one."
    )


def _holds_names(Y):
    """Whether targets are sets of names; a Series or one-dimensional array may hold them, too."""
    if getattr(Y, "ndim", 1) != 1 or isinstance(Y, (str, bytes)) or not hasattr(Y, "__len__"):
        return False
    return any(
        isinstance(row, (set, frozenset)) or any(isinstance(item, str) for item in row)
        for row in Y
        if hasattr(row, "__iter__") and not isinstance(row, str)
    )
