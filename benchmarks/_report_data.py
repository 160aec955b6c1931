"""Which kept runs the report shows: sets, models on each, who is compared with whom."""

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from ._records import read_lines, read_records
from ._table import _group, _texts_of

OURS = "skrr2qc"
_OURS_ONCE = "skrr2qc-no-refit"
FIGURES = {  # in the order of the tables
    "precision_at_1": "P@1",
    "ndcg_at_5": "nDCG@5",
    "macro_f1_at_1": "macro-F1@1",
    "macro_f1": "macro-F1",
    "psprecision_at_5": "PSP@5",
    "tail_ndcg_at_5": "tail nDCG@5",
}
MODELS = (
    *("skrr2qc", "skrr2qc-no-refit", "skrr2qc-no-rerank", "skrr2qc-tower", "skrr2qc-rcpt"),
    *("fine-tuning", "setfit", "frozen-logistic", "tfidf-linear", "textcnn", "label-attention"),
    *("omikuji", "napkinxc", "pecos"),
    *(f"ablation-{step}" for step in ("base", "tapt", "rcpt", "ccl", "rr", "all")),
)
SETS = ("arc", "da20k", "baidu_hs4", "hoc", "reuters90", "cpv", "eurlex57k", "goemotions")
BASE = "ablation-base"
_ALWAYS_PRETRAINED = ("setfit", "frozen-logistic")
_STOPPED = "stopped_after_seconds"


@dataclass(frozen=True, eq=False)
class Entry:
    """One model on one set.

    Attributes
    ----------
    model : str
    encoder : str or None
    records : tuple of dict
        One a seed.
    """

    model: str
    encoder: str | None
    records: tuple

    @property
    def name(self):
        """As the tables show it."""
        return self.model + (f" ({self.encoder})" if self.encoder else "")

    @property
    def is_pretrained(self):
        """Whether its encoder has read more than the texts of the set."""
        return self.model in _ALWAYS_PRETRAINED or self.encoder not in (None, "compact")

    @property
    def is_peer(self):
        """Whether it is neither our default nor a variant of it."""
        return self.model.partition("-")[0] not in (OURS, "ablation")

    @property
    def runs(self):
        """Names of its outcomes text by text; none if one seed has none."""
        found = tuple(record.get("run") for record in self.records)
        return found if all(found) else ()

    @property
    def stopped(self):
        """Seconds after which it was stopped, or None."""
        return self.records[0]["figures"].get(_STOPPED)

    @property
    def is_wall_clock(self):
        """Whether nobody counted what processors worked: waiting is in its seconds."""
        return not self.stopped and any(_processor_time(r) is None for r in self.records)

    def values(self, figure):
        """A figure of each seed that has it; costs as the report shows them."""
        found = ({**r["figures"], **_costs(r)}.get(figure) for r in self.records)
        return [value for value in found if value is not None]

    def mean(self, figure):
        """Mean over seeds, or None."""
        values = self.values(figure)
        return sum(values) / len(values) if values else None


@dataclass(frozen=True, eq=False)
class Section:
    """One set, trained on the same texts by all its models.

    Attributes
    ----------
    name : str
    entries : tuple of Entry
    """

    name: str
    entries: tuple

    @property
    def example(self):
        """A record, for what all have in common."""
        return self.entries[0].records[0]

    @cached_property
    def ours(self):
        """Our default; where there is none, the default without its second training."""
        found = [[e for e in self.entries if e.model == name] for name in (OURS, _OURS_ONCE)]
        return found[0] or found[1]

    @cached_property
    def peers(self):
        return [entry for entry in self.entries if entry.is_peer]

    def pairs(self, *, same):
        """Our default and a peer.

        Parameters
        ----------
        same : bool
            Whether both have an encoder that was pretrained elsewhere, or neither has. Where
            there is no such pair, a peer may be compared with the other one only.

        Returns
        -------
        pairs : list of (Entry, Entry)
            Of our entry and the peer, in the order of the peers.
        """
        return [
            (our, peer)
            for peer in self.peers
            for our in self.ours
            if _is_same(our, peer, self.ours) == same
        ]

    def steps(self):
        """Pairs of a step of the ablation and its base."""
        base = [entry for entry in self.entries if entry.model == BASE]
        return [(e, b) for b in base for e in self.entries if e is not b and e.encoder == b.encoder]


