"""
From scores to labels: thresholds
=================================

What the four rules of ``predict`` give, and what a probability is worth.
"""

from skrr2qc.datasets import make_questions

train = make_questions(900, n_labels=60, random_state=0)
test = make_questions(500, n_labels=60, random_state=1)

# %%
# Four rules
# ----------
# A rule is chosen on held-out rows, and the choice costs nothing beside training: with
# ``memory``, the four classifiers below share all that is trained.

from tempfile import mkdtemp

from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier, metrics

clf = RetrievalRerankClassifier(
    RCPTEncoder(hidden_size=128, n_epochs=0),
    ClassCenterHead(n_epochs=8),
    labels=train.labels,
    memory=mkdtemp(),
    random_state=0,
)
rules = ["per_label", "global", "cardinality", "top_k"]
predicted = {}
for rule in rules:
    clf.set_params(threshold=rule).fit(train.texts, train.Y)
    predicted[rule] = clf.predict(test.texts)
scores = clf.predict_proba(test.texts)  # the same for all rules
predicted["0.5"] = scores > 0.5

# %%
# F1 of labels (macro), of all entries (micro), and labels a text. These questions are easy, so
# that 0.5 is not far off; with hundreds of labels and harder texts it is.

import matplotlib.pyplot as plt
import numpy as np

fig, (ax, counts) = plt.subplots(2, 1, figsize=(5, 5.4), layout="constrained", height_ratios=(3, 2))
places = np.arange(len(predicted))
for offset, average in ((-0.2, "macro"), (0.2, "micro")):
    options = {"zero_division": "supported"} if average == "macro" else {}
    values = [metrics.label_f1(test.Y, Y, average=average, **options) for Y in predicted.values()]
    bars = ax.bar(places + offset, values, 0.4, label=f"{average}-F1")
    ax.bar_label(bars, fmt="%.2f", fontsize="small")
ax.set_xticks(places, list(predicted))
ax.set_ylim(0, 1.15)
ax.legend(loc="upper center", ncols=2)
counts.bar(places, [Y.sum() / len(test.texts) for Y in predicted.values()], 0.5, color="silver")
counts.axhline(test.Y.sum() / len(test.texts), color="black", linewidth=1, label="true")
counts.set_xticks(places, list(predicted))
counts.set_ylabel("labels a text")
counts.set_ylim(0, 2)
counts.legend(loc="upper right")
for one in (ax, counts):
    one.spines[["top", "right"]].set_visible(False)

# %%
# What is a probability worth?
# ----------------------------
# The five best labels of each text, in bins of their probability: how many of them are right?

best = np.argsort(-scores, axis=1)[:, :5]
claimed = np.take_along_axis(scores, best, axis=1).ravel()
is_right = np.take_along_axis(test.Y.toarray(), best, axis=1).ravel()
bins = np.clip((claimed * 10).astype(int), 0, 9)
filled = np.unique(bins)
error = metrics.expected_calibration_error(test.Y, scores, k=5)

fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot([0, 1], [0, 1], color="gray", linewidth=1, label="as promised")
ax.plot(
    *([claimed[bins == b].mean() for b in filled], [is_right[bins == b].mean() for b in filled]),
    **{"marker": "o", "label": f"measured (error {100 * error:.1f} %)"},
)
ax.set_xlabel("probability")
ax.set_ylabel("share that is right")
ax.legend()
ax.spines[["top", "right"]].set_visible(False)

# %%
# See also: :doc:`../guide/thresholds`.
