"""SetFit [1]_: an encoder tuned on pairs of texts that share a label or do not, then a linear head.

.. [1] L. Tunstall, N. Reimers, U. E. S. Jo, L. Bates, D. Korat, M. Wasserblat, O. Pereg. Efficient
   few-shot learning without prompts. arXiv:2209.11055, 2022.
"""

import torch
from _child import main
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def fit(texts, Y, task, model):
    torch.set_num_threads(task["n_threads"])
    settings = dict(task["parameters"])
    trained = SetFitModel.from_pretrained(
        task["encoder"],
        multi_target_strategy="one-vs-rest",
        head_params={"C": settings.pop("head_C"), "max_iter": 1000},
        device="cpu",
    )
    arguments = TrainingArguments(
        output_dir=str(model.with_name("checkpoints")),
        num_epochs=1,
        seed=task["seed"],
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
        **settings,
    )
    labels = Y.astype("int8").toarray().tolist()
    data = Dataset.from_dict({"text": texts, "label": labels})
    Trainer(model=trained, args=arguments, train_dataset=data).train()
    return trained


def save(trained, model):
    trained.save_pretrained(str(model))


def load(task, model):
    torch.set_num_threads(task["n_threads"])
    return SetFitModel.from_pretrained(
        str(model), multi_target_strategy="one-vs-rest", device="cpu"
    )


def score(trained, texts, task):
    return trained.predict_proba(texts, as_numpy=True, show_progress_bar=False)


if __name__ == "__main__":
    main(fit, save, load, score)
