"""Retrieval head: label scores and class centers over an encoder, or over given features."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from .._checkpoint import make_writable
from .._runs import undone_on_failure
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
from .._validation import check_texts
from ..losses import class_center_loss, multilabel_cross_entropy
from ..modules import (
    AuxiliaryTower,
    FeatureTower,
    LabelHead,
    LowerStates,
    TextTower,
    TowerVectors,
    get_backbone,
)
from ..persistence import SavedModelMixin
from ..text import TokenBatches
from ._features import FeatureBatches, project_start
from ._head_checkpoint import open_head_run
from ._head_checks import check_head, check_head_data, resolve_head, tunes_backbone
from ._sparse_scores import linear_scores, with_empty_rows
from ._tower_training import (
    ancestor_columns,
    check_frozen_layers,
    check_loss,
    hold_out,
    label_loss,
    label_starts,
    layer_groups,
    with_further_targets,
)

# Of a batch where no gradient is needed: more tokens at once are slower on a CPU.
_TEXTS, _TOKENS_ON_CPU, _TOKENS = 256, 2048, 16_384


class ClassCenterHead(
    SavedModelMixin, ModuleStateMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
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
    loss : {"bce", "asymmetric", "zlpr", "focal", "class_balanced"} or callable, default=None
        Loss on the label scores: binary cross-entropy; `asymmetric_loss`, `zlpr_loss` and
        `focal_loss` with the constants they default to; cross-entropy whose positives weigh
        `class_balanced_weights`; or any ``(logits, Y) -> 0-d tensor``. See Notes. None leaves it
        to the backbone: "class_balanced" for the compact one, "bce" otherwise.
    ancestor_weight : float, default=0.3
        Factor on the cross-entropy of a second layer of scores, of the nodes above the labels in
        the hierarchy of `labels`, which is only there in training. No effect without a hierarchy.
    meta_weight : float, default=0.3
        Factor on the cross-entropy of one more layer of scores, of the meta-labels of `labels`,
        which stays: `meta_scores`. No effect without meta-labels.
    filter_weight : float, default=1.0
        Factor on the loss on label scores by the filters of the compact backbone alone, without
        its bag of words, under the same weights. No effect on other backbones and on features.
    n_frozen_layers : int, default=None
        Layers that are not trained, counted from below, with the embeddings; 0 trains all.
        None leaves it to the backbone: half of a pretrained one, none of the compact one.
    n_epochs : int, default=None
        Passes over the rows. None leaves it to the backbone: 12 for the compact one, 3 for a
        pretrained one; 12 become fewer from 8,000 rows on, but never fewer than 4. Without an
        encoder, on features, None means 40.
    lr : float, default=None
        Peak learning rate. None leaves it to the backbone: 1e-3 for the compact one, 3e-4 for a
        pretrained one. Without an encoder, None means 5e-3.
    schedule : {"linear", "onecycle"}, default="linear"
        Rise over a tenth of the steps and fall to zero along lines, or over three tenths along
        cosines.
    layer_decay : float in (0, 1], default=1.0
        Factor on the learning rate of each trained layer against the one above it; the
        embeddings, where they are trained, count as the lowest.
    ema_decay : float in (0, 0.9999], default=None
        Share of the old in a moving average of the weights, which takes their place at the end.
    validation_fraction : float in (0, 0.5], default=None
        Share of the rows held out to watch; the weights of the epoch with the lowest loss on
        them are kept. Every label keeps a row to learn from. None holds out none.
    patience : int, default=2
        Epochs without a fall of that loss after which training stops. No effect without
        `validation_fraction`.
    batch_size : int, default=32
        Texts a step.
    weight_decay : float, default=0.01
    memory_budget : int, default=2**30
        Bytes for the states below the trained layers, kept during a fit so that the frozen
        layers run once a text. Where it is too small, they run once a text and epoch, which a
        warning tells; 0 asks for that.
    checkpoint_dir : str or path, default=None
        Folder of the state of a long training. The same `fit` after an interruption of any kind
        goes on from there to the same weights; one on other data or parameters, or over an
        encoder of other weights, is refused. One folder belongs to one fit: leave it None within
        `RetrievalRerankClassifier`, which has one for all its fits, and within cross-validation.
    checkpoint_steps : int, default=200
        Updates between two checkpoints; there is one after each epoch as well.
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
    meta_coef_, meta_intercept_ : ndarray of shape (M, D) and (M,)
        Layer that scores meta-labels; None where it was not trained.
    encoder_ : estimator
        Fitted encoder, if one was given.
    history_ : list of dict
        One row an epoch: mean loss terms, on held-out rows too, and seconds.

    Notes
    -----
    The cross-entropy is summed over labels, and vectors have unit length; see
    docs/decisions/0004 for what that does to the weight of the class-center loss. The asymmetric
    and focal losses are summed over labels, too; "zlpr" compares all labels of a text in one
    logarithm, so that it, and a callable that averages over labels, weigh less beside the
    other terms. With the compact backbone a callable is called twice a step: for whole texts, and
    for what the filters found, "filters" in the history (docs/decisions/0030).

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
        loss=None,
        ancestor_weight=0.3,
        meta_weight=0.3,
        filter_weight=1.0,
        n_frozen_layers=None,
        n_epochs=None,
        lr=None,
        schedule="linear",
        layer_decay=1.0,
        ema_decay=None,
        validation_fraction=None,
        patience=2,
        batch_size=32,
        weight_decay=0.01,
        memory_budget=2**30,
        checkpoint_dir=None,
        checkpoint_steps=200,
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
        self.loss = loss
        self.ancestor_weight = ancestor_weight
        self.meta_weight = meta_weight
        self.filter_weight = filter_weight
        self.n_frozen_layers = n_frozen_layers
        self.n_epochs = n_epochs
        self.lr = lr
        self.schedule = schedule
        self.layer_decay = layer_decay
        self.ema_decay = ema_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.memory_budget = memory_budget
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_steps = checkpoint_steps
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
        FloatingPointError
            If training diverges; says at which step, and names the last good checkpoint.
        OSError
            If a checkpoint cannot be written; the one before is still whole.
        KeyboardInterrupt
            With notes of where training stood and what is kept of it.

        Warns
        -----
        UserWarning
            If `memory_budget` is too small, with the number of bytes needed; or if no row can be
            held out.
        """
        self._check_parameters()
        device = resolve_device(self.device)
        with undone_on_failure(self):
            X, Y, self.classes_, self._is_multilabel = check_head_data(self, X, y)
            check_loss(self.loss, Y, device)
            check_frozen_layers(self.n_frozen_layers, self.encoder)
            if self.checkpoint_dir is not None:
                make_writable(Path(self.checkpoint_dir))  # or the encoder would be trained before
            if self.encoder is not None:
                self.encoder_ = clone(self.encoder).fit(X, Y)  # a no-op when the caller froze it
            with (
                open_head_run(self, X, Y) as (checkpoint, seed),
                seeded(self.random_state, seed=seed) as rng,
            ):
                inputs = self._tokens(X) if self._tunes_backbone() else self._features(X)
                self.history_ = self._fit_module(inputs, Y, rng, device, checkpoint)
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
        logits = self.score_embeddings(self.embed(X))
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
        check_is_fitted(self)
        if self.encoder is not None:
            X = check_texts(X)
        else:
            X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        inputs = self._tokens(X) if self._tunes_backbone() else self._features(X)
        device = resolve_device(self.device)
        n_rows = len(X) if self.encoder is not None else X.shape[0]
        inputs = inputs if self._tunes_backbone() else with_empty_rows(inputs)
        batches = self._wide_batches(inputs, device)
        return collect_outputs(TowerVectors(self.module_), batches, device)[:n_rows]

    def score_embeddings(self, embeddings):
        """Logits from what `embed` returned; ndarray of shape (n, L), float32."""
        check_is_fitted(self)
        head = self._label_head()
        weight, bias, log_scale = (
            p.detach().cpu().numpy() for p in (head.weight, head.bias, head.log_scale)
        )
        return linear_scores(embeddings, weight, bias, np.exp(np.float64(log_scale)))

    def meta_scores(self, X):
        """Scores of the meta-labels; ndarray of shape (n, M), or None without a layer for them."""
        return None if self.meta_coef_ is None else sigmoid(self.score_meta(self.embed(X)))

    def score_meta(self, embeddings):
        """Logits of the meta-labels from what `embed` returned; ndarray of shape (n, M)."""
        check_is_fitted(self)
        return linear_scores(embeddings, self.meta_coef_, self.meta_intercept_)

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
        check_head(self)

    def _tunes_backbone(self):
        return tunes_backbone(self)

    def _features(self, X):
        return X if self.encoder is None else self.encoder_.transform(X)

    def _tokens(self, X):
        return self.encoder_.tokenizer_.encode(X)[0]

    def _fit_module(self, inputs, Y, rng, device, checkpoint):
        """Build the module, let it begin at the rows to learn from, and train it."""
        settings = resolve_head(self, Y.shape[0])
        loss = label_loss(settings["loss"], Y)
        parts = hold_out(inputs, Y, self.validation_fraction, rng)
        inputs, Y = parts[0]
        self.module_ = self._start_module(inputs, Y.shape[1], rng)
        self.module_.scores_parts = self.filter_weight > 0
        states = self._lower_states([ids for ids, _ in parts], device)
        batches = self._batches(inputs, states=states[0])
        embeddings = collect_outputs(TowerVectors(self.module_), batches, device)
        names, is_alone = self._label_names(), self.center_init == "texts"
        self.module_.head.start_from(label_starts(Y, embeddings, rng, names, is_alone))
        groups = self._further_targets(Y)
        module, targets = self.module_, [targets for _, targets in parts]
        if groups:
            starts = [label_starts(Y @ group, embeddings, rng) for group in groups.values()]
            module = AuxiliaryTower(module, starts)
            targets = [with_further_targets(part, list(groups.values())) for part in targets]
        batches = self._batches(inputs, targets[0], rng=rng, states=states[0])
        held_out = None
        if len(parts) == 2:
            held_out = self._wide_batches(parts[1][0], device, Y=targets[1], states=states[1])
        loss_terms = partial(self._loss_terms, *loss, tuple(groups))
        data = {"batches": batches, "held_out": held_out, "checkpoint": checkpoint}
        history = self._train(module, loss_terms, data, settings, device)
        self._keep_meta_layer(module.heads[-1] if "meta_labels" in groups else None)
        return history

    def _further_targets(self, Y):
        """What is learned beside the labels: for each kind, which targets a label brings."""
        groups = {}
        if not self._is_multilabel:  # classes are not the labels of a LabelSpace
            return groups
        if self.ancestor_weight:
            groups["ancestors"] = ancestor_columns(self.labels, Y)
        if self.meta_weight and self.labels is not None:
            groups["meta_labels"] = self.labels.label_to_meta
        return {kind: group for kind, group in groups.items() if group is not None}

    def _keep_meta_layer(self, head):
        self.meta_coef_ = self.meta_intercept_ = None
        if head is not None:
            self.meta_coef_ = (head.log_scale.exp() * head.weight).detach().cpu().numpy()
            self.meta_intercept_ = head.bias.detach().cpu().numpy()

    def _start_module(self, inputs, n_labels, rng):
        """The module before training."""
        if self._tunes_backbone():
            n_features = get_backbone(self.encoder_).hidden_size
            return self._build_module("module_", {"n_features": n_features, "n_labels": n_labels})
        shift, factor, weight = project_start(inputs, rng)
        init_args = {"n_inputs": weight.shape[1], "n_features": len(weight), "n_labels": n_labels}
        module = self._build_module("module_", init_args)
        with torch.no_grad():
            module.shift.copy_(torch.from_numpy(shift))
            module.factor.fill_(factor)
            module.projection.weight.copy_(torch.from_numpy(weight))
            module.projection.bias.zero_()
        return module

    def _lower_states(self, parts, device):
        """Hidden states below the trained layers of each part; None where memory is short."""
        if getattr(self.module_, "lower", None) is None:
            return [None] * len(parts)
        dtype = torch.bfloat16 if uses_bfloat16(device) else torch.float32
        width = self.module_.lower.hidden_size
        n_tokens = [sum(map(len, ids)) for ids in parts]
        needed = sum(n_tokens) * width * dtype.itemsize
        if needed > self.memory_budget:
            self._tell_budget(needed)
            return [None] * len(parts)
        all_states = []
        for ids, n in zip(parts, n_tokens, strict=True):
            batches, states, start = self._batches(ids), torch.empty(n, width, dtype=dtype), 0
            for (hidden,) in forward_batches(LowerStates(self.module_), batches, device):
                rows = batches.order[start : start + len(hidden)]
                start += len(hidden)
                is_token = np.arange(hidden.shape[1]) < batches.lengths[rows, None]
                positions = torch.from_numpy(batches.positions(rows))
                states[positions] = torch.from_numpy(hidden[is_token]).to(dtype)
            all_states.append(states)
        return all_states

    def _tell_budget(self, needed):
        if not self.memory_budget:
            return
        warnings.warn(
            f"`memory_budget` == {self.memory_budget:,} bytes, but the states below the trained "
            f"layers need {needed:,} ({needed / 2**30:.2g} GiB): the frozen layers run again in "
            f"each epoch. Pass memory_budget={needed} to run them once, or 0 to go without.",
            UserWarning,
            stacklevel=5,
        )

    def _label_names(self):
        """Vectors of the names, where centers begin at them; else None."""
        if self.labels is None or not self._tunes_backbone() or self.center_init == "means":
            return None
        names = getattr(self.encoder_, "label_embeddings_", None)
        known, own = getattr(self.encoder_, "labels", None), self.labels
        is_known = known is not None and (known.names, known.texts) == (own.names, own.texts)
        if names is None or not is_known:
            names = self.encoder_.transform(list(self.labels.texts))
        return names

    def _train(self, module, loss_terms, data, settings, device):
        lr = settings["lr"]
        groups = [("*.centers", {"weight_decay": 0.0})]
        net = TextNet(
            module,
            loss_terms,
            n_epochs=settings["n_epochs"],
            lr=lr,
            param_groups=groups + layer_groups(module, self.module_, lr, self.layer_decay),
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            ema_decay=self.ema_decay,
            device=device,
            title=f"{len(self.classes_)} labels",
            verbose=self.verbose,
        )
        patience = None if data["held_out"] is None else self.patience
        return net.fit_batches(**data, patience=patience).epoch_table()

    def _loss_terms(self, name, loss, kinds, outputs, targets):
        logits, features, centers, *further = outputs
        sizes = [z.shape[1] for z in (logits, *further)]
        Y, *further_targets = targets.split(sizes, dim=1)
        logits, *by_filters = logits.split(len(features))
        terms = {name: loss(logits, Y)}
        for part_logits in by_filters:
            terms["filters"] = self.filter_weight * loss(part_logits, Y)
        if self.class_center_weight:
            distance = class_center_loss(features, Y, centers, form=self.class_center_form)
            terms["class_center"] = self.class_center_weight * distance
        weights = {"ancestors": self.ancestor_weight, "meta_labels": self.meta_weight}
        for kind, z, t in zip(kinds, further, further_targets, strict=True):
            terms[kind] = weights[kind] * t.shape[1] * multilabel_cross_entropy(z, t)
        return terms

    def _batches(self, inputs, Y=None, *, batch_size=None, **kwargs):
        """Of token ids, or of features, which have no use for `states` and `max_tokens`."""
        batch_size = batch_size or self.batch_size
        if not self._tunes_backbone():
            return FeatureBatches(inputs, Y, batch_size=batch_size, rng=kwargs.get("rng"))
        pad_id = self.encoder_.tokenizer_.pad_id
        return TokenBatches(inputs, Y, batch_size=batch_size, pad_id=pad_id, **kwargs)

    def _wide_batches(self, inputs, device, **kwargs):
        """Batches to be read only, in which a text's company leaves no trace."""
        kwargs["max_tokens"] = _TOKENS_ON_CPU if device == "cpu" else _TOKENS
        if self._tunes_backbone():
            kwargs["max_length"] = self.encoder_.tokenizer_.max_length
        return self._batches(inputs, batch_size=_TEXTS, **kwargs)

    def _label_head(self):
        return self.module_.head

    def _build_module(self, name, init_args):
        if "n_inputs" in init_args:
            return FeatureTower(**init_args)
        n_frozen = resolve_head(self)["n_frozen_layers"]
        check_frozen_layers(n_frozen, self.encoder_)
        return TextTower(get_backbone(self.encoder_), n_frozen, LabelHead(**init_args))

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
