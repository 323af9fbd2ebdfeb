"""Which question is asked about which video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from string import Formatter

from mmaction.structures import ActionDataSample

FIELDS = {'support': {'class_name', 'options'}, 'query': {'options'}}


@dataclass(frozen=True)
class PromptSet:
    """The prompts of support and query videos.

    A template may contain ``{options}``, the episode's N class names by way (``'c1'; 'c2'; 'c3'``). A support template
    may contain ``{class_name}`` as well, the video's class; a query template may not, since that is the answer.

    Args:
        support: Template of a support video, or None for no prompt.
        query: Template of a query video, or None for no prompt.

    Raises:
        TypeError: If a template is no text.
        ValueError: If a template is malformed or contains a field that its role does not have.
    """

    support: str | None
    query: str | None

    def __post_init__(self) -> None:
        for role, template in asdict(self).items():
            unknown = _fields(role, template) - FIELDS[role]
            if unknown:
                raise ValueError(
                    f'The {role} prompt {template!r} contains {sorted(unknown)}, but a {role} prompt may contain only '
                    f'{sorted(FIELDS[role])}. (A query prompt with its own class name would give the answer away; '
                    'write {{ and }} for braces.)'
                )
            try:
                (template or '').format(**dict.fromkeys(FIELDS[role], ''))
            except (KeyError, ValueError) as error:  # of what stands behind a colon or an exclamation mark
                raise ValueError(
                    f'The {role} prompt {template!r} is no valid template: {error}. Write fields as {{options}}.'
                ) from error

    def __call__(self, data_samples: Sequence[ActionDataSample]) -> list[str | None]:
        """The prompts of V videos.

        Args:
            data_samples: V samples, stamped by :class:`EpisodicDataset`.

        Raises:
            ValueError: If a sample carries no episode information.
        """
        return [self.prompt(sample.metainfo) for sample in data_samples]

    def prompt(self, metainfo: Mapping) -> str | None:
        """The prompt of one video, from its ``role``, ``class_name`` (support only) and ``class_names``."""
        role = metainfo.get('role')
        if role not in FIELDS:
            raise ValueError(
                f"A prompt depends on the role of a video, 'support' or 'query', but the data sample says {role!r}. "
                "Use dataset=dict(type='EpisodicDataset', ...)."
            )
        template = getattr(self, role)
        if template is None:
            return None
        values = dict(options='; '.join(f"'{name}'" for name in metainfo['class_names']))
        if role == 'support':
            values['class_name'] = metainfo['class_name']
        return template.format(**values)

    @property
    def episode_conditioned(self) -> bool:
        """Whether a prompt depends on the episode, so that a video's features do as well."""
        return any('options' in _fields(role, template) for role, template in asdict(self).items())

    def identity(self) -> dict[str, str | None]:
        """The templates, to be stored beside whatever was computed with them."""
        return asdict(self)


def _fields(role: str, template: str | None) -> set[str]:
    """The names in braces of a template."""
    if template is None:
        return set()
    if not isinstance(template, str):
        raise TypeError(f'The {role} prompt must be a text or None, but is {template!r}.')
    try:
        return {field for _, field, _, _ in Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise ValueError(f'The {role} prompt {template!r} is no valid template: {error}.') from error


# The texts are the paper's, word for word [P].
PROMPT_SETS = {
    'unknown': PromptSet(support="What's the action of the video?", query="What's the action of the video?"),
    'known': PromptSet(
        support="Please describe if the '{class_name}' action is present in the video in one sentence.",
        query='Watch the video and identify the main action category from these options: {options}.',
    ),
}


def build_prompts(cfg: str | Mapping | PromptSet | None) -> PromptSet:
    """The prompts that a config asks for.

    Args:
        cfg: A name in ``PROMPT_SETS``, ``dict(support=..., query=...)`` with templates, a :class:`PromptSet`, which is
            taken as it is, or None for no prompts.

    Raises:
        ValueError: If the name is unknown, or the dict has other keys than ``support`` and ``query``.
    """
    if isinstance(cfg, PromptSet):
        return cfg
    if cfg is None:
        return PromptSet(support=None, query=None)
    if isinstance(cfg, Mapping):
        if set(cfg) != {'support', 'query'}:
            raise ValueError(
                f"Prompts given as a dict need exactly the keys 'support' and 'query', but got {sorted(cfg)}."
            )
        return PromptSet(**cfg)
    if cfg not in PROMPT_SETS:
        raise ValueError(
            f'Unknown prompt set {cfg!r}. Known are {sorted(PROMPT_SETS)}; own ones are given as '
            'dict(support=..., query=...).'
        )
    return PROMPT_SETS[cfg]
