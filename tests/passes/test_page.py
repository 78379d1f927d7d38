"""The page about passes says what the passes are."""

from tests.passes.page import PATH, page


def test_the_page_is_up_to_date() -> None:
    assert PATH.read_text() == page(), "write it again: python -m tests.passes.page"
