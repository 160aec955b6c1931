"""Tables and sentences of the report, in Markdown."""

from collections import Counter

from ._report_data import BASE, FIGURES, OURS
from ._report_pairs import MIN_PAIRS
from ._table import _cell, _markdown

COSTS = {"fit_seconds": ("fit, s", 0), "ms_per_text": ("ms/text", 2), "memory_mib": ("MiB", 0)}
LEADS, TIES, LOSES = "▲", "=", "▼"
README_SETS = ("arc", "da20k", "baidu_hs4", "hoc", "eurlex57k train5k")
_README_FIGURES = ("ndcg_at_5", "tail_ndcg_at_5")
_SHOWN = {**FIGURES, "micro_f1": "micro-F1"}  # of each set
_LINEAR = "tfidf-linear"
_ALWAYS_IN_README = (_LINEAR,)
_N_BEST = 2  # peers of a set
_EARLIER = "†"
_WALL_CLOCK = "‡"
_NBSP = "\u00a0"  # where a narrow column must not break


def sets(kept, derived):
    """One table a set, with its best figures in bold."""
    parts = []
    for section in kept.sections:
        header = ["model", *_SHOWN.values(), *(title for title, _ in COSTS.values())]
        parts += [f"### {section.name}", "", _about(section, derived), ""]
        parts += [*_markdown(header, _set_rows(section, derived), n_text=1), ""]
        if any(_is_earlier(entry) for entry in section.entries):
            parts += [f"{_EARLIER} An earlier run, of which no outcomes text by text are kept.", ""]
        if any(entry.is_wall_clock for entry in section.entries):
            parts += [f"{_WALL_CLOCK} Wall-clock: processor time was not counted.", ""]
    return "\n".join(parts[:-1]) or _nothing("runs")


def counts(kept, derived):
    """Sentences that count where we lead, where nobody does, and where peers do."""
    pairs = _pairs(kept.sections, derived, same=True)
    if not pairs:
        return _nothing("pairs of runs with outcomes text by text")
    marked = [(section, peer, name, _mark(d)) for section, _, peer, ds in pairs
              for name, d in ds.items()]  # fmt: skip
    tallies = {name: Counter(mark for _, _, n, mark in marked if n == name) for name in FIGURES}
    lines = [
        f"{_plural(len(pairs), 'pair')} of a set and a peer with the same kind of encoder; in how "
        "many of them who leads:",
        "",
        *_markdown(
            ["", *FIGURES.values()],
            [
                [title, *(str(tallies[name][mark]) for name in FIGURES)]
                for mark, title in (
                    (LEADS, f"{LEADS} skrr2qc leads"), (TIES, f"{TIES} undecided"),
                    (LOSES, f"{LOSES} the peer leads"),
                )
            ],
            n_text=1,
        ),
        "",
        _losses(marked),
    ]  # fmt: skip
    stopped = [f"{s.name} {e.name}" for s in kept.sections for e in s.peers if e.stopped]
    if stopped:
        lines += ["", f"Not done in time, and not counted: {', '.join(stopped)}."]
    return "\n".join(lines)


def leads(kept, derived, *, same):
    """One row a set and peer: differences in points, with intervals and marks; what has none."""
    rows = [
        [
            f"{section.name} ({_backbone(our)})",
            peer.name,
            *(_difference(ds.get(name)) for name in FIGURES),
        ]
        for section, our, peer, ds in _pairs(kept.sections, derived, same=same)
    ]
    header = ["set (encoder of skrr2qc)", "peer", *FIGURES.values()]
    table = _markdown(header, rows) if rows else [_nothing("such pairs")]
    return "\n".join([*table, *_unknown(kept.sections, derived, same=same)])


def curves(kept):
    """One row a set and model: nDCG@5 by the number of training texts."""
    rows = []
    for family in kept.curves:
        sizes = [section.example["n_train"] for section in family]
        for name in dict.fromkeys(e.name for s in family for e in s.entries):
            points = [
                f"{size:,}: {_cell(entry.values('ndcg_at_5'), 1, 100)}"
                for size, section in zip(sizes, family, strict=True)
                for entry in section.entries
                if entry.name == name and not entry.stopped
            ]
            if len(points) > 1:
                rows.append([family[-1].name, name, " · ".join(points)])
    if not rows:
        return _nothing("runs on fewer training texts")
    return "\n".join(_markdown(["set", "model", "nDCG@5 by training texts"], rows, n_text=3))


