//! What a process holds of one caller's window: pure, with the time as an input.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::windows::{Lease, Unspent};
use super::{Standing, Verdict, WINDOW};

/// Of what is left of a window, the part that is leased at a time. What one process leases and does not spend is what
/// the others lack until it is back.
const LEASE_PART: u32 = 10;
const MAX_LEASE: u32 = 1000;
/// A window that is used up may get something back from other processes, so it is asked for again, this seldom.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What a process holds of one caller's window.
#[derive(Debug, Default)]
pub(super) struct Held {
    window: Option<Window>,
    /// Leased, and not spent yet.
    tokens: u32,
    /// What nobody had leased, as of the last answer.
    free: u32,
    /// Let through on trust, and not charged to the window yet.
    unpaid: u32,
    asked: Option<Instant>,
    used: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
struct Window {
    /// As the database has it; `None` for one that was opened while it was away.
    started_at: Option<DateTime<Utc>>,
    ends: Instant,
}

impl Held {
    /// Spends one of what is held; `None` when there is nothing to tell from.
    pub(super) fn take(&mut self, now: Instant, quota: u32) -> Option<Verdict> {
        self.end(now);
        let window = self.window.as_ref()?;
        self.used = Some(now);
        if let Some(tokens) = self.tokens.checked_sub(1) {
            self.tokens = tokens;
            return Some(Verdict::Granted(self.standing(now, quota)));
        }
        let asked_lately = self.asked.is_some_and(|asked| now < asked + ASK_AGAIN);
        let is_used_up = window.started_at.is_some() && self.free == 0;
        (is_used_up && asked_lately).then(|| self.refused(now, quota))
    }

    /// How many to lease for so many requests that wait, and for some to come.
    pub(super) fn wanted(&self, waiting: u32, quota: u32) -> u32 {
        let left = if self.window.is_some() { self.free } else { quota };
        let some = (left / LEASE_PART).min(MAX_LEASE);
        self.unpaid.saturating_add(waiting.max(some)).clamp(1, quota.max(1))
    }

    /// Takes a lease in that was asked for at a moment. What was let through on trust is paid from it first.
    pub(super) fn credit(&mut self, asked: Instant, lease: &Lease, quota: u32) {
        // Counted from before it was asked, the window never ends later here than in the database.
        let window = Window { started_at: Some(lease.started_at), ends: asked + lease.left.min(WINDOW) };
        if self.window.as_ref().is_none_or(|held| held.started_at != window.started_at) {
            self.tokens = 0;
        }
        let paid = self.unpaid.min(lease.tokens);
        self.unpaid -= paid;
        self.tokens = self.tokens.saturating_add(lease.tokens - paid);
        self.free = quota.saturating_sub(lease.granted);
        self.asked = Some(asked);
        self.window = Some(window);
    }

    /// Lets a request through while the windows cannot be asked, up to what was left when they could.
    pub(super) fn trust(&mut self, now: Instant, quota: u32) -> Verdict {
        self.end(now);
        if self.window.is_none() {
            self.window = Some(Window { started_at: None, ends: now + WINDOW });
            self.free = quota;
        }
        self.used = Some(now);
        match self.free.checked_sub(1) {
            Some(free) => {
                self.free = free;
                self.unpaid += 1;
                Verdict::Granted(self.standing(now, quota))
            }
            None => self.refused(now, quota),
        }
    }

    /// That there is nothing left.
    pub(super) fn refused(&self, now: Instant, quota: u32) -> Verdict {
        Verdict::Refused(Standing { remaining: 0, ..self.standing(now, quota) })
    }

    /// Hands out what was leased and not used for so long.
    pub(super) fn give_back(&mut self, now: Instant, unused_for: Duration) -> Option<Unspent> {
        self.end(now);
        let started_at = self.window.as_ref()?.started_at?;
        let is_in_use = self.used.is_some_and(|used| now < used + unused_for);
        if is_in_use || self.tokens == 0 {
            return None;
        }
        let tokens = std::mem::take(&mut self.tokens);
        self.free = self.free.saturating_add(tokens);
        Some(Unspent { started_at, tokens })
    }

    /// Forgets a window that is over.
    fn end(&mut self, now: Instant) {
        if self.window.as_ref().is_some_and(|window| window.ends <= now) {
            *self = Self::default();
        }
    }

