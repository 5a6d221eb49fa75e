"""The names of timm's networks, and timm itself where it is installed."""

from typing import Any

from pocketvision.errors import MissingExtraError, UsageError, unknown_name

PREFIX = "timm:"
"""What stands before a name of timm's."""


def require_timm(name: str) -> Any:
    """timm, for its network of that name (with our prefix). To be called before timm_parts.py is imported.

    Raises MissingExtraError when timm is not installed, UsageError for a name or a tag of weights that it does not know.
    """
    try:
        import timm
    except ImportError:
        raise MissingExtraError(f"{name}, a network of timm's,", "timm") from None
    network, _, tag = name.removeprefix(PREFIX).partition(".")
    if not timm.is_model(network):
        raise unknown_name("network of timm's", network, timm.list_models())
    try:
        timm.get_pretrained_cfg(name.removeprefix(PREFIX))
    except RuntimeError:
        tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{network}.*")]
        known = f"Known: {', '.join(tags)}." if tags else "It has none."
        raise UsageError(f"Unknown tag {tag!r} of the weights of {PREFIX}{network}. {known}") from None
    return timm
