"""The benchmark of saving: two lines, whose figures go together; bytes counted by hand."""

import json

import numpy as np
import pytest

from benchmarks import saving
from skrr2qc import ClassCenterHead, RCPTEncoder
from skrr2qc.persistence import save_model

TEXTS = ["area of a circle", "solve an equation"] * 4


def test_lines_are_kept(tmp_path, capsys):
    out = tmp_path / "results" / "saving.jsonl"
    few = ["--n-texts", "70", "--n-train", "60", "--n-labels", "20", "--n-epochs", "1"]
    saving.main(["--out", str(out), *few, "--n-times", "2", "--n-starts", "1"])
    classifier, encoder = map(json.loads, out.read_text("utf-8").splitlines())
    assert (classifier["saved"], encoder["saved"]) == ("classifier", "encoder")
    assert classifier["n_texts"] == 70
    for record in (classifier, encoder):
        assert 0 < record["save_seconds_least"] <= record["save_seconds"]
        assert 0 < record["load_seconds_least"] <= record["load_seconds"]
        assert record["folder_by_parameters"] > 1
        assert record["half_by_full"] < 1
        assert record["half_by_parameters"] < record["folder_by_parameters"]
    assert encoder["parameter_bytes"] < classifier["parameter_bytes"]
    assert 0 < classifier["precision_at_1"] <= 1
    changed = abs(classifier["half_precision_at_1"] - classifier["precision_at_1"]) * 70
    assert round(changed) <= classifier["half_changed_best"]
    parts = sum(classifier[f"start_{part}_seconds"] for part in ("import", "load", "predict"))
    assert parts == pytest.approx(classifier["start_all_seconds"])  # of a single start
    assert "folder_by_parameters" in capsys.readouterr().out


def test_bytes_by_hand(tmp_path):
    encoder = RCPTEncoder(hidden_size=16, vocab_size=100, n_epochs=0, random_state=0).fit(TEXTS)
    full, half = tmp_path / "full", tmp_path / "half"
    save_model(encoder, full)
    save_model(encoder, half, dtype="float16")
    figures = saving.measure_bytes(full, half)
    weights = sum(tensor.numel() for tensor in encoder.backbone_.state_dict().values())
    assert figures["parameter_bytes"] == 4 * weights
    size = sum(path.stat().st_size for path in full.rglob("*"))
    assert figures["folder_bytes"] == size
    assert figures["folder_by_parameters"] == size / (4 * weights)
    assert figures["half_by_full"] == figures["half_folder_bytes"] / size


def test_quality_in_half_precision(tmp_path, questions):
    """Of a classifier as it was saved, and of one that was spoilt since."""
    texts, Y = list(questions.texts), questions.Y
    head = ClassCenterHead(RCPTEncoder(hidden_size=16, n_epochs=0), n_epochs=1, random_state=0)
    save_model(head.fit(texts, Y), tmp_path / "half", dtype="float16")
    figures = saving.measure_quality(head, tmp_path / "half", questions)
    assert figures["half_precision_at_1"] == pytest.approx(figures["precision_at_1"], abs=0.1)
    head.module_.head.weight.data = -head.module_.head.weight.data
    spoilt = saving.measure_quality(head, tmp_path / "half", questions)
    assert spoilt["half_precision_at_1"] == figures["half_precision_at_1"]
    assert spoilt["half_changed_best"] > figures["half_changed_best"]
    assert np.isfinite(spoilt["precision_at_1"])
