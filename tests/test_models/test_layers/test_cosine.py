import pytest
import torch

from fsar_llava.models.layers import cosine

from ..test_clip_methods.loops import array
from ..test_clip_methods.loops import cosine as by_hand


@pytest.mark.parametrize(
    ('videos', 'texts', 'found'),
    [
        (torch.float64, torch.float64, torch.float64),
        (torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float32),
    ],
)
def test_equals_plain_loops(videos, texts, found):
    videos, texts = torch.randn(2, 4, 8).to(videos), torch.randn(2, 3, 8).to(texts)
    result = cosine(videos, texts)
    assert result.dtype == found
    expected = [[[by_hand(v, t) for t in two] for v in one] for one, two in zip(array(videos.double()), array(texts))]
    torch.testing.assert_close(result.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    videos, texts = torch.randn(2, 4, 8), torch.randn(2, 3, 8)
    with torch.autocast('cpu', dtype):
        result = cosine(videos, texts)
    assert torch.equal(result, cosine(videos, texts))
