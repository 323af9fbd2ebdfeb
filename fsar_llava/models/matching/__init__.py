"""Matching metrics for the ``matching`` slot of :class:`PrototypeHead`: distances of queries to classes."""

from .base_matching import BaseMatching
from .bi_mhm import BiMHM
from .cosine_matching import CosineMatching
from .euclidean_matching import EuclideanMatching
from .frame_matching import FrameMatching
from .multimodal_matching import MultimodalMatching
from .otam import OTAM
from .trx import TRX
from .tuple_matching import TupleMatching

__all__ = [
    'OTAM',
    'TRX',
    'BaseMatching',
    'BiMHM',
    'CosineMatching',
    'EuclideanMatching',
    'FrameMatching',
    'MultimodalMatching',
    'TupleMatching',
]
