"""Tables after the paper's: figures by hand, what is left out, no run of a real model."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks._eurlex_table import format_eurlex, summarize_eurlex
from benchmarks._paper_tables import derive_top, format_paper_tables, top_figures
from benchmarks._per_text import Ranking
from benchmarks._report_data import Entry, Kept, Section
from benchmarks._report_pairs import Derived
from skrr2qc import metrics


def make_ranking(seed=0, n=30, n_labels=12, skill=1.0):
    rng = np.random.default_rng(seed)
    texts = np.random.default_rng(99)  # the same for every model
    Y_train = sp.csr_matrix(texts.random((50, n_labels)) < np.linspace(0.02, 0.4, n_labels))
    Y = texts.random((n, n_labels)) < 0.2
    scores = rng.random((n, n_labels)) + skill * Y
    return Ranking.from_scores(Y_train, Y, scores, scores > 0.9), Y, scores


def tables(measurements=(), **rankings):
    """Tables of models on da20k; one ranking a seed."""
    records = {"set": "da20k", "part": "test", "subset": None, "figures": {}}
    entries = []
    for model, seeds in rankings.items():
        runs = tuple({**records, "run": f"{model}{i}"} for i in range(len(seeds)))
        entries.append(Entry(model, None, runs))
    section = Section("da20k", tuple(entries))
    lines = [derive_top(section, entry, rankings[entry.model]) for entry in entries]
    kept = Kept([section] if entries else [], [], [], [])
    return format_paper_tables(kept, Derived(lines), list(measurements))


def row(text, *starts):
    """Cells of the row that starts so."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if tuple(cells[: len(starts)]) == starts:
            return cells[len(starts) :]
    raise AssertionError(f"no row {starts} in\n{text}")


def test_figures_of_the_first_label():
    ranking, Y, scores = make_ranking()
    expected = [
        metrics.precision_at_k(Y, scores, 1),
        metrics.precision_at_k(Y, scores, 2),
        metrics.f1_at_1(Y, scores, average="micro"),
        metrics.f1_at_1(Y, scores, average="macro", zero_division=1),
    ]
    assert top_figures(ranking) == pytest.approx([100 * value for value in expected])


def test_figures_of_a_group_keep_all_labels_of_its_texts():
    ranking, Y, scores = make_ranking()
    rows = Y[:, [2, 5]].any(axis=1)
    assert 0 < rows.sum() < len(rows)
    expected = 100 * metrics.precision_at_k(Y[rows], scores[rows], 1)
    assert top_figures(ranking, [2, 5])[0] == pytest.approx(expected)
    assert np.isnan(top_figures(ranking, [])).all()


def test_all_models_beside_the_paper():
    good, bad = make_ranking()[0], make_ranking(1, skill=0)[0]
    text = tables(skrr2qc=[good], textcnn=[bad])
    assert row(text, "da20k", "skrr2qc") == [f"{value:.1f}" for value in top_figures(good)]
    assert row(text, "da20k", "textcnn") == [f"{value:.1f}" for value in top_figures(bad)]
    assert row(text, "DA-20K, paper", "RR2QC") == ["62.9", "46.8", "45.6", "35.1"]
    assert "| baidu_hs4" not in text


def test_long_tail_beside_the_paper():
    ranking = make_ranking()[0]
    text = tables(skrr2qc=[ranking])
    long_tail = text[text.index("Table 5") :]
    groups = metrics.label_groups_by_frequency(ranking.counts)
    expected = []
    for name in ("head", "medium", "tail"):
        precision, _, micro, macro = top_figures(ranking, groups[name])
        expected += [f"{value:.1f}" for value in (precision, micro, macro)]
    assert row(long_tail, "da20k", "skrr2qc") == expected
    paper = row(long_tail, "junior mathematics, paper", "RR2QC")
    assert paper[6:] == ["53.2", "48.6", "69.0"]


def test_what_was_not_retrieved_is_no_label():
    ranking, Y, _ = make_ranking()
    first = ranking.top.copy()
    first[:5] = -1
    lost = replace(ranking, top=first)
    hits = Y[np.arange(5, 30), ranking.top[5:, 0]].sum()
    assert top_figures(lost)[0] == pytest.approx(100 * hits / 30)
    assert lost.figures(np.ones((1, 30)))[0, 0] == pytest.approx(hits / 30)


