"""The model card: what a reader of the folder is told."""

import json

import pytest

from skrr2qc import ClassCenterHead, LabelSpace, RCPTEncoder
from skrr2qc.persistence import load_model, save_model
from skrr2qc.persistence._card import changed_parameters, parameters_of, training_summary

from .conftest import SAMPLES


def test_card(tmp_path):
    model = load_model(SAMPLES / "v1" / "composite")
    metrics = {"P@1 | all": 0.75, "n`x": 3}
    text = (save_model(model, tmp_path / "model", metrics=metrics) / "README.md").read_text("utf-8")
    assert text.startswith("---\nlibrary_name: skrr2qc\npipeline_tag: text-classification\n")
    for line in (
        "# RetrievalRerankClassifier",
        "- Labels: 6",
        "- Training texts: 60",
        "- The training texts are in this folder; `explain` quotes them.",
        "- Precision of the weights: float32",
        "| `P@1 \\| all` | `0.75` |",
        "| `n'x` | `3` |",
        "| `head__n_epochs` | `2` |",
    ):
        assert line in text.splitlines()
    assert "Saved with skrr2qc " in text
    assert "n_validation" not in text
    assert "head__lr" not in text  # as it defaults


def test_the_block_of_code_in_the_card_runs(tmp_path, monkeypatch):
    text = (SAMPLES / "v1" / "composite" / "README.md").read_text("utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    code = code.replace("path/of/this/folder", str(SAMPLES / "v1" / "composite"))
    namespace = {}
    exec(code, namespace)
    assert namespace["model"].predict(["a text"]).shape == (1, 6)


def test_parameters_in_words():
    labels = LabelSpace(["a"])
    head = ClassCenterHead(RCPTEncoder(labels=labels), loss=print, lr=float("inf"))
    found = parameters_of(head)
    assert found["encoder"] == "RCPTEncoder"
    assert found["encoder__labels"] == "LabelSpace(1 label)"
    assert found["loss"] == "<builtin_function_or_method>"
    assert found["lr"] == "inf"
    assert "encoder__checkpoint_dir" not in found
    json.dumps(found, allow_nan=False)
    changed = changed_parameters(head)
    assert changed.keys() == {"encoder", "encoder__labels", "loss", "lr"}


@pytest.mark.parametrize("has_texts", [True, False])
def test_summary(has_texts):
    model = load_model(SAMPLES / "v1" / "composite")
    summary = training_summary(model, has_texts)
    assert summary["labels"] == 6
    assert summary["texts"] == 60
    assert summary["training_texts_included"] is has_texts
    assert summary["rows_held_out"] == 24
    assert sum(summary["channel_weights"].values()) == pytest.approx(1.0)
    assert summary["parts"]["reranker"]["parts"]["classifier"]["epochs"]["number"] == 2
