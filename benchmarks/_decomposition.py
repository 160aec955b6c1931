"""Meta-labels without a model: size, rules, agreement with the experts, similarity of labels."""

import json
import time
from functools import cache
from pathlib import Path

from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from skrr2qc import LabelSpace
from skrr2qc.meta_labels import NameDecomposer, check_meta_labels, meta_label_pair_scores
from skrr2qc.metrics import label_similarity_report

from ._models import find_encoder

MAPS = ("da20k", "math_junior", "math_senior", "physics_senior")
SETS = ("da20k", "baidu_hs4", "arc", "eurlex57k", "cpv", "hoc")
METHODS = {
    "names": NameDecomposer(),
    "names, no heads": NameDecomposer(add_heads=False),
    "names, all parents": NameDecomposer(parents="always"),
}
_ENGLISH = ("arc", "eurlex57k", "hoc")
_MAP_FOLDER = "rr2qc_label_maps"
_N_DIMENSIONS = 64


def decomposition_records(data_folder, maps=MAPS, sets=SETS):
    """Decompose label names, once for each set and method.

    Parameters
    ----------
    data_folder : str or path
        Holds the sets and the folder of the experts' maps; what is missing is left out.
    maps : sequence of str
        Maps whose label names are decomposed without a hierarchy, and compared with the experts.
    sets : sequence of str
        Sets that are decomposed with their texts and hierarchy.

    Returns
    -------
    records : list of dict
        ``set``, ``method``, ``hierarchy`` (whether one was given), ``n_labels``,
        ``n_meta_labels``, ``mean_per_label``, ``max_per_label``, ``n_without``, ``n_kept`` (labels
        that kept a phrase against the rules), ``coverage``, ``violations`` (number by rule),
        ``seconds``, ``pairs`` (precision, recall, f1; None without experts) and ``similarity``:
        for each embedding the figures of `label_similarity_report` of labels and meta-labels.
    """
    folder = Path(data_folder)
    experts = {name: _expert_map(folder, name) for name in MAPS}
    records = []
    for name in (name for name in maps if experts[name] is not None):
        expert, bare = experts[name], LabelSpace(experts[name].names)
        report = check_meta_labels(expert)
        records.append(_record(name, "experts", expert, report, None, expert))
        for method in ("names", "names, no heads"):
            records.append(_decompose(name, method, bare, expert))
    for name in (name for name in sets if (folder / name / "labels.json").is_file()):
        labels = _label_space(folder / name / "labels.json")
        for method in ("names", "names, all parents"):
            records.append(_decompose(name, method, labels, experts.get(name)))
    return records


def _decompose(name, method, labels, expert):
    started = time.perf_counter()
    found, report = METHODS[method].decompose(labels, return_report=True)
    return _record(name, method, found, report, time.perf_counter() - started, expert)


def _record(name, method, labels, report, seconds, expert):
    pairs = None if expert is None else meta_label_pair_scores(labels, expert)
    return {
        "set": name,
        "method": method,
        "hierarchy": bool(labels.parents),
        "n_labels": report.n_labels,
        "n_meta_labels": report.n_meta_labels,
        "mean_per_label": report.mean_per_label,
        "max_per_label": report.max_per_label,
        "n_without": len(report.without),
        "n_kept": len(report.kept),
        "coverage": report.coverage,
        "violations": {str(rule): len(found) for rule, found in report.violations.items()},
        "seconds": seconds,
        "pairs": pairs,
        "similarity": _similarities(name, labels),
    }


def _similarities(name, labels):
    texts = {"labels": list(labels.texts), "meta_labels": list(labels.meta_names)}
    # Texts, not labels: several nodes may be called the same.
    all_texts = sorted({text for part in texts.values() for text in part})
    embeddings = {"characters": _embed_by_characters(all_texts)}
    if name in _ENGLISH:
        vectors = _embed_by_minilm(all_texts)
        if vectors is not None:
            embeddings["minilm"] = vectors
    row = {text: i for i, text in enumerate(all_texts)}
    return {
        shown: {
            part: label_similarity_report(vectors[[row[text] for text in found]])
            for part, found in texts.items()
        }
        for shown, vectors in embeddings.items()
    }


def _embed_by_characters(texts):
    """Latent semantic analysis of runs of one to three characters."""
    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    matrix = counts.fit_transform(texts)
    n_dimensions = min(_N_DIMENSIONS, min(matrix.shape) - 1)
    return TruncatedSVD(n_dimensions, random_state=0).fit_transform(matrix)


def _embed_by_minilm(texts):
    model = _minilm()
    return None if model is None else model.encode(texts, show_progress_bar=False)


@cache
def _minilm():
    try:
        folder = find_encoder("minilm")[1]
    except ValueError:
        return None
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu", local_files_only=True)


def _expert_map(folder, name):
    file = folder / _MAP_FOLDER / f"{name}.json"
    if not file.is_file():
        return None
    data = json.loads(file.read_text(encoding="utf-8"))
    return LabelSpace(data["labels"], meta_labels=data["meta_labels"])


def _label_space(file):
    """Labels of a set without its texts; a node that is its own parent is a top-level one."""
    data = json.loads(file.read_text(encoding="utf-8"))
    parents = {
        node: [name for name in above if name != node] for node, above in data["parents"].items()
    }
    above = {node: names for node, names in parents.items() if names}
    return LabelSpace(data["labels"], texts=data["texts"], parents=above)
