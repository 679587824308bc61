//! What this machine has: processors and memory, less where a control group allows less.

use std::{fs, num::NonZeroUsize, thread};

/// Memory where nothing says how much there is.
const UNKNOWN_MEMORY: u64 = 2 << 30;
/// One instance for each of these of the memory for instances: most use far less, few more.
const MEMORY_OF_ONE: u64 = 8 << 20;

pub(super) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

pub(super) fn instances(memory_bytes: u64) -> u32 {
    // The upper bound is address space: each slot reserves twice 4 GiB of the 128 TiB that a process has.
    u32::try_from(memory_bytes / MEMORY_OF_ONE).unwrap_or(u32::MAX).clamp(32, 2048)
}

/// The memory that this process may use, in bytes.
pub(super) fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_total(&text));
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    machine.unwrap_or(UNKNOWN_MEMORY).min(group.unwrap_or(u64::MAX))
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_grows_with_the_machine_within_bounds() {
        assert_eq!(meminfo_total("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(meminfo_total("nothing"), None);
        assert_eq!(instances(1 << 20), 32);
        assert_eq!(instances(4 << 30), 512);
        assert_eq!(instances(u64::MAX), 2048);
        assert!(memory_bytes() > 0);
    }
}
