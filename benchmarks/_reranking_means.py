"""Means over sets of what reranking changes: by map, and with the better of its two forms."""

from ._differences import mean_cells
from ._reranking_variants import NO_MAP

_FORMS = ("product", "learned")
_BETTER = "the better"
_EITHER = "expert, else auto"
_CHOSEN_BY = "ndcg_at_5"


def mean_rows(differences):
    """Rows of the table of means.

    Parameters
    ----------
    differences : list of dict
        Of single sets, as `difference_records` gives them.

    Returns
    -------
    rows : list of list of str
        Only of what more than one set has.
    """
    rows = []
    for (part, towers, against), members in _split(differences).items():
        for name, chosen in _by_map(members).items():
            if len(chosen) < 2:
                continue
            shown = name + (", two towers" if towers == "two" else "")
            for form in (*_FORMS, _BETTER):
                figures = [f for f in (_of_form(d["differences"], form) for d in chosen) if f]
                if len(figures) == len(chosen):
                    title = f"{len(chosen)} {part}"
                    rows.append([title, shown, form, against, *mean_cells(figures)])
    return rows


def better(variants):
    """The form with the higher nDCG@5, of those that there are."""
    there = [form for form in _FORMS if form in variants]
    return max(there, key=lambda form: variants[form][_CHOSEN_BY][0])


def _split(differences):
    found = {}
    for record in differences:
        key = (record["part"], record["towers"], record["against"])
        found.setdefault(key, []).append(record)
    return found


def _by_map(members):
    """Differences by map; one more for sets that have either, where both occur."""
    found = {}
    for record in members:
        found.setdefault(record["map"], []).append(record)
    if "expert" in found and "auto" in found:
        expert = {_texts_of(record) for record in found["expert"]}
        rest = [record for record in found["auto"] if _texts_of(record) not in expert]
        if rest:
            found[_EITHER] = [*found["expert"], *rest]
    return dict(sorted(found.items(), key=lambda item: item[0] == NO_MAP))


def _texts_of(record):
    names = ("set", "n_train", "subset", "n_characters", "encoder")
    return tuple(record[name] for name in names)


def _of_form(variants, form):
    if form == _BETTER:
        return variants[better(variants)] if len(variants.keys() & set(_FORMS)) == 2 else None
    return variants.get(form)
