"""Architecture and tokenizer of the miniature: the transformers Video-LLaVA classes at 2.6 million parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, VideoLlavaConfig

SIDE, PATCH, FRAMES = 64, 16, 8
TOKENS_PER_FRAME = (SIDE // PATCH) ** 2 + 1
MEAN, STD = (122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232)  # CLIP's, in units of 0 to 255
SPECIAL = ('<pad>', '<s>', '</s>', '<unk>', '<image>', '<video>')


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Word-level, lower-case tokenizer of every word and punctuation mark in ``texts``; puts ``<s>`` in front."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text.lower())} - set('<>'))
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token='<unk>'))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.WordPiece(prefix='##')  # joins words with spaces and tidies punctuation
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', pair='<s> $A $B', special_tokens=[('<s>', vocabulary['<s>'])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token='<pad>',
        bos_token='<s>',
        eos_token='</s>',
        unk_token='<unk>',
        additional_special_tokens=['<image>', '<video>'],
        padding_side='left',
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> VideoLlavaConfig:
    """Configuration of the miniature; ``vision_feature_layer=-1``: no layer of so shallow a tower can be spared."""
    from transformers import CLIPVisionConfig, LlamaConfig, VideoLlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=128,
        hidden_act='gelu',
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=432,
        num_hidden_layers=6,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=512,
        rope_theta=10000.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    return VideoLlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids('<image>'),
        video_token_index=tokenizer.convert_tokens_to_ids('<video>'),
        vision_feature_layer=-1,
        image_seq_length=TOKENS_PER_FRAME,
        video_seq_length=FRAMES * TOKENS_PER_FRAME,
        tie_word_embeddings=False,
    )
