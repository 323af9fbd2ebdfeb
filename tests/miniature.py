"""Miniatures of the models of shipped configs: the same parts, few random parameters, nothing to download."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

TINY_LLAVA = dict(
    vision=dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    ),
    text=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2),
    seed=0,
)

# The sizes of each kind of model, and what they become.
RESNET = dict(in_channels={2048: 512}, channels={2048: 512}, out_channels={1152: 16}, depth={50: 18})
CLIP = dict(channels={512: 32}, num_heads={8: 4}, ffn_channels={2048: 64}, adapter_channels={192: 16})
LLAVA = dict(in_channels={4096: 32}, channels={512: 16}, num_heads={8: 2})


def shrink(config: object, sizes: dict[str, dict[int, int]]) -> None:
    """Exchange sizes, everywhere in a nested config, for small ones."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(value, (dict, list)):
            shrink(value, sizes)
        elif isinstance(config, dict) and value in sizes.get(key, {}):
            config[key] = sizes[key][value]


def miniature(cfg: Config) -> ConfigDict:
    """The model of a config, small, random, and without anything to download."""
    model = cfg.model
    if model.backbone.type == 'ResNet3dSlowOnly':
        model.backbone.update(base_channels=8, pretrained=None)
    elif model.backbone.type == 'ResNet':
        shrink(model, RESNET)
        model.backbone.pretrained = None
    elif model.backbone.type == 'StoredTokens':
        shrink(model, LLAVA)
    elif model.backbone.type == 'VideoMLLMBackbone':
        shrink(model, LLAVA)
        model.backbone.update(model=None, architecture=TINY_LLAVA, layer=2, dtype='float32', quantization=None)
    else:
        shrink(model, CLIP)
        model.backbone.update(model=None, architecture='tiny')
        if 'text_encoder' in model.get('neck', {}):
            model.neck.text_encoder.update(model=None, architecture='tiny')
    return model


def small_frames(cfg: Config, size: int) -> None:
    """Let the pipelines of a config give frames of ``size`` x ``size``."""
    for part in ('train', 'val', 'test'):
        for step in cfg[f'{part}_dataloader'].dataset.dataset.pipeline:
            for key, value in dict(scale={(-1, 256): (-1, size), (224, 224): (size, size)}).items():
                if key in step:
                    step[key] = value[tuple(step[key])]
            for key in {'crop_size', 'size'} & set(step):
                step[key] = size
