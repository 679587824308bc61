//! What a thread holds, counted: each test runs on one of its own.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Bytes that this thread holds, and the most that it held since it was asked.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn changed(by: impl Fn(usize) -> usize) {
    // A thread that ends frees after its own variables are gone.
    let _ = HELD.try_with(|cell| {
        let (held, peak) = cell.get();
        let held = by(held);
        cell.set((held, peak.max(held)));
    });
}

// SAFETY: everything is done by the allocator of the system; what is counted beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        changed(|held| held.saturating_add(layout.size()));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        changed(|held| held.saturating_sub(layout.size()));
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What this thread holds; the peak begins here.
pub(crate) fn begin() -> usize {
    HELD.with(|cell| {
        let (held, _) = cell.get();
        cell.set((held, held));
        held
    })
}

/// The most that this thread held since then.
pub(crate) fn peak() -> usize {
    HELD.with(Cell::get).1
}
