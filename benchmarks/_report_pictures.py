"""Pictures of the report: what they show as plain data, and the drawing of it.

The data is what counts as the same picture: the bytes of a drawing change with matplotlib.
"""

import re
from io import StringIO

from ._report_data import BASE, FIGURES, MODELS, OURS
from ._report_pairs import BINS, MIN_PAIRS
from ._report_text import README_SETS

MIN_BINS = 3  # of a set
_N_PEERS = 4  # lines beside ours in a panel
_WIDTH, _PANEL_HEIGHT, _COLUMNS = 4.0, 1.75, 2  # inches; 390 pixels of a phone show them whole
_TIMES = {1: "1 s", 60: "1 min", 3600: "1 h"}
_STYLES = {
    "skrr2qc": ("#c8102e", "*"), "fine-tuning": ("#7b3294", "s"), "setfit": ("#e08214", "D"),
    "frozen-logistic": ("#b8860b", "P"), "tfidf-linear": ("#4d4d4d", "o"),
    "textcnn": ("#1b9e77", "^"), "label-attention": ("#00696b", "v"), "omikuji": ("#2166ac", "<"),
    "napkinxc": ("#5aa0d8", ">"), "pecos": ("#8c564b", "X"),
}  # fmt: skip
_OTHER = ("#999999", ".")
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_ABLATION_FIGURES = ("ndcg_at_5", "tail_ndcg_at_5")  # a panel each: the steps are small
_STEPS = [model for model in MODELS if model.startswith(BASE.partition("-")[0])]


def cost_data(sections):
    """Seconds of fit and nDCG@5 in percent of our default and its peers, by set and name."""
    found = {}
    for section in sections:
        points = {
            e.name: [round(e.mean("fit_seconds"), 1), round(100 * e.mean("ndcg_at_5"), 2)]
            for e in section.entries
            if not (e.stopped or e.is_wall_clock) and (e.is_peer or e.model == OURS)
        }
        if len(points) > 1:
            found[section.name] = points
    return found


def frequency_data(sections, derived):
    """Recall@5 in percent by training texts of a label, by set and name; None where too few.

    Sets with too few bins are left out.
    """
    found = {}
    for section in sections:
        lines = {}
        for entry in _few(section):
            line = derived.recall(entry)
            if line:
                lines[entry.name] = [
                    round(100 * r, 1) if n >= MIN_PAIRS else None
                    for r, n in zip(line["recall"], line["n_pairs"], strict=True)
                ]
        n_bins = max((sum(v is not None for v in line) for line in lines.values()), default=0)
        if len(lines) > 1 and n_bins >= MIN_BINS:
            found[section.name] = lines
    return found


def curve_data(families):
    """Points (training texts, nDCG@5 in percent) by set and name."""
    found = {}
    for family in families:
        lines = {}
        for section in family:
            for entry in section.entries:
                if not entry.stopped:
                    point = [section.example["n_train"], round(100 * entry.mean("ndcg_at_5"), 2)]
                    lines.setdefault(entry.name, []).append(point)
        lines = {name: points for name, points in lines.items() if len(points) > 1}
        if lines:
            found[family[-1].name] = lines
    return found


def ablation_data(sections):
    """nDCG@5 and tail nDCG@5 in percent, by set and step."""
    return {
        section.name: {
            entry.model: [
                None if entry.mean(f) is None else round(100 * entry.mean(f), 2)
                for f in _ABLATION_FIGURES
            ]
            for entry in section.entries
            if not entry.stopped
        }
        for section in sections
    }


def all_data(kept, derived):
    """Data of every picture by its name; a picture without data is left out."""
    shown = {
        "cost": cost_data(kept.sections),
        "frequency": frequency_data(kept.sections, derived),
        "curves": curve_data(kept.curves),
        "ablation": ablation_data(kept.ablation),
        "readme": cost_data([s for s in kept.sections if s.name in README_SETS]),
    }
    return {name: data for name, data in shown.items() if data}


def draw(name, data, path):
    """Draw one picture as SVG, the same bytes for the same data and matplotlib."""
    import matplotlib

    style = {
        "svg.hashsalt": "skrr2qc", "font.family": "DejaVu Sans", "font.size": 8,
        "axes.titlesize": 9, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.color": "#e4e4e4", "grid.linewidth": 0.6, "axes.axisbelow": True,
    }  # fmt: skip
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **style}):
        n_panels = len(data) * (len(_ABLATION_FIGURES) if name == "ablation" else 1)
        figure, axes = _panels(n_panels, has_legend=name != "ablation")
        handles = _DRAWERS[name](axes, data)
        if handles:
            names = sorted(handles, key=_order)
            figure.legend(
                [handles[n] for n in names], names, loc="outside upper center", frameon=False,
                ncols=2, columnspacing=1.5, handletextpad=0.5, borderaxespad=0.2,
            )  # fmt: skip
        drawn = StringIO()
        figure.savefig(drawn, format="svg", facecolor="white", metadata=_NO_METADATA)
    path.write_text(_smaller(drawn.getvalue()), encoding="utf-8")


