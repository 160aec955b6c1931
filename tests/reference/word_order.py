"""Texts whose labels differ in the order of words alone."""

import numpy as np


def word_order_texts(n_texts=120):
    """Texts and their indicator (n, 2); a bag of words cannot tell the labels apart."""
    rng = np.random.default_rng(0)
    fillers = ["one", "two", "six", "ten"]
    Y = np.eye(2, dtype=int)[rng.integers(2, size=n_texts)]
    texts = []
    for row in Y:
        pair = "circle square" if row[0] else "square circle"
        texts.append(f"{' '.join(rng.choice(fillers, 3))} {pair} {rng.choice(fillers)}")
    return texts, Y
