import importlib.util
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fsar_llava.models.backbones import VideoMLLMBackbone, pretrained_source
from fsar_llava.models.backbones.pretrained_source import PretrainedSource

WEIGHTS = 'model.safetensors'


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / 'copy')


def rewrite(folder, change):
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={'format': 'pt'})


def load(folder, layer=2, **kwargs):
    backbone = VideoMLLMBackbone(str(folder), layer, dtype='float32', **kwargs)
    return backbone._mllm.model(torch.device('cpu'))


def test_the_revision_reaches_all_that_is_loaded(folder, monkeypatch):
    asked = {}
    for kind in (transformers.AutoConfig, transformers.AutoTokenizer, transformers.VideoLlavaModel):

        def from_pretrained(name, *args, kind=kind, stock=kind.from_pretrained, **kwargs):
            asked[kind.__name__] = kwargs.get('revision')
            return stock(name, *args, **kwargs)

        monkeypatch.setattr(kind, 'from_pretrained', from_pretrained)
    backbone = VideoMLLMBackbone(str(folder), 1, revision='v2', dtype='float32')
    backbone._mllm.model(torch.device('cpu'))
    backbone.text_length('a')
    assert asked == dict(AutoConfig='v2', AutoTokenizer='v2', VideoLlavaModel='v2')


def published_name(name):
    """The key that a weight has in the checkpoint on the hub, which was written by transformers 4.38."""
    for tower in ('image_tower', 'video_tower'):
        name = name.removeprefix('model.').replace(f'{tower}.vision_model.', f'{tower}.')
        name = name.replace(f'{tower}.', f'{tower}.vision_model.') if name.startswith(tower) else name
    if name == 'lm_head.weight':
        return 'language_model.lm_head.weight'
    if name.startswith('language_model.') and not name.startswith(('language_model.model.', 'language_model.lm_head')):
        return name.replace('language_model.', 'language_model.model.', 1)
    return name


def modern_name(name):
    """The key that transformers 4.52 and later wrote."""
    name = published_name(name)
    if name == 'language_model.lm_head.weight':
        return 'lm_head.weight'
    return f'model.{name}'.replace('language_model.model.', 'language_model.')


class TestWeights:
    @pytest.mark.parametrize('naming', [None, published_name, modern_name])
    def test_are_those_of_the_checkpoint(self, copied, full_model, naming):
        if naming is not None:
            rewrite(copied, lambda weights: {naming(name): value for name, value in weights.items()})
            names = set(load_file(copied / WEIGHTS))
            assert {
                'video_tower.vision_model.pre_layrnorm.bias',
                'model.video_tower.vision_model.pre_layrnorm.bias',
            } & names
        expected = dict(full_model.model.named_parameters())
        loaded = dict(load(copied, layer=4).named_parameters())
        assert len(loaded) > 60
        for name, value in loaded.items():
            assert torch.equal(value, expected[name]), name

    @pytest.mark.parametrize(
        'name',
        ['layers.0.layer_norm1.weight', 'multi_modal_projector.linear_1.bias', 'layers.1.mlp.up_proj.weight'],
    )
    def test_missing_ones_are_refused(self, copied, name):
        rewrite(copied, lambda weights: {key: value for key, value in weights.items() if not key.endswith(name)})
        with pytest.raises(RuntimeError, match=f'do not fit its configuration: [12] missing .*{name}.* hf download'):
            load(copied)

    def test_missing_ones_behind_the_layer_do_not_matter(self, copied):
        rewrite(copied, lambda weights: {key: value for key, value in weights.items() if '.layers.3.' not in key})
        load(copied, layer=3)

    def test_another_shape_is_refused(self, copied):
        rewrite(copied, lambda weights: {k: v[:-1] if k.endswith('linear_2.bias') else v for k, v in weights.items()})
        with pytest.raises(RuntimeError, match=r'linear_2.bias'):
            load(copied)

    def test_shards(self, copied, full_model):
        full_model.save_pretrained(copied, max_shard_size='100KB')
        (copied / WEIGHTS).unlink(missing_ok=True)
        shards = sorted(copied.glob('model-*.safetensors'))
        assert len(shards) > 1
        load(copied)
        shards[1].unlink()
        with pytest.raises(
            FileNotFoundError, match=f'holds no {shards[1].name}. .*hf download .* --local-dir {copied}'
        ):
            load(copied)

    def test_truncated_file(self, copied):
        (copied / WEIGHTS).write_bytes((copied / WEIGHTS).read_bytes()[:1000])
        with pytest.raises(OSError, match=f'could not be loaded from the folder .{copied}.*hf download'):
            load(copied)


