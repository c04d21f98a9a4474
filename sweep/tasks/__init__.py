"""Multiple-choice questions for trained models: where they come from and how the answers are scored."""

from sweep.tasks.bundled import NAMES, bundled_questions
from sweep.tasks.question import Question, read_questions, write_questions
from sweep.tasks.score import TaskScore, score

__all__ = ["NAMES", "Question", "TaskScore", "bundled_questions", "read_questions", "score", "write_questions"]
