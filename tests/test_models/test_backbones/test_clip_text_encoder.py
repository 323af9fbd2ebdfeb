from __future__ import annotations

import copy
import pickle

import pytest
import torch
from mmaction.registry import MODELS

from fsar_llava.models.backbones import CLIPTextEncoder, clip_text_encoder
from fsar_llava.models.backbones.clip_architecture import character_tokenizer, text_config


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A saved miniature CLIP text encoder with its tokenizer."""
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp('clip_text')
    tokenizer = character_tokenizer()
    CLIPTextModelWithProjection(text_config('tiny', tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_embedding_equals_transformers_on_a_padded_batch(folder):
    from transformers import CLIPTextModelWithProjection

    texts = ['a photo of long jump', 'a photo of archery', 'x']
    batch = character_tokenizer()(texts, padding=True, return_tensors='pt')
    expected = CLIPTextModelWithProjection.from_pretrained(folder)(**batch).text_embeds
    torch.testing.assert_close(CLIPTextEncoder(str(folder))(texts), expected.detach(), rtol=1e-4, atol=1e-5)


def test_embedding_of_a_text_does_not_depend_on_the_others_nor_on_the_global_seed():
    def embed(seed, texts):
        clip_text_encoder._load.cache_clear()
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        embeddings = CLIPTextEncoder(architecture='tiny')(texts)
        assert torch.equal(state, torch.get_rng_state())
        return embeddings

    first, second = embed(0, ['run', 'jump']), embed(1, ['swim', 'jump', 'jump'])
    assert torch.equal(first[1], second[1])
    assert torch.equal(second[1], second[2])
    assert not torch.allclose(first[0], first[1])


def test_random_weights_leave_the_generators_of_gpus_alone(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', seeds.append)
    clip_text_encoder._load.cache_clear()
    CLIPTextEncoder(architecture='tiny')(['run'])
    assert not seeds


def test_embeddings_are_plain_cpu_tensors_under_autocast():
    encoder = CLIPTextEncoder(architecture='tiny')
    with torch.inference_mode(), torch.autocast('cpu', dtype=torch.bfloat16):
        encoder(['run'])
    found = encoder(['run'])
    assert torch.equal(found, CLIPTextEncoder(architecture='tiny')(['run']))
    assert found.dtype == torch.float32
    assert found.device.type == 'cpu'
    assert not found.requires_grad
    weight = torch.zeros(32, requires_grad=True)
    (found @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, found[0])


def test_long_texts_are_cut():
    assert torch.isfinite(CLIPTextEncoder(architecture='tiny')(['long ' * 100])).all()


def test_copies_and_pickles_work():
    encoder = MODELS.build(dict(type='CLIPTextEncoder', architecture='tiny'))
    expected = encoder(['run'])
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(['run']), expected)


def test_identity_tells_weights_apart_but_not_places(folder, tmp_path):
    here = CLIPTextEncoder(str(folder)).identity()
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    elsewhere = CLIPTextEncoder(str(tmp_path)).identity()
    other = CLIPTextEncoder(architecture='tiny').identity()
    assert here['fingerprint'] == elsewhere['fingerprint'] != other['fingerprint']


@pytest.mark.parametrize('arguments', [{}, dict(model='a/b', architecture='tiny')])
def test_needs_weights_or_sizes(arguments):
    with pytest.raises(ValueError, match='either model='):
        CLIPTextEncoder(**arguments)


@pytest.mark.parametrize('architecture', ['ViT-B/15', dict(base='huge'), dict(visual={})])
def test_unknown_architecture(architecture):
    with pytest.raises(ValueError, match='CLIP architecture'):
        CLIPTextEncoder(architecture=architecture)


def test_missing_folder():
    with pytest.raises(FileNotFoundError, match=r"no folder '\./weights/clip'.*relative path counts from /"):
        CLIPTextEncoder('./weights/clip')


@pytest.mark.parametrize('kind', ['CLIPTextEncoder', 'CLIPBackbone'])
def test_model_that_cannot_be_fetched(kind, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    message = r"hub \(there is no such folder\) as 'nobody/nothing'.*hf download nobody/nothing --local-dir FOLDER"
    with pytest.raises(OSError, match=message):
        MODELS.build(dict(type=kind, model='nobody/nothing'))(['run'])


def test_folder_without_weights(tmp_path):
    with pytest.raises(OSError, match=f'could not be loaded from the folder .{tmp_path}'):
        CLIPTextEncoder(str(tmp_path))(['run'])
