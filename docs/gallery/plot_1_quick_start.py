"""
Quick start: retrieve, rerank, explain
======================================

A classifier of mathematics questions, from generated texts to a picture of what each of its two
steps does for one question.
"""

# %%
# Questions
# ---------
# 140 labels in a hierarchy of three levels, most of them with a handful of questions. They are
# made of concepts that they share: "Area of a triangle" and "Perimeter of a triangle" have one
# in common.

from skrr2qc.datasets import make_questions

train = make_questions(900, random_state=0)
test = make_questions(300, random_state=1)
print(train.texts[0])
print(train.labels.decode(train.Y[0]))
train.labels

# %%
# Fit
# ---
# The compact encoder makes its tokenizer and its network from these texts alone. It is narrower
# here than by default, for speed. Six labels have no question: they are known by their names
# alone, which a warning says when it happens to you.

from skrr2qc import RCPTEncoder, RetrievalRerankClassifier

clf = RetrievalRerankClassifier(
    RCPTEncoder(hidden_size=256, n_epochs=0), labels=train.labels, random_state=0
)
clf.fit(train.texts, train.Y)
names, scores = clf.predict_topk(test.texts, k=3)
print(test.texts[0])
for name, score in zip(names[0], scores[0], strict=True):
    print(f"  {score:.2f}  {name}")

# %%
# How good is it, beside a linear model on TF-IDF, which is a channel of it as well?

from skrr2qc import TfidfLinearClassifier, metrics

linear = TfidfLinearClassifier(random_state=0).fit(train.texts, train.Y)
for name, model in (("linear", linear), ("skrr2qc", clf)):
    scores = model.predict_proba(test.texts)
    print(
        f"{name:8} P@1 {metrics.precision_at_k(test.Y, scores, 1):.3f}"
        f"   nDCG@5 {metrics.ndcg_at_k(test.Y, scores, 5):.3f}"
        f"   of rare labels {metrics.tail_ndcg_at_k(test.Y, scores, 5, train.Y):.3f}"
    )

# %%
# What the two steps do
# ---------------------
# The question whose best label reranking has lifted furthest, among those where that label is
# right.

import matplotlib.pyplot as plt
import numpy as np

explanations = clf.explain(test.texts, k=4)
is_true = test.Y.toarray() > 0
column = {name: i for i, name in enumerate(test.labels.names)}
lift = [
    one.reasons[0].retrieval_rank if is_true[row, column[one.reasons[0].label]] else 0
    for row, one in enumerate(explanations)
]
row = int(np.argmax(lift))
chosen = explanations[row]
print(chosen)

# %%
# Its labels after each step, and the concepts of the one that is now first and of the one that
# was first before:

fig, (left, right) = plt.subplots(
    2, 1, figsize=(5, 5.6), layout="constrained", height_ratios=(5, 4)
)
reasons = chosen.reasons[::-1]
places, height = np.arange(len(reasons)), 0.38
left.barh(places - height / 2, [one.score for one in reasons], height, label="reranked")
left.barh(
    *(places + height / 2, [one.retrieval_score for one in reasons], height),
    **{"label": "retrieved", "color": "silver"},
)
marks = ["✓ " if is_true[row, column[one.label]] else "" for one in reasons]
left.set_yticks(places, [mark + one.label for mark, one in zip(marks, reasons, strict=True)])
left.set_title("Labels (✓ true)", loc="left", fontsize="medium")
left.legend(loc="lower right")

pair = [chosen.reasons[0], min(chosen.reasons, key=lambda one: one.retrieval_rank)]
bars = [(one, concept) for one in pair for concept in one.meta_scores][::-1]
colors = {pair[1].label: "silver", pair[0].label: "tab:green"}
for place, (one, concept) in enumerate(bars):
    right.barh(place, one.meta_scores[concept], color=colors[one.label])
for label, color in colors.items():
    right.barh(0, 0, color=color, label=label)
right.legend(loc="upper center", bbox_to_anchor=(0.4, -0.3), ncols=2)
right.set_yticks(range(len(bars)), [concept for _, concept in bars])
right.set_title("Concepts of the two best", loc="left", fontsize="medium")
for ax in (left, right):
    ax.set_xlim(0, 1)
    ax.spines[["top", "right"]].set_visible(False)
right.set_xlabel("score")

# %%
# Next: :doc:`the user guide <../guide/index>`, or where the picture comes from,
# :doc:`../guide/explanations`.