def test_a_group_without_texts_has_no_figures():
    ranking = make_ranking()[0]
    columns = np.arange(12) < 4
    few = Ranking.from_scores(
        sp.csr_matrix(np.repeat([columns], 9, axis=0)), ranking.Y * 0, np.ones((30, 12)), ranking.Y
    )
    text = tables(m=[few])
    assert set(row(text[text.index("Table 5") :], "da20k", "m")) == {"-"}


def test_seeds_are_averaged():
    first, second = make_ranking(0)[0], make_ranking(1)[0]
    mean = (top_figures(first)[0] + top_figures(second)[0]) / 2
    assert row(tables(m=[first, second]), "da20k", "m")[0] == f"{mean:.1f}"


def test_decompositions_and_similarity():
    figures = {"precision_at_1": 0.5, "ndcg_at_5": 0.6, "macro_f1_at_1_paper": 0.3}
    about = {"measurement": "effect", "set": "da20k", "map": "expert"}
    about |= {"part": "test", "encoder": "compact"}
    effect = [
        about | {"seed": seed, "variants": {"product": figures | {"precision_at_1": value}}}
        for seed, value in ((0, 0.5), (1, 0.6))
    ]
    pairs = {"labels": {"mean": 0.06, "share_above": 0.004}}
    pairs |= {"meta_labels": {"mean": 0.02, "share_above": 0.006}}
    maps = {"measurement": "maps", "set": "da20k", "method": "experts", "hierarchy": False}
    others = [effect[0] | {"part": "val", "seed": 2}, effect[0] | {"encoder": "minilm"}]
    text = tables([*effect, *others, maps | {"similarity": {"characters": pairs}}])
    assert row(text, "da20k (compact)", "by experts", "product") == ["2", "55.0", "60.0", "30.0"]
    assert row(text, "da20k (minilm)", "by experts", "product") == ["1", "50.0", "60.0", "30.0"]
    found = row(text, "da20k", "experts")
    assert found == ["0.060", "0.40", "0.020", "0.60", "0.759", "34.16", "0.653", "2.34"]


def test_nothing_kept_is_no_table():
    assert tables() == ""
    assert format_eurlex([]) == ""


def test_eurlex_in_one_sentence():
    names = ("precision_at_1", "precision_at_5", "r_precision_at_5", "ndcg_at_5", "micro_f1")
    figures = dict.fromkeys(names, 0.5) | {"fit_processor_seconds": 600.0}
    about = {"set": "eurlex57k", "part": "test", "n_characters": 3000, "figures": figures}
    records = [
        about | {"model": model, "n_train": n_train}
        for model, n_train in (("skrr2qc-no-refit", 45000), ("skrr2qc", 5000), ("pecos", 45000))
    ]
    text = summarize_eurlex(records)
    assert "in 10 minutes" in text
    assert "RP@5 50.0 (79.6)" in text
    assert summarize_eurlex(records[1:]) == ""


def test_eurlex_beside_the_published():
    figures = {"precision_at_1": 0.8, "r_precision_at_5_among_zero": 0.25}
    about = {"set": "eurlex57k", "part": "test", "seed": 0, "encoder": None}
    about |= {"n_characters": 3000}
    records = [
        about | {"model": "pecos", "n_train": 45000, "figures": figures},
        about | {"model": "pecos", "n_train": 5000, "figures": {"precision_at_1": 0.7}},
        about | {"model": "slow", "n_train": 5000, "figures": {"stopped_after_seconds": 9}},
        about | {"set": "arc", "model": "other", "n_train": 9, "figures": figures},
        about | {"n_characters": None, "model": "other", "n_train": 9, "figures": figures},
    ]
    text = format_eurlex(records)
    assert row(text, "pecos", "5,000")[0] == "70.0"
    assert row(text, "pecos", "45,000") == ["80.0", "-", "-", "-", "-", "-", "-", "25.0"]
    assert row(text, "BERT-base, published", "45,000")[2:5] == ["79.6", "82.3", "73.2"]
    assert "slow" not in text
    assert "other" not in text
