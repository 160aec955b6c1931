"""Text encoder: compact or pretrained backbone, pre-trained on the user's texts."""

import warnings
from functools import partial
from numbers import Number
from pathlib import Path

from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._state import ModuleStateMixin
from .._training import TextNet, collect_outputs, resolve_device, seeded
from .._validation import check_label_matrix, check_number, check_texts
from ..losses import masked_language_model_loss
from ..modules import CompactBackbone, MaskedLanguageModel, Pooled, PretrainedBackbone
from ..text import TokenBatches, mask_tokens, train_tokenizer
from ._folder import load_pretrained
from ._word_vectors import word_vectors


class RCPTEncoder(
    ModuleStateMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Encode texts as unit vectors with a network that learned from them.

    Parameters
    ----------
    backbone : str, default="compact"
        "compact": a small network and its tokenizer, made from the texts alone, nothing is
        downloaded. Otherwise the folder or the hub name of a sentence-transformers or
        transformers encoder; a folder that exists never touches the network.
    n_epochs : int, default=0
        Passes of masked-language-model training over the texts; 0 for none.
    mlm_rate : float, default=0.15
        Share of tokens to restore.
    lr : float, default=5e-4
        Peak learning rate of that training.
    batch_size : int, default=32
        Texts a step.
    weight_decay : float, default=0.01
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
        1 shows progress, losses and the time left.

    Attributes
    ----------
    backbone_ : torch.nn.Module
        Token ids to hidden states.
    tokenizer_ : TextTokenizer
        Texts to token ids.
    history_ : list of dict
        One row an epoch: mean loss terms and seconds.

    See Also
    --------
    ClassCenterHead : Fine-tunes the upper layers towards labels.

    Notes
    -----
    The ranking contrastive objective of [1]_ (Eq. 3-7) is not trained yet; `y` is only checked.

    References
    ----------
    .. [1] Leveraging Label Semantics and Meta-Label Refinement for Multi-Label Question
       Classification. arXiv:2411.01841, 2024.

    Examples
    --------
    >>> from skrr2qc import RCPTEncoder
    >>> texts = ["area of a circle", "area of a square", "mean of a sample"]
    >>> encoder = RCPTEncoder(hidden_size=16, random_state=0).fit(texts)
    >>> encoder.transform(texts).shape
    (3, 16)
    """

    _module_names = ("backbone_",)

    def __init__(
        self,
        backbone="compact",
        *,
        n_epochs=0,
        mlm_rate=0.15,
        lr=5e-4,
        batch_size=32,
        weight_decay=0.01,
        vocab_size=8000,
        hidden_size=1024,
        max_length=256,
        local_files_only=False,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.n_epochs = n_epochs
        self.mlm_rate = mlm_rate
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_length = max_length
        self.local_files_only = local_files_only
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None):
        """Train the tokenizer and the backbone on texts.

        Parameters
        ----------
        X : sequence of n str
        y : indicator (n, L), or (n,) classes, default=None
            Checked, and otherwise not used yet.

        Returns
        -------
        self : RCPTEncoder

        Raises
        ------
        TypeError, ValueError
            If texts, targets or parameters are not as described; before any work starts.
        OSError
            If `backbone` is a hub name that cannot be loaded.
        """
        X = check_texts(X)
        if y is not None:
            _check_targets(y, len(X))
        self._check_parameters()
        device = resolve_device(self.device)
        with seeded(self.random_state) as rng:
            ids = self._start(X, rng)
            self.history_ = self._pretrain(ids, rng, device) if self.n_epochs else []
        self.backbone_.eval()
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
        batches = TokenBatches(ids, batch_size=self.batch_size, pad_id=self.tokenizer_.pad_id)
        return collect_outputs(Pooled(self.backbone_), batches, resolve_device(self.device))

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

    def _check_parameters(self):
        if not isinstance(self.backbone, str) or not self.backbone:
            raise TypeError(
                "`backbone` must be 'compact', or the folder or hub name of an encoder, got "
                f"{self.backbone!r}. Give a vectorizer to the classifier in place of RCPTEncoder."
            )
        check_number(self.n_epochs, "n_epochs", minimum=0, integer=True)
        check_number(self.mlm_rate, "mlm_rate", above=0, maximum=0.9)
        check_number(self.lr, "lr", above=0)
        check_number(self.weight_decay, "weight_decay", minimum=0)
        check_number(self.vocab_size, "vocab_size", minimum=8, integer=True)
        check_number(self.max_length, "max_length", minimum=2, integer=True)
        check_number(self.batch_size, "batch_size", minimum=1, integer=True)
        check_number(self.hidden_size, "hidden_size", minimum=8, integer=True)

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

    def _pretrain(self, ids, rng, device):
        if self.tokenizer_.mask_id is None:
            raise ValueError(
                f"The tokenizer of {self.backbone!r} has no mask token, so that no masked language "
                "model can be trained. Set n_epochs=0."
            )
        mask = partial(mask_tokens, tokenizer=self.tokenizer_, rate=self.mlm_rate, rng=rng)
        batches = TokenBatches(
            ids, batch_size=self.batch_size, rng=rng, pad_id=self.tokenizer_.pad_id, mask=mask
        )
        net = TextNet(
            MaskedLanguageModel(self.backbone_.requires_grad_(True)),
            self._loss_terms,
            n_epochs=self.n_epochs,
            lr=self.lr,
            weight_decay=self.weight_decay,
            device=device,
            title="language model",
            verbose=self.verbose,
        )
        return net.fit_batches(batches).epoch_table()

    def _loss_terms(self, outputs, targets):
        logits, _ = outputs
        chosen = targets[targets != -100]
        return {"masked_language_model": masked_language_model_loss(logits.float(), chosen)}

    def _build_module(self, name, init_args):
        kind = CompactBackbone if "vocab_size" in init_args else PretrainedBackbone
        return kind(**init_args)


def _check_targets(y, n_samples):
    """Indicator targets, or one class a text for a classifier further down a Pipeline."""
    is_list = isinstance(y, (list, tuple)) and all(isinstance(c, (str, Number)) for c in y)
    if not (is_list or getattr(y, "ndim", 2) == 1):
        check_label_matrix(y, n_samples=n_samples, name="y")
    elif len(y) != n_samples:
        raise ValueError(
            f"`y` must have one entry per text: expected {n_samples}, got {len(y)}. Check that "
            "texts and targets were selected alike."
        )
