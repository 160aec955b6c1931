"""Text encoder: compact or pretrained backbone, pre-trained on the user's texts and labels."""

import json
import warnings
from contextlib import nullcontext
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .. import __version__
from .._runs import check_checkpoint_dir, open_run, undone_on_failure
from .._state import ModuleStateMixin
from .._training import draw_seed, resolve_device, seeded
from .._validation import check_flag, check_number, check_texts
from ..label_space import check_labels
from ..modules import CompactBackbone, PretrainedBackbone
from ..persistence import SavedModelMixin
from ..text import train_tokenizer
from ._folder import load_pretrained
from ._label_vectors import embed, start_vectors, train_label_vectors
from ._presets import check_depth, resolve_settings
from ._pretraining import Pretraining
from ._ranks import can_be_ranked, check_table, label_geometry, warn_not_ranked
from ._targets import check_targets
from ._word_vectors import word_vectors

# Parameters that change no weight, and those that a fingerprint describes in another way.
_NOT_IN_CHECKPOINT = (
    "checkpoint_dir", "checkpoint_steps", "device", "verbose", "labels", "backbone", "preset",
    "random_state", "local_files_only",
)  # fmt: skip
_OF_EARLY_STOPPING = ("validation_fraction", "n_iter_no_change")


class RCPTEncoder(
    SavedModelMixin,
    ModuleStateMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Encode texts as unit vectors with a network pre-trained on them and on their labels [1]_.

    A masked language model is trained together with a ranking contrastive loss: the nearer the
    labels of two texts in the hierarchy, the more alike their vectors. Parameters that are None
    are set by `preset`.

    Parameters
    ----------
    backbone : str, default="compact"
        "compact": a small network and its tokenizer, made from the texts alone, nothing is
        downloaded. Otherwise the folder or the hub name of a sentence-transformers or
        transformers encoder; a folder that exists never touches the network.
    labels : LabelSpace, default=None
        Texts and hierarchy of the labels. None: labels without texts, all equally far apart.
    preset : {"recommended", "paper", "released"}, default="recommended"
        Settings measured to work, those of the paper made well defined, or those of its code.
    n_epochs : int, default=None
        Passes over the texts; 0 for no pre-training. None: by the backbone.
    max_steps : int, default=None
        Updates after which training ends, if it has not before.
    mlm_rate : float, default=None
        Share of tokens that the language model restores.
    rank_weight : float, default=None
        Factor on the ranking loss (Eq. 9); 0 trains the language model alone ("TAPT", as
        published with ``initial_share=0, n_frozen_layers=0``).
    variant : {"in", "out", "paper", "rince"}, default=None
        Positives of a rank summed inside the logarithm, averaged outside, or left out of the
        denominator as printed (Eq. 6); or QuesCo's loss, with one temperature a rank.
    min_temperature, max_temperature : float, default=None
        Of rank 0 and of the farthest.
    temperature_spacing : {"geometric", "linear"}, default=None
    ranks : {"ceil", "unique"}, default=None
        Distance of two label sets rounded up, or its place among the distances that occur.
    positive_share : float in (0, 1], default=None
        Share of the ranks, the nearest, of which texts are positives in turn; what lies beyond
        is one farthest rank.
    rank_discount : float in (0, 1], default=None
        Factor by which each rank weighs less than the one before it.
    set_distance : {"mean", "sum"}, default=None
        Over pairs of labels (Eq. 2).
    label_sets : {"all", "first"}, default=None
        Labels of a text that count.
    closeness : {"cos01", "jaccard", "none", "dot_clamped"}, default=None
        Weight of a positive among those of its rank (Eq. 7): mean cosine of label vectors
        brought to [0, 1], share of common labels, none, or mean dot product.
    momentum : float in [0, 1], default=None
        Share of the key encoder that an update keeps.
    queue_size : int, default=None
        Keys remembered; where the preset leaves it open, 1 % of the texts, at least 8 batches.
    own_key_positive : bool, default=None
        Whether a text's own second view counts as a text of the same labels.
    projection_size : int, default=None
        Width of the projection that is compared; 0 compares text vectors themselves.
    views : {"masked", "augmented"}, default=None
        Second view of a text: masked anew, or with tokens left out, swapped and moved.
    label_epochs : int, default=None
        Passes over the label texts, in which a copy of the backbone learns to tell labels
        (Eq. 8), for "cos01" and "dot_clamped".
    initial_share : float in [0, 1], default=None
        Share of the weights before training in those after it [2]_: less is forgotten, and less
        learned. 0 keeps the weights that training found. None: by preset and backbone.
    n_frozen_layers : int, default=None
        Layers that are not trained, counted from below, with the embeddings; fewer than there
        are; 0 trains all. None: half of a pretrained backbone, as in `ClassCenterHead`, none of
        the compact one; 0 in the presets "paper" and "released".
    lr : float, default=None
        Peak learning rate. None: by the backbone.
    batch_size : int, default=None
        Texts a step.
    weight_decay : float, default=0.01
    early_stopping : bool, default=False
        Whether to hold out texts, and to stop when language-model and ranking loss on them
        have not fallen for `n_iter_no_change` epochs; the best epoch is kept, and averaged
        with the initial weights only then.
    validation_fraction : float, default=0.1
        Share of texts held out, in (0, 0.5].
    n_iter_no_change : int, default=3
    checkpoint_dir : str or path, default=None
        Folder of the state of a long training. The same `fit` after an interruption of any kind
        goes on from there to the same weights; one on other data or parameters is refused. One
        folder belongs to one fit: leave it None within cross-validation, and give one to
        `RetrievalRerankClassifier` instead.
    checkpoint_steps : int, default=200
        Updates between two checkpoints; there is one after each epoch as well.
    vocab_size : int, default=8000
        Largest vocabulary of the compact backbone.
    hidden_size : int, default=1024
        Width of the compact backbone, and so of its vectors.
    max_length : int, default=256
        Tokens read of each text, at most what a pretrained backbone takes.
    local_files_only : bool, default=False
        Never ask a hub, even if `backbone` is no folder.
    device : str, default="auto"
        "auto" takes CUDA, then MPS, then the CPU.
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0
        1 shows progress, each term of the loss, texts per second and the time left.

    Attributes
    ----------
    backbone_ : torch.nn.Module
        Token ids to hidden states.
    tokenizer_ : TextTokenizer
        Texts to token ids.
    label_embeddings_ : ndarray of shape (L, D), float32, or None
        Vector of each label's text, to be compared with those of `transform`; without `labels`,
        the mean vector of its texts. None without labels, or with neither `labels` nor training.
    history_ : list of dict
        One row an epoch: mean loss terms, those on held-out texts, and seconds. A table is
        ``pandas.DataFrame(encoder.history_)``.

    See Also
    --------
    ClassCenterHead : Fine-tunes the upper layers towards labels.
    skrr2qc.metrics.rank_order_accuracy : Whether vectors follow the hierarchy.
    skrr2qc.plotting.LossCurvesDisplay : Draws `history_`.

    Notes
    -----
    What the paper prints, what its code does and what is recommended differ in many places; see
    docs/decisions/0011, 0012 and 0029, the latter two for what was measured.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.
    .. [2] Wortsman et al. Robust fine-tuning of zero-shot models. CVPR 2022, arXiv:2109.01903.

    Examples
    --------
    >>> from skrr2qc import RCPTEncoder
    >>> texts = ["area of a circle", "area of a square", "mean of a sample"] * 4
    >>> label_sets = [[1, 0], [1, 0], [0, 1]] * 4
    >>> encoder = RCPTEncoder(hidden_size=16, n_epochs=2, random_state=0).fit(texts, label_sets)
    >>> encoder.transform(texts).shape
    (12, 16)
    >>> [row["epoch"] for row in encoder.history_]
    [1, 2]
    """

    _module_names = ("backbone_",)

    def __init__(
        self,
        backbone="compact",
        *,
        labels=None,
        preset="recommended",
        n_epochs=None,
        max_steps=None,
        mlm_rate=None,
        rank_weight=None,
        variant=None,
        min_temperature=None,
        max_temperature=None,
        temperature_spacing=None,
        ranks=None,
        positive_share=None,
        rank_discount=None,
        set_distance=None,
        label_sets=None,
        closeness=None,
        momentum=None,
        queue_size=None,
        own_key_positive=None,
        projection_size=None,
        views=None,
        label_epochs=None,
        initial_share=None,
        n_frozen_layers=None,
        lr=None,
        batch_size=None,
        weight_decay=0.01,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        checkpoint_dir=None,
        checkpoint_steps=200,
        vocab_size=8000,
        hidden_size=1024,
        max_length=256,
        local_files_only=False,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.labels = labels
        self.preset = preset
        self.n_epochs = n_epochs
        self.max_steps = max_steps
        self.mlm_rate = mlm_rate
        self.rank_weight = rank_weight
        self.variant = variant
        self.min_temperature = min_temperature
        self.max_temperature = max_temperature
        self.temperature_spacing = temperature_spacing
        self.ranks = ranks
        self.positive_share = positive_share
        self.rank_discount = rank_discount
        self.set_distance = set_distance
        self.label_sets = label_sets
        self.closeness = closeness
        self.momentum = momentum
        self.queue_size = queue_size
        self.own_key_positive = own_key_positive
        self.projection_size = projection_size
        self.views = views
        self.label_epochs = label_epochs
        self.initial_share = initial_share
        self.n_frozen_layers = n_frozen_layers
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_steps = checkpoint_steps
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_length = max_length
        self.local_files_only = local_files_only
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, unlabeled=None):
        """Train tokenizer and backbone on texts, and on the labels of those that have some.

        Parameters
        ----------
        X : sequence of n str
        y : indicator (n, L), list of n sets of label names, or (n,) classes, default=None
            Texts without a label, and all texts if there is no `y`, train the language model.
        unlabeled : sequence of m str, default=None
            Further texts for tokenizer and language model.

        Returns
        -------
        self : RCPTEncoder

        Raises
        ------
        TypeError, ValueError
            If texts, targets or parameters are not as described; before any work starts.
        OSError
            If `backbone` is a hub name that cannot be loaded, or a checkpoint cannot be written.
        FloatingPointError
            If loss or weights are no longer finite; names the last good checkpoint.
        KeyboardInterrupt
            With notes of where training stood and what is kept of it.
        """
        X, label_sets = self._check_data(X, y, unlabeled)
        settings = self._check_parameters(len(X))
        device = resolve_device(self.device)
        run = self._open_run(X, label_sets, settings)
        with undone_on_failure(self), run as (checkpoint, seed):
            with seeded(self.random_state, seed=seed) as rng:
                ids = self._start(X, rng)
                self.history_ = self._pretrain(settings, ids, label_sets, rng, device, checkpoint)
            self.backbone_.eval()
            self.label_embeddings_ = self._label_embeddings(settings, ids, label_sets, device)
        self._n_features_out = self.backbone_.hidden_size
        return self

    def transform(self, X):
        """Vectors of texts.

        Parameters
        ----------
        X : sequence of n str

        Returns
        -------
        embeddings : ndarray of shape (n, D), float32
            Rows have length 1, or are 0 where a text holds no token that is known.
        """
        check_is_fitted(self)
        ids, _ = self.tokenizer_.encode(check_texts(X))
        return embed(self.backbone_, self.tokenizer_, ids, resolve_device(self.device))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def _cache_key(self):
        """What a fit depends on beside parameters and data: the files of the backbone's folder."""
        folder = Path(self.backbone)
        if self.backbone == "compact" or not folder.is_dir():
            return None
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def _check_data(self, X, y, unlabeled):
        """All texts, the unlabelled ones last, and the label sets of all or None."""
        X = check_texts(X)
        check_labels(self.labels)
        label_sets = None if y is None else check_targets(y, len(X), self.labels)
        if unlabeled is not None and not (isinstance(unlabeled, (list, tuple)) and not unlabeled):
            X = X + check_texts(unlabeled, name="unlabeled")
        if label_sets is not None:
            shape = (len(X), label_sets.shape[1])
            label_sets = sp.csr_matrix(label_sets, copy=True)
            label_sets.resize(shape)
        return X, label_sets

    def _check_parameters(self, n_texts):
        if not isinstance(self.backbone, str) or not self.backbone:
            raise TypeError(
                "`backbone` must be 'compact', or the folder or hub name of an encoder, got "
                f"{self.backbone!r}. Give a vectorizer to the classifier in place of RCPTEncoder."
            )
        check_number(self.weight_decay, "weight_decay", minimum=0)
        check_number(self.vocab_size, "vocab_size", minimum=8, integer=True)
        check_number(self.max_length, "max_length", minimum=2, integer=True)
        check_number(self.hidden_size, "hidden_size", minimum=8, integer=True)
        check_number(self.validation_fraction, "validation_fraction", above=0, maximum=0.5)
        check_number(self.n_iter_no_change, "n_iter_no_change", minimum=1, integer=True)
        check_number(self.checkpoint_steps, "checkpoint_steps", minimum=1, integer=True)
        if self.max_steps is not None:
            check_number(self.max_steps, "max_steps", minimum=1, integer=True)
        check_flag(self.early_stopping, "early_stopping")
        if self.own_key_positive is not None:
            check_flag(self.own_key_positive, "own_key_positive")
        check_checkpoint_dir(self.checkpoint_dir)
        kind = CompactBackbone if self.backbone == "compact" else PretrainedBackbone
        settings = resolve_settings(self, kind, n_texts)
        if settings.n_epochs and kind is CompactBackbone:
            check_depth(settings.n_frozen_layers, 1)
        if settings.n_epochs and settings.rank_weight:
            check_table(self.labels)
        return settings

    def _open_run(self, X, label_sets, settings):
        """Checkpoint of this very run, and the seed that it began with; or None and None."""
        if not settings.n_epochs:
            return nullcontext((None, None))
        return open_run(
            self,
            "encoder",
            lambda: self._fingerprint(X, label_sets, settings),
            lambda: draw_seed(self.random_state),
        )

    def _fingerprint(self, X, label_sets, settings):
        params = self.get_params(deep=False)
        known = {name: params[name] for name in params if name not in _NOT_IN_CHECKPOINT}
        random_state, folder, labels = self.random_state, Path(self.backbone), self.labels
        if not self.early_stopping:
            known = {k: v for k, v in known.items() if k not in _OF_EARLY_STOPPING}
        known |= vars(settings)
        return known | {
            "random_state": random_state if isinstance(random_state, Integral) else None,
            "labels": labels and _content_of(labels),
            "number of texts": len(X),
            "backbone": folder.name if folder.is_dir() else self.backbone,
            "files of `backbone`": joblib.hash(self._cache_key()),
            "X and `unlabeled`": joblib.hash(X),
            "y": None if label_sets is None else joblib.hash(_csr_arrays(label_sets)),
            "version of skrr2qc": __version__,
        }

    def _start(self, X, rng):
        """Set tokenizer and backbone; return the token ids of the texts."""
        if self.backbone != "compact":
            self.backbone_, self.tokenizer_ = load_pretrained(
                self.backbone, self.max_length, self.local_files_only
            )
            return self._encode(X)
        self.tokenizer_ = train_tokenizer(X, vocab_size=self.vocab_size, max_length=self.max_length)
        ids = self._encode(X)
        self.backbone_ = CompactBackbone(self.tokenizer_.vocab_size, self.hidden_size)
        self.backbone_.start_from(word_vectors(ids, self.tokenizer_, self.backbone_.n_bag, rng))
        return ids

    def _encode(self, X):
        ids, n_truncated = self.tokenizer_.encode(X)
        if n_truncated:
            warnings.warn(
                f"{n_truncated} of {len(X)} texts are longer than {self.tokenizer_.max_length} "
                "tokens and are read up to there. Raise `max_length` if the backbone takes more.",
                UserWarning,
                stacklevel=4,
            )
        return ids

    def _pretrain(self, settings, ids, label_sets, rng, device, checkpoint):
        """Train the backbone; return the history.

        Held-out texts go to the end, and label sets with them, so that row numbers agree.
        """
        ids, label_sets, n_train, seed = self._hold_out(ids, label_sets, rng)
        if not settings.n_epochs:
            return []
        if self.tokenizer_.mask_id is None:
            raise ValueError(
                f"The tokenizer of {self.backbone!r} has no mask token, so that no masked language "
                "model can be trained. Set n_epochs=0."
            )
        check_depth(settings.n_frozen_layers, self.backbone_.n_layers)
        geometry = None
        if settings.rank_weight and can_be_ranked(label_sets):
            vectors = self._label_vectors(settings, ids, label_sets, rng, device, checkpoint)
            geometry = label_geometry(settings, label_sets, self.labels, vectors)
        kept = None if checkpoint is None else checkpoint.extra_tensors
        run = Pretraining(settings, self.backbone_, self.tokenizer_, geometry, kept)
        net = run.net(
            n_epochs=settings.n_epochs,
            max_steps=self.max_steps,
            lr=settings.lr,
            weight_decay=self.weight_decay,
            device=device,
            verbose=self.verbose,
        )
        held_out = None
        if n_train < len(ids):
            held_out = run.held_out(ids[n_train:], n_train, seed)
        net.fit_batches(
            run.batches(ids[:n_train], rng),
            held_out=held_out,
            patience=self.n_iter_no_change if held_out is not None else None,
            checkpoint=checkpoint,
        )
        run.finish()
        self.backbone_.zero_grad()
        history = net.epoch_table()
        if geometry is not None and not any(row["ranking"] for row in history):
            warn_not_ranked("in every batch all texts shared a label, or none did")
        return history

    def _hold_out(self, ids, label_sets, rng):
        """Texts with the held-out ones last, their label sets, the number of others, a seed."""
        n_held_out = int(self.validation_fraction * len(ids)) if self.early_stopping else 0
        if self.early_stopping and not n_held_out:
            warnings.warn(
                f"`early_stopping` has no effect: of {len(ids)} texts none can be held out "
                f"(validation_fraction == {self.validation_fraction}).",
                UserWarning,
                stacklevel=4,
            )
        if not n_held_out:
            return ids, label_sets, len(ids), None
        order = rng.permutation(len(ids))
        seed = int(rng.integers(2**31))
        label_sets = None if label_sets is None else label_sets[order]
        return [ids[i] for i in order], label_sets, len(ids) - n_held_out, seed

    def _label_embeddings(self, settings, ids, label_sets, device):
        """Vectors of labels among those of texts: of what they are called, or of their texts."""
        if self.labels is None and (label_sets is None or not settings.n_epochs):
            return None
        texts = None if self.labels is None else list(self.labels.texts)
        if label_sets is None:
            label_sets = sp.csr_matrix((len(ids), len(texts)), dtype=np.float32)
        return start_vectors(self.backbone_, self.tokenizer_, texts, ids, label_sets, device)

    def _label_vectors(self, settings, ids, label_sets, rng, device, checkpoint):
        """Vectors for the closeness of labels; None where it does not ask for them."""
        if settings.closeness not in ("cos01", "dot_clamped"):
            return None
        if checkpoint is not None and "label_vectors" in checkpoint.extra_tensors:
            return checkpoint.extra_tensors["label_vectors"].numpy()
        texts = None if self.labels is None else list(self.labels.texts)
        start = start_vectors(self.backbone_, self.tokenizer_, texts, ids, label_sets, device)
        vectors = start
        if texts is not None and settings.label_epochs:
            vectors = train_label_vectors(
                self.backbone_,
                self.tokenizer_,
                texts,
                start,
                n_epochs=settings.label_epochs,
                lr=settings.lr,
                device=device,
                rng=rng,
                verbose=self.verbose,
            )
        if checkpoint is not None:
            checkpoint.extra_tensors["label_vectors"] = torch.from_numpy(vectors)
        return vectors

    def _build_module(self, name, init_args):
        kind = CompactBackbone if "vocab_size" in init_args else PretrainedBackbone
        return kind(**init_args)


def _content_of(labels):
    """As text: equal tuples that do or do not share their items are hashed differently."""
    return joblib.hash(json.dumps((labels.names, labels.texts, labels.parents)))


def _csr_arrays(matrix):
    return matrix.shape, matrix.indptr, matrix.indices
