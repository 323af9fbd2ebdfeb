"""Networks that see the pixels, and the prompt, of one video at a time."""

from .clip_backbone import CLIPBackbone
from .clip_text_encoder import CLIPTextEncoder
from .ma_fsar_backbone import MAFSARBackbone
from .stored_tokens import StoredTokens
from .video_mllm_backbone import VideoMLLMBackbone
from .video_tokens import VideoTokens

__all__ = ['CLIPBackbone', 'CLIPTextEncoder', 'MAFSARBackbone', 'StoredTokens', 'VideoMLLMBackbone', 'VideoTokens']
