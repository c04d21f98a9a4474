"""Multiple-choice questions for trained models: where they come from and how the answers are scored."""

from sweep.tasks.bundled import NAMES, bundled_questions
from sweep.tasks.question import Question, read_questions, write_questions
from sweep.tasks.score import TaskScore, score
from sweep.tasks.sheet import Sheet, sheet_of

__all__ = [
    "NAMES",
    "Question",
    "Sheet",
    "TaskScore",
    "bundled_questions",
    "read_questions",
    "score",
    "sheet_of",
    "write_questions",
]
