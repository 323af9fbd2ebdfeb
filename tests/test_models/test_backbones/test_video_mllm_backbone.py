import copy
import json
import pickle

import pytest
import torch
from mmaction.registry import MODELS
from torch import nn

from fsar_llava.models.backbones import VideoMLLMBackbone, frozen_video_llava
from fsar_llava.models.backbones.random_source import RandomSource
from fsar_llava.structures import VideoFeatures

from .conftest import ARCHITECTURE, DEPTH, FRAMES, PATCHES, WIDTH

PROMPTS = ["What's the action?", 'Café?', 'Is it one of these: archery; diving?']


def build(folder=None, layer=2, **kwargs):
    source = dict(architecture=ARCHITECTURE) if folder is None else dict(model=str(folder))
    return VideoMLLMBackbone(**{**source, 'layer': layer, 'grid': None, 'dtype': 'float32', **kwargs})


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


class TestNumbers:
    @pytest.mark.parametrize('layer', range(DEPTH + 1))
    def test_equals_the_hidden_state_of_the_full_model(self, folder, pixels, expected, layer):
        features = build(folder, layer, keep_cls=True)(pixels, PROMPTS)
        for video, prompt in enumerate(PROMPTS):
            visual, textual = expected(pixels[video], prompt, layer)
            close(features.visual[video], visual)
            close(features.textual[video][features.textual_mask[video]], textual)

    @pytest.mark.parametrize('attn_implementation', ['sdpa', 'eager'])
    def test_attention_implementations_agree(self, folder, pixels, expected, attn_implementation):
        backbone = build(folder, keep_cls=True, attn_implementation=attn_implementation)
        features = backbone(pixels[:1], PROMPTS[:1])
        visual, textual = expected(pixels[0], PROMPTS[0], 2)
        close(features.visual[0], visual)
        close(features.textual[0], textual)
        model = backbone._mllm.model(torch.device('cpu'))
        assert model.language_model.config._attn_implementation == attn_implementation

    @pytest.mark.parametrize('vision_feature_layer', range(-3, 3))
    def test_every_layer_of_the_vision_tower(self, pixels, vision_feature_layer):
        architecture = {**ARCHITECTURE, 'vision_feature_layer': vision_feature_layer}
        source = RandomSource(architecture)
        full = source.load(source.config, torch.float32, device=pixels.device, quantization=None).eval()
        with torch.no_grad():
            states = full.video_tower(pixels.flatten(0, 1), output_hidden_states=True).hidden_states
            tokens = full.multi_modal_projector(states[vision_feature_layer])
        backbone = VideoMLLMBackbone(architecture=architecture, layer=0, grid=None, keep_cls=True, dtype='float32')
        close(backbone(pixels, PROMPTS).visual.flatten(0, 1), tokens)

    def test_visual_tokens_do_not_depend_on_the_prompt(self, pixels):
        backbone = build(layer=DEPTH)
        one, other = backbone(pixels, [PROMPTS[0]] * 3), backbone(pixels, [PROMPTS[2] * 5] * 3)
        assert torch.equal(one.visual, other.visual)
        assert not torch.allclose(one.textual[:, -1], other.textual[:, -1])

    def test_textual_tokens_depend_on_the_video_behind_the_first_block(self, pixels):
        textual = build()(pixels, [PROMPTS[0]] * 3).textual
        assert not torch.allclose(textual[0], textual[1], atol=1e-2)
        words = build(layer=0)(pixels, [PROMPTS[0]] * 3).textual
        assert torch.equal(words[0], words[1])

    def test_padding_changes_nothing(self, pixels):
        backbone = build(layer=DEPTH)
        together = backbone(pixels, PROMPTS)
        for video, prompt in enumerate(PROMPTS):
            alone = backbone(pixels[video : video + 1], [prompt])
            mask = together.textual_mask[video]
            assert mask.sum() == alone.textual.shape[1]
            close(together.textual[video][mask], alone.textual[0])
            close(together.visual[video], alone.visual[0])
            assert not together.textual[video][~mask].any()

    @pytest.mark.parametrize('max_batch_size', [1, 2, 5])
    def test_micro_batches_change_nothing(self, pixels, max_batch_size):
        whole, parts = build()(pixels, PROMPTS), build(max_batch_size=max_batch_size)(pixels, PROMPTS)
        close(whole.visual, parts.visual)
        close(whole.textual, parts.textual)
        assert torch.equal(whole.textual_mask, parts.textual_mask)

    @pytest.mark.parametrize('grid', [1, 2, 4])
    @pytest.mark.parametrize('keep_cls', [False, True])
    def test_patches_are_averaged_cell_by_cell(self, pixels, grid, keep_cls):
        visual = build(grid=grid, keep_cls=keep_cls)(pixels, PROMPTS).visual
        raw = build(keep_cls=True)(pixels, PROMPTS).visual.double()
        assert visual.shape == (3, FRAMES, grid * grid + keep_cls, WIDTH)
        side, size = 4, 4 // grid
        for cell in range(grid * grid):
            rows = [cell // grid * size + row for row in range(size)]
            columns = [cell % grid * size + column for column in range(size)]
            patches = [raw[:, :, 1 + row * side + column] for row in rows for column in columns]
            close(visual[:, :, keep_cls + cell], (sum(patches) / len(patches)).float())
        if keep_cls:
            close(visual[:, :, 0], raw[:, :, 0].float())

    def test_text_spans(self, pixels):
        spans = {span: build(text_span=span)(pixels, PROMPTS) for span in ('prompt', 'prompt+assistant', 'last')}
        for video, prompt in enumerate(PROMPTS):
            valid = {name: features.textual[video][features.textual_mask[video]] for name, features in spans.items()}
            length = len(prompt.encode())
            assert len(valid['prompt']) == length
            assert len(valid['prompt+assistant']) == length + len(' ASSISTANT:')
            close(valid['prompt'], valid['prompt+assistant'][:length])
            close(valid['last'], valid['prompt+assistant'][-1:])

    def test_half_precision_stays_near(self, pixels):
        exact, rough = build()(pixels, PROMPTS), build(dtype='bfloat16')(pixels, PROMPTS)
        assert rough.visual.dtype == rough.textual.dtype == torch.bfloat16
        for a, b in ((exact.visual, rough.visual), (exact.textual, rough.textual)):
            assert (a - b.float()).norm() < 0.02 * a.norm()

    def test_rotary_frequencies_keep_their_precision(self, pixels):
        backbone = build(dtype='bfloat16')
        assert backbone._mllm.model(pixels.device).language_model.rotary_emb.inv_freq.dtype == torch.float32

    def test_autocast_changes_nothing(self, pixels):
        backbone = build()
        with torch.autocast('cpu', torch.bfloat16):
            inside = backbone(pixels, PROMPTS)
        assert torch.equal(inside.visual, backbone(pixels, PROMPTS).visual)


class TestSharedPrefix:
    ASKED = [[PROMPTS[0], PROMPTS[2], PROMPTS[0]], [PROMPTS[1]], [PROMPTS[2], PROMPTS[1]]]

    @pytest.mark.parametrize(('tokens_per_pass', 'layer'), [(1, 3), (100, 3), (10000, 3), (100, 0)])
    def test_equals_the_full_forward_for_every_prompt(
        self, folder, pixels, expected, monkeypatch, tokens_per_pass, layer
    ):
        monkeypatch.setattr(frozen_video_llava, 'SUFFIX_TOKENS_PER_PASS', tokens_per_pass)
        tokens = build(folder, layer, keep_cls=True).encode(pixels, self.ASKED)
        assert tokens.video_index.tolist() == [0, 0, 0, 1, 2, 2]
        asked = [prompt for prompts in self.ASKED for prompt in prompts]
        for row, (video, prompt) in enumerate(zip(tokens.video_index.tolist(), asked)):
            visual, textual = expected(pixels[video], prompt, layer)
            close(tokens.visual[video], visual)
            close(tokens.textual[row][tokens.textual_mask[row]], textual)

    def test_video_and_prompt_run_once(self, pixels):
        backbone = build(architecture={**ARCHITECTURE, 'seed': 11})
        blocks, frames = [], []
        model = backbone._mllm.model(pixels.device)
        model.language_model.layers[0].register_forward_hook(lambda module, args, output: blocks.append(output.shape))
        model.video_tower.register_forward_hook(lambda module, args, output: frames.append(len(args[0])))
        prompt = PROMPTS[0]
        backbone.encode(pixels, [[prompt] * 7, [prompt], [prompt, 'abc', prompt]])
        longest = len(f'\n{prompt} ASSISTANT:'.encode())
        prefix = 1 + len('USER: ') + FRAMES * (PATCHES + 1)  # BOS, text, video
        assert frames == [3 * FRAMES]
        # The line break that both prompts of the third video begin with runs once for both.
        assert blocks == [(3, prefix, WIDTH), (3, 1, WIDTH), (3, 2 * (longest - 1), WIDTH)]

    @pytest.mark.parametrize('tokens_per_pass', [60, 10000])
    def test_a_common_beginning_runs_once(self, folder, pixels, expected, monkeypatch, tokens_per_pass):
        monkeypatch.setattr(frozen_video_llava, 'SUFFIX_TOKENS_PER_PASS', tokens_per_pass)
        monkeypatch.setattr(frozen_video_llava, 'MIN_SUFFIX_TOKENS', tokens_per_pass)
        names = ['a', 'ab', 'abc', 'a', 'zz', 'é']
        asked = [[f'Is it {name}' for name in names], ['Is it a'], ['Is it ab', 'What is it?']]
        backbone = build(folder, 3, keep_cls=True)
        blocks = []
        model = backbone._mllm.model(pixels.device)
        model.language_model.layers[0].register_forward_hook(lambda module, args, output: blocks.append(output.shape))
        tokens = backbone.encode(pixels, asked)
        rows = [(video, prompt) for video, prompts in enumerate(asked) for prompt in prompts]
        for row, (video, prompt) in enumerate(rows):
            close(tokens.textual[row][tokens.textual_mask[row]], expected(pixels[video], prompt, 3)[1])
        longest = len('\nWhat is it? ASSISTANT:')
        assert sum(shape[1] for shape in blocks[1:]) < 5 * longest

    def test_frames_of_several_layers(self, pixels):
        backbone = build(layer=3, max_batch_size=2)
        frames = backbone.frames_of_layers(pixels, [3, 0, 1])
        assert list(frames) == [3, 0, 1]
        for layer, found in frames.items():
            close(found, build(layer=layer)(pixels, PROMPTS).visual.double().mean(2).float())
        # Nothing is left behind in the model.
        modules = list(backbone._mllm.model(pixels.device).language_model.modules())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
        entering = build(layer=0).frames_of_layers(pixels, [0])
        close(entering[0], frames[0])

    @pytest.mark.parametrize('layers', [[], [-1], [1, 4]])
    def test_layers_that_do_not_run_are_refused(self, pixels, layers):
        with pytest.raises(ValueError, match='between 0 and layer=3'):
            build(layer=3).frames_of_layers(pixels, layers)

    def test_depth_and_length_of_a_text(self):
        backbone = build(layer=2, text_span='prompt')
        assert backbone.depth == DEPTH
        assert backbone.text_length('Café?') == len('Café?'.encode())
        assert build(text_span='last').text_length('Café?') == 1


class TestFrozen:
    def test_nothing_is_registered(self, pixels):
        backbone = build()
        backbone(pixels, PROMPTS)
        assert not backbone.state_dict()
        assert not list(backbone.parameters())
        assert not list(backbone.buffers())
        assert list(backbone.modules()) == [backbone]

    def test_moving_and_training_leave_it_alone(self, pixels):
        backbone = build()
        before = backbone(pixels, PROMPTS).visual
        parent = nn.Sequential(backbone).train().half().double()
        assert torch.equal(parent[0](pixels, PROMPTS).visual, before)
        assert not backbone._mllm.model(pixels.device).training

    def test_only_what_runs_is_allocated(self, folder, pixels):
        names = [name for name, _ in build(folder)._mllm.model(pixels.device).named_parameters()]
        text = {name.split('.')[2] for name in names if name.startswith('language_model.layers')}
        vision = {name.partition('.encoder.layers.')[2][:1] for name in names if '.encoder.layers.' in name}
        assert (text, vision) == ({'0', '1'}, {'0'})  # the tower's features are those before its last block
        assert not any('lm_head' in name or 'image_tower' in name for name in names)
        assert 'language_model.norm.weight' not in names

    def test_without_blocks_the_decoder_is_its_embedding(self, folder, pixels):
        model = build(folder, layer=0)._mllm.model(pixels.device)
        names = {name for name, _ in model.named_parameters() if name.startswith('language_model')}
        assert names == {'language_model.embed_tokens.weight'}

    def test_the_source_keeps_its_depth(self, folder, pixels):
        backbone = build(folder, layer=1)
        backbone(pixels, PROMPTS)
        assert backbone._source.config.text_config.num_hidden_layers == DEPTH
        assert backbone._source.config.vision_config.num_hidden_layers == 2

    def test_copies_share_the_weights(self, pixels):
        backbone = build()
        backbone(pixels, PROMPTS)
        twin = copy.deepcopy(backbone)
        assert twin._mllm._model is backbone._mllm._model is not None

    def test_pickles_leave_the_weights_out(self, pixels):
        backbone = build()
        before = backbone(pixels, PROMPTS)
        stored = pickle.dumps(backbone)
        assert len(stored) < 20_000
        restored = pickle.loads(stored)
        assert restored._mllm._model is None
        assert torch.equal(restored(pixels, PROMPTS).visual, before.visual)

    def test_random_weights_leave_the_global_generator_alone(self, pixels):
        state = torch.get_rng_state()
        build()(pixels, PROMPTS)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize('first', [torch.inference_mode, torch.no_grad, torch.enable_grad])
    def test_features_can_be_trained_on(self, pixels, first):
        backbone, neck = build(), nn.Linear(WIDTH, 1)
        with first():  # validation may come before training, and loads the weights
            backbone(pixels, PROMPTS)
        features = backbone(pixels, PROMPTS)
        assert not features.visual.requires_grad
        assert not features.visual.is_inference()
        (neck(features.visual).sum() + neck(features.textual).sum()).backward()
        assert neck.weight.grad.abs().sum() > 0

    def test_features_carry_no_graph_even_if_the_pixels_do(self, pixels):
        assert not build()(pixels.clone().requires_grad_(), PROMPTS).visual.requires_grad

    def test_neither_weights_nor_states_are_inference_tensors(self, pixels):
        backbone = build()
        with torch.inference_mode():
            backbone(pixels, PROMPTS)
        states, _ = backbone._mllm(pixels, torch.ones(3, 1, 4, dtype=torch.long))
        assert not states.is_inference()
        assert not any(parameter.is_inference() for parameter in backbone._mllm.model(pixels.device).parameters())

    def test_features_inside_inference_mode(self, pixels):
        backbone = build()
        outside = backbone(pixels, PROMPTS)
        with torch.inference_mode():
            assert torch.equal(backbone(pixels.clone(), PROMPTS).visual, outside.visual)

    def test_weights_do_not_depend_on_how_many_layers_are_built(self, pixels):
        deep, shallow = (dict(build(layer=layer)._mllm.model(pixels.device).named_parameters()) for layer in (4, 1))
        assert shallow.keys() < deep.keys()
        assert all(torch.equal(deep[name], value) for name, value in shallow.items())

    def test_weights_depend_on_the_seed(self, pixels):
        other = build(architecture={**ARCHITECTURE, 'seed': 4})
        assert not torch.allclose(build()(pixels, PROMPTS).visual, other(pixels, PROMPTS).visual)


class TestConfig:
    def test_registered(self, pixels):
        backbone = MODELS.build(dict(type='VideoMLLMBackbone', architecture=ARCHITECTURE, layer=1, dtype='float32'))
        features = backbone(pixels, PROMPTS)
        assert isinstance(features, VideoFeatures)
        assert features.visual.shape == (3, FRAMES, 16, WIDTH)
        assert backbone.out_channels == WIDTH
        assert backbone.tokens_per_frame == 16

    def test_full_size_is_known_without_weights(self):
        vision = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16)
        vision.update(image_size=224, patch_size=14)
        backbone = build(architecture=dict(vision=vision, text={}), layer=32, grid=None, keep_cls=True)
        assert (backbone.out_channels, backbone.tokens_per_frame) == (4096, 257)
        assert backbone._mllm._model is None

    def test_automatic_precision(self):
        expected = 'bfloat16' if torch.cuda.is_available() else 'float32'
        assert build(dtype='auto').identity()['dtype'] == expected

    def test_hub_models_are_not_asked_for_before_use(self):
        backbone = VideoMLLMBackbone('nobody/nothing-of-this-name', layer=99)
        assert 'nobody/nothing-of-this-name' in repr(backbone)

    def test_identity_names_whatever_changes_the_numbers(self, folder):
        base = build().identity()
        assert json.loads(json.dumps(base)) == base
        changed = dict(layer=3, grid=2, keep_cls=True, text_span='last', dtype='bfloat16')
        for name, value in changed.items():
            other = build(**{name: value}).identity()
            assert {key for key in base if base[key] != other[key]} == {name}
        assert build(layer=0).identity() == {**base, 'layer': 0}
        seeded = build(architecture={**ARCHITECTURE, 'seed': 4}).identity()
        assert {key for key in base if base[key] != seeded[key]} == {'fingerprint'}
        assert build(folder).identity()['fingerprint'].startswith('sha256:')
        assert build(max_batch_size=2, attn_implementation='eager').identity() == base

    def test_equal_architectures_have_one_identity(self):
        from mmengine import ConfigDict

        explicit = {**ARCHITECTURE, 'seed': 0}
        implicit = ConfigDict({key: value for key, value in ARCHITECTURE.items() if key != 'seed'})
        assert build(architecture=explicit).identity() == build(architecture=implicit).identity()