def costs(kept):
    """One row a set and encoder: what our default takes, and what a linear model takes."""
    rows = []
    for section in kept.sections:
        linear = [e for e in section.entries if e.model == _LINEAR and not e.is_wall_clock]
        others = [value for e in linear for value in e.values("fit_seconds")]
        for entry in section.ours:
            if not entry.stopped and not entry.is_wall_clock:
                epochs = {record["fitted"].get("n_epochs") for record in entry.records}
                cells = [_cell(entry.values(n), digits) for n, (_, digits) in COSTS.items()]
                sizes = [f"{section.example[n]:,}" for n in ("n_train", "n_labels")]
                name = section.name, _backbone(entry)
                rows.append([*name, *sizes, _cell(list(epochs), 0), *cells, _cell(others, 0)])
    if not rows:
        return _nothing("runs of the default")
    titles = [title for title, _ in COSTS.values()]
    header = ["set", "backbone", "texts", "labels", "epochs", *titles, f"{_LINEAR}: fit, s"]
    return "\n".join(_markdown(header, rows))


def ablation(kept, derived):
    """One row a set and step: figures, and differences to the base."""
    rows = []
    for section in kept.ablation:
        bases = dict(section.steps())
        for entry in section.entries:
            found = entry in bases and derived.difference(entry, bases[entry])
            marks = [_mark(found.get(name)) if found else "" for name in FIGURES]
            cells = [
                f"{_cell(entry.values(name), 1, 100)} {mark}".strip()
                for name, mark in zip(FIGURES, marks, strict=True)
            ]
            fit = _cell(entry.values("fit_seconds"), 0)
            name = entry.name.removeprefix(BASE.partition("-")[0] + "-")
            rows.append([section.name, name, *cells, fit])
    if not rows:
        return _nothing("runs of the ablation")
    header = ["set", "step", *FIGURES.values(), COSTS["fit_seconds"][0]]
    return "\n".join(_markdown(header, rows))


def machine(kept):
    """What the runs were made on, from their records."""
    tally = Counter()
    for record in kept.records:
        found = record["machine"]
        where = f"{found['threads']} of {found['cores']} cores of an {found['cpu']} processor"
        where += " with bfloat16" if found["bf16"] else ""
        where += f" and a {found['gpu']}" if found["gpu"] else ", without a GPU"
        versions = ", ".join(f"{name} {v}" for name, v in sorted(record["versions"].items()))
        tally[f"on {where} ({versions})"] += 1
    if not tally:
        return _nothing("runs")
    dates = sorted(record["date"][:10] for record in kept.records)
    seeds = ", ".join(map(str, sorted({record["seed"] for record in kept.records})))
    parts = [f"{_plural(n, 'run')} {where}" for where, n in sorted(tally.items())]
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return f"{'; '.join(parts)}. Seeds: {seeds}. {when}."


def readme_table(kept, derived):
    """One row a model, one column a set: the best few peers of each set, and what they cost."""
    sections = {s.name: s for s in kept.sections if s.name in README_SETS}
    shown = _shown_in_readme(sections.values())
    best = {(s.name, f): _best(s, f, derived) for s in sections.values() for f in _README_FIGURES}
    rows = []
    for model in shown:
        found = {
            name: next((e for e in s.entries if e.name == model), None)
            for name, s in sections.items()
        }
        cells = [_readme_cell(entry, name, best) for name, entry in found.items()]
        counted = [e for e in found.values() if e and not e.stopped and not e.is_wall_clock]
        seconds = [e.mean("fit_seconds") for e in counted]
        rows.append([model, *cells, _range(seconds)])
    if not rows:
        return _nothing("runs")
    lines = _markdown(["model", *sections, "fit"], rows, n_text=1)
    notes = ["; ".join(f"{name}: {_size(s, derived)}" for name, s in sections.items()) + "."]
    notes += [_readme_counts(sections.values(), derived)]
    notes += [f"{_EARLIER} An earlier run."] if any(_EARLIER in line for line in lines) else []
    return "\n".join([*lines, "", " ".join(filter(None, notes))])


def _readme_cell(entry, name, best):
    if entry is None:
        return "-"
    if entry.stopped:
        return f"> {_duration(entry.stopped)}"
    figures = " / ".join(
        _bold(_cell(entry.values(f), 1, 100), best[name, f], 1, 100) if entry.values(f) else "-"
        for f in _README_FIGURES
    )
    return f"{figures} {_EARLIER}" if _is_earlier(entry) else figures


def _shown_in_readme(sections):
    """Names of models: our default, peers that any reader asks for, and the best of each set."""
    entries = [e for s in sections for e in s.entries if not e.stopped]
    chosen = {e.name for e in entries if e.model in (OURS, *_ALWAYS_IN_README)}
    for section in sections:
        peers = [e for e in section.peers if e.mean("ndcg_at_5") is not None]
        peers.sort(key=lambda e: -e.mean("ndcg_at_5"))
        chosen |= {e.name for e in peers[:_N_BEST]}
    ordered = sorted(entries, key=lambda e: (e.model != OURS, e.is_peer and not e.is_pretrained))
    return [name for name in dict.fromkeys(e.name for e in ordered) if name in chosen]


