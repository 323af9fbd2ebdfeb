"""A model wrapper for multi-process tests."""

from __future__ import annotations

from mmengine.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module()
class EvaluationWrapper(nn.Module):
    """Stands where mmengine puts ``MMDistributedDataParallel`` when a model is only tested.

    Testing exchanges no gradients. Without DDP, models that have no trainable parameter (training-free baselines on a
    frozen backbone) can be tested on many processes, with and without a GPU.

    Args:
        module: The model.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def val_step(self, data: object) -> list:
        """The wrapped model's ``val_step``."""
        return self.module.val_step(data)

    def test_step(self, data: object) -> list:
        """The wrapped model's ``test_step``."""
        return self.module.test_step(data)
