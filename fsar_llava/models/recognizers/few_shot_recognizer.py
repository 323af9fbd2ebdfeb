"""The recognizer that hands prompts to its backbone."""

from __future__ import annotations

from collections.abc import Sequence

from mmaction.models.recognizers import BaseRecognizer
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from fsar_llava.models.prompts import build_prompts
from fsar_llava.structures import TokenBatch, VideoFeatures


@MODELS.register_module()
class FewShotRecognizer(BaseRecognizer):
    """Few-shot recognizer for methods whose backbone reads text beside the video.

    Methods without text need no recognizer of their own: :class:`PrototypeHead` runs under ``Recognizer2D`` and
    ``Recognizer3D``.

    Args:
        backbone: Called as ``backbone(inputs, prompts) -> VideoFeatures`` with ``inputs [V, T, C, H, W]`` and V
            prompts.
        cls_head: A :class:`PrototypeHead`.
        neck: Called as ``neck(features, data_samples=...) -> (VideoFeatures, losses)``. Optional.
        prompts: Name of a prompt set (``'unknown'``, ``'known'``), or a dict with templates (see :class:`PromptSet`).
        train_cfg: Not used; for MMAction2's base class.
        test_cfg: Not used; for MMAction2's base class.
        data_preprocessor: As in MMAction2.
    """

    def __init__(
        self,
        backbone: dict,
        cls_head: dict | None = None,
        neck: dict | None = None,
        *,
        prompts: str | dict | None = 'unknown',
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            cls_head=cls_head,
            neck=neck,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
        )
        self.prompts = build_prompts(prompts)

    def extract_feat(
        self,
        inputs: Tensor | TokenBatch,
        stage: str = 'neck',
        data_samples: Sequence[ActionDataSample] | None = None,
        test_mode: bool = False,
    ) -> tuple[VideoFeatures | Tensor, dict]:
        """Features of V videos.

        Args:
            inputs: ``[V, T, C, H, W]`` normalised frames, or stored tokens of V videos.
            stage: ``'backbone'``, ``'neck'`` or ``'head'`` (logits).
            data_samples: V samples; their role and class names make the prompts.
            test_mode: Not used; for MMAction2's interface.

        Returns:
            The features, and ``dict(loss_aux=...)`` of the neck.

        Raises:
            ValueError: If there are no ``data_samples``.
        """
        if data_samples is None:
            raise ValueError('FewShotRecognizer needs data_samples: the prompts are made from them.')
        # Frozen backbones run in half precision; what is trained runs in float32, or in autocast's choice.
        features = self.backbone(inputs, self.prompts(data_samples)).float()
        if stage == 'backbone':
            return features, {}
        loss_aux = {}
        if self.with_neck:
            features, loss_aux = self.neck(features, data_samples=data_samples)
        if stage == 'head' and self.with_cls_head:
            return self.cls_head(features, data_samples), {}
        return features, dict(loss_aux=loss_aux)

    def forward(
        self,
        inputs: Tensor | TokenBatch,
        data_samples: Sequence[ActionDataSample] | None = None,
        mode: str = 'tensor',
        **kwargs: object,
    ) -> object:
        """MMAction2's entry; ``mode='tensor'`` passes the samples on as well, since the prompts need them."""
        if mode == 'tensor':
            return self.extract_feat(inputs, data_samples=data_samples, **kwargs)[0]
        return super().forward(inputs, data_samples, mode=mode, **kwargs)

    def predict(
        self, inputs: Tensor | TokenBatch, data_samples: Sequence[ActionDataSample], **kwargs: object
    ) -> list[ActionDataSample]:
        """One result per episode (see :meth:`PrototypeHead.predict`)."""
        features, _ = self.extract_feat(inputs, data_samples=data_samples, test_mode=True)
        return self.cls_head.predict(features, data_samples)

    def identity(self) -> dict:
        """What the tuned parameters were tuned for: the frozen backbone and the prompts.

        A backbone without an identity of its own is known by the name of its class.
        """
        backbone = self.backbone
        tuned_for = backbone.identity() if hasattr(backbone, 'identity') else dict(type=type(backbone).__name__)
        return dict(backbone=tuned_for, prompts=self.prompts.identity())
