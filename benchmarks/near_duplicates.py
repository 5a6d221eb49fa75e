"""How well near-duplicates are found: false pairs and recall on real pictures, speed, and how the search scales.

    python benchmarks/near_duplicates.py FOLDER [--limit 2000] [--same-name REGEX] [--scaling]

Every picture below FOLDER is taken for a different one, but for those with the same decoded pixels, and those whose file
names (without suffix) are equal once REGEX is cut out. Of each, six copies are made (COPIES); then one search goes over
the originals alone, and one over originals and copies together. Pictures without detail are not counted. Prints JSON:

- `originals`: `false_pairs` reported among the originals, `per_image` the same as a share of the images;
- `with_copies`: `recall`, the share of each kind of copy that is in one cluster with its original, and `false_share`,
  false pairs as a share of all pairs reported;
- `audit`: images a second of the whole audit of FOLDER, where it holds at least two class folders;
- `scaling`: seconds and candidates for 10,000, 100,000 and 1,000,000 made-up hashes.
"""

import argparse
import io
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from pocketvision.data.alignment import has_detail
from pocketvision.data.fingerprints import PERCEPTUAL_HASH_LENGTH, content_hash, thumbnail
from pocketvision.data.image_files import SUFFIXES
from pocketvision.data.near_duplicates import candidate_pairs, find_near_duplicates
from pocketvision.errors import UsageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import decode
from pocketvision.workflows.check import check


