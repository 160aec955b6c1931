"""Redraw tables and pictures from kept results: ``python -m benchmarks.report``.

Computes no run. Fills the parts between markers in README.md, docs/benchmarks.md and
docs/costs.md, and the pictures in docs/_static/benchmarks. Where outcomes text by text are at
hand, the differences of models are derived from them anew and kept in ``report.jsonl``; they are
not published, what is derived from them is.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from . import _report_text as text
from ._command_line import say
from ._eurlex_table import format_eurlex, summarize_eurlex
from ._paper_tables import format_paper_tables
from ._report_data import read_kept
from ._report_pairs import MIN_PAIRS, derive, read_derived, write_derived
from ._report_pictures import MIN_BINS, all_data, draw

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/benchmarks.md", "docs/costs.md")
PICTURES = "docs/_static/benchmarks"
_NONE = "*No runs kept yet.*"
_DATA = "pictures.json"
_PART = re.compile(
    r"(?P<begin><!-- measured: (?P<name>[\w ]+) -->\n).*?"
    r"(?P<end><!-- measured: end of (?P=name) -->)",
    re.DOTALL,
)
_ABOUT = {
    "cost": "nDCG@5 against seconds of training, one panel a set, one mark a model",
    "frequency": "Recall among the five best labels by the number of training texts of a label, "
    "one panel a set, one line a model",
    "curves": "nDCG@5 by the number of training texts, one panel a set, one line a model",
    "ablation": "nDCG@5 and tail nDCG@5 of each step, a panel each, a row a set",
    "readme": "nDCG@5 against seconds of training, one panel a set, one mark a model",
}


def main(arguments=None, root=ROOT):
    """Run the command line; the exit status is 1 if a check found a difference."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--results", metavar="FOLDER", help="default: benchmarks/results")
    add("--check", action="store_true", help="write nothing; exit 1 if something would change")
    options = parser.parse_args(arguments)
    folder = Path(options.results or root / "benchmarks" / "results")
    if not (folder / "compare.jsonl").is_file():
        parser.error(f"--results: there is no file {folder / 'compare.jsonl'}")
    try:
        return check(folder, root) if options.check else redraw(folder, root)
    except ValueError as error:
        parser.error(str(error))


def redraw(folder, root):
    """Write what changed; pages, pictures and their data."""
    kept, kept_file = read_kept(folder), folder / "report.jsonl"
    if not kept.ablation:
        say("no records of an ablation: its table and picture are left out")
    derived = derive(kept, folder, read_derived(kept_file), say)
    write_derived(kept_file, derived)
    data = all_data(kept, derived)
    pictures = root / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    for name in _ABOUT:
        path = pictures / f"{name}.svg"
        if name in data:
            draw(name, data[name], path)
        else:
            path.unlink(missing_ok=True)
    (pictures / _DATA).write_text(_dump(data), encoding="utf-8")
    for page in PAGES:
        path = root / page
        path.write_text(_filled(path, parts(kept, derived, data)), encoding="utf-8")
    return 0


def check(folder, root):
    """Compare pages and pictures with what would be drawn; write nothing."""
    kept, derived = read_kept(folder), read_derived(folder / "report.jsonl")
    data = all_data(kept, derived)
    wanted = parts(kept, derived, data)
    changed = [
        page
        for page in PAGES
        if (root / page).read_text(encoding="utf-8") != _filled(root / page, wanted)
    ]
    pictures = root / PICTURES
    drawn = pictures / _DATA
    if not drawn.is_file() or drawn.read_text(encoding="utf-8") != _dump(data):
        changed.append(f"{PICTURES}/{_DATA}")
    there = {path.stem for path in pictures.glob("*.svg")}
    changed += [f"{PICTURES}/{name}.svg" for name in sorted(there ^ set(data))]
    for name in changed:
        say(f"{name} is not what the kept results say: make report redraws it")
    return int(bool(changed))


def parts(kept, derived, data):
    """Text of each part of the pages, by the name in its marker."""
    found = {
        "counts": text.counts(kept, derived),
        "leads": text.leads(kept, derived, same=True),
        "other leads": text.leads(kept, derived, same=False),
        "sets": text.sets(kept, derived),
        "curves": text.curves(kept),
        "ablation": text.ablation(kept, derived),
        "costs": text.costs(kept),
        "machine": text.machine(kept),
        "paper": format_paper_tables(kept, derived, kept.measurements) or _NONE,
        "eurlex": format_eurlex(kept.records) or _NONE,
        "table": " ".join(  # the sentence ends the notes below the table
            filter(None, [text.readme_table(kept, derived), summarize_eurlex(kept.records)])
        ),
        "least pairs": f"Points from fewer than {MIN_PAIRS} pairs of a test text and a label of "
        f"the bin are left out, and sets with fewer than {MIN_BINS} points.",
    }
    for name, alt in _ABOUT.items():
        found[f"{name} picture"] = _image(name, alt) if name in data else ""
    readme = f"![{_ABOUT['readme']}]({PICTURES}/readme.svg)"
    return found | {"readme picture": readme if "readme" in data else ""}


def _image(name, alt):
    """A picture of a page in docs, as wide as the page at most."""
    source = f"{PICTURES.partition('/')[2]}/{name}.svg"
    return f"```{{image}} {source}\n:alt: {alt}\n:class: on-white\n:width: 560px\n```"


def _filled(path, found):
    """A page with its parts as they should be."""
    page = path.read_text(encoding="utf-8")
    begun = re.findall(r"<!-- measured: (?!end of )([\w ]+) -->", page)
    names = [match["name"] for match in _PART.finditer(page)]
    if begun != names or not set(names) <= set(found) or len(set(names)) < len(names):
        raise ValueError(
            f"{path.name}: each marker <!-- measured: NAME --> needs its end, a name of its own "
            f"among {', '.join(found)}; found {', '.join(begun) or 'none'}"
        )
    return _PART.sub(lambda m: f"{m['begin']}{found[m['name']]}\n{m['end']}", page)


def _dump(data):
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
