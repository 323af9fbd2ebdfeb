"""Which rows there are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmaction.registry import MODELS

from fsar_llava.datasets.synthetic_motion import reversed_pairs

from .rows import Row, from_tokens, from_videos, merge, schedule
from .settings import Settings, shipped

SHOTS = ('1shot', '5shot')
TASKS = (*SHOTS, 'reversed')


@dataclass(frozen=True)
class Choices:
    """What meta-val decides.

    Attributes:
        layer: Decoder layer.
        lr: Learning rate.
        tau: Temperature of the head, and of the confidences.
        tau_w: Temperature of the fusion by confidence.
        fusion: How the modalities are fused.
        metric: Name of the metric inside, a key of :func:`metrics`.
        visual_lr: Learning rate of the linear control on visual tokens.
        both_lr: Learning rate of the linear control on both modalities.
    """

    layer: int
    lr: float
    tau: float
    tau_w: float
    fusion: str
    metric: str
    visual_lr: float
    both_lr: float

    @property
    def head(self) -> list[str]:
        """Temperature, fusion and metric as parts of a row's name."""
        fusion = f'confidence{self.tau_w:g}' if self.fusion == 'confidence' else self.fusion
        return [f'tau{self.tau:g}', fusion, self.metric]


def shipped_choices() -> Choices:
    """What the shipped config says."""
    cfg = shipped('tokens')
    head, lr = cfg.model.cls_head, cfg.optim_wrapper.optimizer.lr
    fusion = head.matching
    metric = next(name for name, config in inner_metrics().items() if config == fusion.matching.to_dict())
    layer = shipped('video').model.backbone.layer
    return Choices(layer, lr, head.temperature, fusion.fusion_temperature, fusion.fusion, metric, lr, lr)


def metrics() -> dict[str, dict]:
    """Training-free metrics by name: those of the shipped config, and tuples."""
    settings = shipped('training_free').test_cfg.settings
    found = {setting.name: setting.matching.to_dict() for setting in settings}
    return {'Tuples': dict(type='TupleMatching', cardinalities=(2,)), **found} if 'Tuples' not in found else found


def inner_metrics() -> dict[str, dict]:
    """Metrics to choose from inside of a trained head by name: the shipped one, Bi-MHM and OTAM."""
    own = shipped('tokens').model.cls_head.matching.matching.to_dict()
    name = next((name for name, config in metrics().items() if config['type'] == own['type']), own['type'])
    return {**{other: metrics()[other] for other in ('Bi-MHM', 'OTAM')}, name: own}


def prototypes() -> dict[str, dict]:
    """How supports become prototypes, for the metrics that say so."""
    settings = shipped('training_free').test_cfg.settings
    return {setting.name: dict(prototype=setting.prototype.to_dict()) for setting in settings if 'prototype' in setting}


def training_free(settings: Settings, layer: int, centred: bool) -> Row:
    """Nothing is trained. Without a checkpoint the means that are subtracted are zero: plain tokens."""
    channels = shipped('tokens').model.neck.in_channels
    head = dict(_delete_=True, type='PrototypeHead', matching=metrics()['Bi-MHM'])
    neck = dict(_delete_=True, type='Centering', in_channels=channels)
    name = f'training-free_layer{layer}_{"centred" if centred else "plain"}'
    return Row(
        name,
        f'Metrics without training on layer {layer}, {"centred" if centred else "plain"}',
        'training-free',
        'tokens',
        merge(from_tokens(settings, layer), dict(model=dict(neck=neck, cls_head=head))),
    )


def tasks(*names: str) -> list[dict]:
    """Episodes of meta-test by name, as settings of one test."""
    shapes = {
        '1shot': dict(num_shots=1),
        '5shot': dict(num_shots=5),
        'reversed': dict(num_ways=2, num_shots=1, groups=[list(pair) for pair in reversed_pairs('test')]),
    }
    return [dict(name=name, **shapes[name]) for name in names]


def training_free_tests(layer: int, split: str) -> list[dict]:
    """All metrics on both modalities, as settings of one test. Meta-val has what the choices need, 1-shot."""
    tests = []
    # The prompt is the same for all videos, and so are the words that enter the decoder.
    for modality in ('visual', 'textual') if layer else ('visual',):
        for name, metric in metrics().items():
            matching = metric
            if modality == 'textual':
                if metric['type'] == 'TupleMatching':
                    metric = dict(metric, num_frames=64)
                matching = dict(type='MultimodalMatching', fusion='textual', matching=metric)
            head = dict(matching=matching, **prototypes().get(name, {}))
            for task in tasks('1shot') if split == 'val' else tasks(*TASKS):
                tests.append({**task, 'name': f'{modality}_{name}_{task["name"]}', **head})
    return tests


