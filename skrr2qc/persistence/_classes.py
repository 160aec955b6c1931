"""What a saved model may be made of: nothing else is ever instantiated from a file."""

import dataclasses
import inspect
import re
from importlib import import_module

import numpy as np


class SavedModelError(ValueError):
    """A folder is no whole model that this version can read, or a model cannot be written."""


_OURS = {
    "RCPTEncoder": "encoders",
    "ClassCenterHead": "classifiers",
    "MetaLabelReranker": "classifiers",
    "MultilabelThresholdTuner": "classifiers",
    "RetrievalRerankClassifier": "classifiers",
    "TfidfLinearClassifier": "baselines",
    "TextCNNClassifier": "baselines",
    "NumberFoldingVectorizer": "baselines._features",
    "ChannelBlend": "classifiers._blend",
    "LabelTextSimilarity": "classifiers._label_texts",
    "LabelNeighbors": "classifiers._neighbors",
    "LabelCooccurrence": "classifiers._cooccurrence",
    "Combination": "classifiers._combination",
    "EncodeStep": "classifiers._steps",
    "ScoreStep": "classifiers._steps",
    "RerankStep": "classifiers._steps",
    "CalibrationCurve": "classifiers._calibration",
    "Decision": "_thresholds",
    "TextTokenizer": "text",
    "MultilabelStratifiedKFold": "model_selection",
    "NameDecomposer": "meta_labels",
    "SolutionAugmenter": "augmentation",
}
_TEXT_VECTORIZERS = ("TfidfVectorizer", "CountVectorizer", "HashingVectorizer")
_SKLEARN = {
    **dict.fromkeys((*_TEXT_VECTORIZERS, "TfidfTransformer"), "feature_extraction.text"),
    **dict.fromkeys(("Pipeline", "FeatureUnion"), "pipeline"),
    **dict.fromkeys(("OneVsRestClassifier", "_ConstantPredictor"), "multiclass"),
    **dict.fromkeys(("LabelBinarizer", "MultiLabelBinarizer"), "preprocessing"),
    **dict.fromkeys(("MaxAbsScaler", "Normalizer", "StandardScaler"), "preprocessing"),
    **dict.fromkeys(("LogisticRegression", "Ridge", "RidgeClassifier"), "linear_model"),
    **dict.fromkeys(("BernoulliNB", "ComplementNB", "MultinomialNB"), "naive_bayes"),
    **dict.fromkeys(("KFold", "StratifiedKFold"), "model_selection"),
    "FrozenEstimator": "frozen",
    "LinearSVC": "svm",
    "MultiOutputClassifier": "multioutput",
    "TruncatedSVD": "decomposition",
}
# Name in files -> module. Names stay for good: a class that moves changes its module alone.
CLASSES = {name: f"skrr2qc.{home}" for name, home in _OURS.items()}
CLASSES |= {f"sklearn.{name}": f"sklearn.{home}" for name, home in _SKLEARN.items()}
TEXT_VECTORIZERS = {"NumberFoldingVectorizer"} | {f"sklearn.{name}" for name in _TEXT_VECTORIZERS}

# Of scikit-learn's layouts these have not changed in years; of others a version may differ.
_STABLE = ("sklearn.feature_extraction.text", "sklearn.pipeline", "sklearn.frozen")

# Parameters that speak of places on one machine, and what Python invents for a process.
PLACES = {"memory": None, "checkpoint_dir": None}
LEFT_OUT = {"_stop_words_id"}
TRAINING_TEXTS = ("train_texts_", "train_labels_")

# Class -> attribute -> value, of what came after a model may have been saved: fitted attributes of
# estimators, fields of records.
ADDED_SINCE: dict[str, dict] = {
    "Combination": {"unseen_shift": 0.0},
    "Decision": {"at_least_one": False},
    "MetaLabelReranker": {"cooccurrence_": None, "label_counts_": None},
}

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
# A hostile pattern can take forever on a short text. Those that were ever a default are known.
KNOWN_PATTERNS = {
    r"(?u)\b\w\w+\b",
    r"(?u)\b\w+\b",
    r"\\[a-zA-Z]+|\d+(?:[.,/:]\d+)*|[^\W\d_]+|[^\w\s]",
    rf"\\[a-zA-Z]+|\d+(?:[.,/:]\d+)*|[{_CJK}]|[^\W\d_{_CJK}]+|[^\w\s]",
}

