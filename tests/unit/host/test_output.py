# SPDX-License-Identifier: Apache-2.0
"""The lines that a message quotes of an output."""

from __future__ import annotations

import re

from ansible.module_utils.host import output


def test_the_last_error_and_the_end_of_a_long_output_are_quoted():
    text = "Traceback:\n  File x\npymysql.err.OperationalError: (1050, 'exists')\n\n[SQL:\nCREATE\n]\n(Background)\n"
    assert output.error_tail(text, 2) == ["pymysql.err.OperationalError: (1050, 'exists')", "]", "(Background)"]
    assert output.error_tail("a\n\nError: broken\n \n", 2) == ["a", "Error: broken"]


def test_a_tail_leaves_out_noise_and_empty_lines():
    assert output.tail("a\nnoise 1\n\nb  \nnoise 2\n", 2, without=re.compile("noise")) == ["a", "b"]


def test_a_block_is_a_line_with_the_indented_lines_below_it():
    text = "Reading\nE: broken\n  because\n  of this\nDone\n"
    assert output.blocks(text, re.compile("^E:")) == ["E: broken", "  because", "  of this"]
    assert output.blocks(text, re.compile("nothing"), 1) == ["Done"]
