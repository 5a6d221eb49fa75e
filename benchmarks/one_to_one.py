"""A detector with suppression and without: the heads `grid` and `grid_one_to_one` on the same labelled pictures.

    python benchmarks/one_to_one.py DATA --out FOLDER [--set phases.1.epochs=20 …]

Trains one after the other with the same settings and measures each bundle twice on the test split (all that it did not learn from
where there is none), as it ships, and with the other of `nms: class` and `nms: none`. Prints AP and AP50 as JSON.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pocketvision
from pocketvision.bundle import read_bundle, rewrite_bundle
from pocketvision.tasks.detection.decode import NMS

HEADS = ("grid", "grid_one_to_one")


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", dest="settings", nargs="*", default=[])
    given = parser.parse_args()
    found = {head: compared(head, given.data, given.out / head, given.settings) for head in HEADS}
    print(json.dumps({"data": given.data.name, "settings": given.settings, **found}, indent=2))


def compared(head: str, data: Path, out: Path, settings: list[str]) -> dict[str, Any]:
    """AP and AP50 by what suppresses what, and what the bundle ships with."""
    result = pocketvision.train(data, out=out, settings=[*settings, f"model.head={head}"])
    shipped = result.bundle.tasks["detection"].postprocessing.get("nms", NMS[0])
    figures: dict[str, Any] = {"ships": shipped}
    for nms in ("class", "none"):
        bundle = read_bundle(result.bundle.folder)
        task = bundle.tasks["detection"]
        task = replace(task, postprocessing={**task.postprocessing, "nms": nms})
        rewrite_bundle(bundle, replace(bundle.manifest, tasks={**bundle.tasks, "detection": task}))
        said = pocketvision.evaluate(bundle.folder, data).to_dict()
        figures[nms] = {name: round(said[name], 4) for name in ("ap", "ap50")}
    return figures


if __name__ == "__main__":
    main()
