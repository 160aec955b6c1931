"""Ranking contrastive learning as the papers write it: loops over floats, one pair at a time."""

import math
from itertools import product


def temperature(rank, max_rank, low, high, spacing):
    """Eq. 6: temperatures grow from `low` to `high`, geometrically or linearly."""
    if spacing == "geometric":
        return low * (high / low) ** (rank / max_rank)
    return low + rank / max_rank * (high - low)


def set_distance(P, Q, distances, max_depth, reduction="mean"):
    """Eq. 2 for two sets of label numbers; "sum" leaves the division out, as the released code."""
    if not P or not Q:
        return 2 * max_depth
    if set(P) & set(Q):
        return 0
    total = sum(distances[y][z] for y, z in product(P, Q))
    return total if reduction == "sum" else total / (len(P) * len(Q))


def closeness(P, Q, vectors, form):
    """Eq. 7 and what may stand for it, unclipped; P and Q are not empty."""
    if form == "jaccard":
        return len(set(P) & set(Q)) / len(set(P) | set(Q))
    values = []
    for y, z in product(P, Q):
        dot = sum(a * b for a, b in zip(vectors[y], vectors[z], strict=True))
        if form == "cos01":
            dot = (dot / (math.hypot(*vectors[y]) * math.hypot(*vectors[z])) + 1) / 2
        values.append(dot)
    return sum(values) / len(values)


def rank_terms(similarities, ranks, temperatures, weights, valid, variant):
    """Eq. 6 for each positive rank that occurs: {rank: mean over anchors, or over pairs}."""
    terms = {}
    for rank in range(len(temperatures) - 1):  # the farthest is never a positive
        values = []
        for s, r, w, v in zip(similarities, ranks, weights, valid, strict=True):
            bank = [n for n in range(len(s)) if v[n]]
            mass = {n: math.exp(s[n] / temperatures[r[n]]) for n in bank}
            near = [w[n] * mass[n] for n in bank if r[n] == rank and w[n] > 0]
            far = sum(mass[n] for n in bank if r[n] > rank)
            if near and far:
                values += _anchor_values(near, far, variant)
        if values:
            terms[rank] = sum(values) / len(values)
    return terms


def ranking_contrastive(similarities, ranks, temperatures, weights, valid, variant):
    """Eq. 5, its misprinted divisor mended: mean over the ranks that occur."""
    terms = rank_terms(similarities, ranks, temperatures, weights, valid, variant)
    return sum(terms.values()) / len(terms) if terms else 0.0


def rince(similarities, ranks, temperatures, valid, variant):
    """Hoffmann et al.: each rank against itself and all beyond, at one temperature of its own."""
    terms = []
    for rank, tau in enumerate(temperatures):
        form = {"out-in": "in" if rank else "out"}.get(variant, variant)
        values = []
        for s, r, v in zip(similarities, ranks, valid, strict=True):
            mass = [math.exp(x / tau) for x in s]
            near = [mass[n] for n in range(len(s)) if v[n] and r[n] == rank]
            far = sum(mass[n] for n in range(len(s)) if v[n] and r[n] > rank)
            if near and far:
                values += _anchor_values(near, far, form)
        if values:
            terms.append(sum(values) / len(values))
    return sum(terms) / len(terms) if terms else 0.0


def _anchor_values(near, far, variant):
    """What one anchor adds to its rank: one value, or one for each positive."""
    if variant == "out":
        return [-math.log(mass / (mass + far)) for mass in near]
    inside = sum(near) if variant == "in" else 0.0
    return [-math.log(sum(near) / (inside + far))]


class Queue:
    """First in, first out: a list of slots, written one item at a time."""

    def __init__(self, size):
        self.slots = [None] * size
        self.next = 0

    def push(self, items):
        for item in items[-len(self.slots) :]:
            self.slots[self.next] = item
            self.next = (self.next + 1) % len(self.slots)
