"""The number of threads follows what steps cost."""

from __future__ import annotations

from linewise.engines.cores import Threads
from linewise.serving.threads import ThreadChoice
from linewise.serving.trial import Trial


def run(choice: ThreadChoice, rows: int, steps: int, seconds: dict[int, float]) -> list[int]:
    """The numbers chosen for `steps` steps that take what `seconds` says."""
    chosen = []
    for _ in range(steps):
        chosen.append(choice.choose(rows))
        choice.saw(rows, seconds[chosen[-1]])
    return chosen


def test_it_begins_as_the_machine_is_known_to_like_it() -> None:
    choice = ThreadChoice(Threads(reading=2, generating=1))
    assert [choice.choose(rows) for rows in (1, 2, 8, 64)] == [1, 1, 1, 2]


def test_the_quicker_number_is_found_for_each_size_of_step() -> None:
    choice = ThreadChoice(Threads(reading=2, generating=1))
    assert run(choice, 1, 100, {1: 1.0, 2: 0.6})[-10:] == [2] * 10
    assert run(choice, 8, 100, {1: 1.0, 2: 3.0})[-10:] == [1] * 10
    assert choice.choose(64) == 2


def test_what_loses_is_tried_more_and_more_seldom() -> None:
    choice = ThreadChoice(Threads(reading=2, generating=1))
    chosen = run(choice, 1, 4000, {1: 1.0, 2: 3.0})
    assert 0 < chosen[:1000].count(2) < 30
    assert chosen[3000:].count(2) < 10


def test_a_machine_that_gets_busy_is_noticed() -> None:
    choice = ThreadChoice(Threads(reading=2, generating=1))
    run(choice, 8, 200, {1: 1.0, 2: 0.6})
    assert choice.choose(8) == 2
    run(choice, 8, 2000, {1: 1.0, 2: 3.0})
    assert choice.choose(8) == 1


def test_a_machine_that_gets_busy_is_noticed_at_once_where_the_other_number_was_quicker_before() -> None:
    choice = ThreadChoice(Threads(reading=2, generating=1))
    run(choice, 64, 4000, {1: 1.6, 2: 1.0})
    assert choice.choose(64) == 2
    # Three steps to notice, three to make sure.
    assert run(choice, 64, 20, {1: 1.7, 2: 4.0})[8:] == [1] * 12
    # What is a little slower than the other one was is compared with what that is now, once.
    assert run(choice, 64, 40, {1: 5.0, 2: 6.0}).count(2) <= 6  # and once more by and by


def test_a_busy_machine_is_noticed_within_the_first_steps() -> None:
    choice = ThreadChoice(Threads(reading=2, generating=1))
    assert run(choice, 64, 12, {1: 1.0, 2: 6.0}) == [2] * 4 + [1] * 8


def test_where_there_is_one_core_there_is_nothing_to_choose() -> None:
    choice = ThreadChoice(Threads(reading=1, generating=1))
    assert set(run(choice, 8, 100, {1: 1.0})) == {1}


def test_a_hopeless_way_is_tried_for_one_step_only() -> None:
    seconds = {"quick": 1.0, "slow": 8.0}
    trial = Trial("quick", "slow")
    ways = []
    for _ in range(100):
        ways.append(trial.choose())
        trial.saw(seconds[ways[-1]])
    assert ways.count("slow") == 2  # after 4 steps, and after 32 more


def test_a_trial_is_told_from_what_is_usual() -> None:
    trial = Trial("one", "other")
    for _ in range(60):
        assert trial.is_trying == (trial.choose() == "other")
        trial.saw(1.0)
