"""What an explanation holds, and how it reads: as data, in words, as a frame, as HTML."""

import html
import re
from dataclasses import asdict, dataclass, field

_TEXT_LENGTH = 90  # characters of a text in words
_PAGE_LENGTH = 400  # and in HTML
_NAME_LENGTH = 60
_MOST_META = 8  # meta-labels of a label in words; data and HTML have them all
# Control characters, halves of surrogate pairs, and what turns the direction of writing: they
# break terminals, encodings or the lines around them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_STYLE = """
.skrr2qc-explanation {line-height: 1.45; max-width: 52em; color: inherit}
.skrr2qc-explanation p {margin: .3em 0}
.skrr2qc-explanation ol, .skrr2qc-explanation ul {margin: .4em 0; padding-left: 0; list-style: none}
.skrr2qc-explanation li {margin: 0 0 .8em; padding: .5em .8em; overflow-wrap: anywhere;
  border: 1px solid rgba(128, 128, 128, .45); border-radius: .4em}
.skrr2qc-explanation table {border-collapse: collapse; margin: .3em 0; color: inherit;
  background: none; font-size: inherit}
.skrr2qc-explanation td, .skrr2qc-explanation th {padding: .05em .7em .05em 0; border: none;
  overflow-wrap: break-word;
  text-align: left; vertical-align: top; font-weight: normal; background: none; color: inherit}
