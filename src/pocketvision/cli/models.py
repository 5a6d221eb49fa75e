"""`pocketvision models`."""

from pocketvision.cli.display import stdout, write_json_option
from pocketvision.cli.options import JsonFile


def models(json: JsonFile = None) -> None:
    """List the architectures: input, parameters, multiply-accumulates, published accuracy, and whether weights are here.

    Example:

        pocketvision models --json models.json
    """
    from pocketvision.models.catalog import ARCHITECTURES

    raise NotImplementedError
