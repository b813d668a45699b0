//! Random numbers that a seed decides, and nothing else: not the day, and not the version of a library's
//! distributions. It knows not what they are for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Who draws: each a sequence of its own.
pub(super) enum Stream {
    People,
    Counts,
    LoanIds,
    Person(u32),
    Loans(u32),
}

/// Random numbers that are the same everywhere and always.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(match stream {
            Stream::People => 0,
            Stream::Counts => 1,
            Stream::LoanIds => 2,
            Stream::Person(number) => 1 << 32 | u64::from(number),
            Stream::Loans(number) => 2 << 32 | u64::from(number),
        });
        Self(rng)
    }

    /// 0 to below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let scaled = u128::from(self.0.next_u64()) * u128::from(end);
        // The upper half of the product of two u64.
        u64::try_from(scaled >> u64::BITS).unwrap_or_default()
    }

    pub(super) fn between(&mut self, (first, last): (u64, u64)) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// As [`Self::between`], with more of the small numbers.
    pub(super) fn low_between(&mut self, range: (u64, u64)) -> u64 {
        self.between(range).min(self.between(range))
    }

    pub(super) fn pick<'n>(&mut self, names: &[&'n str]) -> &'n str {
        let index = usize::try_from(self.below(names.len() as u64)).unwrap_or_default();
        names.get(index).copied().unwrap_or_default()
    }

    /// How many of what remains falls to the first of those who remain: twice the mean at most, all to the last.
    pub(super) fn share(&mut self, remaining: u32, among: u32) -> u32 {
        if among <= 1 {
            return remaining;
        }
        let (twice, among) = (u64::from(remaining) * 2, u64::from(among));
        let most = twice / among + u64::from(self.below(among) < twice % among);
        u32::try_from(self.below(most + 1)).map_or(remaining, |share| share.min(remaining))
    }
}

/// The number at a place of a sequence that visits every number below `length` once. The step is a prime above every
/// length but that of the phone numbers, and no factor of that one.
pub(super) fn scattered(start: u64, place: u64, length: u64) -> u64 {
    const STEP: u64 = 2_654_435_761;
    (start + place * STEP) % length
}
