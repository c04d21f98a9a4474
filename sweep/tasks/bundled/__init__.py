"""Questions that need no download: made of held-out documents, or of nothing."""

from sweep.tasks.bundled.choose import NAMES, bundled_questions

__all__ = ["NAMES", "bundled_questions"]
