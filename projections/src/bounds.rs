//! A range of values that a list is narrowed to.

/// From a value on, up to another; each end may be open. Which ends belong to the range, its user says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds<T> {
    /// Where it begins.
    pub from: Option<T>,
    /// Where it ends.
    pub to: Option<T>,
}

impl<T> Bounds<T> {
    /// Whether it narrows anything.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self { from: None, to: None }
    }
}
