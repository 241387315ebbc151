"""Models and the Trainer of transformers: heads, saving, loss under accumulation and processes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

import transformers

import everyclass as ec
from everyclass import Head
from everyclass.errors import InputTypeError
from everyclass.integrations.transformers import (
    BatchMetrics,
    compute_loss_func,
    compute_metrics,
)
from everyclass.losses import BalancedSoftmaxLoss, GMLLoss
from everyclass.nn import EnsembleHead

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]

CLASSES = 5
SMALL = {"num_labels": CLASSES, "hidden_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 2, "intermediate_size": 48}  # fmt: skip
TEXT = {**SMALL, "vocab_size": 100, "pad_token_id": 0}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}


def text_model(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**TEXT, **options})
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


def vision_model(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**VISION, **options})
    return transformers.AutoModelForImageClassification.from_config(config).eval()


TEXT_MODELS = {
    "bert": lambda: text_model("Bert"),
    "roberta": lambda: text_model("Roberta"),
    "distilbert": lambda: text_model("DistilBert", dim=32, n_layers=2, n_heads=2, hidden_dim=48),
    "deberta": lambda: text_model("DebertaV2"),
    "gpt2": lambda: text_model("GPT2", n_embd=32, n_layer=2, n_head=2),
    "llama": lambda: text_model("Llama", num_key_value_heads=2),
}
CONVOLUTIONS = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}
VISION_MODELS = {
    "vit": lambda: vision_model("ViT"),
    "resnet": lambda: vision_model("ResNet", embedding_size=16, layer_type="basic", **CONVOLUTIONS),
    "convnext": lambda: vision_model("ConvNext", **CONVOLUTIONS),
    "deit with teacher": lambda: transformers.DeiTForImageClassificationWithTeacher(
        transformers.DeiTConfig(**VISION)
    ).eval(),
}
WITHOUT_BIAS = ("gpt2", "llama")


def batch(name: str, n: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % CLASSES
    if name in VISION_MODELS:
        return {"pixel_values": torch.randn(n, 3, 32, 32, generator=generator), "labels": labels}
    ids = torch.randint(3, 100, (n, 10), generator=generator)
    mask = torch.ones_like(ids)
    ids[1::2, 6:], mask[1::2, 6:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def logits(model: nn.Module, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    given = {k: v for k, v in inputs.items() if k != "labels"}
    with torch.no_grad():
        said = model(**given)
    return getattr(said, "logits", said).numpy()  # type: ignore[no-any-return]


def a_head(old: Head, bias: bool = True) -> Head:
    draw = np.random.default_rng(0).normal
    return Head(draw(size=old.weight.shape), draw(size=CLASSES) if bias else np.zeros(CLASSES))


@pytest.mark.parametrize("name", [*TEXT_MODELS, *VISION_MODELS])
def test_heads_are_found_replaced_and_saved(name: str, tmp_path: Path) -> None:
    model = {**TEXT_MODELS, **VISION_MODELS}[name]()
    inputs = batch(name)
    found = ec.extract(model, [inputs])
    assert found.head is not None
    np.testing.assert_allclose(found.head.logits(found.features), logits(model, inputs), atol=1e-5)
    new = a_head(found.head, bias=name not in WITHOUT_BIAS)
    folded = ec.stages.fold_head(model, found.head, new)
    assert type(folded) is type(model)
    np.testing.assert_allclose(logits(folded, inputs), new.logits(found.features), atol=1e-4)
    folded.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    np.testing.assert_allclose(logits(again, inputs), logits(folded, inputs), atol=1e-6)
    both = ec.Ensemble(found.head, new, 1.2, 0.8)
    ensemble = ec.stages.fold_head(model, found.head, both)
    expected = both.logits(found.features)
    np.testing.assert_allclose(logits(ensemble, inputs), expected, atol=1e-4)


def test_an_ensemble_is_loaded_again(tmp_path: Path) -> None:
    from safetensors.torch import load_model, save_model

    model, inputs = TEXT_MODELS["bert"](), batch("bert")
    found = ec.extract(model, [inputs])
    assert found.head is not None
    both = ec.Ensemble(found.head, a_head(found.head), 1.2, 0.8)
    ensemble = ec.stages.fold_head(model, found.head, both)
    save_model(ensemble, str(tmp_path / "model.safetensors"))
    again = TEXT_MODELS["bert"]()
    again.classifier = EnsembleHead.empty(32, CLASSES)
    load_model(again, tmp_path / "model.safetensors")
    assert np.array_equal(logits(again, inputs), logits(ensemble, inputs))


def test_adapters_with_a_head_of_their_own() -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"])
    model = peft.get_peft_model(TEXT_MODELS["bert"](), config).eval()
    inputs = batch("bert")
    torch.manual_seed(1)
    nn.init.normal_(model.base_model.model.classifier.modules_to_save.default.weight)
    found = ec.extract(model, [inputs])
    assert found.head is not None
    new = a_head(found.head)
    folded = ec.stages.fold_head(model, found.head, new)
    np.testing.assert_allclose(logits(folded, inputs), new.logits(found.features), atol=1e-4)


def test_a_data_set_of_hugging_face() -> None:
    datasets = pytest.importorskip("datasets")
    model, inputs = TEXT_MODELS["bert"](), batch("bert", 150)
    names = [f"intent {c}" for c in range(CLASSES)]
    features = datasets.Features(
        {
            "input_ids": datasets.List(datasets.Value("int64")),
            "attention_mask": datasets.List(datasets.Value("int64")),
            "label": datasets.ClassLabel(names=names),
            "text": datasets.Value("string"),
        }
    )
    columns = {
        "input_ids": inputs["input_ids"].tolist(),
        "attention_mask": inputs["attention_mask"].tolist(),
        "label": inputs["labels"].tolist(),
        "text": ["said"] * 150,
    }
    found = ec.extract(model, datasets.Dataset.from_dict(columns, features=features))
    wanted = ec.extract(model, [inputs])
    np.testing.assert_allclose(found.features, wanted.features, atol=1e-5)
    assert found.class_names == tuple(names)
    assert found.labels.tolist() == wanted.labels.tolist()
    ragged = {
        **columns,
        "input_ids": [ids[: 3 + i % 3] for i, ids in enumerate(columns["input_ids"])],
    }
    with pytest.raises(ec.InputError, match="different sizes; pass a DataLoader whose collate_fn"):
        ec.extract(model, datasets.Dataset.from_dict(ragged, features=features))


# --- the Trainer ----------------------------------------------------------------------------------

COUNTS = [40, 20, 10, 5, 3]


class Rows(torch.utils.data.Dataset[Any]):
    def __init__(self, n: int) -> None:
        self.batch = batch("bert", n)

    def __len__(self) -> int:
        return len(self.batch["labels"])

    def __getitem__(self, index: int) -> Any:
        return {name: value[index] for name, value in self.batch.items()}


def one_step(loss: nn.Module, folder: Path, *, size: int, accumulate: int) -> Any:
    """Weights after one step of plain SGD by the real Trainer."""
    model = text_model("Bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=size, max_steps=1, use_cpu=True,
        gradient_accumulation_steps=accumulate, learning_rate=1.0, optim="sgd", max_grad_norm=0.0,
        lr_scheduler_type="constant", report_to=[], save_strategy="no", disable_tqdm=True,
        seed=0, train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer = transformers.Trainer(
        model, arguments, train_dataset=Rows(16), compute_loss_func=compute_loss_func(loss)
    )
    trainer.train()
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def by_hand(losses: Any) -> Any:
    """Weights after one step along a loss of the sixteen rows, which begin as the Trainer's do."""
    model = text_model("Bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    given = batch("bert", 16)
    labels = given.pop("labels")
    losses(model(**given).logits, labels).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= parameter.grad
    return model.state_dict()


def same(a: Any, b: Any) -> None:
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(), BalancedSoftmaxLoss(COUNTS)], ids=["torch's", "ours"]
)
def test_accumulated_losses_per_sample_are_those_of_one_batch(
    loss: nn.Module, accumulate: int, tmp_path: Path
) -> None:
    found = one_step(loss, tmp_path, size=16 // accumulate, accumulate=accumulate)
    same(found, by_hand(copy.deepcopy(loss)))
    assert getattr(loss, "reduction") == "mean"  # noqa: B009 - and is left as it was


@pytest.mark.parametrize("accumulate", [1, 4])
def test_accumulated_gml_is_the_mean_over_micro_batches(accumulate: int, tmp_path: Path) -> None:
    loss = GMLLoss(COUNTS)
    found = one_step(loss, tmp_path, size=16 // accumulate, accumulate=accumulate)

    def expected(said: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        parts = zip(said.chunk(accumulate), labels.chunk(accumulate), strict=True)
        return torch.stack([loss(*part) for part in parts]).mean()

    same(found, by_hand(expected))


def trainer_process(rank: int, folder: str, port: int, loss: nn.Module) -> None:
    import os

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    found = one_step(loss, Path(folder), size=4, accumulate=2)
    if rank == 0:
        torch.save(found, f"{folder}/weights.pt")
    torch.distributed.destroy_process_group()


def as_one_batch(said: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return BalancedSoftmaxLoss(COUNTS)(said, labels)


def as_two_batches_of_everybodys(said: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """GML takes what all processes have at once for one batch: rows 0-3 with 4-7, then the rest."""
    loss = GMLLoss(COUNTS)
    halves = zip(said.chunk(2), labels.chunk(2), strict=True)
    return torch.stack([loss(*half) for half in halves]).mean()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (BalancedSoftmaxLoss(COUNTS), as_one_batch),
        (GMLLoss(COUNTS), as_two_batches_of_everybodys),
    ],
    ids=["balanced softmax", "gml"],
)
def test_two_processes_that_accumulate_are_one(
    loss: nn.Module, expected: Any, tmp_path: Path
) -> None:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(trainer_process, args=(str(tmp_path), port, loss), nprocs=2)
    found = torch.load(tmp_path / "weights.pt", weights_only=True)
    same(found, by_hand(expected))


def test_rows_that_do_not_count() -> None:
    said = torch.randn(4, CLASSES)
    labels = torch.tensor([0, -100, 2, 1])
    for loss in (GMLLoss(COUNTS), nn.CrossEntropyLoss()):
        value = compute_loss_func(loss)({"logits": said}, labels)
        torch.testing.assert_close(value, loss(said[labels >= 0], labels[labels >= 0]))


def test_losses_that_are_refused() -> None:
    with pytest.raises(InputTypeError, match="reduction='none'"):
        compute_loss_func(nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(InputTypeError, match="must be a module"):
        compute_loss_func(nn.functional.cross_entropy)  # type: ignore[arg-type]


def test_metrics_of_the_trainer() -> None:
    generator = np.random.default_rng(0)
    said, labels = generator.normal(size=(80, 4)), generator.integers(0, 4, 80)
    found = compute_metrics(transformers.EvalPrediction(said, labels))
    assert found == pytest.approx(ec.evaluate(labels=labels, logits=said).summary())
    beside = transformers.EvalPrediction(said, labels, inputs=said, losses=labels)
    assert compute_metrics(beside) == found


def test_metrics_batch_by_batch(tmp_path: Path) -> None:
    said = []
    for in_batches, metrics in ((False, compute_metrics), (True, BatchMetrics())):
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), per_device_eval_batch_size=6, use_cpu=True, report_to=[],
            batch_eval_metrics=in_batches, include_for_metrics=["inputs", "loss"],
            disable_tqdm=True,
        )  # fmt: skip
        trainer = transformers.Trainer(
            text_model("Bert"), arguments, eval_dataset=Rows(16), compute_metrics=metrics
        )
        found = trainer.evaluate()
        said.append({k: v for k, v in found.items() if "recall" in k or "mean" in k})
    assert said[0] == said[1]
    assert len(said[0]) == 3
