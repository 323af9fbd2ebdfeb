import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from fsar_llava import compat


def test_repairs_are_idempotent():
    before = sys.modules['mmaction.models.localizers.drn']
    compat.apply()
    assert sys.modules['mmaction.models.localizers.drn'] is before
    import mmaction.models  # noqa: F401


def test_placeholder_says_what_is_missing():
    from mmaction.models.localizers import DRN

    with pytest.raises(ImportError, match='install MMAction2 from source'):
        DRN()


def test_mmengine_checkpoints_load_without_pickle(tmp_path):
    buffer = HistoryBuffer()
    buffer.update(1.5)
    content = dict(message_hub=dict(log_scalars={'train/loss': buffer}), array=np.arange(3.0), scalar=np.float64(2))
    torch.save(content, tmp_path / 'checkpoint.pth')
    loaded = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)
    assert loaded['message_hub']['log_scalars']['train/loss'].current() == 1.5
    np.testing.assert_array_equal(loaded['array'], np.arange(3.0))


@pytest.mark.parametrize('factor', [-0.5, -0.1, 0.1, 0.5])
def test_hue_shift_of_color_jitter_does_not_overflow(factor):
    from mmaction.datasets.transforms import ColorJitter

    image = np.zeros((4, 4, 3), np.float32)
    image[..., 0] = 200  # pure red: hue 0, so that any negative shift has to wrap around
    shifted = ColorJitter.adjust_hue(image, factor)
    assert shifted.dtype == np.float32
    assert shifted.max() == pytest.approx(200, abs=1)
    assert not np.allclose(shifted, image)


def test_missing_mmcv_is_explained(monkeypatch):
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'mmcv-lite>=2\.1\.0,<2\.2\.0'):
        compat.check_mmcv()
