"""
A hierarchy, and the geometry of its labels
===========================================

How far labels are apart in a hierarchy, how far their vectors are, and why similar labels are
made of less similar concepts.
"""

# %%
# Distances in the hierarchy
# --------------------------
# A label space knows parents, so that labels have distances: the length of the shortest way over
# a common ancestor.

import matplotlib.pyplot as plt
import numpy as np

from skrr2qc import LabelSpace
from skrr2qc.datasets import make_questions

data = make_questions(700, n_labels=30, random_state=0)
labels = LabelSpace(data.labels.names, parents=data.labels.parents)
for name in labels.names[:4]:
    print(labels.path_text(name))

# %%
# In the order of their paths, the strands and topics show as blocks:

order = np.argsort([labels.path_text(name) for name in labels.names])
distances = labels.distances()[np.ix_(order, order)]

fig, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
image = ax.imshow(distances, cmap="viridis_r")
ax.set_title("Distance of labels in the hierarchy", fontsize="medium")
ax.set_xlabel("label, by path")
ax.set_ylabel("label, by path")
fig.colorbar(image, ax=ax, shrink=0.8, label="steps", ticks=range(0, 7, 2))

# %%
# Vectors that follow it
# ----------------------
# Pre-training on texts, labels and hierarchy draws the vectors of near labels together.
# ``label_embeddings_`` are the vectors of the label texts. Below, cosines by distance, before
# any training and after it:

from skrr2qc import RCPTEncoder

upper = np.triu_indices(len(labels), k=1)
steps = labels.distances()[upper]
fig, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
for offset, (name, n_epochs) in zip(
    (-0.25, 0.25), (("untrained", 0), ("pre-trained", 12)), strict=True
):
    encoder = RCPTEncoder(labels=labels, hidden_size=96, n_epochs=n_epochs, random_state=0)
    vectors = encoder.fit(data.texts, data.Y).label_embeddings_
    cosines = (vectors @ vectors.T)[upper]
    found = np.unique(steps)
    means = [cosines[steps == step].mean() for step in found]
    ax.bar(found + offset, means, 0.5, label=name)
ax.set_xticks(found)
ax.set_xlabel("distance of two labels in the hierarchy")
ax.set_ylabel("mean cosine of their vectors")
ax.legend()
ax.spines[["top", "right"]].set_visible(False)

# %%
# Labels and their concepts
# -------------------------
# Labels look alike because they share words. The concepts that they are made of look less alike,
# and there are fewer of them to tell apart, each with more questions: this is what reranking
# works with.

from skrr2qc.plotting import LabelSimilarityDisplay

fig, axes = plt.subplots(2, 1, figsize=(5, 8.2), layout="constrained")
display = LabelSimilarityDisplay.from_estimator(encoder, data.labels, ax=axes)
for ax in axes:
    ax.set_xticks([])
    ax.set_yticks([])

# %%
# See also: :doc:`../guide/labels`, :doc:`../guide/meta_labels`.
