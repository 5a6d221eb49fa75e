"""L*a*b* pictures (TIFF 6.0, section 23) to sRGB."""

from PIL import Image, TiffImagePlugin

from pocketvision.errors import ImageError

_WHITE_POINT = 318  # TIFF's tag
_D50 = (
    0.3457,
    0.3585,
)  # CIE 1931 x, y: what TIFF's L*a*b* refers to where it says nothing (Adobe's technical note of 2002)


def lab_to_rgb(image: Image.Image, where: str) -> Image.Image:
    """RGB of an image in Pillow's mode LAB, within one grey level of the formulas of CIE 1976 and IEC 61966-2-1.

    Pillow's own `convert("RGB")` goes through a coarse table, and is wrong by up to 37 levels. Raises ImageError for colours
    that refer to another white than D50.
    """
    white = image.tag_v2.get(_WHITE_POINT) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    if white is not None and not all(abs(float(found) - d50) < 0.002 for found, d50 in zip(white, _D50, strict=False)):
        raise ImageError(where, "its L*a*b* colours refer to another white than D50; save it as RGB")
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None in place alone
    return converted
