"""Networks of timm and torchvision: the last layer is found, proven, replaced, loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import everyclass as ec
from everyclass import Head
from everyclass.errors import InputError
from everyclass.stages import fold_head

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]

CLASSES = 7

# timm's: plain, behind a hidden layer, a 1 × 1 convolution, distilled with two heads, …
TIMM = {
    "mobilenetv3_small_050": 224,
    "levit_128s": 224,
    "deit_tiny_distilled_patch16_224": 224,
    "efficientnet_lite0": 96,
    "resnetv2_50x1_bit": 96,
    "convnext_atto": 96,
    "ghostnet_050": 96,
    "fastvit_t8": 128,
    "xcit_nano_12_p16_224": 224,
}
TORCHVISION = {
    "mobilenet_v3_small": 96,
    "resnet18": 96,
    "efficientnet_b0": 96,
    "regnet_y_400mf": 96,
    "shufflenet_v2_x0_5": 96,
    "googlenet": 96,
}
SLOW = {"vit_b_16": 224, "convnext_tiny": 96, "swin_t": 96}


def timm_model(name: str) -> nn.Module:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=CLASSES).eval()
    return model


def torchvision_model(name: str) -> nn.Module:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    model: nn.Module = torchvision.models.get_model(name, num_classes=CLASSES, **options).eval()
    return model


def check(model: nn.Module, size: int) -> None:
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 6])
    with torch.no_grad():
        expected = model(images).numpy()
    model.train()
    found = ec.extract(model, [(images[:2], labels[:2]), (images[2:], labels[2:])])
    model.eval()
    assert found.head is not None
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found.head.logits(found.features) - expected).max() < 1e-5 * scale
    draw = np.random.default_rng(0).normal
    new = Head(draw(size=found.head.weight.shape) / 10, draw(size=CLASSES))
    wanted = new.logits(found.features)
    folded = fold_head(model, found.head, new)
    assert type(folded) is type(model)
    with torch.no_grad():
        np.testing.assert_allclose(folded(images), wanted, rtol=1e-4, atol=1e-4 * scale)
        model.load_state_dict(folded.state_dict())
        np.testing.assert_allclose(model(images), wanted, rtol=1e-4, atol=1e-4 * scale)
        both = ec.Ensemble(found.head, new, 1.5, 0.8)
        ensemble = fold_head(folded, new, both)
        expected = both.logits(found.features)
        np.testing.assert_allclose(ensemble(images), expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name: str) -> None:
    check(timm_model(name), TIMM[name])


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision(name: str) -> None:
    check(torchvision_model(name), TORCHVISION[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_larger_networks_of_torchvision(name: str) -> None:
    check(torchvision_model(name), SLOW[name])


def test_the_width_is_that_of_the_hidden_layer() -> None:
    model: Any = timm_model("mobilenetv3_small_050")
    found = ec.extract(model, [(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))])
    assert found.num_features == model.head_hidden_size != model.num_features


def test_a_last_layer_that_is_followed_by_something() -> None:
    model = torchvision_model("squeezenet1_1")
    with pytest.raises(InputError, match="is not the output of any linear or cosine layer"):
        ec.extract(model, [(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))])


def test_a_folder_of_images(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    from PIL import Image
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    generator = np.random.default_rng(0)
    for c in range(CLASSES):
        folder = tmp_path / f"class {c}"
        folder.mkdir()
        for i in range(2):
            pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    model = timm_model("mobilenetv3_small_050")
    with pytest.raises(InputError, match=r"PIL\.Image\.Image'>, which is no tensor; give the data"):
        ec.extract(model, ImageFolder(tmp_path))
    steps = [v2.ToImage(), v2.Resize((64, 64)), v2.ToDtype(torch.float32, scale=True)]
    found = ec.extract(model, ImageFolder(tmp_path, v2.Compose(steps)))
    assert found.class_names == tuple(f"class {c}" for c in range(CLASSES))
    assert found.class_counts.counts.tolist() == [2] * CLASSES


def test_a_web_data_set(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 3, 64, 64, generator=generator)
    with wds.TarWriter(str(tmp_path / "shard.tar")) as tar:
        for i, image in enumerate(images):
            tar.write({"__key__": f"{i:04}", "npy": image.numpy(), "cls": i % CLASSES})
    data = wds.WebDataset(str(tmp_path / "shard.tar"), shardshuffle=False).decode()
    model = timm_model("mobilenetv3_small_050")
    found = ec.extract(
        model, wds.WebLoader(data.to_tuple("npy", "cls").batched(4), batch_size=None)
    )
    wanted = ec.extract(model, [(images, torch.arange(10) % CLASSES)])
    np.testing.assert_allclose(found.features, wanted.features, rtol=1e-3, atol=1e-5)
    assert found.labels.tolist() == wanted.labels.tolist()
