"""What runs made of each text: figures equal those of the metrics, kept and read again."""

import json
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks._bootstrap import paired_bootstrap
from benchmarks._per_text import FIGURES, Ranking, append_ranking, read_rankings
from benchmarks._runs import evaluate


@pytest.fixture
def made():
    """Texts with one to three of twelve labels, some without a text to train on."""
    rng = np.random.default_rng(0)
    Y_train = sp.csr_matrix(rng.random((60, 12)) < np.linspace(0, 0.3, 12))
    Y = rng.random((40, 12)) < 0.2
    Y[3] = False
    return Y_train, Y, rng.random((40, 12)), rng.random((40, 12)) < 0.3


def expected(Y_train, Y, scores, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figures = evaluate(Y_train, sp.csr_matrix(Y), scores, predicted)
    return [figures[name] for name in FIGURES]


def test_figures_are_those_of_the_metrics(made):
    ranking = Ranking.from_scores(*made)
    assert_allclose(ranking.figures(np.ones((1, 40)))[0], expected(*made), rtol=1e-9)


def test_resamples_are_those_of_the_metrics(made):
    Y_train, *others = made
    rng = np.random.default_rng(1)
    drawn = rng.integers(40, size=(3, 40))
    weights = np.stack([np.bincount(rows, minlength=40) for rows in drawn]).astype(float)
    found = Ranking.from_scores(*made).figures(weights)
    for rows, figures in zip(drawn, found, strict=True):
        assert_allclose(figures, expected(Y_train, *(a[rows] for a in others)), rtol=1e-9)


def test_few_labels(made):
    Y_train, *others = made
    few = (Y_train[:, 8:], *(a[:, 8:] for a in others))
    ranking = Ranking.from_scores(*few)
    assert ranking.top.shape == (40, 4)
    assert_allclose(ranking.figures(np.ones((1, 40)))[0], expected(*few), rtol=1e-9)


def test_kept_and_read_again(made, tmp_path):
    file, first = tmp_path / "kept.jsonl", Ranking.from_scores(*made)
    second = Ranking.from_scores(made[0], made[1], -made[2], made[3])
    append_ranking(file, "one", first)
    append_ranking(file, "two", second)
    assert len(file.read_text().splitlines()) == 3  # the labels of the texts once
    found = read_rankings(file)
    assert list(found) == ["one", "two"]
    for name, ranking in (("one", first), ("two", second)):
        assert found[name].truth == ranking.truth
        for part in ("top", "counts"):
            assert_array_equal(getattr(found[name], part), getattr(ranking, part))
        for part in ("Y", "predicted"):
            assert (getattr(found[name], part) != getattr(ranking, part)).nnz == 0


def test_a_torn_file_keeps_its_other_runs(made, tmp_path):
    file, ranking = tmp_path / "kept.jsonl", Ranking.from_scores(*made)
    append_ranking(file, "one", ranking)
    with file.open("a") as torn:
        torn.write('{"run": "two", "truth"')
    assert list(read_rankings(file)) == ["one"]
    append_ranking(file, "three", ranking)
    assert list(read_rankings(file)) == ["one", "three"]
    assert read_rankings(tmp_path / "none.jsonl") == {}


def test_lines_of_an_earlier_form_are_skipped(made, tmp_path, capsys):
    file, ranking = tmp_path / "kept.jsonl", Ranking.from_scores(*made)
    earlier = [
        {"truth": "a", "n_labels": 2, "labels": "0 1"},
        {"run": "b", "truth": "a", "best": ""},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in earlier))
    append_ranking(file, "one", ranking)
    assert list(read_rankings(file)) == ["one"]
    assert "kept.jsonl: 2 lines of an earlier form" in capsys.readouterr().err


def test_runs_of_other_texts_or_training_do_not_pair(made):
    Y_train, Y, scores, predicted = made
    ranking = Ranking.from_scores(*made)
    others = [
        Ranking.from_scores(Y_train[:50], Y, scores, predicted),
        Ranking.from_scores(Y_train, np.roll(Y, 1, axis=0), scores, predicted),
    ]
    for other in others:
        with pytest.raises(ValueError, match="same texts"):
            paired_bootstrap([ranking], [other], n_resamples=10)


def test_bootstrap_of_a_better_run(made):
    Y_train, Y, scores, predicted = made
    better = Ranking.from_scores(Y_train, Y, scores + Y, Y)
    worse = Ranking.from_scores(*made)
    observed, resampled = paired_bootstrap([better], [worse], n_resamples=200)
    assert_allclose(
        observed, np.subtract(expected(Y_train, Y, scores + Y, Y), expected(*made)), rtol=1e-9
    )
    assert (np.quantile(resampled, 0.025, axis=0) > 0).all()


def test_recall_by_training_texts():
    Y = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]])
    top = np.array([[0], [1], [0]])
    ranking = Ranking(top, sp.csr_matrix(Y), sp.csr_matrix(Y), np.array([0, 3, 9]), 12)
    recalls, n_pairs = ranking.recall_by_count([0, 1, 5, 10, 99])
    assert n_pairs == [1, 1, 2, 0]
    assert_allclose(recalls, [1, 1, 0, np.nan])


def test_lines_hold_no_names(made, tmp_path):
    append_ranking(tmp_path / "kept.jsonl", "one", Ranking.from_scores(*made))
    truth, run = map(json.loads, (tmp_path / "kept.jsonl").read_text().splitlines())
    assert set(truth) == {"truth", "n_texts", "n_labels", "n_train", "labels", "counts"}
    assert set(run) == {"run", "truth", "top", "predicted"}
