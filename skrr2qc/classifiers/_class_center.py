"""Retrieval head: label scores and class centers over an encoder, or over given features."""

from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.preprocessing import normalize
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from .._state import ModuleStateMixin
from .._training import (
    TextNet,
    collect_outputs,
    forward_batches,
    resolve_device,
    seeded,
    sigmoid,
    uses_bfloat16,
)
from .._validation import check_choice, check_label_matrix, check_number, check_texts
from ..losses import class_center_loss, multilabel_cross_entropy
from ..modules import FeatureTower, LabelHead, LowerStates, TextTower, get_backbone
from ..text import TokenBatches
from ._features import FeatureBatches, project_start

_FEATURE_EPOCHS, _FEATURE_LR = 40, 5e-3  # on arrays, where a step costs next to nothing
_HIDDEN_BYTES = 2**30  # frozen layers run once a text, and not again each epoch, up to here


class ClassCenterHead(ModuleStateMixin, TransformerMixin, ClassifierMixin, BaseEstimator):
    """Score all labels of a text with the upper layers of an encoder and a linear layer.

    Binary cross-entropy is joined by the class-center loss of [1]_ (Eq. 10-12), which draws a
    text's vector towards the learnable centers of its labels.

    Parameters
    ----------
    encoder : estimator, default=None
        Text encoder whose upper layers are fine-tuned in a copy (`RCPTEncoder`, or one that is
        fitted, in ``FrozenEstimator``). A vectorizer gives features alone. None: `X` holds
        features, and a projection of them is trained instead.
    labels : LabelSpace, default=None
        Names of the labels, from which centers can start.
    class_center_weight : float, default=0.1
        Factor on the class-center loss (lambda).
    class_center_form : {"paper", "released"}, default="paper"
        Squared distance to the mean center, or mean distance to each center.
    center_init : {"blend", "means", "texts"}, default="blend"
        Where weights and centers begin: at the mean vector of a label's training texts, at the
        vector of its name, or at a blend in which the name counts as one text more.
    n_frozen_layers : int, default=None
        Layers that are not trained, counted from below, with the embeddings; 0 trains all.
        None leaves it to the backbone: half of a pretrained one, none of the compact one.
    n_epochs : int, default=None
    lr : float, default=None
        Peak learning rate. None leaves both to the backbone.
    batch_size : int, default=32
    weight_decay : float, default=0.01
    passthrough : bool, default=False
        Whether `transform` appends the features it was given to the label scores.
    device : str, default="auto"
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0
        1 shows progress, losses and the time left.

    Attributes
    ----------
    classes_ : ndarray of shape (L,)
        Column numbers, or the classes of a one-dimensional `y`.
    centers_ : ndarray of shape (L, D)
        Learned class centers.
    encoder_ : estimator
        Fitted encoder, if one was given.
    history_ : list of dict
        One row an epoch: mean loss terms and seconds.

    Notes
    -----
    The cross-entropy is summed over labels, and vectors have unit length; see
    docs/decisions/0004 for what that does to the weight of the class-center loss.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skrr2qc import ClassCenterHead
    >>> X = np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0], [0.9, 0.2]])
    >>> Y = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    >>> ClassCenterHead(random_state=0).fit(X, Y).predict(X).tolist()
    [[1, 0], [1, 0], [0, 1], [0, 1]]
    """

    def __init__(
        self,
        encoder=None,
        *,
        labels=None,
        class_center_weight=0.1,
        class_center_form="paper",
        center_init="blend",
        n_frozen_layers=None,
        n_epochs=None,
        lr=None,
        batch_size=32,
        weight_decay=0.01,
        passthrough=False,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.labels = labels
        self.class_center_weight = class_center_weight
        self.class_center_form = class_center_form
        self.center_init = center_init
        self.n_frozen_layers = n_frozen_layers
        self.n_epochs = n_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.passthrough = passthrough
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y):
        """Fit on texts, or on features where there is no encoder.

        Parameters
        ----------
        X : sequence of n str, or array-like or sparse matrix of shape (n, d)
        y : indicator matrix (n, L), dense or CSR; on features also (n,) classes

        Returns
        -------
        self : ClassCenterHead

        Raises
        ------
        TypeError, ValueError
            If texts, targets or parameters are not as described; before any work starts.
        """
        self._check_parameters()
        X, Y = self._check_data(X, y)
        device = resolve_device(self.device)
        if self.encoder is not None:
            self.encoder_ = clone(self.encoder).fit(X, Y)  # a no-op when the caller froze it
        with seeded(self.random_state) as rng:
            if self._tunes_backbone():
                batches, defaults = self._start_on_texts(X, Y, rng, device)
            else:
                batches, defaults = self._start_on_features(self._features(X), Y, rng)
            self.history_ = self._train(batches, defaults, device)
        self.centers_ = self._label_head().centers.detach().cpu().numpy()
        return self

    def decision_function(self, X):
        """Logits of all labels.

        Parameters
        ----------
        X : sequence of n str, or features of shape (n, d)

        Returns
        -------
        logits : ndarray of shape (n, L), float32
            Fitted on one-dimensional `y` of two classes: shape (n,), the log-odds of the second.
        """
        logits = self._forward(X, keep=0)
        return logits if self._is_multilabel else _log_odds(logits)

    def predict_proba(self, X):
        """Scores of all labels.

        Parameters
        ----------
        X : sequence of n str, or features of shape (n, d)

        Returns
        -------
        scores : ndarray of shape (n, L), float32
            In [0, 1]. Fitted on one-dimensional classes: rows sum to 1.
        """
        scores = sigmoid(self.decision_function(X))
        if self._is_multilabel:
            return scores
        if len(self.classes_) == 1:
            return np.ones_like(scores)
        if scores.ndim == 1:
            return np.column_stack([1 - scores, scores])
        return scores / scores.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Labels whose score exceeds one half, or the best class.

        Returns
        -------
        Y : ndarray of shape (n, L), {0, 1}, or (n,) classes
        """
        scores = self.predict_proba(X)
        if self._is_multilabel:
            return (scores > 0.5).astype(np.int64)
        return self.classes_[scores.argmax(axis=1)]

    def embed(self, X):
        """Vectors that the label scores are computed from.

        Parameters
        ----------
        X : sequence of n str, or features of shape (n, d)

        Returns
        -------
        embeddings : ndarray of shape (n, D), float32
            Rows have length 1.
        """
        return self._forward(X, keep=1)

    def score_embeddings(self, embeddings):
        """Logits from what `embed` returned; ndarray of shape (n, L), float32."""
        check_is_fitted(self)
        head = self._label_head()
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32))
            return head(tensor.to(head.bias.device)).cpu().numpy()

    def transform(self, X):
        """Label scores, followed by the features themselves if `passthrough`.

        Returns
        -------
        scores : ndarray of shape (n, L) or (n, L + d), float32
        """
        scores = self.predict_proba(X)
        if not self.passthrough:
            return scores
        if self.encoder is not None:
            return np.hstack([scores, self.embed(X)])
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        return sp.hstack([scores, X]).tocsr() if sp.issparse(X) else np.hstack([scores, X])

    def detach_encoder(self):
        """Leave the encoder, and what the module shares with it, out of this object."""
        if self.encoder is not None:
            self.__dict__.update(self.__getstate__() | {"encoder": None, "encoder_": None})
        return self

    def attach_encoder(self, encoder):
        """Undo `detach_encoder` with a fitted encoder equal to the one that was left out."""
        self.encoder = self.encoder_ = encoder
        self.module_ = self._restore_module("module_", self.module_)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = self.encoder is None
        if self.encoder is not None:
            tags.input_tags.string = True
            tags.input_tags.one_d_array = True
            tags.input_tags.two_d_array = False
        return tags

    def _check_parameters(self):
        check_number(self.class_center_weight, "class_center_weight", minimum=0)
        check_choice(self.class_center_form, "class_center_form", ("paper", "released"))
        check_choice(self.center_init, "center_init", ("blend", "means", "texts"))
        check_number(self.batch_size, "batch_size", minimum=1, integer=True)
        check_number(self.weight_decay, "weight_decay", minimum=0)
        if self.n_frozen_layers is not None:
            check_number(self.n_frozen_layers, "n_frozen_layers", minimum=0, integer=True)
        if self.n_epochs is not None:
            check_number(self.n_epochs, "n_epochs", minimum=1, integer=True)
        if self.lr is not None:
            check_number(self.lr, "lr", above=0)
        if self.center_init == "texts" and (self.labels is None or self.encoder is None):
            raise ValueError(
                "`center_init` == 'texts' needs `labels` (a LabelSpace with the names) and an "
                "`encoder` to encode them. Pass both, or center_init='means'."
            )

    def _check_data(self, X, y):
        if self.encoder is not None:
            X = check_texts(X)
            Y = check_label_matrix(y, n_samples=len(X), labels=self.labels, name="y")
            self._is_multilabel, self.classes_ = True, np.arange(Y.shape[1])
            return X, Y
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True)
        self._is_multilabel = sp.issparse(y) or type_of_target(y).startswith("multilabel")
        if self._is_multilabel or (y.ndim == 2 and y.shape[1] > 1):
            self._is_multilabel = True
            Y = check_label_matrix(y, n_samples=X.shape[0], labels=self.labels, name="y")
            self.classes_ = np.arange(Y.shape[1])
            return X, Y
        check_classification_targets(y)
        self.classes_, codes = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        shape = (len(codes), len(self.classes_))
        Y = sp.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=shape)
        return X, check_label_matrix(Y, name="y")

    def _tunes_backbone(self):
        return self.encoder is not None and hasattr(self.encoder_, "backbone_")

    def _features(self, X):
        return X if self.encoder is None else self.encoder_.transform(X)

    def _start_on_texts(self, X, Y, rng, device):
        backbone = get_backbone(self.encoder_)
        self.module_ = self._build_module(
            "module_", {"n_features": backbone.hidden_size, "n_labels": Y.shape[1]}
        )
        ids, _ = self.encoder_.tokenizer_.encode(X)
        states = self._lower_states(ids, device)
        embeddings = collect_outputs(
            self.module_, self._token_batches(ids, states=states), device, keep=1
        )
        start = self._label_starts(embeddings, Y, rng)
        self.module_.head.start_from(torch.from_numpy(start))
        batches = self._token_batches(ids, Y=Y, rng=rng, states=states)
        return batches, (backbone.n_epochs, backbone.lr)

    def _lower_states(self, ids, device):
        """Hidden states below the trained layers, once a text; None where memory is short."""
        if self.module_.lower is None:
            return None
        dtype = torch.bfloat16 if uses_bfloat16(device) else torch.float32
        n_values = sum(map(len, ids)) * self.module_.lower.hidden_size
        if n_values * dtype.itemsize > _HIDDEN_BYTES:
            return None
        batches = self._token_batches(ids)
        states, rows = [None] * len(ids), iter(batches.order)
        for (hidden,) in forward_batches(LowerStates(self.module_), batches, device):
            for text in hidden:
                row = next(rows)
                states[row] = torch.from_numpy(text[: len(ids[row])]).to(dtype, copy=True)
        return states

    def _start_on_features(self, features, Y, rng):
        shift, factor, weight = project_start(features, rng)
        init_args = {"n_inputs": weight.shape[1], "n_features": len(weight), "n_labels": Y.shape[1]}
        self.module_ = self._build_module("module_", init_args)
        with torch.no_grad():
            self.module_.shift.copy_(torch.from_numpy(shift))
            self.module_.factor.fill_(factor)
            self.module_.projection.weight.copy_(torch.from_numpy(weight))
            self.module_.projection.bias.zero_()
        batches = FeatureBatches(features, batch_size=self.batch_size)
        embeddings = collect_outputs(self.module_, batches, "cpu", keep=1)
        self.module_.head.start_from(torch.from_numpy(self._label_starts(embeddings, Y, rng)))
        batches = FeatureBatches(features, Y, batch_size=self.batch_size, rng=rng)
        return batches, (_FEATURE_EPOCHS, _FEATURE_LR)

    def _label_starts(self, embeddings, Y, rng):
        """One unit vector a label: from its texts, its name, or both."""
        sums = np.asarray(Y.T @ embeddings)
        if self.labels is not None and self._tunes_backbone() and self.center_init != "means":
            names = getattr(self.encoder_, "label_embeddings_", None)
            if names is None or getattr(self.encoder_, "labels", None) != self.labels:
                names = self.encoder_.transform(list(self.labels.texts))
            sums = names if self.center_init == "texts" else sums + names
        is_empty = ~sums.any(axis=1)
        sums[is_empty] = rng.normal(size=(int(is_empty.sum()), sums.shape[1]))
        return normalize(sums).astype(np.float32)

    def _train(self, batches, defaults, device):
        n_epochs, lr = defaults
        net = TextNet(
            self.module_,
            partial(self._loss_terms, batches.n_labels),
            n_epochs=self.n_epochs or n_epochs,
            lr=self.lr or lr,
            param_groups=[("*.centers", {"weight_decay": 0.0})],
            weight_decay=self.weight_decay,
            device=device,
            title=f"{batches.n_labels} labels",
            verbose=self.verbose,
        )
        return net.fit_batches(batches).epoch_table()

    def _loss_terms(self, n_labels, outputs, Y):
        logits, features, centers = outputs
        # Summed over labels, a text weighs the same whatever their number.
        terms = {"cross_entropy": n_labels * multilabel_cross_entropy(logits, Y)}
        if self.class_center_weight:
            loss = class_center_loss(features, Y, centers, form=self.class_center_form)
            terms["class_center"] = self.class_center_weight * loss
        return terms

    def _token_batches(self, ids, **kwargs):
        pad_id = self.encoder_.tokenizer_.pad_id
        return TokenBatches(ids, batch_size=self.batch_size, pad_id=pad_id, **kwargs)

    def _forward(self, X, keep):
        check_is_fitted(self)
        if self.encoder is not None:
            X = check_texts(X)
        else:
            X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        if self._tunes_backbone():
            batches = self._token_batches(self.encoder_.tokenizer_.encode(X)[0])
        else:
            batches = FeatureBatches(self._features(X), batch_size=256)
        return collect_outputs(self.module_, batches, resolve_device(self.device), keep)

    def _label_head(self):
        return self.module_.head

    def _build_module(self, name, init_args):
        if "n_inputs" in init_args:
            return FeatureTower(**init_args)
        backbone = get_backbone(self.encoder_)
        n_frozen = self.n_frozen_layers
        n_frozen = backbone.n_frozen_layers if n_frozen is None else n_frozen
        if n_frozen > backbone.n_layers:
            raise ValueError(
                f"`n_frozen_layers` == {n_frozen}, but the backbone has {backbone.n_layers} layers."
            )
        return TextTower(backbone, n_frozen, LabelHead(**init_args))

    def _restore_module(self, name, content):
        has_encoder = getattr(self, "encoder", None) is not None
        if not has_encoder and isinstance(content, dict) and "n_inputs" not in content["init_args"]:
            return content  # waits for attach_encoder
        return super()._restore_module(name, content)


def _log_odds(logits):
    """Of the second of two classes, whose scores are made to sum to 1; else the logits."""
    if logits.shape[1] != 2:
        return logits
    negative_log_scores = np.logaddexp(0.0, -logits)
    return negative_log_scores[:, 0] - negative_log_scores[:, 1]
