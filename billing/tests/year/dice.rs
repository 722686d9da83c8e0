//! Chance from one seed: the same seed gives the same throws, on every machine.
//! Never the system's randomness, and never a clock.
//! Used by the world alone.

/// A stream of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound above zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.throw() % bound
    }

    pub(crate) fn span(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(u64::try_from(bound).expect("above zero")))
            .expect("below a number that fits")
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).expect("small"))).expect("small")
    }

    /// True for so many of a thousand throws.
    pub(crate) fn is_one_of(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }

    /// A decimal below `whole`, with none to nine decimals.
    pub(crate) fn decimal(&mut self, whole: u64) -> String {
        let decimals = *self.pick(&[0_usize, 1, 2, 2, 2, 3, 4, 9]);
        let (digits, rest) = (self.below(whole), self.below(1_000_000_000));
        let rest = format!("{rest:09}");
        if decimals == 0 { digits.to_string() } else { format!("{digits}.{}", &rest[..decimals]) }
    }

    pub(crate) fn uuid(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u128(u128::from(self.throw()) << 64 | u128::from(self.throw()))
    }
}
