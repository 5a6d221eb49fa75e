"""What a pretraining's folder holds: pretrain.json, history.csv, checkpoints in stage1/, backbone.safetensors."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import write_json
from pocketvision.errors import UsageError
from pocketvision.training.contrast.pictures import Pictures
from pocketvision.training.contrast.settings import ContrastSettings

FILE = "pretrain.json"


@dataclass(frozen=True)
class ContrastRun:
    """data, probe: absolute. fingerprint: of the images, empty before they were read."""

    data: str
    settings: ContrastSettings
    probe: str | None = None
    fingerprint: str = ""

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))

    def same_images(self, pictures: Pictures, folder: Path) -> "ContrastRun":
        """With the images' fingerprint. Raises UsageError where a run that goes on finds others."""
        contents = sorted(each.tobytes() for each in pictures.images.content_hashes)
        found = hashlib.blake2b(b"".join(contents), digest_size=16).hexdigest()
        if self.fingerprint not in ("", found):
            raise UsageError(
                f"{self.data} holds other images than when {folder} began: the run would go on as another one. Bring them "
                "back, or pretrain anew."
            )
        return replace(self, fingerprint=found)


def read_run(folder: Path) -> ContrastRun:
    """Raises UsageError where there is none."""
    try:
        values: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return ContrastRun(**{**values, "settings": ContrastSettings(**values["settings"])})
    except FileNotFoundError:
        raise UsageError(
            f"{folder} holds no {FILE}: it is not the folder of a pretraining (of a training, go on with train --resume)."
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{folder / FILE} can not be read: {error}.") from error