.skrr2qc-explanation th {opacity: .75; white-space: nowrap}
.skrr2qc-explanation td.number {text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap}
.skrr2qc-explanation td.scale {min-width: 8em; vertical-align: middle}
.skrr2qc-explanation .scale span {display: block; height: .6em; border-radius: .15em;
  min-width: 1px; background: #4a8fd4}
.skrr2qc-explanation .scale span.minus {background: #d98032}
"""


@dataclass(frozen=True, kw_only=True)
class LabelReason:
    """One label of a text, and what speaks for it.

    Attributes
    ----------
    label : str or int
        Its name, or its column where the classifier knows no names.
    rank : int
        1 for the best label, after reranking.
    score : float
        In [0, 1], after reranking and calibration, as `predict_proba` gives it.
    retrieval_rank : int
        1 for the label that retrieval put first.
    retrieval_score : float
        In [0, 1], before reranking.
    reranked_score : float
        After reranking, before calibration.
    channels : dict of str to float
        What each retrieval channel ("head", "lexical", "label_texts") adds to the log-odds of
        `retrieval_score`, against what it says of an average text and label. Empty for a label
        of which retrieval knows nothing.
    base : float
        Log-odds before any channel: ``base + sum(channels.values())`` are those of
        `retrieval_score`.
    meta_scores : dict of (str or int) to float
        Score of each of the label's meta-labels; empty without reranking.
    reranking : dict of str to float
        What "retrieval", "rare_retrieval", "meta_labels", "neighbors", "rare_neighbors", "votes",
        "co_occurrence" and the constant "base" add up to in a learned combination: the log-odds
        of `reranked_score`. Empty for a product.
    nearest : list of (str, float)
        Training texts with this label and their cosine similarity, nearest first.
    factor : float or None
        ``reranked_score / retrieval_score``; None where nothing was retrieved.
    """

    label: object
    rank: int
    score: float
    retrieval_rank: int
    retrieval_score: float
    reranked_score: float
    channels: dict = field(default_factory=dict)
    base: float = 0.0
    meta_scores: dict = field(default_factory=dict)
    reranking: dict = field(default_factory=dict)
    nearest: list = field(default_factory=list)

    @property
    def factor(self):
        return self.reranked_score / self.retrieval_score if self.retrieval_score else None

    def to_dict(self):
        """The attributes as plain data; lists of dicts for `meta_scores` and `nearest`."""
        meta = [{"meta_label": name, "score": score} for name, score in self.meta_scores.items()]
        nearest = [{"text": text, "similarity": s} for text, s in self.nearest]
        return asdict(self) | {"factor": self.factor, "meta_scores": meta, "nearest": nearest}


@dataclass(frozen=True)
class Explanation:
    """Proposed labels of one text, best first; ``print`` it, or let a notebook show it.

    Attributes
    ----------
    text : str
    reasons : list of LabelReason
        The labels asked for.
    dropped : list of LabelReason
        Labels that retrieval had among as many, and reranking has not; in the order of
        retrieval, without nearest texts.

    Examples
    --------
    >>> reason = LabelReason(
    ...     label="mean", rank=1, score=0.6, retrieval_rank=2, retrieval_score=0.5,
    ...     reranked_score=0.4, channels={"head": 1.5, "lexical": -0.5}, base=-1.0,
    ...     meta_scores={"average": 0.8}, nearest=[("the mean of 1 and 2", 0.9)],
    ... )
    >>> print(Explanation("What is the mean?", [reason]))
    “What is the mean?”
      1. mean  (score 0.600)
         retrieved at rank 2 with score 0.500; reranked: × 0.80, rank 2 → 1
         evidence (log-odds): head +1.50, lexical -0.50, base -1.00
         its concepts in this text: average 0.80
         like “the mean of 1 and 2” (0.90)
    """

    text: str
    reasons: list
    dropped: list = field(default_factory=list)

    def __str__(self):
        lines = [f"“{_cut(self.text)}”"]
        for reason in self.reasons:
            name = _cut(reason.label, _NAME_LENGTH)
            lines.append(f"  {reason.rank}. {name}  (score {reason.score:.3f})")
            lines.append(f"     retrieved {_history(reason)}")
            lines += [f"     {line}" for line in _evidence_lines(reason)]
        if self.dropped:
            lines.append("  no longer among them after reranking:")
        for reason in self.dropped:
            lines.append(f"  - {_cut(reason.label, _NAME_LENGTH)}: was {_history(reason)}")
            if reason.meta_scores:
                lines.append(f"     {_concepts(reason)}")
        return "\n".join(lines)

    def to_dict(self):
        """Plain data, which ``json.dumps`` takes.

        Returns
        -------
        data : dict
            ``text``, and under ``reasons`` and ``dropped`` one dict a label with the attributes
            of `LabelReason`.
        """
        return {
            "text": self.text,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "dropped": [reason.to_dict() for reason in self.dropped],
        }

    def to_frame(self):
        """One row a label, for tables.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``label``, ``rank``, ``score``, ``retrieval_rank``, ``retrieval_score``,
            ``reranked_score``, ``factor``, ``base``, one ``channel_*`` a channel,
            ``reranking_*``, ``meta_score`` (the mean), ``nearest_text``, ``similarity`` and
            ``dropped``.

        Raises
        ------
        ImportError
            If pandas is missing.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                'to_frame needs pandas, which is not installed: pip install "skrr2qc[data]". '
                "to_dict gives the same without it."
            ) from error
        rows = [_row(r, False) for r in self.reasons] + [_row(r, True) for r in self.dropped]
        return pd.DataFrame(rows)

    def to_html(self):
        """A whole page without scripts or links, to be written to a file in UTF-8."""
        return (
            '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Explanation</title>\n'
            '<meta name="viewport" content="width=device-width">\n'
            '<meta name="color-scheme" content="light dark">\n'
            "<style>body {font-family: sans-serif; margin: 1.5em}</style></head>\n"
            f"<body>\n{self._repr_html_()}</body></html>\n"
        )

    def _repr_html_(self):
        """What notebooks show: a fragment that takes its colours from the page around it."""
        largest = max((abs(v) for r in self.reasons for v in r.channels.values()), default=0.0)
        parts = ['<div class="skrr2qc-explanation">', f"<style>{_STYLE}</style>"]
        parts += [f"<p>“{_safe(self.text)}”</p>", "<ol>"]
        parts += [_item(reason, largest or 1.0) for reason in self.reasons]
        parts.append("</ol>")
        if self.dropped:
            parts.append("<p>No longer among them after reranking:</p>\n<ul>")
            for reason in self.dropped:
                name = f"<strong>{_safe(reason.label)}</strong>"
                meta = _table(_meta_rows(reason)) if reason.meta_scores else ""
                parts.append(f"<li>{name}: was {html.escape(_history(reason))}{meta}</li>")
            parts.append("</ul>")
        return "\n".join([*parts, "</div>\n"])


def _cut(text, length=_TEXT_LENGTH):
    """One line of at most `length` characters that any terminal can print."""
    text = " ".join(_UNPRINTABLE.sub("\ufffd", str(text)).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _history(reason):
    """What became of a label: its rank and score before and after reranking."""
    place = f"at rank {reason.retrieval_rank} with score {reason.retrieval_score:.3f}"
    moved = reason.rank != reason.retrieval_rank
    if not reason.meta_scores and not moved and reason.factor in (None, 1.0):
        return place
    factor = "" if reason.factor is None else f" × {reason.factor:.2f},"
    ranks = f"rank {reason.retrieval_rank} → {reason.rank}" if moved else "same rank"
    return f"{place}; reranked:{factor} {ranks}"


def _evidence_lines(reason):
    if reason.channels:
        parts = [f"{name} {value:+.2f}" for name, value in reason.channels.items()]
        yield f"evidence (log-odds): {', '.join(parts)}, base {reason.base:+.2f}"
    if reason.meta_scores:
        yield _concepts(reason)
    if reason.reranking:
        parts = [
            f"{name.replace('_', '-')} {value:+.2f}" for name, value in reason.reranking.items()
        ]
        yield f"reranked by (log-odds): {', '.join(parts)}"
    for text, similarity in reason.nearest:
        yield f"like “{_cut(text)}” ({similarity:.2f})"


def _concepts(reason):
    parts = [f"{_cut(name, 40)} {score:.2f}" for name, score in reason.meta_scores.items()]
    more = [f"and {len(parts) - _MOST_META} more"] if len(parts) > _MOST_META else []
    return f"its concepts in this text: {', '.join(parts[:_MOST_META] + more)}"


def _row(reason, is_dropped):
    nearest_text, similarity = reason.nearest[0] if reason.nearest else (None, None)
    scores = list(reason.meta_scores.values())
    names = ("label", "rank", "score", "retrieval_rank", "retrieval_score", "reranked_score")
    return (
        {name: getattr(reason, name) for name in (*names, "factor", "base")}
        | {f"channel_{name}": value for name, value in reason.channels.items()}
        | {f"reranking_{name}": value for name, value in reason.reranking.items()}
        | {"meta_score": sum(scores) / len(scores) if scores else None}
        | {"nearest_text": nearest_text, "similarity": similarity, "dropped": is_dropped}
    )


def _safe(text, length=_PAGE_LENGTH):
    """Text that a browser takes for text, whatever is in it and whichever way it is written."""
    return f"<bdi>{html.escape(_cut(text, length))}</bdi>"


def _item(reason, largest):
    rows = [_line("score", _bar(reason.score), f"{reason.score:.3f}")]
    for name, value in reason.channels.items():
        rows.append(_line(_safe(name), _bar(value / largest), f"{value:+.2f}", "evidence"))
    rows += _meta_rows(reason)
    for name, value in reason.reranking.items():
        rows.append(_line(_safe(name), "", f"{value:+.2f}", "reranking"))
    name, place = f"<strong>{_safe(reason.label)}</strong>", html.escape(_history(reason))
    nearest = [f"<p>like “{_safe(text)}” ({s:.2f})</p>" for text, s in reason.nearest]
    body = "\n".join([_table(rows), *nearest])
    return f"<li><p>{reason.rank}. {name}</p>\n<p>retrieved {place}</p>\n{body}</li>"


def _meta_rows(reason):
    items = reason.meta_scores.items()
    return [_line(_safe(name), _bar(score), f"{score:.2f}", "concept") for name, score in items]


def _table(rows):
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def _line(name, bar, number, kind=""):
    return (
        f'<tr><th>{kind}</th><td>{name}</td><td class="scale">{bar}</td>'
        f'<td class="number">{number}</td></tr>'
    )


def _bar(share):
    """A bar whose length, out of 1, is the size of `share`; its colour tells the sign."""
    sign = ' class="minus"' if share < 0 else ""
    return f'<span{sign} style="width: {100 * min(1.0, abs(share)):.1f}%"></span>'