    fn standing(&self, now: Instant, quota: u32) -> Standing {
        let left = self.window.as_ref().map_or(Duration::ZERO, |window| window.ends.saturating_duration_since(now));
        let seconds = left.as_millis().div_ceil(1000).max(1);
        Standing {
            quota,
            remaining: self.tokens.saturating_add(self.free).min(quota),
            resets_in_seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u32 = 100;

    fn lease(tokens: u32, granted: u32, left_seconds: u64) -> Lease {
        let subject = super::super::Subject::from_bytes(&[0; 16]).unwrap();
        let started_at = DateTime::UNIX_EPOCH;
        Lease { subject, started_at, tokens, granted, left: Duration::from_secs(left_seconds) }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn remaining(verdict: Option<Verdict>) -> Option<u32> {
        match verdict {
            Some(Verdict::Granted(standing)) => Some(standing.remaining),
            Some(Verdict::Refused(_) | Verdict::Unlimited | Verdict::Unknown) | None => None,
        }
    }

    #[test]
    fn a_lease_is_spent_and_then_asked_for_again() {
        let now = Instant::now();
        let mut held = Held::default();
        assert_eq!(held.take(now, QUOTA), None);
        assert_eq!(held.wanted(1, QUOTA), 10);
        held.credit(now, &lease(2, 12, 3600), QUOTA);
        assert_eq!(remaining(held.take(now, QUOTA)), Some(89));
        assert_eq!(remaining(held.take(now, QUOTA)), Some(88));
        assert_eq!(held.take(now, QUOTA), None);
        assert_eq!(held.wanted(1, QUOTA), 8);
    }

    #[test]
    fn a_lease_covers_those_who_wait_and_never_exceeds_the_quota() {
        let held = Held::default();
        assert_eq!(held.wanted(40, QUOTA), 40);
        assert_eq!(held.wanted(400, QUOTA), QUOTA);
        assert_eq!(held.wanted(1, 3), 1);
        assert_eq!(held.wanted(1, u32::MAX), MAX_LEASE);
    }

    #[test]
    fn a_window_that_is_used_up_refuses_until_it_ends_and_is_asked_for_seldom() {
        let start = Instant::now();
        let mut held = Held::default();
        held.credit(start, &lease(0, QUOTA, 1250), QUOTA);
        let standing = Standing { quota: QUOTA, remaining: 0, resets_in_seconds: 1250 };
        assert_eq!(held.take(start, QUOTA), Some(Verdict::Refused(standing)));
        assert_eq!(held.take(after(start, 5), QUOTA), None, "something may have come back");
        held.credit(after(start, 5), &lease(0, QUOTA, 1245), QUOTA);
        let standing = Standing { resets_in_seconds: 1244, ..standing };
        assert_eq!(held.take(after(start, 6), QUOTA), Some(Verdict::Refused(standing)));
        assert_eq!(held.take(after(start, 1250), QUOTA), None, "another window begins");
        assert_eq!(held.wanted(1, QUOTA), 10);
    }

    #[test]
    fn what_is_leased_ends_with_its_window() {
        let start = Instant::now();
        let mut held = Held::default();
        held.credit(start, &lease(10, 10, 3600), QUOTA);
        assert_eq!(held.take(after(start, 3600), QUOTA), None);

        held.credit(start, &lease(10, 10, 3600), QUOTA);
        let next = Lease { started_at: DateTime::UNIX_EPOCH + WINDOW, ..lease(1, 1, 3600) };
        held.credit(after(start, 1), &next, QUOTA);
        assert_eq!(remaining(held.take(after(start, 1), QUOTA)), Some(99), "the old window's tokens are gone");
        assert_eq!(held.take(after(start, 1), QUOTA), None);
    }

    #[test]
    fn trust_ends_where_the_quota_does_and_is_paid_for_afterwards() {
        let start = Instant::now();
        let mut held = Held::default();
        for left in (0..3).rev() {
            assert_eq!(remaining(Some(held.trust(start, 3))), Some(left));
        }
        assert!(matches!(held.trust(after(start, 3599), 3), Verdict::Refused(_)));
        assert_eq!(held.take(start, 3), None, "whether there is more the database knows, once it is back");
        assert_eq!(held.wanted(1, 3), 3);
        held.credit(start, &lease(3, 3, 3600), 3);
        assert!(matches!(held.take(start, 3), Some(Verdict::Refused(_))), "all of it had been spent");
    }

    #[test]
    fn trust_goes_no_further_than_what_was_left_in_a_window_that_is_known() {
        let start = Instant::now();
        let mut held = Held::default();
        held.credit(start, &lease(0, 98, 3600), QUOTA);
        assert_eq!(remaining(Some(held.trust(start, QUOTA))), Some(1));
        assert_eq!(remaining(Some(held.trust(start, QUOTA))), Some(0));
        assert!(matches!(held.trust(start, QUOTA), Verdict::Refused(_)));
    }

    #[test]
    fn only_what_is_not_used_is_given_back() {
        let start = Instant::now();
        let mut held = Held::default();
        let minute = Duration::from_secs(60);
        assert_eq!(held.give_back(start, minute), None);
        held.credit(start, &lease(10, 30, 3600), QUOTA);
        held.take(start, QUOTA);
        assert_eq!(held.give_back(after(start, 59), minute), None, "it is in use");
        let unspent = Unspent { started_at: DateTime::UNIX_EPOCH, tokens: 9 };
        assert_eq!(held.give_back(after(start, 60), minute), Some(unspent));
        assert_eq!(held.give_back(after(start, 60), minute), None, "once");
        assert_eq!(held.take(after(start, 60), QUOTA), None);
        held.credit(start, &lease(10, 30, 3600), QUOTA);
        assert_eq!(held.give_back(after(start, 3600), minute), None, "the window is over");
    }
}
