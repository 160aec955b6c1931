"""The report: which runs it shows, its marks, its pictures; drawn from made-up records."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from benchmarks import _per_text, _report_pairs, report
from benchmarks._bootstrap import interval, paired_bootstrap
from benchmarks._per_text import Ranking, append_ranking
from benchmarks._records import append_record
from benchmarks._report_data import FIGURES, read_kept
from benchmarks._report_pairs import derive, read_derived
from benchmarks._report_pictures import MIN_PAIRS, all_data, draw
from benchmarks._report_text import LEADS, LOSES, TIES

N_TEXTS, N_LABELS = 120, 8
MACHINE = {
    "versions": {"skrr2qc": "0.1", "numpy": "2.0"},
    "commit": "abc",
    "machine": {"cpu": "Abacus", "cores": 2, "threads": 1, "bf16": False, "gpu": None},
    "date": "2030-01-01T00:00:00+00:00",
}
PAGE = "\n\n".join(
    f"before {name}\n\n<!-- measured: {name} -->\n<!-- measured: end of {name} -->"
    for name in (
        *("counts", "leads", "other leads", "sets", "curves", "ablation", "machine"),
        *("paper", "eurlex"),
        *("cost picture", "frequency picture", "curves picture", "ablation picture"),
    )
)
COSTS = "by hand\n<!-- measured: costs -->\n<!-- measured: end of costs -->\n"
README = (
    "by hand\n<!-- measured: table -->\nold\n<!-- measured: end of table -->\n\n"
    "<!-- measured: readme picture -->\n<!-- measured: end of readme picture -->\nby hand\n"
)


class Bench:
    """Results and pages in a folder, and records for them.

    Each text has one label, each label fifteen texts; a run ranks the true one first for the
    first `n_right` texts of the set, and finds it in no other text.
    """

    def __init__(self, root):
        self.root, self.results = root, root / "benchmarks" / "results"
        self.results.mkdir(parents=True)
        (root / "docs").mkdir()
        (root / "docs" / "benchmarks.md").write_text(PAGE, encoding="utf-8")
        (root / "docs" / "costs.md").write_text(COSTS, encoding="utf-8")
        (root / "README.md").write_text(README, encoding="utf-8")
        self.truth = np.arange(N_TEXTS) % N_LABELS

    def ranking(self, n_right):
        first = np.where(np.arange(N_TEXTS) < n_right, self.truth, (self.truth + 1) % N_LABELS)
        others = [(first + 2 + i) % N_LABELS for i in range(4)]
        top = np.column_stack([first, *others])
        top = np.where((top == self.truth[:, None]) & (np.arange(5) > 0), -1, top)
        counts = np.array([0, 1, 2, 4, 5, 16, 32, 64])
        return Ranking(top, matrix(first), matrix(self.truth), counts, int(counts.sum()))

    def record(
        self, model, n_right=60, *, encoder=None, keep=True, file="compare", costs=None, **changes
    ):
        """Append the record of a run, and its outcomes unless `keep` is false; the record."""
        ranking = self.ranking(n_right)
        values = ranking.figures(np.ones((1, N_TEXTS)))[0]
        figures = dict(zip(_per_text.FIGURES, map(float, values), strict=True))
        figures |= {"fit_seconds": 150.0, "ms_per_text": 1.5, "memory_mib": 500.0}
        figures |= {"fit_processor_seconds": 100.0, "processor_ms_per_text": 1.0}
        figures |= costs or {}
        record = {
            **{"set": "arc", "part": "test", "n_train": 127, "n_test": N_TEXTS},
            **{"n_labels": N_LABELS, "subset": None, "n_characters": None, "model": model},
            **{"encoder": encoder, "seed": 0, "parameters": {}, "version": "0.1"},
            **{"figures": figures, "fitted": {"n_epochs": 12}, "warnings": []},
            **(MACHINE | changes),
        }
        if keep:
            n_kept = len(list(self.results.glob(f"{file}.jsonl"))) and len(self.lines(file))
            record["run"] = f"{file}{n_kept}"
            append_ranking(self.results / f"{file}_per_text.jsonl", record["run"], ranking)
        append_record(self.results / f"{file}.jsonl", record)
        return record

    def lines(self, file):
        return (self.results / f"{file}.jsonl").read_text().splitlines()

    def stopped(self, model, **changes):
        self.record(model, keep=False, figures={"stopped_after_seconds": 3600.0}, **changes)

    def draw(self, *options):
        return report.main(["--results", str(self.results), *options], self.root)

    def page(self):
        return (self.root / "docs" / "benchmarks.md").read_text(encoding="utf-8")

    def readme(self):
        return (self.root / "README.md").read_text(encoding="utf-8")

    def part(self, name):
        after = self.page().partition(f"<!-- measured: {name} -->\n")[2]
        return after.partition(f"<!-- measured: end of {name} -->")[0]

    def row(self, name, *cells):
        """Cells of the one row of a part whose cells hold all of these."""
        rows = [row_cells(line) for line in self.part(name).splitlines() if line.startswith("|")]
        found = [row for row in rows if set(cells) <= set(row)]
        assert len(found) == 1, f"{len(found)} rows with {cells}"
        return found[0]


def matrix(columns):
    rows = np.arange(N_TEXTS)
    return sp.csr_matrix((np.ones(N_TEXTS), (rows, columns)), (N_TEXTS, N_LABELS))


def row_cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder to fill; pictures are files of their names, drawing them takes a second each."""
    monkeypatch.setattr(_report_pairs, "N_RESAMPLES", 200)
    monkeypatch.setattr(report, "draw", lambda name, data, path: path.write_text(name))
    return Bench(tmp_path)