def _few(section):
    """Our default, the tuned linear model, and the best peers."""
    entries = [e for e in section.entries if e.mean("ndcg_at_5") is not None]
    peers = sorted((e for e in entries if e.is_peer), key=lambda e: -e.mean("ndcg_at_5"))
    linear = [e for e in peers if e.model == "tfidf-linear"]
    others = [e for e in peers if e not in linear][: _N_PEERS - len(linear)]
    return [*(e for e in entries if e.model == OURS), *linear, *others]


def _panels(n_panels, *, has_legend):
    from matplotlib.figure import Figure

    n_columns = min(_COLUMNS, n_panels)
    n_rows = -(-n_panels // n_columns)
    height = _PANEL_HEIGHT * n_rows + 0.2 + 0.8 * has_legend
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for empty in axes.ravel()[n_panels:]:
        empty.axis("off")
    return figure, axes.ravel()[:n_panels]


def _draw_cost(axes, data):
    handles = {}
    seconds = [x for points in data.values() for x, _ in points.values()]
    for ax, (title, points) in zip(axes, data.items(), strict=True):
        for name, (x, y) in points.items():
            drawn = ax.plot(max(x, 0.1), y, **_style(name))
            handles.setdefault(name, drawn[0])
        ax.set(xscale="log", xlim=(max(min(seconds), 0.1) / 2, 2 * max(seconds)))
        ax.set_xticks(list(_TIMES), list(_TIMES.values()))
        ax.minorticks_off()
        ax.margins(y=0.15)
        ax.yaxis.get_major_locator().set_params(integer=True, nbins=5)
        ax.set_title(title)
    _label_outer(axes, "training time", "nDCG@5, %", shared="x")
    return handles


def _draw_frequency(axes, data):
    handles = {}
    for ax, (title, lines) in zip(axes, data.items(), strict=True):
        for name, values in lines.items():
            shown = [float("nan") if value is None else value for value in values]
            drawn = ax.plot(range(len(BINS)), shown, **_style(name, is_line=True))
            handles.setdefault(name, drawn[0])
        ax.set(xlim=(-0.4, len(BINS) - 0.6), ylim=(-3, 103), yticks=(0, 25, 50, 75, 100))
        ax.set_xticks(range(len(BINS)), BINS, rotation=45)
        ax.set_title(title)
    _label_outer(axes, "training texts of a label", "recall@5, %", shared="xy")
    return handles


def _draw_curves(axes, data):
    handles = {}
    for ax, (title, lines) in zip(axes, data.items(), strict=True):
        sizes = sorted({n for points in lines.values() for n, _ in points})
        for name, points in lines.items():
            drawn = ax.plot(*zip(*points, strict=True), **_style(name, is_line=True))
            handles.setdefault(name, drawn[0])
        ax.set_xscale("log")
        ax.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=45)
        ax.minorticks_off()
        ax.set_title(title)
    _label_outer(axes, "training texts", "nDCG@5, %")
    return handles


def _draw_ablation(axes, data):
    panels = [(title, column) for title in data for column in range(len(_ABLATION_FIGURES))]
    for ax, (title, column) in zip(axes, panels, strict=True):
        names = [step for step in _STEPS if step in data[title]]
        values = [data[title][name][column] for name in names]
        shown = [float("nan") if value is None else value for value in values]
        ax.plot(shown, range(len(names)), "o", color="#c8102e", markersize=4)
        ax.set_yticks(range(len(names)), [name.partition("-")[2] for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.margins(x=0.15)
        ax.set_title(f"{title}: {FIGURES[_ABLATION_FIGURES[column]]}")
    _label_outer(axes, "%", "", shared="y")


def _label_outer(axes, xlabel, ylabel, *, shared=""):
    """Name axes at the edges of the figure; ticks of `shared` axes have numbers there alone."""
    for number, ax in enumerate(axes):
        if number >= len(axes) - _COLUMNS:
            ax.set_xlabel(xlabel)
        elif "x" in shared:
            ax.tick_params(labelbottom=False)
        if number % _COLUMNS == 0:
            ax.set_ylabel(ylabel)
        elif "y" in shared:
            ax.tick_params(labelleft=False)


def _smaller(svg):
    """The same picture in fewer bytes: no indents, no names of groups, hundredths of a point."""
    svg = re.sub(r"\n\s*|<!-- .*? -->\n", "\n", svg).replace(" \n", "\n")
    svg = re.sub(r'<g id="\w+">', "<g>", svg)
    places = r' (?:d|x|y)="[^"]*"|translate\([^)]*\)'
    return re.sub(places, lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)


def _style(name, *, is_line=False):
    """One colour and marker a model; hollow and dashed where its encoder is the compact one."""
    model, _, encoder = name.partition(" ")
    color, marker = _STYLES.get(model, _OTHER)
    is_compact = encoder == "(compact)"
    size = (9 if marker == "*" else 5) * (0.7 if is_line else 1)
    style = {"color": color, "marker": marker, "markersize": size, "linewidth": 1.2}
    style["markerfacecolor"] = "white" if is_compact else color
    style["zorder"] = 3 if model == OURS else 2
    style["linestyle"] = ("--" if is_compact else "-") if is_line else ""
    return style


def _order(name):
    model = name.partition(" ")[0]
    return (MODELS.index(model) if model in MODELS else len(MODELS), name)


_DRAWERS = {
    "cost": _draw_cost, "readme": _draw_cost, "frequency": _draw_frequency,
    "curves": _draw_curves, "ablation": _draw_ablation,
}  # fmt: skip
