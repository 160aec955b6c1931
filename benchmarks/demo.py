"""Train and compare three classifiers on generated exam questions: ``python -m benchmarks.demo``.

Everything happens on this machine; nothing is downloaded. One table, two explained predictions, and
a picture, ``demo.png`` in the current folder.
"""

import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skrr2qc import RetrievalRerankClassifier, TextCNNClassifier, TfidfLinearClassifier
from skrr2qc.datasets import make_questions
from skrr2qc.metrics import f1_per_label, label_groups_by_frequency, ndcg_at_k, precision_at_k

from ._demo_words import choose_examples, explain_in_words

N_TRAIN = 1200
N_TEST = 1000
SEED = 0
N_SEARCHED = 400  # test questions among which the two that are explained are looked for
PICTURE = Path("demo.png")


def make_models(labels):
    """The three classifiers by name; all at their defaults."""
    return {
        "TF-IDF + linear SVM": TfidfLinearClassifier(random_state=SEED),
        "TextCNN": TextCNNClassifier(random_state=SEED, verbose=1),
        "skrr2qc": RetrievalRerankClassifier(labels=labels, random_state=SEED, verbose=1),
    }


@dataclass(frozen=True)
class Result:
    """What one classifier did on the test questions; all but seconds in [0, 1]."""

    precision: float
    ndcg: float
    group_f1: dict
    seconds: float


@dataclass(frozen=True)
class Questions:
    """Training and test questions, and their labels."""

    labels: object
    train: list
    Y_train: object
    test: list
    Y_test: object
    Y_asked: object  # test labels without the annotators' errors, to choose examples by

    @property
    def groups(self):
        """Columns of the head, medium and tail labels; a group may be left out for want of any."""
        groups = label_groups_by_frequency(self.Y_train)
        return {name: columns for name, columns in groups.items() if len(columns)}


def draw_questions():
    """Questions of one distribution, split into a training and a test part."""
    drawn = make_questions(N_TRAIN + N_TEST, random_state=SEED)
    texts, Y = drawn.texts, drawn.Y
    return Questions(
        drawn.labels,
        texts[:N_TRAIN],
        Y[:N_TRAIN],
        texts[N_TRAIN:],
        Y[N_TRAIN:],
        drawn.Y_clean[N_TRAIN:],
    )


def measure(classifier, questions):
    """Fit on the training questions, and evaluate on the others."""
    start = time.perf_counter()
    with warnings.catch_warnings():  # that some labels have no question is part of the demo
        warnings.simplefilter("ignore", UserWarning)
        classifier.fit(questions.train, questions.Y_train)
    seconds = time.perf_counter() - start
    scores = classifier.predict_proba(questions.test)
    f1 = f1_per_label(questions.Y_test, classifier.predict(questions.test))
    is_asked = np.asarray(questions.Y_test.sum(axis=0)).ravel() > 0
    f1_of_groups = {
        name: float(np.sum(f1[columns], where=is_asked[columns]) / max(1, is_asked[columns].sum()))
        for name, columns in questions.groups.items()
    }
    return Result(
        precision_at_k(questions.Y_test, scores, 1),
        ndcg_at_k(questions.Y_test, scores, min(5, scores.shape[1])),
        f1_of_groups,
        seconds,
    )


def format_table(results):
    """One line a classifier, in percent."""
    groups = list(next(iter(results.values())).group_f1)
    header = ["", "P@1", "nDCG@5", *(f"F1 {name}" for name in groups), "seconds"]
    rows = [
        [
            name,
            f"{100 * result.precision:.1f}",
            f"{100 * result.ndcg:.1f}",
            *(f"{100 * result.group_f1[group]:.1f}" for group in groups),
            f"{result.seconds:.0f}",
        ]
        for name, result in results.items()
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in [header, *rows]:
        first, *others = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def draw_picture(results, questions, path):
    """Bars of F1 by how often a label occurs in training, one colour a classifier."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    counts = np.asarray(questions.Y_train.sum(axis=0)).ravel().astype(int)
    groups = questions.groups
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    width = 0.8 / len(results)
    colours = ["#9aa5b1", "#5b8db8", "#d1495b"]
    for i, (name, result) in enumerate(results.items()):
        places = np.arange(len(groups)) + (i - (len(results) - 1) / 2) * width
        heights = [100 * result.group_f1[group] for group in groups]
        label = f"{name} ({result.seconds:.0f} s)"
        bars = axes.bar(places, heights, width * 0.92, label=label, color=colours[i % 3])
        axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.set_xticks(range(len(groups)), [_group_title(*g, counts) for g in groups.items()])
    axes.set_ylabel("F1 of predicted labels, mean over the group (%)")
    axes.set_ylim(0, 100)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        f"{len(questions.train):,} exam questions, {len(counts)} labels: "
        "how well are frequent and rare labels found?",
        fontsize="medium",
    )
    axes.legend(frameon=False, title="classifier (training time)", loc="upper right")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    """Run the demo; the exit status is 0 when everything was written."""
    problem = _problem()
    if problem:
        print(problem, file=sys.stderr)
        return 1
    start = time.perf_counter()
    questions = draw_questions()
    _introduce(questions)
    models, results = make_models(questions.labels), {}
    for number, (name, classifier) in enumerate(models.items(), start=1):
        print(f"[{number}/{len(models)}] training {name} ...", flush=True)
        results[name] = measure(classifier, questions)
    print(
        "\nOn the test questions, in percent; F1 is the mean over head, medium and tail labels:\n"
    )
    print(format_table(results))
    print("\nTwo predictions explained:\n")
    for example in choose_examples(classifier, questions.test, questions.Y_asked, N_SEARCHED):
        print(explain_in_words(example, questions.labels) + "\n")
    draw_picture(results, questions, PICTURE)
    _say_what_is_next(time.perf_counter() - start)
    return 0


def _problem():
    """What would stop the demo at its end, found at its beginning."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return "The picture needs matplotlib: pip install 'skrr2qc[plot]'."
    place = PICTURE if PICTURE.exists() else Path()
    if not os.access(place, os.W_OK):
        return f"{PICTURE} cannot be written into {Path.cwd()}: run the demo in another folder."
    return None


def _introduce(questions):
    labels = questions.labels
    asked = ", ".join(labels.decode(questions.Y_train[0])[0])
    print(
        f"{len(questions.train):,} training and {len(questions.test):,} test questions, "
        f"{len(labels)} labels made of {labels.n_meta_labels} concepts. One question:\n"
        f"  “{questions.train[0]}”\n  labels: {asked}\n",
        flush=True,
    )


def _group_title(name, columns, counts):
    """Name of a group of labels, its size, and how many training questions its labels have."""
    lowest, highest = counts[columns].min(), counts[columns].max()
    return f"{name}: {len(columns)} labels\nwith {lowest} to {highest} questions"


def _say_what_is_next(seconds):
    print(
        f"Picture written to {PICTURE.resolve()}. The demo took {seconds:.0f} seconds.\n\n"
        "What to do next:\n"
        "  your own texts:      RetrievalRerankClassifier().fit(texts, label_sets), see README.md\n"
        "  names and concepts:  pass labels=LabelSpace(names, meta_labels=...), see docs/guide\n"
        "  more accuracy:       RCPTEncoder(backbone=<folder of a pretrained encoder>)"
    )


if __name__ == "__main__":
    sys.exit(main())
