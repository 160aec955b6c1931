"""
Grid search with a memory
=========================

The same search, without and with ``memory``: how often is the encoder fitted, and does a score
change?
"""

from time import perf_counter

from skrr2qc.datasets import make_questions

data = make_questions(250, n_labels=20, random_state=0)

# %%
# Counting fits
# -------------
# An encoder that counts. Pre-training is what a search should not repeat.

from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier


class CountedEncoder(RCPTEncoder):
    """An encoder that remembers how often one of its kind has been fitted."""

    n_fits = 0

    def fit(self, X, y=None, unlabeled=None):
        """Count, and fit."""
        type(self).n_fits += 1
        return super().fit(X, y, unlabeled)


# %%
# Two searches
# ------------

from tempfile import mkdtemp

from sklearn.model_selection import GridSearchCV

from skrr2qc.metrics.scorers import ndcg_at_5_scorer
from skrr2qc.model_selection import MultilabelStratifiedKFold

weights, rerankers = [0.0, 0.1, 0.3], [None, "passthrough"]
records = {}
for name, memory in (("without memory", None), ("with memory", mkdtemp())):
    CountedEncoder.n_fits, start = 0, perf_counter()
    search = GridSearchCV(
        RetrievalRerankClassifier(
            CountedEncoder(hidden_size=64, n_epochs=2),
            ClassCenterHead(n_epochs=3),
            lexical=None,
            validation_fraction=0.2,
            labels=data.labels,
            memory=memory,
            random_state=0,
        ),
        {"head__class_center_weight": weights, "reranker": rerankers},
        scoring=ndcg_at_5_scorer,
        cv=MultilabelStratifiedKFold(n_splits=2),
    )
    search.fit(data.texts, data.Y.toarray())
    records[name] = (CountedEncoder.n_fits, perf_counter() - start, search)
    print(f"{name:15} encoder fitted {CountedEncoder.n_fits} times, best: {search.best_params_}")

# %%
# Not one score differs:

import numpy as np

before, after = (search.cv_results_["mean_test_score"] for *_, search in records.values())
np.testing.assert_array_equal(before, after)

# %%
# What it saves
# -------------

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(5.4, 2.8), layout="constrained")
for ax, place, title in zip(axes, (0, 1), ("fits of the encoder", "seconds"), strict=True):
    bars = ax.bar(
        [*records], [record[place] for record in records.values()], color=["silver", "tab:blue"]
    )
    ax.bar_label(bars, fmt="%.0f")
    ax.set_title(title, fontsize="medium")
    ax.margins(y=0.15)
    ax.spines[["top", "right"]].set_visible(False)

# %%
# The grid has three weights and two rerankers, two folds, and one refit. With a memory the
# encoder is fitted once a fold and once for the refit, and each head once for both rerankers.
# The longer an encoder takes, the more that is worth.
#
# See also: :doc:`../guide/search`.
