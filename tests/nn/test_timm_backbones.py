"""Backbones of timm: width, weights from files, preprocessing, experts, parts that stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everyclass.artifacts import save_safetensors
from everyclass.data import PUBLISHED
from everyclass.errors import FileFormatError, InputError
from everyclass.methods import get_method
from everyclass.nn import Classifier, TimmBackbone, build_classifier, build_timm_backbone

timm = pytest.importorskip("timm")

SMALL = "test_resnet"  # timm's own network for tests: 0.5 million parameters


def test_features_are_what_timm_says_is_in_front_of_its_last_layer() -> None:
    for name in (SMALL, "mobilenetv3_small_050", "test_vit"):
        torch.manual_seed(0)
        backbone = build_timm_backbone(name).eval()
        whole = timm.create_model(name, num_classes=7).eval()
        wanted = whole.state_dict()
        whole.load_state_dict({**wanted, **backbone.network.state_dict()})
        images = torch.randn(2, 3, 160, 160)
        with torch.no_grad():
            features = backbone(images)
            inside = whole.forward_head(whole.forward_features(images), pre_logits=True)
        assert features.shape == (2, backbone.num_features)
        torch.testing.assert_close(features, inside)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_from_a_file_without_its_last_layer(ending: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = timm.create_model(SMALL, num_classes=11).state_dict()
    path = tmp_path / f"w.{ending}"
    if ending == "pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        save_safetensors(path, {k: v.numpy() for k, v in state.items()}, {})
    found = build_classifier(SMALL, 4, seed=0, weights=str(path)).backbone
    assert isinstance(found, TimmBackbone)
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, {"conv1.weight": np.zeros(3, np.float32)}, {})
    with pytest.raises(FileFormatError, match="does not fit test_resnet"):
        build_timm_backbone(SMALL, str(path))
    (tmp_path / "w.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(FileFormatError, match="no file of weights"):
        build_timm_backbone(SMALL, str(tmp_path / "w.pth"))
    with pytest.raises(InputError, match="resnet32 has no published weights"):
        build_classifier("resnet32", 3, seed=0, weights="pretrained")
    with pytest.raises(InputError, match="; did you mean 'resnet50'"):
        build_timm_backbone("resnett50")


def test_the_seed_decides_and_pictures_are_prepared_as_timm_says() -> None:
    one, same, other = (build_classifier(SMALL, 3, seed=s) for s in (0, 0, 1))
    first = next(one.backbone.parameters())
    assert torch.equal(first, next(same.backbone.parameters()))
    assert not torch.equal(first, next(other.backbone.parameters()))
    wanted = build_timm_backbone("tf_efficientnet_lite0").preprocessing
    assert (wanted.size, wanted.share, wanted.resample) == (224, 0.875, "bicubic")
    assert wanted.mean == (0.5, 0.5, 0.5)


def test_experts_share_half_and_are_narrow() -> None:
    model = build_classifier("resnet50-2-experts", 5, seed=0, head="2-experts").eval()
    with torch.no_grad():
        features = model.backbone(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, 2 * 384 * 4)
    torch.testing.assert_close(features.view(2, 2, -1).norm(dim=2), torch.ones(2, 2))
    with pytest.raises(InputError, match="cannot be split into experts"):
        build_classifier("mobilenetv3_small_050-2-experts", 5, seed=0)


def test_what_is_not_trained_stays_in_eval_mode() -> None:
    model = build_classifier(SMALL, 3, seed=0)
    model.keep_still(("backbone.network.layer4", "head"))
    model.train()
    modes = {n: m.training for n, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert modes
    for name, training in modes.items():
        assert training == name.startswith("backbone.network.layer4"), name
    assert model.head.training


METHODS = ("ce", "bsce", "crt", "dive", "ride", "paco", "mixup", "mislas")


@pytest.mark.parametrize("method", METHODS)
def test_recipes_of_large_sets_make_a_step(
    method: str, tmp_path: Path, train_pictures: Callable[..., Any]
) -> None:
    recipe = get_method(method, "imagenet-lt")
    run = train_pictures(recipe)
    assert run.result["config"]["recipe"]["schedule"]["epochs"] == 1
    assert run.result["config"]["backbone"].startswith("resnet10t")


@pytest.mark.parametrize("data", ["imagenet-lt", "places-lt"])
def test_recipes_name_networks_and_blocks_that_exist(data: str) -> None:
    assert data in PUBLISHED
    for method in METHODS:
        recipe = get_method(method, data)
        if recipe.backbone is None or "experts" in recipe.backbone or "resnet32" in recipe.backbone:
            continue
        names = [n for n, _ in _shape_only(recipe.backbone, recipe.head).named_parameters()]
        for beginning in recipe.trained:
            assert any(name.startswith(beginning) for name in names), (method, beginning)


def _shape_only(backbone: str, head: str) -> Classifier:
    with torch.device("meta"):
        network = timm.create_model(backbone, num_classes=0)
    return Classifier(TimmBackbone(network, 8), torch.nn.Linear(8, 2))


@pytest.fixture
def train_pictures(tmp_path: Path) -> Callable[..., Any]:
    """Train a recipe for one epoch on a few small pictures, its network replaced by a small one."""
    from PIL import Image

    from everyclass.data import DataConfig
    from everyclass.stages import pretrain
    from everyclass.training import Recipe

    rng = np.random.default_rng(0)
    for part, size in (("train", 6), ("test", 2)):
        lines = []
        for number in range(3 * size):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(
                tmp_path / f"{part}{number}.png"
            )
            lines.append(f"{part}{number}.png {number % 3}\n")
        (tmp_path / f"{part}.txt").write_text("".join(lines))

    def short(recipe: Recipe | None) -> Recipe | None:
        if recipe is None:
            return None
        return replace(
            recipe,
            start=short(recipe.start),
            teachers=tuple(filter(None, map(short, recipe.teachers))),
            schedule=replace(recipe.schedule, epochs=1, warmup_epochs=0, learning_rate=0.01),
            batch_size=9,
        )

    def train(recipe: Recipe) -> Any:
        spec = f"list:{tmp_path}/train.txt,test={tmp_path}/test.txt,size=32"
        made = short(recipe)
        assert made is not None
        return pretrain(
            made, DataConfig(spec), backbone="resnet10t", out=tmp_path / "run", workers=0,
            precision="fp32",
        )  # fmt: skip

    return train
