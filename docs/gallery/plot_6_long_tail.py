"""
A report on the long tail
=========================

An average over texts is an average over frequent labels. Here is what it hides.
"""

import matplotlib.pyplot as plt
import numpy as np

from skrr2qc.datasets import make_questions

train = make_questions(900, random_state=0)
test = make_questions(600, random_state=1)
counts = np.asarray(train.Y.sum(axis=0)).ravel()
print(f"{(counts <= 5).mean():.0%} of the labels have at most five questions")

# %%
# Two classifiers
# ---------------

from skrr2qc import (
    ClassCenterHead,
    RCPTEncoder,
    RetrievalRerankClassifier,
    TfidfLinearClassifier,
    metrics,
)

linear = TfidfLinearClassifier(random_state=0).fit(train.texts, train.Y)
clf = RetrievalRerankClassifier(
    RCPTEncoder(hidden_size=256, n_epochs=0),
    ClassCenterHead(n_epochs=10),
    labels=train.labels,
    random_state=0,
)
clf.fit(train.texts, train.Y)
scores = {model: m.predict_proba(test.texts) for model, m in (("linear", linear), ("skrr2qc", clf))}

# %%
# Averages, and thirds of the labels
# ----------------------------------

import pandas as pd

rows = {}
for name, values in scores.items():
    report = metrics.label_group_report(test.Y, values, train.Y)
    propensities = metrics.jain_propensities(train.Y)
    rows[name] = {
        "P@1": metrics.precision_at_k(test.Y, values, 1),
        "nDCG@5": metrics.ndcg_at_k(test.Y, values, 5),
        "PSP@5": metrics.psprecision_at_k(test.Y, values, 5, propensities),
        **{f"nDCG@5, {group}": row["ndcg_at_5"] for group, row in report.items()},
        "nDCG@5, at most 5": metrics.tail_ndcg_at_k(test.Y, values, 5, train.Y),
    }
pd.DataFrame(rows).round(3)

# %%
# By number of training questions
# -------------------------------
# Labels that have none (0) can be found by what they are called, which the linear model does not
# read.

from skrr2qc.plotting import LabelFrequencyDisplay

fig, ax = plt.subplots(figsize=(5.4, 4), layout="constrained")
LabelFrequencyDisplay.from_predictions(test.Y, scores, train.Y, measure="ndcg", ax=ax)

# %%
# See also: :doc:`../guide/metrics`, :doc:`../limits`.
