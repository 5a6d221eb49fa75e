"""What may be wrong or odd in masks: a row a kind, with what is done about it and the way out."""

from pocketvision.data.boxes.problems import PROBLEMS, Problem

MASK_PROBLEMS: dict[str, Problem] = {
    "images_without_masks": Problem(
        "image", "without a mask", "Left out. Add masks of the same names, or move the images away."
    ),
    "masks_without_images": Problem("mask", "without an image", "Left out. Add the images, or remove the masks."),
    "several_masks": Problem(
        "mask", "beside another one of the same image", "The first by name is taken. Keep one mask an image."
    ),
    "unreadable_mask": Problem("mask", "that can not be read", "Their images are left out. Save the masks again."),
    "mask_of_other_shape": Problem(
        "mask",
        "of another shape than its image",
        "Their images are left out. Were the images cropped after the masks were drawn? Draw them anew.",
    ),
    "mask_size_differs": Problem(
        "mask", "of another size than its image, and of the same shape", "Scaled. Save masks in the images' size."
    ),
    "turned_masks": Problem(
        "mask",
        "drawn on pixels that EXIF turns",
        "Turned with the picture. Save the pictures upright and export again to be sure.",
    ),
    "values_of_no_class": Problem(
        "mask", "with values that stand for no class", "Such pixels are not learned. Name the values in classes.txt."
    ),
    "blended_values": Problem(
        "mask",
        "with values between those of classes, as smoothed edges and JPEG have",
        "Near ones are taken for the nearest class, others are not learned. Save masks as PNG, resized by the nearest pixel.",
    ),
    "stretched_values": Problem(
        "mask", "with 0 and 255 where 0 and 1 number the classes", "Read as the two classes. Nothing has to be done."
    ),
    "no_outline": Problem(
        "box",
        "without an outline",
        "Left out: a mask needs a polygon. Draw outlines, or train a detector on the boxes.",
    ),
    **PROBLEMS,
}
"""By kind, as in finding.KINDS."""
