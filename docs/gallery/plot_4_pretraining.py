"""
Pre-training: loss curves and rank order
========================================

A masked language model and a ranking contrastive loss learn from texts, labels and hierarchy.
Whether vectors are better for it is to be seen on texts that were not trained on.
"""

from skrr2qc.datasets import make_questions

train = make_questions(800, n_labels=40, random_state=0)
test = make_questions(200, n_labels=40, random_state=1)

# %%
# Three encoders
# --------------
# Without training, with the language model alone, and with both losses.

from skrr2qc import RCPTEncoder

settings = {
    "untrained": {"n_epochs": 0},
    "language model": {"n_epochs": 4, "rank_weight": 0, "initial_share": 0},
    "both losses": {"n_epochs": 4, "early_stopping": True},
}
encoders = {
    name: RCPTEncoder(labels=train.labels, hidden_size=128, random_state=0, **params).fit(
        train.texts, train.Y
    )
    for name, params in settings.items()
}

# %%
# Losses
# ------
# Each term with its weight, on training texts and on held-out ones. The ranking term may rise at
# first: while the queue fills, each text is compared with more and more others.

import matplotlib.pyplot as plt

from skrr2qc.plotting import LossCurvesDisplay

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
LossCurvesDisplay.from_estimator(encoders["both losses"], ax=ax)
ax.set_ylim(0, None)
ax.legend(loc="lower left", ncols=2, fontsize="small")

# %%
# Are near texts alike?
# ---------------------
# Pairs of test questions, by the rank of the distance of their label sets: 0 for a common label,
# then up the hierarchy. A falling line is what is wanted; the share of pairs in the right order
# stands in the legend.

import numpy as np

from skrr2qc.hierarchy import distance_ranks, label_set_distances
from skrr2qc.plotting import RankOrderDisplay

labels = test.labels
ranks = distance_ranks(label_set_distances(test.Y, test.Y, labels.distances(), labels.max_depth))
np.fill_diagonal(ranks, -1)  # a text and itself

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
for name, encoder in encoders.items():
    RankOrderDisplay.from_estimator(encoder, test.texts, ranks, name=name, ax=ax)

# %%
# And a plain classifier on top
# -----------------------------
# The nearest class mean, without any further training:

from skrr2qc import metrics

for name, encoder in encoders.items():
    vectors, held_out = encoder.transform(train.texts), encoder.transform(test.texts)
    means = train.Y.T @ vectors / np.maximum(train.Y.sum(axis=0).T, 1)
    scores = np.asarray(held_out @ np.asarray(means).T)
    print(
        f"{name:15} P@1 of the nearest class mean {metrics.precision_at_k(test.Y, scores, 1):.3f}"
    )

# %%
# A head that is fine-tuned afterwards gains less than this suggests; :doc:`../guide/pretraining`
# says when it pays.
