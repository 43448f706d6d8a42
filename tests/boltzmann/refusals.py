"""What is refused, as a user sees it: without the checks of shapes that the tests switch on."""

import contextlib
import re

import jaxtyping
import pytest

from remjax.errors import InputError


@contextlib.contextmanager
def no_checks_of_shapes():
    """Those of the tests would come before the messages that a user is shown."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def assert_refused(wrong, message):
    """In one line, with that text in it; " .* " stands for any words."""
    pattern = ".*".join(re.escape(part) for part in message.split(" .* "))
    with no_checks_of_shapes(), pytest.raises(InputError, match=pattern) as raised:
        wrong()
    assert "\n" not in str(raised.value)


def every(wrong):
    """A test for each entry, by its name."""
    return pytest.mark.parametrize(("wrong", "message"), wrong.values(), ids=wrong.keys())
