"""One way of testing features that are there already."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real

from mmaction.registry import MODELS
from torch import nn

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
            ValueError: If it is no dict, a key is unknown or a value cannot be used.
        """
        if not isinstance(config, Mapping):  # --cfg-options reads the dicts of a list as text
            raise ValueError(
                f'A setting of the feature bank is a dict, such as dict(num_shots=5), but got {config!r}. The command '
                'line cannot hold dicts in a list: write settings into a config.'
            )
        unknown = sorted(set(config) - {'name', *SAMPLER_FIELDS, *HEAD_FIELDS})
        if unknown:
            raise ValueError(
                f'A setting of the feature bank has the unknown keys {unknown}; expected some of '
                f'{["name", *SAMPLER_FIELDS, *HEAD_FIELDS]}.'
            )
        episodes = {name: config[name] for name in SAMPLER_FIELDS if name in config}
        head = {name: config[name] for name in HEAD_FIELDS if name in config}
        _check_values(config)
        shape = [episodes.get(name, getattr(sampler, name)) for name in ('num_ways', 'num_shots')]
        parts = ['{}way-{}shot'.format(*shape)]
        parts += [f'{name}{episodes[name]}' for name in ('num_queries', 'seed') if name in episodes]
        parts += [f'{len(episodes["groups"])}groups'] if episodes.get('groups') else []
        parts += [_short_name(part) for part in head.values()]
        name = config.get('name', '_'.join(parts))
        if '/' in name:  # it becomes part of the names of metrics and files
            raise ValueError(f'The name of a setting must not contain a slash, but is {name!r}.')
        return cls(name, episodes, head)

    def sampler(self, sampler: EpisodicSampler) -> EpisodicSampler:
        """A sampler like the given one, with this setting's episodes."""
        arguments = {name: getattr(sampler, name) for name in SAMPLER_FIELDS}
        own = type(sampler)(sampler.dataset, **{**arguments, **self.episodes}, shuffle=sampler.shuffle)
        own.set_epoch(sampler.epoch)
        return own

    def head_like(self, head: PrototypeHead) -> PrototypeHead:
        """The model's head with this setting's parts; the head itself is left as it is.

        Raises:
            ValueError: If a part has weights, and they are not those of the model's own part.
        """
        if not self.head:
            return head
        own = copy.copy(head)
        own._modules = dict(head._modules)
        for name, value in self.head.items():
            setattr(own, name, self._build(value, getattr(head, name)) if isinstance(value, Mapping) else value)
        return own

    def _build(self, config: Mapping, trained: nn.Module | None) -> nn.Module:
        """A part, with the weights of the one that it takes the place of."""
        part = MODELS.build(config).eval()
        if not part.state_dict():
            return part
        try:
            if type(part) is not type(trained):
                raise RuntimeError(f'it is a {type(trained).__name__}')
            part.load_state_dict(trained.state_dict())
        except RuntimeError as error:
            raise ValueError(
                f'The setting {self.name!r} wants a {type(part).__name__} with weights that the part of the model in '
                f'its place does not have ({error}). Only parts without weights can be exchanged freely; test this '
                'one with a model that was trained with it.'
            ) from error
        return part


def _check_values(config: Mapping) -> None:
    """Raise for a value that would end in an error without its name, and only once the loop runs."""
    rules = dict(
        name=(lambda value: isinstance(value, str), "a text, such as name='OTAM'"),
        matching=(_is_part, "a config, such as matching=dict(type='OTAM')"),
        prototype=(
            lambda value: value is None or _is_part(value),
            "a config, such as prototype=dict(type='MeanPrototype'), or None",
        ),
        temperature=(_is_temperature, 'a positive number, such as temperature=0.5'),
    )
    for key, (usable, expected) in rules.items():
        if key in config and not usable(config[key]):
            raise ValueError(f'The {key} of a setting must be {expected}, but is {config[key]!r}.')


def _short_name(value: object) -> str:
    kind = value['type'] if isinstance(value, Mapping) else value
    return getattr(kind, '__name__', str(kind))  # in configs of pure Python, types are classes


def _is_part(value: object) -> bool:
    return isinstance(value, Mapping) and 'type' in value


def _is_temperature(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value > 0
