"""What can be done to a batch of images, each image by its own magnitude; nothing is drawn here.

Every operation takes uint8 images of shape (k, h, w, 3) on any device and (k,) magnitudes on the
CPU, gives new uint8 images of the same shape, and says how exactly it agrees with Pillow's.
"""

from everyclass.data.augmentation.operations.colour import (
    brightness,
    contrast,
    grayscale,
    saturation,
)
from everyclass.data.augmentation.operations.filters import gaussian_blur, sharpness
from everyclass.data.augmentation.operations.geometry import (
    rotate,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)
from everyclass.data.augmentation.operations.hue import shift_hue
from everyclass.data.augmentation.operations.resampling import (
    resized_crop,
    smooth_shear_x,
    smooth_shear_y,
)
from everyclass.data.augmentation.operations.tone import (
    autocontrast,
    equalize,
    invert,
    posterize,
    solarize,
)

__all__ = [
    "autocontrast",
    "brightness",
    "contrast",
    "equalize",
    "gaussian_blur",
    "grayscale",
    "invert",
    "posterize",
    "resized_crop",
    "rotate",
    "saturation",
    "sharpness",
    "shear_x",
    "shear_y",
    "shift_hue",
    "smooth_shear_x",
    "smooth_shear_y",
    "solarize",
    "translate_x",
    "translate_y",
]
