"""The serving benchmark runs with its own defaults, on few texts."""

import json

from benchmarks import serving


def test_a_line_is_kept(tmp_path, capsys):
    """Its default number of labels was larger than the questions have."""
    out = tmp_path / "results" / "serving.jsonl"
    few = ["--n-texts", "70", "--n-requests", "3", "--n-train", "150"]
    serving.main(["--out", str(out), *few])
    (line,) = out.read_text("utf-8").splitlines()
    record = json.loads(line)
    assert (record["n_texts"], record["n_labels"], record["n_threads"]) == (70, 100, 8)
    for name in ("one_text_ms", "texts_per_second", "requests_per_second"):
        assert record[name] > 0
    assert "one_text_ms" in capsys.readouterr().out
