"""Reports videos with fewer frames than are asked for."""

from __future__ import annotations

import logging

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log


@TRANSFORMS.register_module()
class WarnShortVideo(BaseTransform):
    """Log, once for each file and process, that a video is too short and its frames will be repeated.

    Belongs between ``DecordInit`` and ``SampleFrames``. For training, give ``SampleFrames`` ``keep_tail_frames=True``:
    without it a video of 2, 3, 4 frames ends on a repetition of its *first* frame.

    Required Keys:

        - total_frames
        - filename (or frame_dir)

    Args:
        num_frames: T, the frames that are sampled of each video.
    """

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames
        self._reported: set[str] = set()

    def transform(self, results: dict) -> dict:
        """Return ``results`` as they are.

        Raises:
            ValueError: If the video is said to have no frame, of which ``SampleFrames`` would sample all the same.
        """
        name = results.get('filename') or results['frame_dir']
        total = results['total_frames']
        if total < 1:
            raise ValueError(
                f'{name} is said to have {total} frames, so that none can be sampled. PyAVInit takes their number from '
                "the file's head, which has none in WebM and Matroska: use DecordInit and DecordDecode there, or "
                'OpenCVInit and OpenCVDecode.'
            )
        if total < self.num_frames and name not in self._reported:
            self._reported.add(name)
            print_log(
                f'{name} has {total} frame(s), fewer than the {self.num_frames} that are sampled; frames are repeated.',
                logger='current',
                level=logging.WARNING,
            )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_frames={self.num_frames})'
