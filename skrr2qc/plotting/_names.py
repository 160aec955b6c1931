"""Names on pictures: cut to length, taken literally, in a font that can draw them."""

import re
import unicodedata
import warnings
from itertools import accumulate

MAX_TICK_NAMES = 40  # more do not fit beside an axis; columns are then numbered
_WIDTH = 26  # of a name, in Latin letters
# Tried in this order where the fonts in use lack a character.
_WIDE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "STHeiti", "SimHei", "DengXian", "SimSun", "Songti SC",
    "Noto Serif CJK SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR",
    "Droid Sans Fallback", "AR PL UMing CN", "Arial Unicode MS", "Unifont", "Noto Sans",
)  # fmt: skip
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def short_name(name, width=_WIDTH):
    """A name on one line, cut in the middle; Chinese characters count as two letters.

    Examples
    --------
    >>> short_name("graphs of quadratic functions in vertex form"), short_name(7)
    ('graphs of quadra…rtex form', '7')
    """
    name = " ".join(_UNPRINTABLE.sub("\ufffd", str(name)).split())
    sizes = [2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in name]
    if sum(sizes) <= width:
        return name
    tail = (width - 1) * 3 // 8  # names of one kind often differ at their end
    n_head = sum(used <= width - 1 - tail for used in accumulate(sizes))
    n_tail = sum(used <= tail for used in accumulate(reversed(sizes)))
    return name[:n_head] + "…" + name[len(name) - n_tail :]


def drawable_names(names, columns=None):
    """Short names, and the properties of a matplotlib text that draw them.

    Parameters
    ----------
    names : sequence of str, or None
        None takes `columns` for names.
    columns : sequence of int, default=None
        Their columns; None counts from 0. Takes the place of a name that no font can draw.

    Returns
    -------
    names : list of str
    properties : dict
        For ``matplotlib.text.Text``: dollar signs are no mathematics, and a further font stands
        behind those of the rcParams, which are not changed.

    Warns
    -----
    UserWarning
        If no installed font has some of the characters.
    """
    if names is None:
        return [str(column) for column in columns], {"parse_math": False}
    columns = range(len(names)) if columns is None else columns
    names = [short_name(name) for name in names]
    missing = set("".join(names)) - {" "}
    families, extra = _families_in_use(), []
    for family in families:
        missing -= _characters(family)
    for family in _WIDE_FONTS if missing else ():
        found = missing & _characters(family)
        if found:
            extra.append(family)
            missing -= found
    properties = {"parse_math": False}
    if extra:
        properties["fontfamily"] = [*families, *extra]
    if not missing:
        return names, properties
    is_lost = [not missing.isdisjoint(name) for name in names]
    warnings.warn(
        f"{sum(is_lost)} of {len(names)} names are replaced by their column: no installed font "
        f"has characters such as {min(missing)!r}. Install one that has, such as Noto Sans CJK "
        "(package fonts-noto-cjk), or set the rcParam font.family.",
        UserWarning,
        stacklevel=4,
    )
    pairs = zip(names, columns, is_lost, strict=True)
    return [str(column) if lost else name for name, column, lost in pairs], properties


def tick_names(axis, names, columns=None, **properties):
    """Write names beside an axis, one at each whole number from 0."""
    names, known = drawable_names(names, columns)
    axis.set_ticks(range(len(names)), labels=names, **known, **properties)


def named_legend(ax, handles, names, **properties):
    """A legend whose texts are names, whatever they begin with."""
    names, known = drawable_names(names)
    legend = ax.legend(handles, [str(i) for i in range(len(names))], **properties)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, **known)
    return legend


def _families_in_use():
    """Families of the rcParams, those that are not installed left out."""
    from matplotlib.font_manager import FontProperties

    families = FontProperties().get_family()
    return [family for family in families if _characters(family)] or list(families)


def _characters(family):
    """Characters that the font matplotlib takes for a family has; none if it has no such font."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    try:
        path = findfont(FontProperties(family=[family]), fallback_to_default=False)
    except ValueError:
        return set()
    return set(map(chr, get_font(path).get_charmap()))
