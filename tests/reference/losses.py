"""Losses as the papers write them: loops over floats, one question and one label at a time."""

import math


def bce(logits, Y):
    """Eq. 8, with its misprints mended: mean over all entries."""
    terms = []
    for row, labels in zip(logits, Y, strict=True):
        for z, y in zip(row, labels, strict=True):
            p = 1 / (1 + math.exp(-z))
            terms.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
    return sum(terms) / len(terms)


def class_center(features, Y, centers, form):
    """Eq. 10-11: squared distance to the mean center; or the released mean of distances."""
    terms = []
    for feature, labels in zip(features, Y, strict=True):
        own = [center for center, y in zip(centers, labels, strict=True) if y]
        if not own:
            continue
        if form == "paper":
            mean = [sum(column) / len(own) for column in zip(*own, strict=True)]
            terms.append(math.dist(feature, mean) ** 2)
        else:
            terms.append(sum(math.dist(feature, center) for center in own) / len(own))
    return sum(terms) / len(terms) if terms else 0.0


def masked_language_model(logits, targets):
    """Eq. 9: mean negative logarithm of the softmax at the right tokens."""
    terms = []
    for row, target in zip(logits, targets, strict=True):
        terms.append(math.log(sum(math.exp(z) for z in row)) - row[target])
    return sum(terms) / len(terms)
