"""Checks of arguments that several components make."""

from __future__ import annotations

from numbers import Integral


def check_integers(owner: object, least: int = 1, *, optional: bool = False, **numbers: object) -> None:
    """Refuse what is no integer, or too small a one; a float such as ``1e4`` and a bool are none.

    Args:
        owner: Whose arguments they are; its class is named in the message.
        least: The smallest that is allowed.
        optional: Whether None is allowed too.
        **numbers: The arguments by name.

    Raises:
        ValueError: If one cannot be used.
    """
    for name, value in numbers.items():
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(
                f'{type(owner).__name__}: {name} must be an integer of at least {least}, but is {value!r}.'
            )
