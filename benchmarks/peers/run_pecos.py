"""XR-Linear of PECOS [1]_: a tree over label embeddings (PIFA), linear models along its levels.

.. [1] H.-F. Yu, K. Zhong, J. Zhang, W.-C. Chang, I. S. Dhillon. PECOS: prediction for enormous and
   correlated output spaces. JMLR 23, 2022.
"""

from _child import main
from pecos.xmc import Indexer, LabelEmbeddingFactory
from pecos.xmc.xlinear.model import XLinearModel

INDEXER = ("nr_splits", "max_leaf_size")


def fit(X, Y, task, model):
    X, Y = sorted_float32(X), sorted_float32(Y)
    n_threads, settings = task["n_threads"], dict(task["parameters"])
    tree = {name: settings.pop(name) for name in INDEXER}
    settings = {name: v for name, v in settings.items() if name not in ("beam_size", "top_k")}
    clusters = None  # a tree of one leaf is no tree: all labels against all texts
    if Y.shape[1] > tree["max_leaf_size"]:
        embeddings = LabelEmbeddingFactory.create(Y, X, method="pifa")
        clusters = Indexer.gen(
            embeddings,
            indexer_type="hierarchicalkmeans",
            seed=task["seed"],
            threads=n_threads,
            **tree,
        )
    return XLinearModel.train(X, Y, C=clusters, threads=n_threads, **settings)


def sorted_float32(matrix):
    matrix = matrix.astype("float32")
    matrix.sort_indices()
    return matrix


def save(trained, model):
    trained.save(str(model))


def load(task, model):
    return XLinearModel.load(str(model), is_predict_only=True)


def score(trained, X, task):
    return trained.predict(
        sorted_float32(X),
        beam_size=task["parameters"]["beam_size"],
        only_topk=min(task["parameters"]["top_k"], task["n_labels"]),
        threads=task["n_threads"],
    )


if __name__ == "__main__":
    main(fit, save, load, score)
