"""Labels that no training text has: how often the classifier finds them by what they are called."""

import time
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from skrr2qc import TfidfLinearClassifier
from skrr2qc.metrics import recall_at_k

from ._command_line import check_least
from ._machine import peak_memory
from ._models import MODELS, find_encoder, set_everywhere
from ._runs import Task, key_of, load
from ._sets import check_sets, label_groups

K = 10
_SETS = ("eedi", "eurlex57k")
_SUBSETS = {"eurlex57k": "subset_train5k"}
_WHOLE = "none"
_ZERO = "zero"  # what a set calls the group of labels that its whole training part lacks
_OURS = "skrr2qc"
_BLOCK = 2048


def add_options(parser):
    """Options of the job."""
    add = parser.add_argument
    add("--sets", nargs="+", default=list(_SETS), metavar="SET", help="default: eedi eurlex57k")
    add("--encoder", default="compact", help="compact, minilm, folder or hub name")
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="default: 0")
    add("--part", choices=["test", "val"], default="val", help="default: val; test: to publish")
    add(
        *("--subset",), metavar="NAME",
        help=f"ids to train on; {_WHOLE}: all; default: {_SUBSETS['eurlex57k']} of eurlex57k",
    )  # fmt: skip
    add("--limit-train", type=int, metavar="N", help="train on N rows at most")
    add("--limit-test", type=int, metavar="N", help="rank for N texts at most")


def cases(options):
    """What is recorded, and what measures it."""
    check_sets(options.sets)
    check_least(options, limit_train=3, limit_test=1)
    shown, backbone = find_encoder(options.encoder)
    found = []
    for name in options.sets:
        subset = _SUBSETS.get(name) if options.subset is None else options.subset
        subset = None if subset == _WHOLE else subset
        texts = load(name, part=options.part, subset=subset, limit_train=options.limit_train)
        n_test = min(len(texts.test), options.limit_test or len(texts.test))
        texts = replace(texts, test=texts.test[:n_test], Y_test=texts.Y_test[:n_test])
        groups = unseen_groups(texts, label_groups(name))
        for seed in options.seeds:
            task = Task(_OURS, seed, backbone, shown, options.device, int(options.verbose))
            about = {"measurement": "zero-shot", **key_of(task, texts)}
            found.append((about, partial(_measure, task, texts, groups)))
    return found


def _measure(task, texts, groups, call):
    return call(measure, task, texts, groups)


def unseen_groups(texts, named):
    """Columns of labels without a training text: all of them, and those the set says are so.

    Parameters
    ----------
    texts : TextSet
    named : dict of str to list of str

    Returns
    -------
    groups : dict of str to ndarray of int
    """
    unseen = np.flatnonzero(texts.Y_train.getnnz(axis=0) == 0)
    if not texts.Y_test[:, unseen].nnz:
        raise ValueError(f"no {texts.part} text of {texts.name} has a label without training text")
    groups = {"unseen": unseen}
    if _ZERO in named:
        columns = np.flatnonzero(np.isin(texts.labels.names, named[_ZERO]))
        zero = np.intersect1d(columns, unseen)
        if len(zero) < len(unseen) and texts.Y_test[:, zero].nnz:
            groups[_ZERO] = zero
    return groups


def measure(task, texts, groups):
    """Recall of unseen labels: ours, TF-IDF similarities of text and label text, chance."""
    estimator = MODELS[task.model](task.seed, task.encoder, texts.labels)
    set_everywhere(estimator, device=task.device, verbose=task.verbose)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that labels have no text is what is measured
        estimator.fit(texts.train, texts.Y_train)
    fitted = time.perf_counter()
    blocks = [
        estimator.predict_proba(texts.test[i : i + _BLOCK])
        for i in range(0, len(texts.test), _BLOCK)
    ]
    seconds = time.perf_counter() - fitted
    scores = {
        _OURS: np.concatenate(blocks),
        "similarity, words": similarities(TfidfVectorizer(), texts),
        "similarity, words and characters": similarities(
            TfidfLinearClassifier().make_vectorizer(texts.train), texts
        ),
    }
    return {
        "groups": {name: recalls(texts.Y_test, scores, part) for name, part in groups.items()},
        "fit_seconds": fitted - start,
        "ms_per_text": 1000 * seconds / len(texts.test),
        "memory_mib": peak_memory(),
        "channel_weights": {n: float(w) for n, w in estimator.channel_weights_.items()},
    }


def similarities(vectorizer, texts):
    """Cosine of the TF-IDF vectors of each text and each label's text, (n, L).

    Word frequencies come from training texts and label texts together, so that no word of a
    label is unknown.
    """
    names = list(texts.labels.texts)
    vectorizer.fit([*texts.train, *names])
    left, right = (normalize(vectorizer.transform(part)) for part in (texts.test, names))
    return np.asarray((left @ right.T).todense(), dtype=np.float32)


def recalls(Y, scores, columns):
    """Recall of some labels among the ten best, over the texts that have one of them.

    Parameters
    ----------
    Y : csr_matrix of shape (n, L)
    scores : dict of str to ndarray of shape (n, L)
    columns : ndarray of int

    Returns
    -------
    figures : dict
        Of each method ``[among these labels alone, among all]``; "chance" is the share of the
        labels that ten are.
    """
    Y = Y.tocsr()
    rows = np.flatnonzero(Y[:, columns].getnnz(axis=1))
    alone = Y[rows][:, columns]
    is_wanted = np.isin(np.arange(Y.shape[1]), columns)
    among_all = Y[rows].multiply(is_wanted).tocsr()
    n_ranked = [len(columns), Y.shape[1]]
    depths = [min(K, n) for n in n_ranked]
    figures = {
        name: [
            recall_at_k(alone, found[rows][:, columns], depths[0]),
            recall_at_k(among_all, found[rows], depths[1]),
        ]
        for name, found in scores.items()
    }
    figures["chance"] = [k / n for k, n in zip(depths, n_ranked, strict=True)]
    return {
        "n_labels": len(columns),
        "n_labels_tested": int((alone.getnnz(axis=0) > 0).sum()),
        "n_texts": len(rows),
        "recall_at_10": figures,
    }