@pytest.fixture
def drawn_data(drawn):
    return json.loads((drawn.root / report.PICTURES / "pictures.json").read_text())


@pytest.fixture
def drawn(bench):
    """skrr2qc before textcnn, behind pecos, beside omikuji; a pretrained one before setfit."""
    for model, n_right, encoder in (
        *(("skrr2qc", 70, "compact"), ("skrr2qc", 90, "minilm"), ("textcnn", 30, None)),
        *(("pecos", 110, None), ("omikuji", 70, None), ("setfit", 60, "minilm")),
        *(("skrr2qc-tower", 50, "compact"), ("fine-tuning", 80, "compact")),
    ):
        bench.record(model, n_right, encoder=encoder)
    assert bench.draw() == 0
    return bench


def test_leads_ties_and_losses(drawn):
    marks = {
        peer: drawn.row("leads", peer)[2].split()[0] for peer in ("textcnn", "omikuji", "pecos")
    }
    assert marks == {"textcnn": LEADS, "omikuji": TIES, "pecos": LOSES}
    assert drawn.row("leads", "pecos")[2].replace("\u00a0", " ").startswith(f"{LOSES} -33.3 [")


def test_peers_are_compared_with_the_same_kind_of_encoder(drawn):
    with_encoder = {
        peer: drawn.row("leads", peer)[0]
        for peer in ("textcnn", "setfit (minilm)", "fine-tuning (compact)")
    }
    assert with_encoder == {
        "textcnn": "arc (compact)",
        "setfit (minilm)": "arc (minilm)",
        "fine-tuning (compact)": "arc (compact)",
    }
    assert drawn.row("other leads", "textcnn")[0] == "arc (minilm)"
    assert drawn.row("other leads", "setfit (minilm)")[0] == "arc (compact)"
    assert "tower" not in drawn.part("leads")


def test_counts_say_where_we_do_not_lead(drawn):
    text = drawn.part("counts")
    assert text.startswith("5 pairs of a set and a peer")
    column = [drawn.row("counts", f"{mark} {what}")[1] for mark, what in (
        (LEADS, "skrr2qc leads"), (TIES, "undecided"), (LOSES, "the peer leads"))]  # fmt: skip
    assert [int(n) for n in column] == [
        sum(drawn.row("leads", peer)[2].startswith(mark) for peer in (
            *("textcnn", "pecos", "omikuji", "setfit (minilm)", "fine-tuning (compact)"),))
        for mark in (LEADS, TIES, LOSES)
    ]  # fmt: skip
    assert "Peers lead in P@1: " in text
    assert "arc pecos" in text
    assert "arc textcnn" not in text


def test_no_loss_is_said_too(bench):
    bench.record("skrr2qc", 100, encoder="compact")
    bench.record("textcnn", 20)
    bench.draw()
    assert "No peer leads" in bench.part("counts")


