"""What methods that read class texts require."""

from __future__ import annotations

from fsar_llava.structures import VideoFeatures


def check_class_texts(owner: str, support: VideoFeatures) -> None:
    """Refuse supports without the texts of their classes.

    A backbone may give textual features all the same, whose every token is masked. Masks on a GPU cost one wait.

    Args:
        owner: Who needs the texts, for the message.
        support: Features with leading dimensions ``B, N, K``.

    Raises:
        ValueError: If there are no textual features, or a class has no valid textual token.
    """
    if support.textual is None or not support.textual_mask.flatten(2).any(-1).all():
        raise ValueError(
            f"{owner} needs the class texts of the supports: set prompts=dict(support='a photo of {{class_name}}', "
            'query=None) in FewShotRecognizer, over a backbone that embeds text.'
        )