@dataclass(frozen=True, eq=False)
class Kept:
    """What there is to report.

    Attributes
    ----------
    sections : list of Section
        Each set, on the number of training texts that most models were trained on.
    curves : list of list of Section
        For each set that was also trained on fewer texts, all its sections, few texts first.
    ablation : list of Section
    measurements : list of dict
        Lines of the comparison of meta-labels.
    records : list of dict
        All those shown.
    """

    sections: list
    curves: list
    ablation: list
    measurements: list

    @property
    def records(self):
        shown = [*self.sections, *(s for curve in self.curves for s in curve), *self.ablation]
        found = {id(r): r for s in shown for entry in s.entries for r in entry.records}
        return list(found.values())


def read_kept(folder):
    """Sections of the records of ``compare.jsonl`` and ``ablation.jsonl`` in a folder."""
    compared = _sections(_counted(read_records(Path(folder, "compare.jsonl"))))
    ablation = _sections(_counted(read_records(Path(folder, "ablation.jsonl"))))
    families = [list(g) for _, g in groupby(compared, key=lambda s: _family(s.example))]
    curves = [family for family in families if len(family) > 1]
    measurements = read_lines(Path(folder, "reranking.jsonl"))
    return Kept([_fullest(family) for family in families], curves, ablation, measurements)


def _fullest(family):
    """The section with the most models; of several, the one with the most texts."""
    return max(family, key=lambda s: (len(s.entries), s.example["n_train"]))


def _costs(record):
    """Seconds, milliseconds a text and MiB; wall-clock where processor time was not counted."""
    figures = record["figures"]
    is_apart = _is_apart(figures)
    seconds, per_text = _processor_time(record) or (
        figures.get("fit_seconds"),
        1000 * figures["predict_seconds"] / record["n_test"]
        if is_apart
        else figures.get("ms_per_text"),
    )
    memory = figures.get("fit_memory_mib" if is_apart else "memory_mib")
    return {"fit_seconds": seconds, "ms_per_text": per_text, "memory_mib": memory}


def _processor_time(record):
    """Processor seconds of fit and milliseconds a text, of all threads; None if not counted."""
    figures = record["figures"]
    name = "predict_processor_seconds" if _is_apart(figures) else "processor_ms_per_text"
    if name not in figures or "fit_processor_seconds" not in figures:
        return None
    factor = 1000 / record["n_test"] if _is_apart(figures) else 1
    return figures["fit_processor_seconds"], factor * figures[name]


def _is_apart(figures):
    """Whether a peer worked in a process of its own: the others' costs are of this one."""
    return "predict_seconds" in figures


def _is_same(our, peer, ours):
    """Whether encoders match: the very same where one of ours has it, else of the same kind."""
    if our.is_pretrained != peer.is_pretrained:
        return False
    exact = peer.encoder in [entry.encoder for entry in ours]
    return our.encoder == peer.encoder or not exact


def _counted(records):
    """Records on test parts; of a set, model and encoder only the best kept kind."""
    records = [record for record in records if record["part"] == "test"]
    kinds = {}
    for record in records:
        kinds.setdefault(_name(record), set()).add(_kind(record))
    return [record for record in records if _kind(record) == max(kinds[_name(record)])]


def _kind(record):
    """2: with outcomes text by text; 1: an earlier run; 0: stopped."""
    return 2 if "run" in record else int(_STOPPED not in record["figures"])


def _name(record):
    return (*_texts_of(record), record["model"], record["encoder"])


def _family(record):
    """What runs have in common that differ in the number of training texts alone."""
    return tuple(str(record[n]) for n in ("set", "subset", "n_characters"))


def _sections(records):
    """Sections in the order of sets, then of the number of training texts."""
    by_texts = {}
    for group in _group(records)[0]:
        entry = Entry(group[0]["model"], group[0]["encoder"], tuple(group))
        by_texts.setdefault(_texts_of(group[0]), []).append(entry)
    examples = [entries[0].records[0] for entries in by_texts.values()]
    found = [
        Section(_title(entries[0].records[0], examples), tuple(sorted(entries, key=_model_order)))
        for entries in by_texts.values()
    ]
    return sorted(found, key=_set_order)


def _title(record, others):
    """Shortest name that tells a family from the others."""
    parts = [record["set"], (record["subset"] or "").removeprefix("subset_")]
    lengths = {_family(other) for other in others if _family(other)[:2] == _family(record)[:2]}
    if len(lengths) > 1:
        n_characters = record["n_characters"]
        parts.append(f"{n_characters} chars" if n_characters else "whole")
    return " ".join(part for part in parts if part)


def _set_order(section):
    record = section.example
    return (_index(SETS, record["set"]), _family(record), record["n_train"])


def _model_order(entry):
    return (_index(MODELS, entry.model), not entry.is_pretrained, entry.name)


def _index(known, name):
    return (known.index(name), "") if name in known else (len(known), name)
