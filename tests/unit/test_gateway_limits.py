"""Token buckets: no more than the rate and the burst, waits that are long enough, memory that ends; and addresses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.addresses import address_of_peer, holder_of_address
from gateway.limits.buckets import TokenBuckets
from gateway.limits.crowds import Crowds

SECOND = 1_000_000_000


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 12345

    def __call__(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def buckets(rate: float, burst: int, **values: Any) -> tuple[TokenBuckets, Clock]:
    clock = Clock()
    return TokenBuckets(rate, burst, clock=clock, **values), clock


def test_a_burst_is_had_at_once_and_then_the_rate() -> None:
    limit, clock = buckets(10, 3)

    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.1]
    clock.wait(0.1)
    assert [limit.take("a") for _ in range(2)] == [0, 0.1]
    clock.wait(1000)
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 0.1]


def test_each_has_a_bucket_of_their_own() -> None:
    limit, _ = buckets(1, 1)

    assert [limit.take("a"), limit.take("b"), limit.take("a") > 0] == [0, 0, True]


def test_a_rate_of_0_is_no_limit_and_remembers_nobody() -> None:
    limit, _ = buckets(0, 1)

    assert {limit.take("a", 10**9) for _ in range(100)} == {0}
    assert {limit.reserve("a", 60) for _ in range(100)} == {0}
    assert len(limit) == 0


def test_more_than_the_burst_needs_a_full_bucket_and_leaves_a_debt() -> None:
    limit, clock = buckets(10, 5)

    assert limit.take("a", 50) == 0
    assert limit.take("a", 1) == pytest.approx(4.6)
    clock.wait(4.6)
    assert limit.take("a", 1) == 0
    assert limit.take("a", 50) > 0


def test_those_who_wait_get_their_turns_one_after_the_other() -> None:
    limit, clock = buckets(10, 2)

    assert [limit.reserve("a", 60) for _ in range(5)] == pytest.approx([0, 0, 0.1, 0.2, 0.3])
    clock.wait(0.3)
    assert limit.reserve("a", 60) == pytest.approx(0.1)


def test_who_would_have_to_wait_too_long_takes_nothing() -> None:
    limit, clock = buckets(10, 2)
    limit.take("a", 52)

    assert [limit.reserve("a", 5) for _ in range(3)] == pytest.approx([5.1] * 3)
    clock.wait(0.1)
    assert [limit.reserve("a", 5) for _ in range(2)] == pytest.approx([5, 5.1])


def test_a_crowd_is_bounded_for_each_and_forgotten_when_it_has_gone() -> None:
    crowds = Crowds(2)

    assert [crowds.enter("a") for _ in range(3)] == [True, True, False]
    assert crowds.enter("b")
    crowds.leave("a")
    assert crowds.enter("a")
    for holder in "aab":
        crowds.leave(holder)
    assert len(crowds) == 0


@given(
    rate=st.floats(0.001, 1e6),
    burst=st.integers(1, 10**6),
    steps=st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 10 * SECOND)), max_size=50),
)
def test_a_wait_is_long_enough_and_nothing_is_taken_meanwhile(
    rate: float, burst: int, steps: list[tuple[int, int]]
) -> None:
    limit, clock = buckets(rate, burst)
    for count, pause in steps:
        clock.now += pause
        if wait := limit.take("a", count):
            clock.wait(wait)
            assert limit.take("a", count) == 0


@given(
    rate=st.floats(0.1, 1e4),
    burst=st.integers(1, 100),
    pauses=st.lists(st.integers(0, SECOND), min_size=1, max_size=200),
)
def test_no_more_than_the_burst_and_the_rate_comes_through(rate: float, burst: int, pauses: list[int]) -> None:
    limit, clock = buckets(rate, burst)
    begin, taken = clock.now, 0
    for pause in pauses:
        clock.now += pause
        taken += limit.take("a") == 0

    assert taken <= burst + rate * (clock.now - begin) / SECOND + 1e-6


def test_an_attacker_with_many_addresses_does_not_grow_memory() -> None:
    limit, clock = buckets(1, 10, max_holders=100)
    for number in range(10_000):
        limit.take(f"address-{number}")
        assert len(limit) <= 101

    assert limit.take("steady", 10) == 0
    for number in range(50):
        limit.take(f"other-{number}")
    assert limit.take("steady") > 0  # fewer others than there is room for make nobody forgotten
    clock.wait(3600)
    for number in range(100):
        limit.take(f"late-{number}")
    assert len(limit) <= 101


def test_full_buckets_are_forgotten() -> None:
    limit, clock = buckets(10, 10)
    for number in range(1000):
        limit.take(f"address-{number}")
    clock.wait(60)
    for _ in range(1000):
        limit.take("steady", 0)

    assert len(limit) <= 1


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5005", "127.0.0.1"),
        ("ipv6:%5B2001:db8::1%5D:5005", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:5005", "2001:db8::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5005", "fe80::1%eth0"),
        ("unix:/run/gateway.sock", "unix:/run/gateway.sock"),
        ("", ""),
    ],
)
def test_the_address_of_a_peer(peer: str, address: str) -> None:
    assert address_of_peer(peer) == address


@pytest.mark.parametrize(
    ("address", "holder"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:/run/gateway.sock", "unix:/run/gateway.sock"),
        ("", ""),
    ],
)
def test_one_customer_is_one_holder(address: str, holder: str) -> None:
    assert holder_of_address(address) == holder