def test_differences_are_those_of_the_paired_bootstrap(bench):
    for seed, n_right in enumerate((70, 80)):
        bench.record("skrr2qc", n_right, encoder="compact", seed=seed)
    bench.record("textcnn", 60)
    kept = read_kept(bench.results)
    derived = derive(kept, bench.results, read_derived(bench.results / "none"), print)
    left, right = kept.sections[0].pairs(same=True)[0]
    observed, resampled = paired_bootstrap(
        [bench.ranking(70), bench.ranking(80)], [bench.ranking(60)], n_resamples=200
    )
    expected = np.vstack([observed, interval(resampled)])
    columns = [_per_text.FIGURES.index(name) for name in FIGURES]
    found = derived.difference(left, right)
    assert list(found) == list(FIGURES)
    assert_allclose(np.transpose(list(found.values())), expected[:, columns], atol=1e-6)


def test_the_best_of_a_column_is_bold(drawn):
    row = drawn.row("sets", "pecos")
    assert [row[1], row[8], row[9]] == [f"**{100 * 110 / N_TEXTS:.1f}**", "**100**", "**1.00**"]
    assert drawn.row("sets", "textcnn")[1] == f"{100 * 30 / N_TEXTS:.1f}"


def test_the_only_one_is_not_the_best(bench):
    bench.record("pecos", 30)
    bench.draw()
    assert "**" not in bench.part("sets")


def test_what_few_texts_say_is_not_the_best(bench, monkeypatch):
    """75 pairs are in the tail: of the labels with 0, 1, 2, 4 and 5 training texts."""
    for model, n_right in (("pecos", 30), ("textcnn", 110)):
        bench.record(model, n_right)
    bench.draw()
    assert "8 labels, 75 pairs in the tail. Seed 0." in bench.part("sets")
    assert bench.row("sets", "textcnn")[6].startswith("**")
    monkeypatch.setattr("benchmarks._report_text.MIN_PAIRS", 76)
    bench.draw()
    row = bench.row("sets", "textcnn")
    assert row[1].startswith("**")
    assert not row[6].startswith("**")


def test_time_on_the_wall_is_not_among_that_of_processors(bench):
    bench.record("skrr2qc", 70, encoder="compact", costs={"fit_processor_seconds": 600.0})
    bench.record("pecos", 30, costs={"predict_seconds": 0.6, "fit_memory_mib": 9.0})
    bench.record("textcnn", 40)
    bench.draw()
    assert "70 ‡" not in bench.readme()
    row = next(line for line in bench.readme().splitlines() if line.startswith("| pecos"))
    assert row_cells(row)[-1] == "-"
    data = json.loads((bench.root / report.PICTURES / "pictures.json").read_text())
    assert list(data["cost"]["arc"]) == ["skrr2qc (compact)", "textcnn"]


def test_the_default_without_refit_stands_in_where_there_is_no_other(bench):
    bench.record("skrr2qc-no-refit", 90, encoder="compact")
    bench.record("pecos", 30)
    bench.draw()
    assert bench.row("leads", "arc (compact, refit=False)", "pecos")[2].startswith(LEADS)
    assert "| arc | compact, refit=False |" in (bench.root / "docs" / "costs.md").read_text()
    bench.record("skrr2qc", 60, encoder="compact")
    bench.draw()
    assert bench.row("leads", "arc (compact)", "pecos")[2].startswith(LEADS)
    assert "refit=False" not in bench.part("leads")


def test_lines_of_something_else_are_passed_over(bench):
    bench.record("skrr2qc", 90, encoder="compact")
    bench.record("pecos", 30)
    bench.draw()
    drawn = bench.page()
    with (bench.results / "report.jsonl").open("ab") as file:
        file.write(b'5\n{"a": 1}\n\xff\n')
    with (bench.results / "compare.jsonl").open("ab") as file:
        file.write(b"\xff\n7\n")
    bench.draw()
    assert bench.page() == drawn


def test_an_earlier_run_gives_way_or_stands_without_a_mark(bench):
    bench.record("skrr2qc", 70, encoder="compact")
    bench.record("textcnn", 30, keep=False, parameters={"old": "1"})
    bench.record("pecos", 30)
    bench.record("pecos", 99, keep=False, parameters={"old": "1"})  # the later line, and yet
    bench.draw()
    assert bench.row("sets", "textcnn †")[1] == "25.0"
    assert "† |" in bench.readme()
    assert bench.row("sets", "pecos")[1] == "25.0"
    assert "textcnn" not in bench.part("leads")