class TestMissing:
    @pytest.mark.parametrize('path', ['/no/such/folder', './weights', 'weights', '~/no-such-folder', 'a/b/c'])
    def test_folder(self, path):
        with pytest.raises(FileNotFoundError, match=r'There is no folder .*hf download LanguageBind/Video-LLaVA-7B-hf'):
            PretrainedSource(path)

    def test_folder_of_another_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(FileNotFoundError, match=f'no folder a/b/c .*counts from {tmp_path}. Give a complete'):
            PretrainedSource('a/b/c')
        with pytest.raises(FileNotFoundError) as error:
            PretrainedSource('/no/such/folder')
        assert 'relative' not in str(error.value)

    @pytest.mark.parametrize('name', ['config.json', 'tokenizer.json', WEIGHTS])
    def test_file(self, copied, name):
        (copied / name).unlink()
        with pytest.raises(FileNotFoundError, match=f'{copied} holds no {name}. .*--local-dir {copied}'):
            PretrainedSource(str(copied))

    def test_hub_model(self, monkeypatch):
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
        source = PretrainedSource('nobody/nothing')
        with pytest.raises(OSError, match=r'no such folder.*hf download nobody/nothing --local-dir FOLDER'):
            _ = source.config

    def test_another_kind_of_model(self, copied):
        (copied / 'config.json').write_text(json.dumps(dict(model_type='llama')))
        with pytest.raises(ValueError, match="holds a model of type 'llama', but VideoMLLMBackbone runs 'video_llava'"):
            VideoMLLMBackbone(str(copied), 1)

    def test_tokenizer_of_another_model(self, copied, pixels):
        config = json.loads((copied / 'config.json').read_text())
        (copied / 'config.json').write_text(json.dumps({**config, 'video_token_index': 100_000}))
        with pytest.raises(ValueError, match='token id 100000, which its tokenizer'):
            VideoMLLMBackbone(str(copied), 1, dtype='float32')(pixels[:1], ['a'])


class TestFingerprint:
    def test_does_not_depend_on_the_place(self, folder, copied):
        assert PretrainedSource(str(folder)).fingerprint == PretrainedSource(str(copied)).fingerprint

    @pytest.mark.parametrize('name', ['config.json', 'tokenizer.json', WEIGHTS])
    @pytest.mark.parametrize('place', [0, -1])
    def test_depends_on_every_file(self, folder, copied, name, place, monkeypatch):
        monkeypatch.setattr(
            pretrained_source, 'MEBIBYTE', 1000
        )  # the weights are larger, so that their end is read apart
        content = bytearray((copied / name).read_bytes())
        content[place] ^= 1
        (copied / name).write_bytes(content)
        assert PretrainedSource(str(folder)).fingerprint != PretrainedSource(str(copied)).fingerprint

    def test_of_a_hub_model_is_the_commit(self, monkeypatch):
        config = SimpleNamespace(model_type='video_llava', _commit_hash='0123abc')
        asked = []
        monkeypatch.setattr(
            transformers.AutoConfig, 'from_pretrained', lambda name, revision: asked.append((name, revision)) or config
        )
        assert PretrainedSource('owner/name', 'v2').fingerprint == 'owner/name@0123abc'
        assert asked == [('owner/name', 'v2')]


class TestQuantization:
    @pytest.fixture
    def options(self, folder, monkeypatch):
        """The arguments that reach ``from_pretrained``."""
        found = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util,
            'find_spec',
            lambda name: object() if name in ('bitsandbytes', 'accelerate') else found(name),
        )
        monkeypatch.setattr(transformers.BitsAndBytesConfig, 'post_init', lambda self: None)
        received = {}
        load_stock = transformers.VideoLlavaModel.from_pretrained

        def from_pretrained(name, *, quantization_config=None, device_map=None, **kwargs):
            received.update(quantization_config=quantization_config, device_map=device_map, dtype=kwargs['dtype'])
            return load_stock(name, **kwargs)

        monkeypatch.setattr(transformers.VideoLlavaModel, 'from_pretrained', from_pretrained)
        return received

    def test_4bit(self, folder, options):
        VideoMLLMBackbone(str(folder), 1, quantization='4bit', dtype='bfloat16')._mllm.model(torch.device('cpu'))
        config = options['quantization_config']
        assert (config.load_in_4bit, config.load_in_8bit) == (True, False)
        assert (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == ('nf4', torch.bfloat16)
        assert options['device_map'] == {'': torch.device('cpu')}
        assert options['dtype'] == torch.bfloat16

    def test_8bit(self, folder, options):
        VideoMLLMBackbone(str(folder), 1, quantization='8bit', dtype='float16')._mllm.model(torch.device('cpu'))
        config = options['quantization_config']
        assert (config.load_in_4bit, config.load_in_8bit) == (False, True)

    def test_none(self, folder, options):
        load(folder)
        assert options == dict(quantization_config=None, device_map=None, dtype=torch.float32)

    def test_install_hint(self, folder, monkeypatch):
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
        backbone = VideoMLLMBackbone(str(folder), 1, quantization='4bit')
        with pytest.raises(ImportError, match='Run: pip install bitsandbytes accelerate'):
            backbone._mllm.model(torch.device('cpu'))

    def test_needs_weights(self, pixels):
        from .conftest import ARCHITECTURE

        with pytest.raises(ValueError, match='needs pretrained weights'):
            VideoMLLMBackbone(architecture=ARCHITECTURE, layer=1, quantization='8bit')(pixels[:1], ['a'])
