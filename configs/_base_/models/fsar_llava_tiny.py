# FSAR-LLaVA on a Video-LLaVA of the real architecture but a few hundred thousand random parameters: runs anywhere.
_base_ = './fsar_llava.py'

model = dict(
    backbone=dict(
        model=None,
        architecture=dict(
            vision=dict(
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=64,
                patch_size=16,
            ),
            text=dict(
                hidden_size=128,
                intermediate_size=256,
                num_hidden_layers=4,
                num_attention_heads=4,
                max_position_embeddings=1024,
            ),
            seed=0,
        ),
        layer=2,
        # The tokenizer of a random model knows bytes only; the last token has seen them all.
        text_span='last',
        dtype='float32',
    ),
    neck=dict(in_channels=128, channels=64, num_heads=4),
    cls_head=dict(prototype=dict(channels=64, num_heads=4)),
)
