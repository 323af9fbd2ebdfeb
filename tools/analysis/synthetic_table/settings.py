"""What the command line decides, and what the shipped configs do."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

REPOSITORY = Path(__file__).resolve().parents[3]
TASK = '5way-1shot_synthetic-motion'
CONFIGS = dict(
    video=f'fsar_llava/fsar-llava_mini_unknown_{TASK}',
    tokens=f'fsar_llava/fsar-llava_mini-tokens_unknown_{TASK}',
    known=f'fsar_llava/fsar-llava_mini_known_{TASK}',
    training_free=f'fsar_llava/training-free_mini_{TASK}',
    clip_fsar=f'clip_fsar/clip-fsar_mini_{TASK}',
    ma_fsar=f'ma_fsar/ma-fsar_mini_{TASK}',
    clip_m2df=f'clip_m2df/clip-m2df_mini_{TASK}',
)
EPOCHS = 4  # a validation after every quarter of the training


@dataclass(frozen=True)
class Settings:
    """Sizes and places of a run.

    Attributes:
        data: Folder of SyntheticMotion.
        out: Folder of the rows and of the table.
        layers: Decoder layers that are looked at; 0 is what enters the decoder.
        seeds: Of the headline rows.
        video_seeds: Of the rows that are trained from videos: Known prompts, whose tokens depend on the episode and
            cannot be stored, and the methods on CLIP, which train their backbone.
        ablation_seeds: Of the ablations; the first one also makes the choices.
        train_episodes: Episodes of the headline trainings from stored tokens.
        choice_episodes: Episodes of the trainings that choose, and of the ablations.
        video_episodes: Episodes of a training from videos.
        val_episodes: Meta-val episodes that make the choices.
        test_episodes: Meta-test episodes.
        videos_per_class: Size of the data set, if it has to be made.
        fusions: Fusions among which to choose.
        rates: Factors of the shipped learning rate among which to choose.
        temperatures: Of the head, among which to choose.
        fusion_temperatures: Of the fusion by confidence, among which to choose.
        parts: Kinds of ablations.
        fractions: Of ``train_episodes``: shorter trainings that the headline is compared with.
        clip: The methods on CLIP.
    """

    data: Path
    out: Path
    layers: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    video_seeds: tuple[int, ...] = (0, 1, 2)
    ablation_seeds: tuple[int, ...] = (0, 1, 2)
    train_episodes: int = 3000
    choice_episodes: int = 1000
    video_episodes: int = 600
    val_episodes: int = 2000
    test_episodes: int = 10000
    videos_per_class: int = 60
    fusions: tuple[str, ...] = ('confidence', 'hard', 'mean', 'union', 'visual', 'textual')
    rates: tuple[float, ...] = (1 / 3, 1, 3)
    temperatures: tuple[float, ...] = (0.03, 0.05, 0.07)
    fusion_temperatures: tuple[float, ...] = (0.1, 0.3, 1.0)
    parts: tuple[str, ...] = ('spatial', 'temporal', 'visual_lead', 'textual_lead', 'local', 'global', 'local+global')
    fractions: tuple[float, ...] = (1 / 12, 1 / 3, 2 / 3)
    clip: tuple[str, ...] = ('clip_fsar', 'ma_fsar', 'clip_m2df')

    def store(self, layer: int) -> str:
        """Folder of the tokens of a layer."""
        return str(self.data / f'tokens_layer{layer}')


def config_path(name: str) -> Path:
    """A shipped config, by its key in ``CONFIGS``."""
    return REPOSITORY / 'configs' / f'{CONFIGS[name]}.py'


@functools.cache
def shipped(name: str) -> Config:
    """What a shipped config says; nothing of it is repeated here."""
    return Config.fromfile(config_path(name))


def weights(name: str) -> Path:
    """Folder of the frozen weights of a shipped config."""
    return REPOSITORY / shipped(name).model.backbone.model


def use_data(data: Path) -> None:
    """Let the shipped configs find the data set.

    Raises:
        ValueError: If the folder has another name than they expect.
    """
    if data.name != 'synthetic_motion':
        raise ValueError(f'The configs look for a folder called synthetic_motion, but --data is {data}. Rename it.')
    os.environ['FSAR_DATA_ROOT'] = str(data.parent)
    MMLogger.get_current_instance().setLevel('WARNING')  # it would tell of the variable with every config
