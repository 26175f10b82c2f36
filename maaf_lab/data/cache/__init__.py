"""Pixels that are decoded once: `pixel_cache` opens or builds the squares of a split; `formats` says how they are kept."""

from maaf_lab.data.cache.formats import STORES, JpegCache, PixelCache
from maaf_lab.data.cache.open import pixel_cache

__all__ = ["STORES", "JpegCache", "PixelCache", "pixel_cache"]
