"""Repairs that let MMAction2 1.2 run on current torch, numpy and transformers.

MMAction2 1.2.0 (October 2023) is the latest release of the toolbox this package plugs into. Each function below removes
one obstacle, is idempotent and does nothing where the obstacle is absent. :func:`apply` runs when ``fsar_llava`` is
imported, that is before a config's ``custom_imports`` lead to ``mmaction.models``.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path


def check_mmcv() -> None:
    """Raise a readable error where neither ``mmcv-lite`` nor ``mmcv`` is installed.

    Neither can be a hard requirement of the package: they install into the same folder, so that requiring one would
    overwrite the other.

    Raises:
        ModuleNotFoundError: If ``mmcv`` cannot be imported.
    """
    if importlib.util.find_spec('mmcv') is None:
        raise ModuleNotFoundError(
            "MMAction2 needs mmcv, and it is not installed. Run: pip install 'mmcv-lite>=2.1.0,<2.2.0' "
            '(the full mmcv 2.1 works as well; never install both).'
        )


def provide_missing_drn() -> None:
    """Stand in for ``mmaction.models.localizers.drn``, which the mmaction2 1.2.0 wheel forgot (its issue 2714).

    Without it ``import mmaction.models`` fails. The placeholder class says so if somebody builds a DRN localizer.
    """
    name = 'mmaction.models.localizers.drn'
    folder = Path(importlib.util.find_spec('mmaction').submodule_search_locations[0])
    if name in sys.modules or (folder / 'models' / 'localizers' / 'drn').exists():
        return

    class DRN:
        """Placeholder of the localizer that the mmaction2 1.2.0 wheel does not contain."""

        def __init__(self, *args, **kwargs) -> None:
            raise ImportError('DRN is missing from the mmaction2 1.2.0 wheel; install MMAction2 from source to use it.')

    package, module = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    package.__path__ = []
    module.DRN = package.DRN = DRN
    sys.modules[name], sys.modules[f'{name}.drn'] = package, module


def disable_mmaction_multimodal() -> None:
    """Keep MMAction2 from importing VindLU, which fails on transformers 5; it then registers its own placeholders."""
    from mmaction.utils import dependency

    dependency.WITH_MULTIMODAL = False


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load(weights_only=True)``, the default since torch 2.6, read what mmengine writes.

    mmengine stores its message hub (``HistoryBuffer`` and numpy scalars) in every checkpoint.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    allowed = [HistoryBuffer, np.ndarray, np.dtype, multiarray._reconstruct, multiarray.scalar, getattr]
    allowed += [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith('DType')]
    torch.serialization.add_safe_globals(allowed)


def repair_color_jitter_hue() -> None:
    """Make the hue shift of MMAction2's ``ColorJitter`` wrap around instead of overflowing on numpy 2."""
    import cv2
    import numpy as np
    from mmaction.datasets.transforms.processing import ColorJitter

    def adjust_hue(img: np.ndarray, factor: float) -> np.ndarray:
        """Shift the hue of an RGB image ``[H, W, 3]`` as MMAction2 scales ``factor``; returns float32."""
        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    ColorJitter.adjust_hue = staticmethod(adjust_hue)


def apply() -> None:
    """Apply every repair."""
    check_mmcv()
    provide_missing_drn()
    disable_mmaction_multimodal()
    allow_mmengine_checkpoints()
    repair_color_jitter_hue()
