"""Bonsai [1]_ as Omikuji implements it: shallow trees of unbalanced clusters, linear models.

.. [1] S. Khandagale, H. Xiao, R. Babbar. Bonsai: diverse and shallow trees for extreme
   multi-label classification. Machine Learning 109, 2020.
"""

import omikuji
from _child import main, pairs_to_csr

PREDICTION = ("beam_size", "top_k")


def prepare(X, Y, model):
    """Write the text format of the Extreme Classification Repository, the only one it reads."""
    file = model.with_name("train.txt")
    X.sort_indices()
    with file.open("w", encoding="ascii") as out:
        out.write(f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}\n")
        for i in range(X.shape[0]):
            labels = ",".join(map(str, Y.indices[Y.indptr[i] : Y.indptr[i + 1]]))
            features = " ".join(f"{column}:{value:.6g}" for column, value in row_of(X, i))
            out.write(f"{labels} {features}".rstrip(" ") + "\n")
    return file


def row_of(X, i):
    start, stop = X.indptr[i], X.indptr[i + 1]
    return list(zip(X.indices[start:stop].tolist(), X.data[start:stop].tolist(), strict=True))


def fit(file, Y, task, model):
    settings = omikuji.Model.default_hyper_param()
    for name, value in task["parameters"].items():
        if name not in PREDICTION:
            setattr(settings, name, value)
    return omikuji.Model.train_on_data(str(file), settings, n_threads=task["n_threads"])


def save(trained, model):
    trained.save(str(model))


def load(task, model):
    trained = omikuji.Model.load(str(model))
    trained.init_prediction_thread_pool(task["n_threads"])
    return trained


def score(trained, X, task):
    settings = {name: task["parameters"][name] for name in PREDICTION}
    settings["top_k"] = min(settings["top_k"], task["n_labels"])
    rows = [trained.predict(row_of(X, i), **settings) for i in range(X.shape[0])]
    return pairs_to_csr(rows, task["n_labels"])


if __name__ == "__main__":
    main(fit, save, load, score, prepare)
