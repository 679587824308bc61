//! Which counters of one direction were taken: the last [`WIDTH`] of them, one bit each.
//!
//! Wide, because many tasks of one process seal at once: the one that took a number first may be the one that the
//! machine lets wait, while the others go on.

const WIDTH: u64 = 16_384;
const WORDS: usize = (WIDTH / 64) as usize;

/// The window; a counter that it takes is never taken again.
#[derive(Default)]
pub(super) struct Window {
    /// One above the highest counter taken.
    next: u64,
    /// Empty before the first: a session that nobody uses costs next to nothing.
    bits: Vec<u64>,
}

impl Window {
    /// Whether `counter` is new; from now on it is not.
    pub(super) fn take(&mut self, counter: u64) -> bool {
        if counter == u64::MAX || counter.saturating_add(WIDTH) < self.next {
            return false;
        }
        if self.bits.is_empty() {
            self.bits = vec![0; WORDS];
        }
        if counter >= self.next {
            self.advance(counter + 1);
        }
        let mask = 1 << (counter % 64);
        let Some(word) = self.bits.get_mut(Self::word(counter)) else { return false };
        let new = *word & mask == 0;
        *word |= mask;
        new
    }

    /// Forgets what falls out of the window's far end.
    fn advance(&mut self, next: u64) {
        if next - self.next >= WIDTH {
            self.bits.fill(0);
        } else {
            for counter in self.next..next {
                if let Some(word) = self.bits.get_mut(Self::word(counter)) {
                    *word &= !(1 << (counter % 64));
                }
            }
        }
        self.next = next;
    }

    fn word(counter: u64) -> usize {
        usize::try_from(counter / 64 % WORDS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_taken_once_in_any_order() {
        let mut window = Window::default();
        for counter in [0, 5, 3, 4, 1, 2, 9_000, 8_999, 6] {
            assert!(window.take(counter), "{counter}");
        }
        for counter in [0, 5, 3, 4, 1, 2, 9_000, 8_999, 6] {
            assert!(!window.take(counter), "{counter}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_refused() {
        let mut window = Window::default();
        assert!(window.take(WIDTH + 10));
        assert!(!window.take(10));
        assert!(window.take(11));
        assert!(!window.take(11));
        assert!(window.take(10 * WIDTH));
        assert!(!window.take(WIDTH + 10), "long gone");
        assert!(window.take(10 * WIDTH - 1));
        assert!(!window.take(u64::MAX));
    }
}
