"""Whether the last layer is found and replaced in architectures of timm, torchvision, transformers.

    python benchmarks/try_architectures.py [timm | torchvision | transformers …] [--only NAME …]

Networks have random weights; nothing is downloaded. For each: extract features of three samples in
two batches, put another head in the place of the last layer, then an ensemble, and compare logits
with those computed from the features. Prints one line per network and a count. What is refused is
printed with its sentence. timm takes about twenty minutes on one core.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import everyclass as ec
from everyclass.stages import fold_head

TIMM = """
mobilenetv3_small_050 levit_128s levit_conv_128s deit_tiny_distilled_patch16_224
swin_tiny_patch4_window7_224 efficientnet_lite0 resnetv2_50x1_bit convnext_atto tresnet_m
vit_tiny_patch16_224 mixer_s32_224 dpn48b densenet121 vgg11 hrnet_w18_small ghostnet_050 regnetx_002
inception_v3 xception41 poolformer_s12 coat_lite_tiny mobilevit_xxs fastvit_t8 repvgg_a0
cait_xxs24_224 convit_tiny maxvit_rmlp_pico_rw_256 efficientformer_l1 efficientformerv2_s0
tiny_vit_5m_224 xcit_nano_12_p16_224 nasnetalarge beit_base_patch16_224 eva02_tiny_patch14_224
mambaout_femto hgnetv2_b0 starnet_s1 rdnet_tiny vovnet39a selecsls42 cspresnet50 nfnet_f0
visformer_tiny pit_ti_distilled_224 pvt_v2_b0 twins_pcpvt_small crossvit_tiny_240 davit_tiny
edgenext_xx_small focalnet_tiny_srf gcvit_xxtiny inception_resnet_v2 inception_next_atto mvitv2_tiny
nextvit_small nest_tiny repghostnet_050 repvit_m0_9 rexnet_100 sequencer2d_s shvit_s1 swiftformer_xs
swinv2_cr_tiny_224 tnt_s_legacy_patch16_224 vitamin_small_224 volo_d1_224 mobilenetv4_conv_small
hiera_tiny_224 hieradet_small samvit_base_patch16_224 ese_vovnet19b_dw lcnet_035 tinynet_e
resmlp_12_224 gmlp_ti16_224 convmixer_768_32 botnet26t_256 lambda_resnet26t sebotnet33ts_256
efficientvit_b0 efficientvit_m0 csatv2 naflexvit_base_patch16_gap fasternet_t0
vit_base_patch16_siglip_gap_224 resnet50_clip_gap bat_resnext26ts
"""
TORCHVISION = """
mobilenet_v3_small vit_b_16 convnext_tiny resnet18 densenet121 efficientnet_b0 swin_t swin_v2_t
maxvit_t regnet_y_400mf shufflenet_v2_x0_5 squeezenet1_1 googlenet inception_v3 mnasnet0_5 alexnet
vgg11
"""
NARROW = {"num_labels": 5, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": 48}  # fmt: skip
TEXT = {
    **{n: {} for n in ("Bert", "Roberta", "DebertaV2", "Deberta", "Electra", "MPNet", "FNet")},
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "Albert": {"embedding_size": 16},
    "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    **{n: {"num_key_value_heads": 2} for n in ("Llama", "Mistral", "Qwen2")},
    "GPTNeoX": {},
    "XLNet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
    "T5": {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2,
           "eos_token_id": 1, "decoder_start_token_id": 0},
    "Bart": {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
             "eos_token_id": 2, "max_position_embeddings": 64},
    "ModernBert": {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
    "Longformer": {"attention_window": 4},
    "Gemma": {"num_key_value_heads": 2, "head_dim": 16},
}  # fmt: skip
STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}
IMAGES = {
    **{n: {} for n in ("ViT", "Beit", "Dinov2", "Data2VecVision", "MobileNetV2", "EfficientNet")},
    "ResNet": {"embedding_size": 16, "layer_type": "basic", **STAGES},
    "ConvNext": STAGES,
    "PoolFormer": {},
    "Cvt": {},
}

Made = tuple[str, Callable[[], nn.Module], Any]


def of_timm(only: list[str]) -> Iterator[Made]:
    import timm

    for name in only or TIMM.split():
        model = timm.create_model(name, pretrained=False, num_classes=7)
        yield name, lambda m=model: m, torch.randn(3, *model.default_cfg["input_size"])


def of_torchvision(only: list[str]) -> Iterator[Made]:
    from torchvision.models import get_model

    for name in only or TORCHVISION.split():
        size = 299 if name == "inception_v3" else 224
        yield name, lambda n=name: get_model(n, num_classes=6), torch.randn(3, 3, size, size)


def of_transformers(only: list[str]) -> Iterator[Made]:
    import transformers as hf

    ids = torch.randint(3, 100, (3, 10))
    ids[:, 5] = 1
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = 0, 0
    for name, options in TEXT.items():
        if only and name not in only:
            continue
        config = getattr(hf, f"{name}Config")(**{**NARROW, "vocab_size": 100, "pad_token_id": 0,
                                                 **options})  # fmt: skip
        tokens = ids.where(ids != 1, 2) if name == "Bart" else ids
        make = hf.AutoModelForSequenceClassification.from_config
        yield name, lambda c=config, f=make: f(c), {"input_ids": tokens, "attention_mask": mask}
    for name, options in IMAGES.items():
        if only and name not in only:
            continue
        config = getattr(hf, f"{name}Config")(**{**NARROW, "image_size": 64, "patch_size": 8,
                                                 **options})  # fmt: skip
        make = hf.AutoModelForImageClassification.from_config
        yield name, lambda c=config, f=make: f(c), {"pixel_values": torch.randn(3, 3, 64, 64)}


def logits(model: nn.Module, inputs: Any) -> np.ndarray:
    with torch.no_grad():
        said = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    said = getattr(said, "logits", said)
    assert isinstance(said, Tensor)
    return said.numpy()  # type: ignore[no-any-return]


def attempt(model: nn.Module, inputs: Any) -> str:
    """Empty where all is well, else what is not."""
    parts = []
    for rows in (slice(0, 2), slice(2, 3)):
        labels = torch.arange(3)[rows]
        if isinstance(inputs, dict):
            parts.append({**{k: v[rows] for k, v in inputs.items()}, "labels": labels})
        else:
            parts.append((inputs[rows], labels))
    try:
        found = ec.extract(model.eval(), parts)
    except ec.InputError as error:
        return f"refused: {error}"
    assert found.head is not None
    draw = np.random.default_rng(0).normal
    bias = draw(size=found.num_classes) if found.head.bias.any() else np.zeros(found.num_classes)
    new = ec.Head(draw(size=found.head.weight.shape) / 20, bias)
    both = ec.Ensemble(found.head, new, 1.3, 0.8)
    for what, classifier in (("old", found.head), ("new", new), ("ensemble", both)):
        said = logits(fold_head(model, found.head, classifier), inputs)
        wanted = classifier.logits(found.features)
        error = np.abs(said - wanted).max() / max(1.0, np.abs(wanted).max())
        if not error < 1e-4:
            return f"{what} differs by {error:.1g} of the largest logit"
    return ""


def main() -> None:
    libraries = {"timm": of_timm, "torchvision": of_torchvision, "transformers": of_transformers}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="*", choices=[[], *libraries], default=[])
    parser.add_argument("--only", nargs="*", default=[], help="these networks")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for library in options.libraries or libraries:
        done, tried = 0, 0
        for name, make, inputs in libraries[library](options.only):
            torch.manual_seed(0)
            said = attempt(make(), inputs)
            tried, done = tried + 1, done + (not said)
            print(f"{library} {name}: {said or 'fine'}", flush=True)
        print(f"{library}: {done} of {tried}", flush=True)


if __name__ == "__main__":
    main()
