"""Features of videos that are computed once: on disk (token store) and in memory (feature bank)."""

from .feature_bank import FeatureBank
from .fingerprint import Fingerprint
from .token_manifest import TokenManifest, TokenStoreMismatchError
from .token_shard import TokenShardError
from .token_store import StoredVideo, TokenStore
from .token_writer import TokenWriter

__all__ = [
    'FeatureBank',
    'Fingerprint',
    'StoredVideo',
    'TokenManifest',
    'TokenShardError',
    'TokenStore',
    'TokenStoreMismatchError',
    'TokenWriter',
]
