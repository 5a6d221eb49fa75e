"""A small network that starts from images without labels, and one from a random start, with 1 % of the labels, 3 seeds: test
accuracy.

    python benchmarks/simclr.py --out unlabelled

Fashion-MNIST (dataset-fashion-mnist, MIT licence): `--unlabelled` of its 60,000 training pictures without labels, 600
labelled ones, a fifth of them for validation, 2,000 others to test on. What starts at random learns everything for
`--epochs`; what starts from the pretrained backbone learns in `train`'s two phases. Begun anew in the same folder, it goes on.
"""

import argparse
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from distillation import SIZE, Kept, figure, verdict, write_table, write_unlabelled
from fashion_mnist import DATA

import pocketvision
from pocketvision.training.contrast.pretraining import BACKBONE
from pocketvision.training.contrast.run import FILE
from pocketvision.training.contrast.settings import ContrastSettings
from pocketvision.workflows.pretrain import pretrain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("unlabelled"))
    parser.add_argument("--model", default="mobilenet_v1_small")
    parser.add_argument("--unlabelled", type=int, default=10_000)
    parser.add_argument("--pretraining", type=int, default=25, help="epochs")
    parser.add_argument("--batch", type=int, default=128, help="of the pretraining")
    parser.add_argument("--labelled", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=60, help="from a random start")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    kept, folder = Kept(arguments.out / "figures.json"), arguments.out / "pretrained"
    found: dict[str, Any] = {"probe": pretrained(arguments, folder)}
    print(found, flush=True)

    def trained(name: str, seed: int, weights: str, settings: dict[str, Any]) -> float:
        table = write_table(arguments.data, arguments.out, labelled=arguments.labelled, seed=seed)
        out = arguments.out / f"{name}-{seed}"
        shutil.rmtree(out, ignore_errors=True)
        options = {"model": arguments.model, "weights": weights, "size": SIZE, "seed": seed, "settings": settings}
        return figure(pocketvision.train(table, out=out, **options))

    alone = {"phases.1.epochs": arguments.epochs, "phases.2.epochs": 0}
    for name, weights, settings in (("scratch", "none", alone), ("pretrained", str(folder / BACKBONE), {})):
        found[name] = [
            kept(f"{name}-{seed}", partial(trained, name, seed, weights, settings)) for seed in range(arguments.seeds)
        ]
        print(name, found[name], flush=True)
    print(json.dumps({**found, **verdict(found["scratch"], found["pretrained"])}, indent=2))


def pretrained(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    """What the probe says of the last epoch of the pretraining in `folder`, which is begun, gone on with, or done."""
    if (folder / FILE).exists():
        return dict(pretrain(resume=folder).history[-1].tasks)
    settings = ContrastSettings(arguments.model, "none", epochs=arguments.pretraining, batch=arguments.batch, size=SIZE)
    pictures = write_unlabelled(arguments.data, arguments.out, arguments.unlabelled)
    probe = write_table(arguments.data, arguments.out, labelled=arguments.labelled, seed=0)
    return dict(pretrain(pictures, settings, out=folder, probe=probe).history[-1].tasks)


if __name__ == "__main__":
    main()