class TestErrors:
    @pytest.mark.parametrize(
        ('kwargs', 'message'),
        [
            (dict(layer=None), 'needs layer'),
            (dict(layer=-1), r'layer must be an integer of at least 0, but is -1'),
            (dict(layer=5), r'layer=5 is beyond the 4 decoder layers .* choose 0 to 4'),
            (dict(grid=3), r'grid=3 does not divide the 4 x 4 patches .* choose one of \[1, 2, 4\]'),
            (dict(grid=0), 'grid must be an integer of at least 1'),
            (dict(max_batch_size=-1), 'max_batch_size must be an integer of at least 1'),
            (dict(text_span='answer'), r"text_span must be one of .* but is 'answer'"),
            (dict(dtype='int8'), 'dtype must be one of'),
            (dict(quantization='2bit'), 'quantization must be one of'),
            (dict(attn_implementation='flash'), 'attn_implementation must be one of'),
            (dict(architecture=None), 'needs either model .* or architecture'),
            (dict(model='a/b'), 'needs either model .* or architecture'),
            (dict(architecture=dict(vision={})), r"lacks \['text'\]"),
            (dict(architecture=dict(vision={}, text=dict(vocab_size=9))), 'must be at least 261, but is 9'),
        ],
    )
    def test_arguments(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            build(**kwargs)

    @pytest.mark.parametrize(
        ('shape', 'message'),
        [
            ((3, FRAMES, 3, 64, 64), r"3 x 32 x 32, but got \[3, 3, 3, 64, 64\]. .*MLLMResizeCrop', size=32"),
            ((3, 3, FRAMES + 1, 32, 32), "FormatShape', input_format='NCHW'"),
            ((3, 3, 32, 32), r'\[V, T, C, H, W\]'),
            ((2, FRAMES, 3, 32, 32), 'prompts for 3 videos, but 2 videos'),
            ((3, 70, 3, 32, 32), r'70 frames \(1190 tokens\) .* exceed the 1024 positions'),
        ],
    )
    def test_inputs(self, shape, message):
        with pytest.raises(ValueError, match=message):
            build()(torch.zeros(shape), PROMPTS)

    @pytest.mark.parametrize('prompts', [None, ['a', None, 'b']])
    def test_missing_prompts(self, pixels, prompts):
        with pytest.raises(ValueError, match=r'needs a prompt .*prompts='):
            build()(pixels, prompts)

    @pytest.mark.parametrize(('prompt', 'message'), [('', 'has no tokens'), ('a <video>', 'found 2')])
    def test_unusable_prompts(self, pixels, prompt, message):
        with pytest.raises(ValueError, match=message):
            build()(pixels[:1], [prompt])


class TestUnseededWeights:
    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
    def test_everything_is_made_on_the_device(self, dtype):
        source = RandomSource({**ARCHITECTURE, 'seed': None})
        model = source.load(source.config, dtype, device=torch.device('meta'), quantization=None)
        tensors = [*model.parameters(), *model.buffers()]
        assert {tensor.device.type for tensor in tensors} == {'meta'}
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
        assert model.language_model.rotary_emb.inv_freq.dtype == torch.float32
        assert torch.get_default_dtype() == torch.float32

    def test_they_run_and_leave_the_generator_alone(self, pixels):
        before = torch.get_rng_state()
        features = build(architecture={**ARCHITECTURE, 'seed': None})(pixels, PROMPTS)
        assert torch.equal(torch.get_rng_state(), before)
        assert features.visual.isfinite().all()
        assert features.visual.std() > 0
