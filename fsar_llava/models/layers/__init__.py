"""Building blocks that necks, prototypes and matching metrics share."""

from .class_text_check import check_class_texts
from .cosine import cosine
from .down_sampling import DownSampling
from .feed_forward import FeedForward
from .free_memory import free_memory
from .fusion_layer import FusionLayer
from .masking import fill_padding, masked_mean
from .residual_attention import ResidualAttention
from .temporal_position import TemporalPosition
from .thin_products import attention_read, attention_scores

__all__ = [
    'DownSampling',
    'FeedForward',
    'FusionLayer',
    'ResidualAttention',
    'TemporalPosition',
    'attention_read',
    'attention_scores',
    'check_class_texts',
    'cosine',
    'fill_padding',
    'free_memory',
    'masked_mean',
]
