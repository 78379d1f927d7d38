"""What a benchmark cannot do, as one sentence."""


class BenchError(Exception):
    """The benchmark that was asked for cannot be run; the text is one sentence."""
