# Frame and text features by CLIP ViT-B/16 under FewShotRecognizer; neck and head are set by the method.
# The support prompt names the class of the video, which is known; a query has no text of its own.
clip = 'openai/clip-vit-base-patch16'

model = dict(
    type='FewShotRecognizer',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        # CLIP's mean and standard deviation, in pixel values
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        format_shape='NCHW',
    ),
    prompts=dict(support='a photo of {class_name}', query=None),
    backbone=dict(type='CLIPBackbone', model=clip),
)
