"""One way of testing features that are there already."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from mmaction.registry import MODELS

from fsar_llava.datasets import EpisodicSampler
from fsar_llava.models.heads import PrototypeHead

SAMPLER_FIELDS = ('num_ways', 'num_shots', 'num_queries', 'seed', 'groups')
HEAD_FIELDS = ('matching', 'prototype', 'temperature')


@dataclass(frozen=True)
class EvaluationSetting:
    """Episodes of some shape, and the part of the head that is exchanged.

    Attributes:
        name: Stands in front of the metrics and in the table.
        episodes: Arguments of :class:`EpisodicSampler` that differ from the dataloader's.
        head: Arguments of :class:`PrototypeHead` that differ from the model's: ``matching`` and ``prototype``
            (configs), ``temperature``.
    """

    name: str
    episodes: Mapping[str, object] = field(default_factory=dict)
    head: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Mapping, sampler: EpisodicSampler) -> EvaluationSetting:
        """Read ``dict(num_ways=5, num_shots=1, matching=dict(type='OTAM'), name=...)``; every key is optional.

        Raises:
            ValueError: If a key is unknown.
        """
        unknown = sorted(set(config) - {'name', *SAMPLER_FIELDS, *HEAD_FIELDS})
        if unknown:
            raise ValueError(
                f'A setting of the feature bank has the unknown keys {unknown}; expected some of '
                f'{["name", *SAMPLER_FIELDS, *HEAD_FIELDS]}.'
            )
        episodes = {name: config[name] for name in SAMPLER_FIELDS if name in config}
        head = {name: config[name] for name in HEAD_FIELDS if name in config}
        shape = [episodes.get(name, getattr(sampler, name)) for name in ('num_ways', 'num_shots')]
        parts = ['{}way-{}shot'.format(*shape)]
        parts += [f'{name}{episodes[name]}' for name in ('num_queries', 'seed') if name in episodes]
        parts += [f'{len(episodes["groups"])}groups'] if episodes.get('groups') else []
        parts += [str(part['type'] if isinstance(part, Mapping) else part) for part in head.values()]
        return cls(config.get('name', '_'.join(parts)), episodes, head)

    def sampler(self, sampler: EpisodicSampler) -> EpisodicSampler:
        """A sampler like the given one, with this setting's episodes."""
        arguments = {name: getattr(sampler, name) for name in SAMPLER_FIELDS}
        own = type(sampler)(sampler.dataset, **{**arguments, **self.episodes}, shuffle=sampler.shuffle)
        own.set_epoch(sampler.epoch)
        return own

    def head_like(self, head: PrototypeHead, device: torch.device) -> PrototypeHead:
        """The model's head with this setting's parts; the head itself is left as it is."""
        if not self.head:
            return head
        own = copy.copy(head)
        own._modules = dict(head._modules)
        for name, value in self.head.items():
            setattr(own, name, MODELS.build(value).to(device).eval() if isinstance(value, Mapping) else value)
        return own
