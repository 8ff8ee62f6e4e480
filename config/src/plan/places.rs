//! Places for VMs of streams.

use portcullis::chain::Snapshot;

/// Maximum number of VMs for streams at once, of all plugins of an engine in all workers: 2048 in five. Their memories are addresses
/// alone until they are used, of which each has 4 GiB and a processor has 128 TiB.
pub(super) const PLACES: u32 = 10_240;

/// Returns how many VMs for streams each worker may have of each plugin of an engine, so that all have places.
pub(crate) fn share_of_places(workers: usize, plugins: usize) -> usize {
    let all = PLACES as usize;
    (all / workers.max(1) / plugins.max(1)).clamp(1, Snapshot::MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_of_the_places_can_use_up_anothers() {
        for (workers, plugins, share) in
            [(1, 1, 2048), (5, 1, 2048), (1, 5, 2048), (6, 1, 1706), (8, 4, 320), (64, 1, 160)]
        {
            assert_eq!(share_of_places(workers, plugins), share, "{workers} {plugins}");
            assert!(share * workers * plugins <= PLACES as usize);
        }
        assert_eq!(share_of_places(1024, 1024), 1, "one at least");
    }
}
