"""Parts and places of the composite, checked before anything is fitted."""

from sklearn.base import is_classifier
from sklearn.utils.validation import check_memory

from .._runs import check_checkpoint_dir
from .._validation import check_flag, check_label_matrix, check_label_to_meta, check_seed
from ..label_space import LabelSpace, check_labels
from ._reranker import MetaLabelReranker

_METHODS = {
    "encoder": "transform",
    "head": "predict_proba",
    "lexical": "predict_proba",
    "reranker": "rerank",
}
_WORDS = {"lexical": "tfidf", "reranker": "passthrough"}


def check_parts(composite):
    """Refuse parts and other parameters of a `RetrievalRerankClassifier` that are of no use.

    Raises
    ------
    TypeError, ValueError
    """
    check_flag(composite.label_texts, "label_texts")
    check_flag(composite.refit, "refit")
    check_seed(composite.random_state)
    for name, method in _METHODS.items():
        part = getattr(composite, name)
        if part is None or (isinstance(part, str) and part == _WORDS.get(name)):
            continue
        if isinstance(part, (str, type)) or not _offers(part, method):
            hint = f", {_WORDS[name]!r}" if name in _WORDS else ""
            raise TypeError(
                f"`{name}` must be an estimator with `{method}`{hint} or None, got {part!r}."
            )
    check_labels(composite.labels)
    _check_meta_labels(composite.meta_labels)
    _check_reranker(composite.reranker)
    inner = getattr(composite.reranker, "classifier", None)
    _check_places(composite, {"head": composite.head, "reranker__classifier": inner})
    for part in (composite.head, composite.lexical, composite.reranker, inner):
        if hasattr(part, "_check_parameters"):
            part._check_parameters()


def check_part_labels(composite, Y):
    """Say now what the parts would say once those before them are trained."""
    for part in (composite.head, composite.reranker):
        labels = getattr(part, "labels", None)
        if isinstance(labels, LabelSpace):
            check_label_matrix(Y, labels=labels)
    label_to_meta = getattr(composite.reranker, "label_to_meta", None)
    if label_to_meta is not None:
        check_label_to_meta(label_to_meta, Y.shape[1])


def _offers(part, method):
    if hasattr(part, method):
        return True
    if method != "predict_proba" or not hasattr(part, "fit"):
        return False
    # Log-odds will do, and some classifiers show their methods only once they are fitted.
    return hasattr(part, "decision_function") or is_classifier(part)


def _check_meta_labels(given):
    is_word = given is None or (isinstance(given, str) and given == "auto")
    if not is_word and (isinstance(given, type) or not hasattr(given, "decompose")):
        raise TypeError(
            "`meta_labels` must be 'auto', an object with `decompose(labels)` or None, got "
            f"{given!r:.80}. A map that is at hand belongs to `labels`."
        )


def _check_reranker(reranker):
    if not isinstance(reranker, (str, type(None), MetaLabelReranker)):
        raise TypeError(f"`reranker` must be a MetaLabelReranker, got {reranker!r:.80}.")
    if getattr(reranker, "retriever", None) is not None:
        raise ValueError(
            "`reranker__retriever` must be None: labels are retrieved by `head` and `lexical`."
        )


def _check_places(composite, fitted_again):
    """Folders of the composite; parts that are fitted more than once can have none alone."""
    check_checkpoint_dir(composite.checkpoint_dir)
    for name, part in fitted_again.items():
        if getattr(part, "checkpoint_dir", None) is not None:
            raise ValueError(
                f"`{name}__checkpoint_dir` must be None, got {part.checkpoint_dir!r}: the part is "
                "fitted more than once, and a folder belongs to one fit. Give `checkpoint_dir` to "
                "the classifier instead, for all of its parts."
            )
    try:
        check_memory(composite.memory)
    except OSError as error:
        raise ValueError(
            f"`memory` {composite.memory} cannot be written to ({error}). Give another folder, or "
            "None to remember nothing."
        ) from error
