from service.processes.backoff import FIRST_DELAY_S, LONG_LIFE_S, LONGEST_DELAY_S, Backoff


def test_a_worker_that_ends_again_and_again_waits_ever_longer_and_not_for_ever() -> None:
    backoff = Backoff()
    delays = [backoff.delay_s(0) for _ in range(20)]

    assert delays[:3] == [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]
    assert delays[-1] == LONGEST_DELAY_S


def test_one_that_has_lived_is_not_blamed_and_no_other_is_for_it() -> None:
    backoff = Backoff()
    backoff.delay_s(0)
    backoff.lived(0, LONG_LIFE_S - 1)
    assert backoff.delay_s(0) == 2 * FIRST_DELAY_S

    backoff.lived(0, LONG_LIFE_S)
    assert backoff.delay_s(0) == FIRST_DELAY_S
    assert backoff.delay_s(1) == FIRST_DELAY_S
