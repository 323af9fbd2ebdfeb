import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmengine.dataset import Compose
from PIL import Image

from fsar_llava.datasets.transforms.mllm_resize_crop import MLLMResizeCrop

SHAPES = [(120, 160, 56), (97, 37, 64), (33, 50, 64), (64, 64, 64), (64, 101, 64), (45, 45, 32)]


def frames(height, width, num=2):
    """Smooth shapes with noise on top, far enough from black and white not to be clipped between the two passes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width][..., None]
    waves = 127 + 25 * np.sin(x / 9 + np.arange(3)) + 25 * np.cos(y / 5)
    return [(waves + rng.uniform(-25, 25, (height, width, 3))).astype(np.uint8) for _ in range(num)]


def bicubic_weights(source, target):
    """Matrix ``[target, source]`` of Keys' filter (a = -1/2), stretched by the reduction so that it antialiases."""
    scale = source / target
    stretch = max(scale, 1.0)
    matrix = np.zeros((target, source))
    for out in range(target):
        centre = (out + 0.5) * scale
        for place in range(source):
            t = abs((place + 0.5 - centre) / stretch)
            if t < 1:
                matrix[out, place] = 1.5 * t**3 - 2.5 * t**2 + 1
            elif t < 2:
                matrix[out, place] = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return matrix / matrix.sum(axis=1, keepdims=True)


def target_shape(height, width, size):
    return (size, size * width // height) if height < width else (size * height // width, size)


def crop(image, size):
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


@pytest.mark.parametrize(('height', 'width', 'size'), SHAPES)
def test_equals_an_antialiased_bicubic_filter(height, width, size):
    images = frames(height, width)
    results = MLLMResizeCrop(size).transform(dict(imgs=images))
    new_height, new_width = target_shape(height, width, size)
    rows, columns = bicubic_weights(height, new_height), bicubic_weights(width, new_width)
    for image, found in zip(images, results['imgs']):
        exact = np.einsum('ah,hwc,bw->abc', rows, image.astype(np.float64), columns, optimize=True)
        # Two passes that each round to whole levels.
        difference = np.abs(crop(exact, size) - found)
        assert found.dtype == np.uint8
        assert found.shape == (size, size, 3)
        assert difference.max() < 1.5
        assert difference.mean() < 0.5


@pytest.mark.parametrize(('height', 'width', 'size'), SHAPES)
def test_equals_pillow(height, width, size):
    images = frames(height, width)
    results = MLLMResizeCrop(size).transform(dict(imgs=images))
    new_height, new_width = target_shape(height, width, size)
    for image, found in zip(images, results['imgs']):
        resized = np.asarray(Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC))
        difference = np.abs(crop(resized, size).astype(int) - found)
        assert difference.max() <= 1
        assert difference.mean() < 0.02


@pytest.mark.parametrize(('height', 'width', 'size'), [*SHAPES, (240, 320, 224), (479, 853, 224)])
def test_equals_the_processor_of_the_model(height, width, size):
    pytest.importorskip('torchvision')
    from transformers import VideoLlavaVideoProcessor

    processor = VideoLlavaVideoProcessor(
        size=dict(shortest_edge=size), crop_size=dict(height=size, width=size), do_normalize=False
    )
    images = frames(height, width)
    expected = processor(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), return_tensors='pt')
    found = np.stack(MLLMResizeCrop(size).transform(dict(imgs=images))['imgs'])
    expected = expected['pixel_values_videos'][0].permute(0, 2, 3, 1).numpy() * 255
    assert np.abs(expected - found).max() < 1e-3


def test_works_in_a_pipeline():
    pipeline = Compose(
        [
            dict(type='MLLMResizeCrop', size=32),
            dict(type='FormatShape', input_format='NCHW'),
            dict(type='PackActionInputs'),
        ]
    )
    packed = pipeline(dict(imgs=frames(40, 70), num_clips=1, clip_len=2, label=0, img_shape=(40, 70)))
    assert packed['inputs'].shape == (2, 3, 32, 32)
    assert packed['inputs'].dtype == torch.uint8
    assert packed['data_samples'].img_shape == (32, 32)


def test_registered_and_reports_the_geometry():
    transform = TRANSFORMS.build(dict(type='MLLMResizeCrop', size=32))
    results = transform(dict(imgs=frames(64, 128)))
    assert results['img_shape'] == (32, 32)
    assert results['scale_factor'].tolist() == [0.5, 0.5]
    assert results['crop_bbox'].tolist() == [16, 0, 48, 32]
    results = transform(dict(imgs=frames(50, 77), scale_factor=np.array([0.5, 0.25])))  # resized before
    np.testing.assert_allclose(results['scale_factor'], [0.5 * 49 / 77, 0.25 * 32 / 50], rtol=1e-6)
    assert repr(transform) == 'MLLMResizeCrop(size=32)'


@pytest.mark.parametrize('size', [0, -1, (224, 224), '224'])
def test_bad_size(size):
    with pytest.raises(ValueError, match='size must be a positive integer'):
        MLLMResizeCrop(size)


def test_refuses_frames_that_are_not_decoded_bytes():
    with pytest.raises(TypeError, match=r'takes decoded frames of type uint8, but got torch.float32'):
        MLLMResizeCrop(32).transform(dict(imgs=[np.zeros((40, 40, 3), dtype=np.float32)]))
