"""Benchmarks with a command line can be run as ``python -m benchmarks.NAME``."""

import runpy
import sys

import pytest

NAMES = ["compare", "pretraining", "report", "reranking", "retrieval", "saving"]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_a_command(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)  # runpy runs it anew
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out
