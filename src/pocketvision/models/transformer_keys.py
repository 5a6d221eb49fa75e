"""How timm and torchvision name a Vision Transformer's tensors: module paths, and whole keys where their own names differ."""

from pocketvision.models.layer import CLASSIFIER
from pocketvision.models.vit import VisionTransformer


def timm_transformer(spec: VisionTransformer) -> dict[str, str]:
    """{our module path or key: timm's}."""
    paths = {"stem.class_token": "cls_token", "stem.positions": "pos_embed", "stem.conv": "patch_embed.proj"}
    for block in range(spec.depth):
        ours, theirs = f"stages.{block}", f"blocks.{block}"
        paths |= {f"{ours}.{part}": f"{theirs}.{name}" for part, name in _TIMM_BLOCK.items()}
    return {**paths, "head.norm": "norm", CLASSIFIER: "head"}


def torchvision_transformer(spec: VisionTransformer) -> dict[str, str]:
    """{our module path or key: torchvision's}."""
    paths = {"stem.class_token": "class_token", "stem.positions": "encoder.pos_embedding", "stem.conv": "conv_proj"}
    for block in range(spec.depth):
        ours, theirs = f"stages.{block}", f"encoder.layers.encoder_layer_{block}"
        paths |= {f"{ours}.{part}": f"{theirs}.{name}" for part, name in _TORCHVISION_BLOCK.items()}
    return {**paths, "head.norm": "encoder.ln", CLASSIFIER: "heads.head"}


_TIMM_BLOCK = {
    "norm1": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.project": "attn.proj",
    "norm2": "norm2",
    "widen": "mlp.fc1",
    "narrow": "mlp.fc2",
}
_TORCHVISION_BLOCK = {
    "norm1": "ln_1",
    "attention.qkv.weight": "self_attention.in_proj_weight",
    "attention.qkv.bias": "self_attention.in_proj_bias",
    "attention.project": "self_attention.out_proj",
    "norm2": "ln_2",
    "widen": "mlp.0",
    "narrow": "mlp.3",
}