def encoded(image: Image.Image, dice: random.Random) -> Image.Image:
    """JPEG of quality 60 to 90."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=dice.randint(60, 90))
    return decode(file.getvalue())


def resized(image: Image.Image, dice: random.Random) -> Image.Image:
    """50 to 90 % of the size, by one of four filters."""
    share = dice.uniform(0.5, 0.9)
    filters = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    return image.resize(size, dice.choice(filters))


def cropped(image: Image.Image, dice: random.Random) -> Image.Image:
    """Up to 3 % off each side, in whole pixels, and at least one pixel somewhere."""
    left, top, right, bottom = (dice.uniform(0, 0.03) for _ in range(4))
    box = (
        round(left * image.width),
        round(top * image.height),
        image.width - max(1, round(right * image.width)),
        image.height - round(bottom * image.height),
    )
    return image.crop(box)


def exposed(image: Image.Image, dice: random.Random) -> Image.Image:
    """5 % brighter or darker."""
    return ImageEnhance.Brightness(image).enhance(dice.choice((0.95, 1.05)))


def marked(image: Image.Image, dice: random.Random) -> Image.Image:
    """A logo, 8 to 14 % by 5 to 8 % of the picture, in one corner."""
    copy = image.copy()
    draw = ImageDraw.Draw(copy, "RGBA")
    width, height = dice.uniform(0.08, 0.14) * image.width, dice.uniform(0.05, 0.08) * image.height
    left = dice.choice((0.03 * image.width, 0.97 * image.width - width))
    top = dice.choice((0.03 * image.height, 0.97 * image.height - height))
    draw.rectangle((left, top, left + width, top + height), fill=(20, 40, 120, 200))
    draw.text((left + 2, top), "ABC", fill=(255, 255, 255, 255), font_size=max(6, height * 0.8))
    return copy


def everything(image: Image.Image, dice: random.Random) -> Image.Image:
    """Cropped, resized, exposed and encoded, one after the other."""
    return encoded(exposed(resized(cropped(image, dice), dice), dice), dice)


COPIES: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "encoded": encoded,
    "resized": resized,
    "cropped": cropped,
    "exposed": exposed,
    "marked": marked,
    "everything": everything,
}


def thumbnails_and_sizes(files: list[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int32], list[bytes]]:
    """(n, 1 + copies, 2400) thumbnails and (n, 1 + copies, 2) sizes of originals and copies; content hashes (n)."""

    def one(index: int) -> tuple[list[NDArray[np.uint8]], list[tuple[int, int]], bytes]:
        image = decode(files[index])
        images = [image] + [copy(image, random.Random(f"{name}{index}")) for name, copy in COPIES.items()]
        return [thumbnail(one) for one in images], [one.size for one in images], content_hash(image)

    rows = list(prefetch(one, range(len(files))))
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.int32), [row[2] for row in rows]


def quality(files: list[Path], same_name: str | None) -> dict[str, Any]:
    thumbnails, sizes, hashes = thumbnails_and_sizes(files)
    names = [re.sub(same_name, "", file.stem) if same_name else str(file) for file in files]
    # One number for what is the same picture by its pixels; another by its name.
    same_pixels = np.unique(np.array(hashes, dtype="V16"), return_inverse=True)[1]
    same_names = np.unique(np.array(names), return_inverse=True)[1]
    detailed = has_detail(thumbnails[:, 0])

    def false(pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        one, other = pairs.T % len(files)
        return (same_pixels[one] != same_pixels[other]) & (same_names[one] != same_names[other])

    first = np.unique(same_pixels, return_index=True)[1]
    alone = find_near_duplicates(thumbnails[:, 0], sizes[:, 0], among=first).confirmed
    wrong = alone[false(alone)]
    every = thumbnails.swapaxes(0, 1).reshape(-1, thumbnails.shape[2])
    together = find_near_duplicates(every, sizes.swapaxes(0, 1).reshape(-1, 2))
    clusters = together.clusters.reshape(1 + len(COPIES), -1)
    counted = detailed & np.isin(np.arange(len(files)), first)
    return {
        "images": len(files),
        "different_pictures": int(counted.sum()),
        "without_detail": int((~detailed).sum()),
        "originals": {
            "pairs": len(alone),
            "false_pairs": len(wrong),
            "per_image": round(len(wrong) / len(files), 5),
            "examples": [[files[one].name, files[other].name] for one, other in wrong[:20].tolist()],
        },
        "with_copies": {
            "pairs": len(together.confirmed),
            "false_share": round(float(false(together.confirmed).mean()), 5) if len(together.confirmed) else 0.0,
            "recall": {
                name: round(float((clusters[0] == clusters[row + 1])[counted].mean()), 4)
                for row, name in enumerate(COPIES)
            },
        },
    }


def scaling() -> list[dict[str, Any]]:
    """The search for candidates among made-up hashes: half of them copies of the other half with 5 % noise."""
    results = []
    for count in (10_000, 100_000, 1_000_000):
        dice = np.random.default_rng(0)
        # The spread of real hashes falls with frequency; a few directions hold most of it.
        spread = (40 / np.arange(1, PERCEPTUAL_HASH_LENGTH + 1)).astype(np.float32)
        originals = dice.standard_normal((count // 2, PERCEPTUAL_HASH_LENGTH), dtype=np.float32) * spread
        noise = 0.05 * spread * dice.standard_normal(originals.shape, dtype=np.float32)
        started = time.perf_counter()
        pairs = candidate_pairs(np.concatenate([originals, originals + noise]))
        seconds = time.perf_counter() - started
        found = (pairs[:, 1] - pairs[:, 0] == count // 2).sum() / (count // 2)
        results.append(
            {
                "hashes": count,
                "seconds": round(seconds, 2),
                "microseconds_per_hash": round(1e6 * seconds / count, 1),
                "candidates_per_hash": round(len(pairs) / count, 2),
                "copies_found": round(float(found), 4),
            }
        )
    return results


def audit_speed(folder: Path) -> dict[str, Any] | None:
    started = time.perf_counter()
    try:
        audit = check(folder)
    except UsageError:
        return None
    seconds = time.perf_counter() - started
    return {
        "images": len(audit.samples),
        "seconds": round(seconds, 2),
        "per_second": round(len(audit.samples) / seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=2000, help="at most so many pictures, drawn at random (seed 0)")
    parser.add_argument("--same-name", help="what to cut out of file names before they are compared")
    parser.add_argument("--scaling", action="store_true", help="also search 10,000 to 1,000,000 made-up hashes")
    options = parser.parse_args()
    files = sorted(file for file in options.folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if len(files) > options.limit:
        files = sorted(random.Random(0).sample(files, options.limit))
    result: dict[str, Any] = quality(files, options.same_name)
    result["audit"] = audit_speed(options.folder)
    if options.scaling:
        result["scaling"] = scaling()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
