"""Training a detector, and answering with it: the bars of detection, both sides in turn in one run.

    python benchmarks/detection.py DATA --measure default     # (i)   the default command: AP50 of the test split, minutes
    python benchmarks/detection.py DATA --measure epochs      # (ii)  seconds an epoch, cached against the plain loop
    python benchmarks/detection.py DATA --measure accuracy    # (iii) AP50 of both after the same epochs
    python benchmarks/detection.py DATA --measure ssdlite     # (iv)  against torchvision's SSDLite, trained end to end
    python benchmarks/detection.py DATA --measure one_class --label WBC   # (v) 160 pictures of one class
    python benchmarks/detection.py DATA --measure predict --bundle runs/cells/bundle   # (vi) answering a folder

DATA: pictures with boxes and splits of their own, such as BCCD (https://github.com/Shenggan/BCCD_Dataset): 205, 87 and 72
blood smears. Every training runs in a process of its own, from the files to the end of its report.

(ii) The plain loop is ours with `cache.enabled=false`: the same network, heads and recipe; every picture is decoded,
     augmented and sent through the frozen backbone in every epoch, in PyTorch. Rounds in turn; an epoch counts with its
     validation; of the cached side those after the views are computed. Extrapolated from --plain-epochs of each round.
(iii) Both really run, heads alone, --epochs each.
(iv) torchvision's SSD with its SSDLite head, loss, matcher and default boxes on our EfficientNet-Lite0 with the same weights
     (the widened channels of the block that leaves stride 16, the last convolution and four further maps, as its MobileNetV3
     has them), everything learning, for --times our whole time: AdamW, a warm-up, a cosine over the time; torchvision's own
     augmentation for SSDLite (crops by IoU, mirroring). The last weights are measured, by the same figures as ours.
(v) Of the pictures that hold the class, only its boxes; the first 160 of the training split, 40 of validation, all of test.
(vi) Predictor.stream over the test pictures' files, with the making of lists (thresholds, NMS) and without, beside ONNX
     Runtime on ready tensors: the columns and the share of predict_speed.py.
Prints JSON. `cpu_seconds`: of a side's own process (loader processes apart), of use where other programs disturb the clock.
"""

import argparse
import csv
import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from predict_speed import measure, ready_tensors
from sides.training import run_apart, trained

HERE = Path(__file__).resolve()
MEASURES = ("default", "epochs", "accuracy", "ssdlite", "one_class", "predict")
TRAINING, VALIDATION = 160, 40
"""Pictures of one class."""
VIEWS = 4
"""That the cache holds by default: an epoch after as many computes none."""


