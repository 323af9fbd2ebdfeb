"""Pictures of tested episodes, for ``--show`` and ``--show-dir`` of the test tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange
from mmaction.registry import HOOKS
from mmaction.structures import ActionDataSample
from mmengine.hooks import Hook
from torch import Tensor

from fsar_llava.engine.loops import FeatureBankTestLoop
from fsar_llava.visualization import draw_episode

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@HOOKS.register_module()
class EpisodeVisualizationHook(Hook):
    """Draws every n-th tested episode (see :func:`draw_episode`).

    MMAction2's ``VisualizationHook`` pairs each video with a result, and an episode has one result for many videos.

    Args:
        enable: Draw at all.
        interval: Draw the episodes whose id is a multiple of this.
        show: Open a window for each.
        wait_time: Seconds that a window stays.
        out_dir: Folder for ``episode_<id>.png``.
    """

    def __init__(
        self,
        *,
        enable: bool = False,
        interval: int = 1,
        show: bool = False,
        wait_time: float = 2.0,
        out_dir: str | None = None,
    ) -> None:
        self.enable = enable
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.out_dir = None if out_dir is None else Path(out_dir)

    def before_test(self, runner) -> None:
        """Refuse a loop that would draw nothing; ``tools/test.py`` chooses the other one by itself.

        Raises:
            TypeError: If the loop never has the videos of an episode together.
        """
        if self.enable and isinstance(runner.test_loop, FeatureBankTestLoop):
            raise TypeError(
                'Pictures of episodes need the videos of an episode together, but FeatureBankTestLoop takes every '
                'video by itself. Test with --cfg-options test_cfg.type=TestLoop.'
            )

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict, outputs: Sequence[ActionDataSample]) -> None:
        """Draw the episodes of one batch.

        Raises:
            TypeError: If the batch has no frames.
        """
        if not self.enable:
            return
        videos = data_batch['inputs']
        if isinstance(videos, Mapping):
            raise TypeError(
                f'Pictures of episodes need the frames of the videos, but the pipeline gives {sorted(videos)}. Test '
                'without --show and --show-dir, or with the config that the tokens were extracted with: it takes the '
                'same checkpoints and reads the videos.'
            )
        begin = 0
        for result in outputs:
            end = begin + data_batch['data_samples'][begin].metainfo['episode_size']
            if result.metainfo['episode_id'] % self.interval == 0:
                self._draw(videos[begin:end], data_batch['data_samples'][begin:end], result)
            begin = end

    def _draw(
        self, videos: Sequence[Tensor], data_samples: Sequence[ActionDataSample], result: ActionDataSample
    ) -> None:
        figure = draw_episode([middle_frame(video) for video in videos], data_samples, result)
        if self.out_dir is not None:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            figure.savefig(self.out_dir / f'episode_{result.metainfo["episode_id"]:05d}.png', dpi=120)
        if self.show:
            _show_window(figure, self.wait_time)


def _show_window(figure: Figure, seconds: float) -> None:
    """Show a finished figure in a window for some seconds."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    plt.figure(figsize=figure.get_size_inches(), frameon=False)
    plt.figimage(np.asarray(canvas.buffer_rgba()))
    plt.show(block=False)
    plt.pause(seconds)
    plt.close('all')


def middle_frame(video: Tensor) -> np.ndarray:
    """The middle frame ``[H, W, 3]`` of a video ``[T, C, H, W]`` or ``[n, C, T, H, W]`` of pixels 0 to 255."""
    frames = video if video.ndim == 4 else rearrange(video, 'n c t h w -> (n t) c h w')
    return rearrange(frames[len(frames) // 2], 'c h w -> h w c').clamp(0, 255).byte().cpu().numpy()