def trained(
    settings: Settings, choices: Choices, seed: int, *, episodes: int | None = None, without: str | None = None
) -> Row:
    """FSAR-LLaVA from stored tokens, with Unknown prompts.

    Args:
        settings: Of the run.
        choices: Layer, learning rate, temperatures, fusion and metric.
        seed: Of the training.
        episodes: Of the training; default ``settings.train_episodes``.
        without: A part that is left out, one of ``settings.parts``.
    """
    episodes = episodes or settings.train_episodes
    parts = [f'layer{choices.layer}', f'lr{choices.lr:.2g}', *choices.head]
    parts += [f'without-{without}'] if without else []
    parts += [f'{episodes}episodes', f'seed{seed}']
    overrides = merge(
        from_tokens(settings, choices.layer), schedule(settings, episodes), _learning_rate(choices.lr), _head(choices)
    )
    if without:
        overrides = merge(overrides, dict(model=_without(without)))
    return Row('_'.join(['fsar-llava', *parts]), 'FSAR-LLaVA, Unknown prompts', 'trained', 'tokens', overrides, seed)


def known(settings: Settings, choices: Choices, seed: int) -> Row:
    """FSAR-LLaVA with Known prompts, from videos: the prompts differ from episode to episode."""
    overrides = merge(
        from_videos(choices.layer),
        schedule(settings, settings.video_episodes),
        _learning_rate(choices.lr),
        _head(choices),
    )
    parts = [f'layer{choices.layer}', f'lr{choices.lr:.2g}', *choices.head]
    name = '_'.join(['fsar-llava_known', *parts, f'{settings.video_episodes}episodes', f'seed{seed}'])
    return Row(name, 'FSAR-LLaVA, Known prompts', 'known', 'known', overrides, seed)


def linear(settings: Settings, choices: Choices, seed: int, modality: str, episodes: int | None = None) -> Row:
    """The control: a linear projection is all that is trained. ``modality`` is ``'visual'`` or ``'both'``."""
    neck = shipped('tokens').model.neck
    neck = dict(_delete_=True, type='LinearProjection', in_channels=neck.in_channels, channels=neck.channels)
    lr = choices.visual_lr if modality == 'visual' else choices.both_lr
    if choices.fusion in ('visual', 'textual'):  # nothing that both modalities could be compared with
        choices = replace(choices, fusion=shipped_choices().fusion)
    overrides = merge(
        from_tokens(settings, choices.layer),
        schedule(settings, episodes or settings.train_episodes),
        _learning_rate(lr),
        _head(choices),
        dict(model=dict(neck=neck, cls_head=dict(prototype=dict(_delete_=True, type='MeanPrototype')))),
    )
    tau, fusion, metric = choices.head
    parts = [f'layer{choices.layer}', f'lr{lr:.2g}', tau, metric]
    if modality == 'visual':
        overrides['model']['cls_head']['matching'] = dict(_delete_=True, **inner_metrics()[choices.metric])
        title = 'Linear projection, visual tokens'
    else:
        parts.insert(3, fusion)
        title = 'Linear projection, both modalities'
    name = '_'.join([f'linear-{modality}', *parts, f'{episodes or settings.train_episodes}episodes', f'seed{seed}'])
    return Row(name, title, 'linear', 'tokens', overrides, seed)


def clip(settings: Settings, method: str, seed: int) -> Row:
    """A method on the miniature CLIP, as shipped but for the number of episodes."""
    titles = dict(clip_fsar='CLIP-FSAR', ma_fsar='MA-FSAR', clip_m2df='CLIP-M2DF')
    overrides = merge(from_videos(None), schedule(settings, settings.video_episodes))
    name = f'{method.replace("_", "-")}_{settings.video_episodes}episodes_seed{seed}'
    return Row(name, titles[method], 'clip', method, overrides, seed)


def grid(settings: Settings, choices: Choices) -> list[Choices]:
    """Every fusion with every metric inside that it can use."""
    pairs = [(metric, fusion) for metric in inner_metrics() for fusion in settings.fusions]
    # An alignment needs an order, which the union of frames and words does not have.
    ordered = {name for name, config in inner_metrics().items() if MODELS.get(config['type']).ordered}
    return [replace(choices, metric=m, fusion=f) for m, f in pairs if f != 'union' or m not in ordered]


def _learning_rate(lr: float) -> dict:
    return dict(optim_wrapper=dict(optimizer=dict(lr=lr)))


def _head(choices: Choices) -> dict:
    inner = dict(_delete_=True, **inner_metrics()[choices.metric])
    matching = dict(matching=inner, fusion=choices.fusion, temperature=choices.tau, fusion_temperature=choices.tau_w)
    return dict(model=dict(cls_head=dict(temperature=choices.tau, matching=matching)))


def _without(part: str) -> dict:
    """Overrides of the model that leave a part out."""
    if part == 'local+global':
        return dict(cls_head=dict(prototype=dict(_delete_=True, type='MeanPrototype')))
    if part in ('local', 'global'):
        return dict(cls_head=dict(prototype={f'use_{part}': False}))
    return dict(neck={part: False})
