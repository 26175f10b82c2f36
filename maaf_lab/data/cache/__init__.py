"""Images decoded once: `pixel_cache` finds or builds the squares of a split; `formats` says how they are stored."""

from maaf_lab.data.cache.formats import STORES, JpegCache, PixelCache
from maaf_lab.data.cache.store import image_files, pixel_cache

__all__ = ["STORES", "JpegCache", "PixelCache", "image_files", "pixel_cache"]
