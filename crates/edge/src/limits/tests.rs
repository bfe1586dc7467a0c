//! Limits by data, on a clock that is moved by hand.

use super::gcra::{Keyed, Rate};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits(rates: Rates) -> (Limits, ManualClock) {
    let (clock, hand) = Clock::manual();
    (Limits::new(&rates, clock), hand)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn passing(times: usize, mut check: impl FnMut() -> Verdict) -> usize {
    (0..times).filter(|_| check() == Verdict::Ok).count()
}

#[test]
fn a_burst_passes_then_the_steady_rate() {
    let (limits, hand) = limits(Rates::default());
    let account = AccountId::new(1, 1);
    assert_eq!(passing(25, || limits.check_command(account)), 20);
    hand.advance(60 * SECOND);
    assert_eq!(passing(25, || limits.check_command(account)), 20, "a pause gives the burst back, not more");
    hand.advance(60 * SECOND);
    let mut passed = 0;
    for _ in 0..120 {
        passed += passing(1, || limits.check_command(account));
        hand.advance(SECOND / 2);
    }
    assert_eq!(passed, 120, "two a second is within 120 a minute");
}

#[test]
fn a_refusal_says_when_to_try_again() {
    let (limits, hand) = limits(Rates::default());
    let account = AccountId::new(1, 1);
    passing(20, || limits.check_command(account));
    assert_eq!(limits.check_command(account), Verdict::Limited { retry_after: SECOND / 2 });
    hand.advance(SECOND / 2);
    assert_eq!(limits.check_command(account), Verdict::Ok);
}

#[test]
fn one_account_costs_another_nothing() {
    let (limits, _) = limits(Rates::default());
    passing(100, || limits.check_command(AccountId::new(1, 1)));
    assert_eq!(limits.check_command(AccountId::new(1, 2)), Verdict::Ok);
}

#[test]
fn breaches_within_a_minute_warn_then_delay_then_close() {
    let (limits, hand) = limits(Rates::default());
    let account = AccountId::new(1, 1);
    passing(20, || limits.check_command(account));
    assert_eq!(limits.check_command(account), Verdict::Limited { retry_after: SECOND / 2 }, "warned");
    hand.advance(SECOND);
    passing(2, || limits.check_command(account));
    assert_eq!(limits.check_command(account), Verdict::Limited { retry_after: 2 * SECOND }, "delayed");
    hand.advance(SECOND);
    assert_eq!(
        limits.check_command(account),
        Verdict::Close,
        "nothing passes in the delay, and a third breach ends"
    );
    let outcomes: Vec<_> = limits.violations().iter().map(|v| (v.outcome, v.count)).collect();
    assert_eq!(outcomes, [(Outcome::Closed, 1), (Outcome::Delayed, 1), (Outcome::Warned, 1)]);
}

#[test]
fn breaches_a_minute_apart_only_warn() {
    let (limits, hand) = limits(Rates::default());
    let account = AccountId::new(1, 1);
    for _ in 0..10 {
        passing(20, || limits.check_command(account));
        assert_eq!(limits.check_command(account), Verdict::Limited { retry_after: SECOND / 2 });
        hand.advance(61 * SECOND);
    }
}

#[test]
fn a_flood_at_once_is_closed() {
    let (limits, _) = limits(Rates::default());
    let account = AccountId::new(1, 1);
    let verdicts: Vec<_> = (0..400).map(|_| limits.check_command(account)).collect();
    let closed = verdicts.iter().position(|verdict| *verdict == Verdict::Close);
    assert_eq!(closed, Some(20 + 100 + 100), "after the burst and two floods of five bursts");
}

#[test]
fn zero_turns_a_limit_off() {
    let off = Rates {
        commands_per_minute: 0,
        burst: 0,
        connects_per_minute_per_address: 0,
        sign_ins_per_minute_per_address: 0,
        accounts_per_minute_per_address: 0,
        dry_run: false,
    };
    let (limits, _) = limits(off);
    let here = address("192.0.2.1");
    for check in [Limits::check_connect, Limits::check_sign_in, Limits::check_account] {
        assert_eq!(passing(1000, || check(&limits, here)), 1000);
    }
    assert_eq!(passing(1000, || limits.check_command(AccountId::new(1, 1))), 1000);
}

#[test]
fn a_dry_run_counts_and_refuses_nobody() {
    let (limits, _) = limits(Rates { dry_run: true, ..Rates::default() });
    assert_eq!(passing(100, || limits.check_sign_in(address("192.0.2.1"))), 100);
    assert_eq!(passing(500, || limits.check_command(AccountId::new(1, 1))), 500);
    let sign_ins: u64 =
        limits.violations().iter().filter(|v| v.limit == Limit::SignIns).map(|v| v.count).sum();
    assert_eq!(sign_ins, 90);
}

#[test]
fn addresses_count_by_customer() {
    let (limits, _) = limits(Rates::default());
    assert_eq!(passing(20, || limits.check_sign_in(address("2001:db8::1"))), 10);
    assert_eq!(passing(20, || limits.check_sign_in(address("2001:db8::ffff:2"))), 0, "the same /64");
    assert_eq!(passing(20, || limits.check_sign_in(address("2001:db8:0:1::1"))), 10, "another /64");
    assert_eq!(passing(20, || limits.check_sign_in(address("::ffff:192.0.2.1"))), 10);
    assert_eq!(passing(20, || limits.check_sign_in(address("192.0.2.1"))), 0, "the same, written otherwise");
    assert_eq!(limits.violations()[0].who, "192.0.2.1");
}

#[test]
fn a_full_table_refuses_newcomers_until_it_can_forget() {
    let mut table = Keyed::new(Rate::per_minute(10, 10).expect("a rate"), 100);
    let mut now = Duration::ZERO;
    for key in 0..100 {
        assert_eq!(table.check(key, now), Ok(()));
    }
    assert!(table.check(100, now).is_err());
    assert_eq!(table.check(7, now), Ok(()), "who is in it already is not concerned");
    now += 60 * SECOND;
    assert_eq!(table.check(100, now), Ok(()));
    assert_eq!(table.len(), 1, "the others are forgotten");
}

#[test]
fn the_list_for_staff_is_bounded() {
    let mut list = Violations::new(3);
    for n in 0..50u64 {
        list.add(Limit::Connects, n.to_string(), Outcome::Refused, n);
    }
    let kept: Vec<_> = list.newest_first().into_iter().map(|v| v.who).collect();
    assert_eq!(kept, ["49", "48", "47"]);
}

#[test]
fn networks_hold_what_they_say() {
    let cases = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("fd00::/8", "fdab::1", true),
        ("fd00::/8", "fe00::1", false),
        ("127.0.0.0/8", "::ffff:127.0.0.1", true),
    ];
    for (network, inside, expected) in cases {
        let parsed: Network = network.parse().expect("a network");
        assert_eq!(parsed.contains(address(inside)), expected, "{inside} in {network}");
    }
    for bad in ["", "10.0.0.0/33", "10.0.0", "x", "::/129", "10.0.0.0/", "10.0.0.0/-1"] {
        assert!(bad.parse::<Network>().is_err(), "{bad}");
    }
}
