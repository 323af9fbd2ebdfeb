"""What methods that read class texts require."""

from __future__ import annotations

from fsar_llava.structures import VideoFeatures


def check_class_texts(owner: str, support: VideoFeatures) -> None:
    """Refuse supports without texts of their classes, which would be scored like any others, at chance.

    A backbone may give textual features all the same: with every token masked, or of one prompt for all classes. On a
    GPU this costs two waits.

    Args:
        owner: Who needs the texts, for the message.
        support: Features with leading dimensions ``B, N, K``.

    Raises:
        ValueError: If there are no textual features, a class has no valid textual token, or those of all classes of all
            episodes are equal.
    """
    texts = support.textual
    if texts is not None and support.textual_mask.flatten(2).any(-1).all():
        nothing_to_compare = texts.shape[1] == 1 or not len(texts)
        if nothing_to_compare or (texts != texts[:, :1]).any():
            return
    raise ValueError(
        f"{owner} needs the class texts of the supports, another one for each class: set prompts=dict(support='a photo "
        "of {class_name}', query=None) in FewShotRecognizer, over a backbone that embeds text."
    )
