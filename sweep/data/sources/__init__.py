"""Where documents come from. One file a format; each lists parts that can be read side by side, and reads one."""

from sweep.data.sources.formats import FORMATS, parts, read
from sweep.data.sources.part import Document, Part

__all__ = ["FORMATS", "Document", "Part", "parts", "read"]
