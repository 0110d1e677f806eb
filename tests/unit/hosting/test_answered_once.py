"""Questions that a host does not answer twice."""

from __future__ import annotations

from deputize.hosting.answered_once import AnsweredOnce
from deputize.specialists.serving.host_messages import MAX_AGE_S


def test_a_question_is_answered_once_for_as_long_as_its_head_is_taken() -> None:
    now = [0.0]
    answered = AnsweredOnce(clock_s=lambda: now[0])
    assert answered.add(b"a") and not answered.add(b"a") and b"a" in answered and b"b" not in answered
    now[0] = 2 * MAX_AGE_S + 1
    assert answered.add(b"b") and not answered.add(b"a"), "one sent with a clock that is ahead is still taken"
    now[0] = 4 * MAX_AGE_S + 3
    answered.add(b"c")
    assert b"a" not in answered and not answered.add(b"b")


def test_what_is_kept_is_bounded() -> None:
    answered = AnsweredOnce(most=10, clock_s=lambda: 0.0)
    for n in range(100):
        answered.add(bytes([n]))
    assert sum(bytes([n]) in answered for n in range(100)) <= 20