def test_a_stopped_run_is_shown_as_such(bench):
    bench.record("skrr2qc", 70, encoder="compact")
    bench.record("pecos", 30)
    bench.stopped("setfit", encoder="minilm")
    bench.draw()
    assert bench.row("sets", "setfit (minilm)")[1:] == [*["-"] * 7, "> 3,600", "-", "-"]
    assert "Not done in time, and not counted: arc setfit (minilm)." in bench.part("counts")
    assert "setfit" not in bench.part("leads")


def test_a_finished_run_wins_over_a_stopped_one(bench):
    bench.record("pecos", 30)
    bench.stopped("pecos")
    bench.draw()
    assert bench.row("sets", "pecos")[8] == "100"


def test_an_earlier_run_wins_over_a_stopped_one(bench):
    bench.record("pecos", 30, keep=False)
    bench.stopped("pecos")
    bench.draw()
    assert bench.row("sets", "pecos †")[1] == "25.0"


def test_costs_of_a_peer_are_those_of_the_process_that_worked(bench):
    """What this process counted meanwhile is waiting."""
    apart = {"predict_seconds": 0.6, "fit_memory_mib": 900.0, "fit_seconds": 70.0}
    bench.record("pecos", costs={**apart, "fit_processor_seconds": 0.1})
    bench.record(
        "omikuji",
        costs={**apart, "fit_processor_seconds": 60.0, "predict_processor_seconds": 0.3},
    )
    bench.record("textcnn")
    bench.draw()
    assert bench.row("sets", "pecos")[8:] == ["70 ‡", "5.00", "900"]
    assert bench.row("sets", "omikuji")[8:] == ["**60**", "2.50", "900"]
    assert bench.row("sets", "textcnn")[8:] == ["100", "**1.00**", "**500**"]
    assert "‡ Wall-clock" in bench.part("sets")


def test_seeds_are_averaged(bench):
    for seed, n_right in enumerate((60, 72)):
        bench.record("pecos", n_right, seed=seed)
    bench.draw()
    assert bench.row("sets", "pecos")[1] == "55.0 ± 5.0"
    assert "Seeds 0, 1." in bench.part("sets")


def test_validation_parts_are_not_reported(bench):
    bench.record("pecos", 30, part="val")
    bench.record("textcnn", 30)
    bench.draw()
    assert "pecos" not in bench.page()


def test_one_run_on_more_texts_does_not_displace_a_set(bench):
    for model in ("skrr2qc", "pecos"):
        bench.record(model, 60, encoder="compact" if model == "skrr2qc" else None)
    bench.record("pecos", 90, n_train=500)
    bench.draw()
    assert "127 training" in bench.part("sets")
    assert bench.row("leads", "pecos")
    bench.record("skrr2qc", 90, n_train=500, encoder="compact")
    bench.draw()
    assert "500 training" in bench.part("sets")


def test_fewer_training_texts_make_a_curve(bench):
    for n_train, n_right in ((127, 90), (30, 40)):
        bench.record("pecos", n_right, n_train=n_train)
    bench.record("textcnn", 50)
    bench.draw()
    assert bench.part("sets").count("### ") == 1
    points = bench.row("curves", "pecos")[2]
    assert points.startswith("30: ")
    assert " · 127: " in points
    data = json.loads((bench.root / report.PICTURES / "pictures.json").read_text())
    assert [n for n, _ in data["curves"]["arc"]["pecos"]] == [30, 127]
    assert list(data["curves"]["arc"]) == ["pecos"]


def test_subsets_and_lengths_are_sets_of_their_own(bench):
    bench.record("pecos")
    bench.record("pecos", subset="subset_small")
    bench.record("pecos", n_characters=50)
    bench.draw()
    titles = [line for line in bench.part("sets").splitlines() if line.startswith("###")]
    assert sorted(titles) == ["### arc 50 chars", "### arc small", "### arc whole"]


