import pytest
import torch
from mmengine.config import Config

from fsar_llava.engine.launch import use_gloo_without_gpu, work_dir_of


def test_one_process_needs_nothing():
    cfg = Config()
    use_gloo_without_gpu(cfg, 'none')
    assert 'model_wrapper_cfg' not in cfg


@pytest.mark.skipif(torch.cuda.is_available(), reason='describes a machine without a GPU')
def test_slurm_without_a_gpu_is_refused():
    with pytest.raises(RuntimeError, match='--launcher pytorch'):
        use_gloo_without_gpu(Config(), 'slurm')


@pytest.mark.parametrize(
    ('command_line', 'cfg', 'expected'),
    [('a', dict(work_dir='b'), 'a'), (None, dict(work_dir='b'), 'b'), (None, {}, 'work_dirs/x')],
)
def test_work_dir(command_line, cfg, expected):
    assert work_dir_of('configs/x.py', command_line, Config(cfg)) == expected
