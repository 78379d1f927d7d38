"""The trainer's one exception: a sentence for the user."""

from __future__ import annotations


class TrainError(Exception):
    """The input is wrong: data, settings or the layer. The text is one clear sentence that says what to do."""