def test_ablation_is_marked_against_its_base(bench, capsys):
    bench.record("pecos")
    bench.draw()
    assert "no records of an ablation" in capsys.readouterr().err
    for step, n_right in (("base", 40), ("rr", 100)):
        bench.record(f"ablation-{step}", n_right, encoder="compact", file="ablation")
    bench.draw()
    assert bench.row("ablation", "rr (compact)")[2] == f"83.3 {LEADS}"
    assert bench.row("ablation", "base (compact)")[2] == "33.3"
    assert (bench.root / report.PICTURES / "ablation.svg").is_file()


def test_tables_of_the_paper_are_drawn(bench):
    bench.record("skrr2qc", 90, encoder="compact", set="da20k")
    bench.record("pecos", 30, set="eurlex57k", n_characters=3000, costs={"precision_at_1": 0.25})
    assert bench.draw() == 0
    assert bench.row("paper", "da20k", "skrr2qc (compact)", "75.0")[2] == "75.0"
    assert bench.row("eurlex", "pecos", "127")[2] == "25.0"
    (bench.results / "compare_per_text.jsonl").unlink()
    before = bench.page()
    assert bench.draw() == 0
    assert bench.page() == before  # what is derived from outcomes is kept


def test_redrawn_without_outcomes_text_by_text(drawn):
    """They are not published: what was derived from them is enough, and stays."""
    before = drawn.page(), drawn.readme(), drawn.lines("report")
    (drawn.results / "compare_per_text.jsonl").unlink()
    assert drawn.draw("--check") == 0
    assert drawn.draw() == 0
    assert (drawn.page(), drawn.readme(), drawn.lines("report")) == before


def test_a_pair_of_which_nothing_is_known_is_named(drawn, capsys):
    for name in ("compare_per_text", "report"):
        (drawn.results / f"{name}.jsonl").unlink()
    capsys.readouterr()
    drawn.draw()
    assert "no outcomes of skrr2qc (compact) and pecos" in capsys.readouterr().err
    assert drawn.part("leads").startswith("*No ")
    named = "Not compared, as no outcomes of the same texts are at hand: "
    assert named in drawn.part("leads")
    assert "arc (minilm) with setfit (minilm)" in drawn.part("leads").split(named)[1]


def test_runs_of_other_texts_are_not_compared(bench, capsys):
    for model in ("skrr2qc", "textcnn"):
        bench.record(model, encoder="compact" if model == "skrr2qc" else None)
    bench.truth = bench.truth[::-1].copy()
    bench.record("pecos")
    bench.draw()
    assert "arc: pecos saw other labels" in capsys.readouterr().err
    assert "textcnn" in bench.part("leads")
    table, _, rest = bench.part("leads").partition("Not compared, as no outcomes of the same")
    assert "pecos" not in table
    assert "arc (compact) with pecos" in rest


def test_redrawing_changes_nothing(drawn):
    folders = (drawn.root / "docs", drawn.results)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in (*files, drawn.root / "README.md")}
    assert {path.suffix for path in files} == {".md", ".svg", ".json", ".jsonl"}
    assert drawn.draw() == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("README.md", lambda text: text.replace("pecos", "Pecos")),
        ("docs/benchmarks.md", lambda text: text.replace("5 pairs", "6 pairs")),
        ("docs/_static/benchmarks/pictures.json", lambda text: text.replace("91.6", "92.6")),
        ("benchmarks/results/compare.jsonl", lambda text: text.replace('"seed": 0', '"seed": 7')),
    ],
)
def test_check_finds_a_changed_file(drawn, name, change, capsys):
    assert drawn.draw("--check") == 0
    path = drawn.root / name
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")
    assert drawn.draw("--check") == 1
    assert "make report" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == change(text)


def test_check_finds_a_missing_picture(drawn, capsys):
    (drawn.root / report.PICTURES / "cost.svg").unlink()
    assert drawn.draw("--check") == 1
    assert "cost.svg" in capsys.readouterr().err


