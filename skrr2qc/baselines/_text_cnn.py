"""Convolutional baseline, trained from scratch on the one training loop."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .._state import ModuleStateMixin
from .._thresholds import best_global_threshold
from .._training import TextNet, collect_outputs, resolve_device, seeded, sigmoid
from .._validation import check_label_matrix, check_number, check_seed, check_texts
from ..losses import multilabel_cross_entropy
from ..model_selection import train_holdout_split
from ..modules import TextCNN
from ..persistence import SavedModelMixin
from ..text import TokenBatches, train_tokenizer


class TextCNNClassifier(SavedModelMixin, ModuleStateMixin, ClassifierMixin, BaseEstimator):
    """Convolutions over tokens, the maximum over time, one sigmoid a label (Kim, 2014 [1]_).

    Parameters
    ----------
    widths : tuple of int, default=(2, 3, 4)
        Tokens seen by each kind of filter.
    n_filters : int, default=256
        Filters of each width.
    embedding_size : int, default=300
    dropout : float, default=0.5
    vocab_size : int, default=8000
        Largest vocabulary; learned from the texts.
    max_length : int, default=256
        Tokens read of each text.
    n_epochs : int, default=30
    lr : float, default=1e-3
        Peak learning rate.
    batch_size : int, default=64
    weight_decay : float, default=0.01
    validation_fraction : float, default=0.1
        Share of the rows, in (0, 0.5], on which a first, equal model chooses the threshold.
        The final one is trained on all rows.
    device : str, default="auto"
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    classes_ : ndarray of shape (L,)
    threshold_ : float
    tokenizer_ : TextTokenizer
    history_ : list of dict

    References
    ----------
    .. [1] Kim. Convolutional Neural Networks for Sentence Classification. EMNLP 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from skrr2qc import TextCNNClassifier
    >>> clf = TextCNNClassifier(embedding_size=16, lr=0.01, random_state=0)
    >>> texts, Y = ["a circle", "a square"] * 8, np.array([[1, 0], [0, 1]] * 8)
    >>> clf.fit(texts, Y).predict(["a circle"]).tolist()
    [[1, 0]]
    """

    def __init__(
        self,
        *,
        widths=(2, 3, 4),
        n_filters=256,
        embedding_size=300,
        dropout=0.5,
        vocab_size=8000,
        max_length=256,
        n_epochs=30,
        lr=1e-3,
        batch_size=64,
        weight_decay=0.01,
        validation_fraction=0.1,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.widths = widths
        self.n_filters = n_filters
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.n_epochs = n_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y):
        """Train tokenizer and network on texts.

        Parameters
        ----------
        X : sequence of n str
        y : indicator matrix of shape (n, L), dense or CSR

        Returns
        -------
        self : TextCNNClassifier
        """
        self._check_parameters()
        X = check_texts(X)
        Y = check_label_matrix(y, n_samples=len(X), name="y")
        resolve_device(self.device)
        self.classes_ = np.arange(Y.shape[1])
        self.tokenizer_ = train_tokenizer(X, vocab_size=self.vocab_size, max_length=self.max_length)
        ids, _ = self.tokenizer_.encode(X)
        with seeded(self.random_state) as rng:
            train, held_out = train_holdout_split(
                Y, self.validation_fraction, random_state=int(rng.integers(2**31 - 1))
            )
            if len(held_out):
                self._train([ids[i] for i in train], Y[train], rng)
                scores = self._scores([ids[i] for i in held_out])
                self.threshold_ = best_global_threshold(Y[held_out], scores)
            self.history_ = self._train(ids, Y, rng)
        if not len(held_out):
            self.threshold_ = best_global_threshold(Y, self._scores(ids))
        return self

    def predict_proba(self, X):
        """Scores of all labels; ndarray of shape (n, L), float32, in [0, 1]."""
        check_is_fitted(self)
        return self._scores(self.tokenizer_.encode(check_texts(X))[0])

    def predict(self, X):
        """Labels whose score exceeds `threshold_`; ndarray of shape (n, L), int8, {0, 1}."""
        return (self.predict_proba(X) > self.threshold_).astype(np.int8)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def _check_parameters(self):
        self._check_sizes()
        for name in ("embedding_size", "n_epochs", "batch_size"):
            check_number(getattr(self, name), name, minimum=1, integer=True)
        check_number(self.vocab_size, "vocab_size", minimum=8, integer=True)
        check_number(self.max_length, "max_length", minimum=2, integer=True)
        check_number(self.dropout, "dropout", minimum=0, maximum=0.95)
        check_number(self.lr, "lr", above=0)
        check_number(self.weight_decay, "weight_decay", minimum=0)
        check_number(self.validation_fraction, "validation_fraction", above=0, maximum=0.5)
        check_seed(self.random_state)

    def _check_sizes(self):
        """Parameters that only this network has."""
        check_number(self.n_filters, "n_filters", minimum=1, integer=True)
        is_sequence = isinstance(self.widths, (list, tuple, np.ndarray))
        if not is_sequence or np.ndim(self.widths) != 1 or not len(self.widths):
            raise TypeError(
                f"`widths` must be a sequence of at least one width, got {self.widths!r:.80}. "
                "The default is (2, 3, 4)."
            )
        for width in self.widths:
            check_number(width, "widths", minimum=1, integer=True)

    def _make_module(self, n_labels):
        """A network with random weights for `tokenizer_` and so many labels."""
        return TextCNN(
            self.tokenizer_.vocab_size,
            n_labels,
            self.embedding_size,
            self.widths,
            self.n_filters,
            self.dropout,
            self.tokenizer_.pad_id,
        )

    def _train(self, ids, Y, rng):
        self.module_ = self._make_module(Y.shape[1])
        net = TextNet(
            self.module_,
            _loss_terms,
            n_epochs=self.n_epochs,
            lr=self.lr,
            weight_decay=self.weight_decay,
            device=resolve_device(self.device),
            title=type(self).__name__.removesuffix("Classifier"),
            verbose=self.verbose,
        )
        return net.fit_batches(self._batches(ids, Y=Y, rng=rng)).epoch_table()

    def _min_length(self):
        return max(self.widths)

    def _batches(self, ids, **kwargs):
        return TokenBatches(
            ids,
            batch_size=self.batch_size,
            pad_id=self.tokenizer_.pad_id,
            min_length=self._min_length(),
            **kwargs,
        )

    def _scores(self, ids):
        device = resolve_device(self.device)
        return sigmoid(collect_outputs(self.module_, self._batches(ids), device))

    def _build_module(self, name, init_args):
        return TextCNN(**init_args)


def _loss_terms(outputs, Y):
    # Summed over labels: with a mean, hundreds of absent labels leave nothing to learn from.
    return {"cross_entropy": Y.shape[1] * multilabel_cross_entropy(outputs[0].float(), Y)}