def main() -> None:
    arguments = parse_arguments()
    if arguments.side is not None:
        side = ssdlite_side if arguments.side == "ssdlite" else our_side
        Path(arguments.result).write_text(json.dumps(side(arguments)))
        return
    found = {
        "default": default,
        "epochs": epochs,
        "accuracy": accuracy,
        "ssdlite": ssdlite,
        "one_class": one_class,
        "predict": predict,
    }[arguments.measure](arguments)
    said = {"measure": arguments.measure, "data": arguments.data.name, "cores": os.cpu_count(), **found}
    text = json.dumps(said, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--measure", choices=MEASURES, default="default")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="further settings of our side")
    parser.add_argument("--rounds", type=int, default=3, help="of (ii) and (vi)")
    parser.add_argument("--plain-epochs", type=int, default=2, help="of a round of (ii)")
    parser.add_argument("--epochs", type=int, default=25, help="of each side of (iii)")
    parser.add_argument("--times", type=float, default=3.0, help="our time that the other side of (iv) has")
    parser.add_argument("--label", help="the class of (v)")
    parser.add_argument("--bundle", type=Path, help="the detector of (vi)")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--side", choices=("ours", "ssdlite"), help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    return parser.parse_args()


# The measures --------------------------------------------------------------------------------------------------------


def default(arguments: argparse.Namespace) -> dict[str, Any]:
    return run_side("ours", arguments.data, arguments.set)


def epochs(arguments: argparse.Namespace) -> dict[str, Any]:
    heads = ["phases.2.epochs=0", *arguments.set]
    cached, plain = [*heads, f"phases.1.epochs={VIEWS + 4}"], [*heads, f"phases.1.epochs={arguments.plain_epochs}"]
    rounds = []
    for turn in range(arguments.rounds):
        sides = {"cached": cached, "plain": [*plain, "cache.enabled=false"]}
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        seconds = {side: run_side("ours", arguments.data, sides[side])["epoch_seconds"] for side in order}
        rounds.append(
            {"cached": statistics.median(seconds["cached"][VIEWS:]), "plain": statistics.median(seconds["plain"])}
        )
        print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    ratios = [each["plain"] / each["cached"] for each in rounds]
    return {"epoch_seconds": rounds, "ratios": ratios, "median_ratio": statistics.median(ratios), "bar": 5}


def accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    same = [f"phases.1.epochs={arguments.epochs}", "phases.2.epochs=0", *arguments.set]
    cached = run_side("ours", arguments.data, same)
    plain = run_side("ours", arguments.data, [*same, "cache.enabled=false"])
    return {"cached": cached, "plain": plain, "difference": cached["test_ap50"] - plain["test_ap50"], "bar": -0.01}


def ssdlite(arguments: argparse.Namespace) -> dict[str, Any]:
    ours = run_side("ours", arguments.data, arguments.set)
    theirs = run_side("ssdlite", arguments.data, [], arguments.times * ours["seconds"])
    return {"ours": ours, "ssdlite": theirs, "difference": ours["test_ap50"] - theirs["test_ap50"], "bar": 0}


def one_class(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.label is None:
        raise SystemExit("--measure one_class needs --label")
    with tempfile.TemporaryDirectory() as folder:
        counts = write_one_class(arguments.data, arguments.label, Path(folder) / "boxes.csv")
        found = run_side("ours", Path(folder) / "boxes.csv", arguments.set)
    return {"label": arguments.label, "pictures": counts, **found, "bars": {"test_ap50": 0.9, "seconds": 240}}


def predict(arguments: argparse.Namespace) -> dict[str, Any]:
    from pocketvision.bundle import read_bundle
    from pocketvision.data.sources.catalog import read_samples
    from pocketvision.data.splits import SPLITS
    from pocketvision.runtime.predictor import Predictor
    from pocketvision.tasks.task import Detail

    if arguments.bundle is None:
        raise SystemExit("--measure predict needs --bundle")
    bundle, samples = read_bundle(arguments.bundle), read_samples(arguments.data)
    splits = samples.splits
    paths = [samples.file(index) for index in range(len(samples)) if splits is None or SPLITS[splits[index]] == "test"]
    alone, whole = Predictor(bundle, detail=Detail(min_score=1.0)), Predictor(bundle)
    columns = {
        "pocketvision": lambda paths: list(alone.stream(paths)),
        "with lists": lambda paths: list(whole.stream(paths)),
        **ready_tensors(bundle, paths),
    }
    return {"pictures": len(paths), **measure(columns, paths, arguments.rounds), "bar": 0.85}


def write_one_class(data: Path, label: str, table: Path) -> dict[str, int]:
    """The boxes of one class as a table; how many pictures each split has."""
    from pocketvision.data.sources.catalog import read_samples
    from pocketvision.data.splits import SPLITS

    samples = read_samples(data)
    truth: Any = samples.truth["detection"]
    place, most = truth.class_names.index(label), {"train": TRAINING, "val": VALIDATION}
    counts = dict.fromkeys(SPLITS, 0)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "x1", "y1", "x2", "y2", "split"])
        for index in range(len(samples)):
            row, split = truth.rows.row(index), SPLITS[samples.splits[index]]
            boxes = row["boxes"][row["classes"] == place]
            if len(boxes) == 0 or counts[split] >= most.get(split, len(samples)):
                continue
            counts[split] += 1
            writer.writerows([samples.file(index).resolve(), label, *box, split] for box in boxes.tolist())
    return counts


def run_side(side: str, data: Path, settings: list[str], seconds: float = 0.0) -> dict[str, Any]:
    return run_apart(HERE, data, ["--side", side, "--seconds", str(seconds)], settings, what=f"the side {side}")


# Our side ------------------------------------------------------------------------------------------------------------


def our_side(arguments: argparse.Namespace) -> dict[str, Any]:
    found, test, took = trained(arguments)
    return {
        **took,
        "test_ap50": test["ap50"],
        "test_ap": test["ap"],
        "test_ap50_interval": test["intervals"]["ap50"],
        "test_ap50_by_class": {name: figures["ap50"] for name, figures in test["per_class"].items()},
        "validation_ap50": [record.val_accuracy for record in found.history],
    }


# torchvision's side --------------------------------------------------------------------------------------------------

SIZE, BATCH, RATE, WARM_UP = 320, 16, 1e-3, 50


