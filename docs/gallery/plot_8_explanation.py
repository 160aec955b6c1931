"""
Explaining a label
==================

From the score of a label back to what it is made of: channels, concepts and training texts.
"""

from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier
from skrr2qc.datasets import make_questions

train = make_questions(800, n_labels=80, random_state=0)
test = make_questions(200, n_labels=80, random_state=1)
clf = RetrievalRerankClassifier(
    RCPTEncoder(hidden_size=128, n_epochs=0),
    ClassCenterHead(n_epochs=8),
    labels=train.labels,
    random_state=0,
)
clf.fit(train.texts, train.Y)

# %%
# In a notebook
# -------------
# An explanation shows itself as HTML; texts and names are escaped.

shortest = min(test.texts, key=len)
explanation = clf.explain(shortest, k=3)
explanation

# %%
# In words
# --------

print(explanation)

# %%
# As a picture
# ------------
# Retrieval is a sum of log-odds, one term a channel, so that a label's score can be drawn as
# steps. The largest are what a second look should go to: is it the words, or the encoder?

import matplotlib.pyplot as plt
import numpy as np

reasons = explanation.reasons
channels = [*reasons[0].channels]
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
places = np.arange(len(reasons))[::-1]
for i, channel in enumerate(channels):
    values = [one.channels.get(channel, 0.0) for one in reasons]
    ax.barh(places + 0.25 * (1 - i), values, 0.25, label=channel)
ax.set_yticks(places, [f"{one.label}\n({one.score:.2f})" for one in reasons])
ax.axvline(0, color="gray", linewidth=1)
ax.set_xlabel("log-odds added by each channel")
ax.legend(loc="lower right")
ax.spines[["top", "right"]].set_visible(False)

# %%
# Where texts and centers lie
# ---------------------------
# The vectors of training questions and the learned centers of six labels. A question far from
# its center, among those of another label, is one to look at: perhaps the annotators were not
# sure either.

from skrr2qc.plotting import ClassCenterDisplay

fig, ax = plt.subplots(figsize=(5, 6.6), layout="constrained")
ClassCenterDisplay.from_estimator(clf, train.texts, train.Y, n_labels=6, ax=ax)
ax.get_legend().set_loc("upper center")
ax.get_legend().set_bbox_to_anchor((0.5, -0.02))

# %%
# See also: :doc:`../guide/explanations`.
