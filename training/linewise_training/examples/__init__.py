"""Training examples: documents, edits and cursors, written as the format writes them for the editor."""

from linewise.errors import LinewiseError
from linewise_training.examples.changing import ChangingTask, changing_example, changing_task
from linewise_training.examples.editing import editing_example, editing_task
from linewise_training.examples.example import Example, Piece, encode
from linewise_training.examples.form import EditingTask, Form, TaskCursor, WritingTask
from linewise_training.examples.functions import body_example, function_example, function_task
from linewise_training.examples.history import history_example, history_task
from linewise_training.examples.in_edit_log import EDIT_LOG
from linewise_training.examples.in_fim import FimForm
from linewise_training.examples.in_lintseq import LintSeqForm
from linewise_training.examples.instructions import rephrase
from linewise_training.examples.plain import plain_examples
from linewise_training.examples.writing import continuing_example, writing_example

__all__ = [
    "EDIT_LOG",
    "FORMS",
    "ChangingTask",
    "EditingTask",
    "Example",
    "Form",
    "Piece",
    "TaskCursor",
    "WritingTask",
    "body_example",
    "changing_example",
    "changing_task",
    "continuing_example",
    "editing_example",
    "editing_task",
    "encode",
    "form_called",
    "function_example",
    "function_task",
    "history_example",
    "history_task",
    "plain_examples",
    "rephrase",
    "writing_example",
]

FORMS: dict[str, Form] = {form.name: form for form in (EDIT_LOG, LintSeqForm(), FimForm())}
"""The formats that a model can be trained in, by name."""


def form_called(name: str) -> Form:
    """The Form of the Format `name`. Raises LinewiseError where there is none."""
    if name not in FORMS:
        raise LinewiseError(f"no examples can be written in the format {name!r}; choose {', '.join(FORMS)}")
    return FORMS[name]