def ssdlite_side(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.manual_seed(0)
    samples, truth, rows = pictures(arguments.data)
    model = ssdlite_model(len(truth.class_names))
    loader = torch.utils.data.DataLoader(
        Boxes(samples, truth, rows["train"]),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
        collate_fn=list,
    )
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 1e-4},
            {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=RATE,
    )
    model.train()
    started, step, passes = time.perf_counter(), 0, 0
    while (passed := time.perf_counter() - started) < arguments.seconds:
        for batch in loader:
            share = min((time.perf_counter() - started) / arguments.seconds, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * share)) / 2
            losses = model([image for image, _ in batch], [target for _, target in batch])
            loss = sum(losses.values())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
        passes += 1
        if passes % 10 == 0:
            print(f"{passed:.0f} s, epoch {passes}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    used, found = time.process_time(), measured(model, samples, truth, rows["test"])
    return {"seconds": seconds, "cpu_seconds": used, "epochs": passes, "steps": step, **found}


def pictures(data: Path) -> tuple[Any, Any, dict[str, list[int]]]:
    """Samples, their boxes, and which are in each split."""
    from pocketvision.data.sources.catalog import read_samples
    from pocketvision.data.splits import SPLITS

    samples = read_samples(data)
    splits = [SPLITS[each] for each in samples.splits.tolist()]  # type: ignore[union-attr]
    rows = {name: [index for index, each in enumerate(splits) if each == name] for name in SPLITS}
    return samples, samples.truth["detection"], rows


def ssdlite_model(classes: int) -> Any:
    """torchvision's SSD of an SSDLite head on our EfficientNet-Lite0."""
    from collections import OrderedDict
    from functools import partial

    import torch
    from torch import nn
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD
    from torchvision.models.detection.ssdlite import SSDLiteHead, _extra_block, _normal_init

    from pocketvision.models.weights import load_pretrained

    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    names = ("expansion5", "head_conv")

    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = load_pretrained("efficientnet_lite0", "auto").network.requires_grad_(True)
            del self.network.heads["classification"]
            last = self.network.feature(names[1]).channels
            sides = [(last, 512), (512, 256), (256, 256), (256, 128)]
            self.extra = nn.ModuleList(_extra_block(inputs, outputs, norm) for inputs, outputs in sides)
            _normal_init(self.extra)

        def forward(self, images: torch.Tensor) -> "OrderedDict[str, torch.Tensor]":
            found = self.network.features(images, names)
            maps = [found[name] for name in names]
            for block in self.extra:
                maps.append(block(maps[-1]))
            return OrderedDict((str(place), each) for place, each in enumerate(maps))

    backbone = Backbone()
    boxes = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    channels = [*(backbone.network.feature(name).channels for name in names), 512, 256, 256, 128]
    head = SSDLiteHead(channels, boxes.num_anchors_per_location(), classes + 1, norm)
    normalised = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return SSD(
        backbone,
        boxes,
        (SIZE, SIZE),
        classes + 1,
        head=head,
        score_thresh=0.001,
        nms_thresh=0.55,
        detections_per_img=300,
        topk_candidates=300,
        **normalised,
    )


class Boxes:
    """(picture, target) as torchvision's detectors learn from, with its augmentation for SSDLite."""

    def __init__(self, samples: Any, truth: Any, rows: list[int]) -> None:
        from torchvision.transforms import v2

        self.samples, self.truth, self.rows = samples, truth, rows
        self.transform = v2.Compose(
            [v2.RandomIoUCrop(), v2.RandomHorizontalFlip(), v2.SanitizeBoundingBoxes(), v2.ToImage()]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Any, dict[str, Any]]:
        import torch
        from PIL import Image
        from torchvision import tv_tensors
        from torchvision.transforms.v2 import functional

        row = self.truth.rows.row(self.rows[place])
        with Image.open(self.samples.file(self.rows[place])) as file:
            image = functional.pil_to_tensor(file.convert("RGB"))
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                row["boxes"].astype(np.float32), format="XYXY", canvas_size=image.shape[1:]
            ),
            "labels": torch.from_numpy(row["classes"].astype(np.int64)) + 1,
        }
        image, target = self.transform(tv_tensors.Image(image), target)
        return functional.to_dtype(image, torch.float32, scale=True).as_subclass(torch.Tensor), target


def measured(model: Any, samples: Any, truth: Any, rows: list[int]) -> dict[str, Any]:
    """By our figures, which are COCO's."""
    import torch
    from PIL import Image
    from torchvision.transforms.v2 import functional

    from pocketvision.tasks.detection.answer import Detections
    from pocketvision.tasks.detection.precision import average_precisions
    from pocketvision.tasks.detection.record import joined, record
    from pocketvision.tasks.manifest import TaskManifest

    names = truth.class_names
    task, records = TaskManifest("detection", names, {}, ""), []
    model.eval()
    with torch.inference_mode():
        for row in rows:
            with Image.open(samples.file(row)) as file:
                image = functional.pil_to_tensor(file.convert("RGB")).float() / 255
            said = model([image])[0]
            answer = Detections(
                names, said["boxes"].double().numpy(), said["scores"].double().numpy(), said["labels"].numpy() - 1
            )
            records.append(record({}, answer, truth.select(np.array([row])), task))
    found = average_precisions(joined(records), len(names))
    by_class = dict(zip(names, found[:, 0].tolist(), strict=True))
    return {
        "test_ap50": float(np.nanmean(found[:, 0])),
        "test_ap": float(np.nanmean(found)),
        "test_ap50_by_class": by_class,
    }


if __name__ == "__main__":
    main()
