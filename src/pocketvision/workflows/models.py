"""models: what can be trained, at what cost, and where its weights come from."""

from pocketvision.models.summary import ModelSummary, summaries


def models() -> tuple[ModelSummary, ...]:
    """Every architecture of the catalogue, in its order."""
    return summaries()
