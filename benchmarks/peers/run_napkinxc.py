"""Probabilistic label trees [1]_ as napkinXC implements them: an ensemble of balanced trees.

.. [1] K. Jasinska-Kobus, M. Wydmuch, K. Dembczynski, M. Kuznetsov, R. Busa-Fekete. Probabilistic
   label trees for extreme multi-label classification. arXiv:2009.11218, 2020.
"""

from _child import main, pairs_to_csr
from napkinxc.models import PLT


def fit(X, Y, task, model):
    trained = make(task, model)
    trained.fit(X, [Y.indices[a:b].tolist() for a, b in zip(Y.indptr, Y.indptr[1:], strict=False)])
    return trained


def make(task, model):
    settings = {name: v for name, v in task["parameters"].items() if name != "top_k"}
    return PLT(str(model), seed=task["seed"], threads=task["n_threads"], **settings)


def load(task, model):
    trained = make(task, model)
    trained.load()
    return trained


def score(trained, X, task):
    top_k = min(task["parameters"]["top_k"], task["n_labels"])
    return pairs_to_csr(trained.predict_proba(X, top_k=top_k), task["n_labels"])


if __name__ == "__main__":
    main(fit, None, load, score)  # napkinXC trains into its folder