NUMBER_TYPES = {
    name: np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}

# Kinds of the transformers library: each builds an encoder from its own code.
BACKBONE_TYPES = {
    *("albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie"),
    *("eurobert", "gemma3_text", "llama", "luke", "megatron-bert", "mistral", "mobilebert"),
    *("modernbert", "mpnet", "nomic_bert", "nystromformer", "qwen2", "qwen3", "rembert"),
    *("roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta"),
    *("xlm-roberta-xl", "xmod"),
}
# Keys that some version of that library names in one class and another in all of them.
_OF_ALL_CONFIGS = {
    *("model_type", "position_embedding_type", "chunk_size_feed_forward", "tie_word_embeddings"),
    *("is_decoder", "is_encoder_decoder", "add_cross_attention", "use_cache"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id"),
}
# Keys of a configuration that can make that library ask a hub, or that say nothing of a network.
_NEVER_IN_CONFIG = re.compile(
    "self|kwargs|auto_map|.*_implementation.*|.*quantization.*|.*name_or_path|architectures|"
    "transformers_version|dtype|torch_dtype|id2label|label2id|problem_type|return_dict|"
    "output_hidden_states|output_attentions"
)


def find_class(name):
    """The class of a name in a file, which has to be on the list."""
    if not isinstance(name, str) or name not in CLASSES:
        raise SavedModelError(
            f"The model holds a part of class {name!r:.80}, which this version of skrr2qc does not "
            "know: nothing outside a fixed list is made from a file. Was it saved by a newer one?"
        )
    return getattr(import_module(CLASSES[name]), name.split(".")[-1])


def name_of(kind):
    """Name of a class in files, or None if it is not on the list."""
    prefix = "sklearn." if kind.__module__.startswith("sklearn.") else ""
    name = prefix + kind.__name__
    return name if name in CLASSES and find_class(name) is kind else None


def is_stable(name):
    """Whether a class is ours, or of a layout that scikit-learn has not changed in years."""
    return not name.startswith("sklearn.") or CLASSES[name] in _STABLE


def record_fields(kind):
    """Fields of a class that is rebuilt by its constructor; None for one that has attributes."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if issubclass(kind, tuple):
        return list(kind._fields)
    if kind.__name__ == "TextTokenizer":
        return ["definition", "max_length", "pad_id", "mask_id"]
    return None


def default_attributes(kind):
    """Defaults of an estimator's constructor; nothing for other classes."""
    if not hasattr(kind, "get_params"):
        return {}
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def is_attribute(kind, name):
    """Whether an object of a class may be given this attribute: a parameter, or a fitted one."""
    if hasattr(kind, name) or not name.isidentifier() or name.startswith("__"):
        return False
    return name[0] == "_" or name[-1] == "_" or name in inspect.signature(kind.__init__).parameters


def network_config(config, *, is_read):
    """Configuration of a network of transformers: what describes it, and nothing else.

    Parameters
    ----------
    config : dict
        As ``PretrainedConfig.to_dict()`` gives it, or as a file does.
    is_read : bool
        Whether it comes from a file: other keys are then refused instead of left out.
    """
    kind = config.get("model_type")
    if kind not in BACKBONE_TYPES:
        raise SavedModelError(
            f"A backbone of the type {kind!r:.80} is not among those that can be saved and loaded: "
            f"{', '.join(sorted(BACKBONE_TYPES))}."
        )
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    known = set(_OF_ALL_CONFIGS)
    known |= set(inspect.signature(CONFIG_MAPPING[kind].__init__).parameters)
    known = {name for name in known if not _NEVER_IN_CONFIG.fullmatch(name)}
    if is_read and not config.keys() <= known:
        raise SavedModelError(
            f"The backbone's configuration has keys that transformers {transformers.__version__} "
            f"does not have for {kind!r}: {sorted(config.keys() - known)[:5]}. Load the model with "
            "the version that `versions` in config.json names."
        )
    return {name: value for name, value in config.items() if name in known}
