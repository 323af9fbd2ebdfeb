from __future__ import annotations

import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava.models.backbones import CLIPBackbone, CLIPTextEncoder


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return CLIPBackbone(architecture='tiny')


def frames(num_videos=2, num_frames=3, seed=0):
    return torch.randn(num_videos, num_frames, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_loads_a_local_folder_as_transformers_does(backbone, tmp_path):
    from transformers import CLIPConfig, CLIPModel

    from fsar_llava.models.backbones.clip_architecture import character_tokenizer, text_config

    tokenizer = character_tokenizer()
    sizes = dict(vision_config=backbone.visual.config.to_dict(), text_config=text_config('tiny', tokenizer).to_dict())
    clip = CLIPModel(CLIPConfig(**sizes, projection_dim=32)).eval()
    clip.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPBackbone(str(tmp_path)).eval()
    loaded.init_weights()
    video = frames()
    found = loaded(video, ['a photo of run', None])
    expected = clip.get_image_features(pixel_values=video.flatten(0, 1)).pooler_output
    torch.testing.assert_close(found.visual.flatten(0, 1), expected, rtol=1e-4, atol=1e-5)
    text = clip.get_text_features(**tokenizer('a photo of run', return_tensors='pt')).pooler_output
    torch.testing.assert_close(found.textual[0], text, rtol=1e-4, atol=1e-5)


def test_prompts_become_one_text_token(backbone):
    features = backbone(frames(), ['a photo of run', None])
    assert features.visual.shape == (2, 3, 32)
    assert features.textual_mask.tolist() == [[True], [False]]
    assert torch.equal(features.textual[0], CLIPTextEncoder(architecture='tiny')(['a photo of run']))
    assert not features.textual[1].any()


def test_videos_without_text_have_the_same_layout_as_those_with(backbone):
    alone = backbone(frames(), [None, None])
    assert alone.textual.shape == (2, 1, 32)
    assert not alone.textual_mask.any()
    assert backbone(frames()).textual is None
    assert CLIPBackbone(architecture='tiny', text=False)(frames(), ['run', None]).textual is None


def test_features_of_a_video_do_not_depend_on_the_others(backbone):
    video = frames()
    together = backbone(video, ['a', 'b'])
    torch.testing.assert_close(together.visual[1:], backbone(video[1:], [None]).visual)


def test_frames_without_videos_as_a_2d_backbone(backbone):
    video = frames()
    found = backbone(video.flatten(0, 1))
    torch.testing.assert_close(found, backbone(video).visual.flatten(0, 1))


@pytest.mark.parametrize('frozen', [False, True])
def test_gradients(frozen):
    backbone = CLIPBackbone(architecture='tiny', frozen=frozen).train()
    visual = backbone(frames(), ['a', None]).visual
    assert visual.requires_grad is not frozen
    if not frozen:
        # Layer norm removes a common shift of all channels, hence a weighted sum.
        (visual * torch.arange(32)).sum().backward()
        assert all(p.grad is not None for p in backbone.parameters())
        # The softmax cancels the biases of keys.
        unreached = [name for name, p in backbone.named_parameters() if not p.grad.any()]
        assert all('k_proj.bias' in name for name in unreached)
    assert backbone.visual.training is not frozen


def test_text_encoder_is_not_in_the_module_tree(backbone):
    assert not [name for name in backbone.state_dict() if 'text' in name]
    assert all(name.startswith('visual.') for name, _ in backbone.named_parameters())


def test_init_weights_keeps_what_is_there(backbone, monkeypatch):
    monkeypatch.setattr(backbone.visual, 'init_weights', pytest.fail)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@pytest.mark.parametrize('kind', ['CLIPBackbone', 'MAFSARBackbone'])
def test_init_cfg_loads_weights(kind, tmp_path):
    config, path = dict(type=kind, architecture='tiny'), tmp_path / 'weights.pth'
    saved = MODELS.build(config).state_dict()
    torch.save(dict(state_dict=saved), path)
    loaded = MODELS.build(dict(config, init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    loaded.init_weights()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items())


def test_recomputing_activations_gives_the_same_gradients():
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = CLIPBackbone(architecture='tiny', with_cp=with_cp).train()
        backbone(frames()).visual.square().sum().backward()
        gradients.append([p.grad for p in backbone.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(plain, recomputed)


def test_wrong_frame_size(backbone):
    with pytest.raises(ValueError, match=r'64 x 64 pixels, but got \[32, 32\]'):
        backbone(torch.zeros(1, 2, 3, 32, 32))


def test_builds_on_the_meta_device():
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='CLIPBackbone', architecture='ViT-B/16'))
    assert backbone.channels == 512
    assert sum(p.numel() for p in backbone.parameters()) == 86_192_640