def test_costs_of_the_default_beside_a_linear_model(bench):
    bench.record("skrr2qc", encoder="compact")
    bench.record("tfidf-linear", costs={"fit_processor_seconds": 7.0})
    bench.record("skrr2qc", encoder="minilm", set="hoc", costs={"fit_processor_seconds": 9.0})
    bench.record("skrr2qc-tower", encoder="compact", set="hoc")
    bench.stopped("skrr2qc", encoder="compact", set="cpv")
    bench.draw()
    page = (bench.root / "docs" / "costs.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()[4:-1]]
    assert rows == [
        ["arc", "compact", "127", "8", "12", "100", "1.00", "500", "7"],
        ["hoc", "minilm", "127", "8", "12", "9", "1.00", "500", "-"],
    ]


def test_prose_around_the_parts_stays(drawn):
    text = drawn.readme()
    assert text.startswith("by hand\n<!-- measured: table -->\n|")
    assert text.endswith("<!-- measured: end of readme picture -->\nby hand\n")
    assert "old" not in text


@pytest.mark.parametrize(
    "page",
    [
        "<!-- measured: table -->\n",
        "<!-- measured: nothing -->\n<!-- measured: end of nothing -->\n",
        2 * "<!-- measured: table -->\n<!-- measured: end of table -->\n",
    ],
)
def test_wrong_markers(bench, page, capsys):
    bench.record("pecos")
    (bench.root / "README.md").write_text(page, encoding="utf-8")
    with pytest.raises(SystemExit):
        bench.draw()
    assert "each marker" in capsys.readouterr().err


def test_no_results(bench, capsys):
    with pytest.raises(SystemExit):
        bench.draw()
    assert "compare.jsonl" in capsys.readouterr().err


def test_readme_shows_the_best_peers_and_the_linear_model(bench):
    for model, n_right in (("textcnn", 90), ("pecos", 80), ("omikuji", 70), ("tfidf-linear", 10)):
        bench.record(model, n_right)
    bench.record("skrr2qc", 60, encoder="compact")
    bench.record("skrr2qc-tower", 99, encoder="compact")
    bench.record("textcnn", 90, set="cpv")
    bench.draw()
    rows = [row_cells(line) for line in bench.readme().splitlines() if line.startswith("|")]
    assert rows[0] == ["model", "arc", "fit"]
    assert {row[0] for row in rows[2:]} == {"skrr2qc (compact)", "textcnn", "pecos", "tfidf-linear"}
    assert rows[2][0] == "skrr2qc (compact)"
    assert rows[2][2] == "2 min"


def test_pictures_leave_out_bins_with_few_pairs(drawn):
    kept = read_kept(drawn.results)
    derived = read_derived(drawn.results / "report.jsonl")
    n_pairs = derived.recall(kept.sections[0].entries[0])["n_pairs"]
    lines = all_data(kept, derived)["frequency"]["arc"]
    assert sum(n_pairs) == N_TEXTS
    assert 0 < sum(n < MIN_PAIRS for n in n_pairs) < len(n_pairs)
    for line in lines.values():
        assert [value is None for value in line] == [n < MIN_PAIRS for n in n_pairs]


def test_pictures_are_small_on_white_and_always_the_same(drawn_data, tmp_path):
    for name, data in drawn_data.items():
        paths = [tmp_path / f"{name}{i}.svg" for i in range(2)]
        for path in paths:
            draw(name, data, path)
        text = paths[0].read_text(encoding="utf-8")
        assert text == paths[1].read_text(encoding="utf-8")
        assert len(text) < 100_000
        assert "fill: #ffffff" in text


@pytest.mark.parametrize(
    ("name", "data", "n_panels"),
    [
        ("curves", {"a": {"pecos": [[10, 20.0], [20, 30.0]]}}, 1),
        ("ablation", {"a": {"ablation-base": [40.0, None], "ablation-rr": [50.0, 9.0]}}, 2),
        ("cost", {s: {"pecos": [0.01, 50.0], "other": [9.0, 60.0]} for s in "abc"}, 3),
        ("frequency", {s: {"skrr2qc (compact)": [None, 1, 2, 3, 4, 99]} for s in "ab"}, 2),
    ],
)
def test_pictures_of_any_number_of_panels(name, data, n_panels, tmp_path):
    draw(name, data, tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    clips = root.iter("{http://www.w3.org/2000/svg}clipPath")
    assert len(list(clips)) == n_panels


def test_machine_is_that_of_the_records(drawn):
    text = drawn.part("machine")
    assert text.startswith("8 runs on 1 of 2 cores of an Abacus processor, without a GPU (")
    assert "2030-01-01" in text


def test_committed_pages_are_those_of_the_committed_results():
    assert report.main(["--check"]) == 0
