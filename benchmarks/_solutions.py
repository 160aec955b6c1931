"""Sets whose texts have solutions: how often these name a label, and sets to fit with them."""

import numpy as np

from skrr2qc import __version__
from skrr2qc.augmentation import SolutionAugmenter, leak_report
from skrr2qc.datasets import load_set

from ._machine import describe_machine
from ._runs import N_CHARACTERS, TextSet

SOLUTION_SETS = ("da20k", "baidu_hs4", "leetcode")
_PARTS = ("train", "val", "test")
_HELD_OUT = 0.2
_SPLIT_SEED = 0


def leak_records(data_folder=None):
    """One record for each set with solutions and each way to strip them.

    Parameters
    ----------
    data_folder : str or path, default=None
        The folder that holds the sets; None for that of ``SKRR2QC_DATA``.

    Returns
    -------
    records : list of dict
        Of JSON types. ``figures`` are shares in [0, 1]: those of a `LeakReport`, and of the
        solutions with a loop and of those longer than 256 tokens, before stripping.
    """
    records = []
    for name in SOLUTION_SETS:
        data = load_set(data_folder, name)
        parts = [part for part in _PARTS if data[part] is not None and data[part].solutions]
        texts = [text for part in parts for text in data[part].texts]
        solutions = [solution for part in parts for solution in data[part].solutions]
        label_sets = [names for part in parts for names in data.labels.decode(data[part].Y)]
        for strip in ("labels", "all") if data.labels.n_meta_labels else ("labels",):
            report = leak_report(texts, solutions, label_sets, data.labels, strip=strip)
            figures = report.to_dict()
            counts = {key: figures.pop(key) for key in ("n_texts", "n_solutions")}
            del figures["examples"]  # sentences of sets that must not be copied
            records.append(
                {
                    "measurement": "leaks",
                    "set": name,
                    "part": "+".join(parts),
                    "strip": strip,
                    **counts,
                    "figures": figures | _cuts(texts, solutions),
                    "version": __version__,
                    **describe_machine(),
                }
            )
    return records


def solution_texts(name, *, part="test", data_folder=None):
    """A set to fit and evaluate with solutions, and the solutions of its texts.

    Parameters
    ----------
    name : str
        One of `SOLUTION_SETS`.
    part : {"test", "val"}, default="test"
        What to evaluate on. Of da20k only the test part has solutions, written by a model: four
        fifths of it are trained on, always the same, and `part` is "test".
    data_folder : as in `leak_records`

    Returns
    -------
    texts : TextSet
    solutions : dict of str to str
        For ``SolutionAugmenter(solutions)``; texts without a solution are left out.
    """
    n_characters = N_CHARACTERS.get(name)
    data = load_set(data_folder, name, n_characters=n_characters)
    solutions = {
        text: solution
        for split in _PARTS
        if data[split] is not None and data[split].solutions
        for text, solution in zip(data[split].texts, data[split].solutions, strict=True)
        if solution
    }
    if data.train.solutions:
        train, test = data.train, data[part]
        parts = (train.texts, train.Y, test.texts, test.Y)
    elif part == "test":
        parts = _split(data.test.texts, data.test.Y)
    else:
        raise ValueError(f"the {part} part of {name} has no solutions")
    selection = {"subset": None, "n_characters": n_characters}
    return TextSet(name, part, data.labels, *parts, selection), solutions


def _split(texts, Y):
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(texts))
    n_test = round(_HELD_OUT * len(texts))
    test, train = np.sort(order[:n_test]), np.sort(order[n_test:])
    return [texts[i] for i in train], Y[train], [texts[i] for i in test], Y[test]


def _cuts(texts, solutions):
    """Shares of the solutions that the transformer would cut, were nothing stripped."""
    given = {text: solution for text, solution in zip(texts, solutions, strict=True) if solution}
    report = SolutionAugmenter(given, strip=None).fit(list(given)).report(list(given))
    return {
        "loops": report.n_loops / report.n_texts,
        "truncated": report.n_truncated / report.n_texts,
    }