def _readme_counts(sections, derived):
    pairs = _pairs(sections, derived, same=True)
    parts = []
    for name in ("precision_at_1", *_README_FIGURES):
        tally = Counter(_mark(ds[name]) for _, _, _, ds in pairs if name in ds)
        parts.append(f"{FIGURES[name]} {tally[LEADS]} / {tally[TIES]} / {tally[LOSES]}")
    if not pairs:
        return ""
    return (
        f"Of {_plural(len(pairs), 'pair')} of a set and a peer with the same kind of encoder, "
        f"skrr2qc leads / neither leads / the peer leads (95 % bootstrap) in: {', '.join(parts)}."
    )


def _set_rows(section, derived):
    columns = [*((name, 1, 100) for name in _SHOWN), *((n, d, 1) for n, (_, d) in COSTS.items())]
    best = {name: _best(section, name, derived) for name, _, _ in columns}
    rows = []
    for entry in section.entries:
        cells = [
            _bold(_cell(entry.values(n), digits, factor), best[n], digits, factor)
            if entry.values(n)
            else "-"
            for n, digits, factor in columns
        ]
        if entry.stopped:
            cells[len(_SHOWN)] = f"> {entry.stopped:,.0f}"
        elif entry.is_wall_clock:
            cells[len(_SHOWN)] += f" {_WALL_CLOCK}"
        name = entry.name + (f" {_EARLIER}" if _is_earlier(entry) else "")
        rows.append([name, *cells])
    return rows


def _is_earlier(entry):
    return not entry.runs and not entry.stopped


def _pairs(sections, derived, *, same):
    """Pairs whose differences are known: section, our entry, the peer, differences."""
    found = []
    for section in sections:
        for our, peer in section.pairs(same=same):
            differences = derived.difference(our, peer)
            if differences is not None:
                found.append((section, our, peer, differences))
    return found


def _unknown(sections, derived, *, same):
    """A sentence that names the pairs of runs whose differences are not known, if there are any."""
    peers = {}
    for section in sections:
        for our, peer in section.pairs(same=same):
            if our.runs and peer.runs and derived.difference(our, peer) is None:
                name = f"{section.name} ({_backbone(our)})"
                peers.setdefault(name, []).append(peer.name)
    if not peers:
        return []
    found = "; ".join(f"{name} with {', '.join(names)}" for name, names in peers.items())
    return ["", f"Not compared, as no outcomes of the same texts are at hand: {found}."]


def _mark(difference):
    if difference is None:
        return ""
    _, low, high = difference
    return LEADS if low > 0 else LOSES if high < 0 else TIES


def _difference(difference):
    if difference is None:
        return "-"
    observed, low, high = (round(100 * value, 1) + 0.0 for value in difference)  # never -0.0
    return f"{_mark(difference)}{_NBSP}{observed:+.1f} [{low:.1f},{_NBSP}{high:.1f}]"


def _losses(marked):
    """Where a peer leads, by figure, in words."""
    parts = []
    for name, title in FIGURES.items():
        found = [
            f"{s.name} {peer.name}" for s, peer, n, mark in marked if (n, mark) == (name, LOSES)
        ]
        if found:
            parts.append(f"in {title}: {', '.join(found)}")
    if not parts:
        return "No peer leads in any of these figures."
    return f"Peers lead {'; '.join(parts)}."


def _about(section, derived):
    seeds = sorted({record["seed"] for e in section.entries for record in e.records})
    seeds = ", ".join(map(str, seeds))
    return f"{_size(section, derived)}. {'Seeds' if ',' in seeds else 'Seed'} {seeds}."


def _size(section, derived):
    about, n_tail = section.example, derived.n_tail(section)
    parts = [
        f"{about['n_train']:,} training and {about['n_test']:,} test texts",
        f"{about['n_labels']:,} labels",
        *([f"{_plural(n_tail, 'pair')} in the tail"] if n_tail is not None else []),
    ]
    return ", ".join(parts)


def _backbone(our):
    return our.encoder if our.model == OURS else f"{our.encoder}, refit=False"


def _best(section, figure, derived):
    """The best mean of a figure; None where it is the only one, or one of too few texts."""
    means = [e.mean(figure) for e in section.entries if e.values(figure)]
    is_scarce = "tail" in figure and (derived.n_tail(section) or MIN_PAIRS) < MIN_PAIRS
    if len(means) < 2 or is_scarce:
        return None
    return (min if figure in COSTS else max)(means)


def _bold(cell, best, digits, factor):
    """A cell in bold if the best looks the same."""
    if best is None:
        return cell
    return f"**{cell}**" if cell.partition(" ")[0] == f"{factor * best:.{digits}f}" else cell


def _range(seconds):
    if not seconds:
        return "-"
    low, high = _duration(min(seconds)), _duration(max(seconds))
    if low == high:
        return low
    (low, unit), same = low.split(), high.split()[1]
    return f"{low} to {high}" if unit == same else f"{low} {unit} to {high}"


def _duration(seconds):
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _plural(n, noun):
    return f"{n:,} {noun}" + "s" * (n != 1)


def _nothing(what):
    return f"*No {what} kept yet.*"
