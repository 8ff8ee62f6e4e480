use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};

/// The sections that wasmtime hands to addr2line, in the order in which an input has them.
const SECTIONS: &[SectionId] = &[
    SectionId::DebugAbbrev,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugStr,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugAddr,
    SectionId::DebugStrOffsets,
    SectionId::DebugAranges,
];

/// Looks up addresses in a guest's DWARF as wasmtime does when a guest traps, and shows what is found as we do.
///
/// Each section is a length of two bytes and so many bytes, in the order of [`SECTIONS`].
pub(crate) fn dwarf(data: &[u8]) {
    let mut input = portcullis_core::fuzzing::Input::new(data);
    let sections: Vec<&[u8]> = SECTIONS
        .iter()
        .map(|_| {
            let len = input.number(2) as usize;
            input.take(len)
        })
        .collect();
    let addresses = input.rest();
    let load = |id| {
        let at = SECTIONS.iter().position(|known| *known == id);
        let bytes = at.and_then(|at| sections.get(at)).copied().unwrap_or_default();
        Ok::<_, addr2line::gimli::Error>(EndianSlice::new(bytes, LittleEndian))
    };
    let Ok(context) = Dwarf::load(load).and_then(addr2line::Context::from_dwarf) else { return };
    let addresses =
        addresses.chunks(2).map(|bytes| bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    // They are offsets in a module.
    for address in addresses.chain([0, 1, 16, u64::from(u32::MAX)]) {
        let Ok(mut frames) = context.find_frames(address).skip_all_loads() else { continue };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
            let place = frame.location.as_ref();
            let source = place.and_then(|place| Some((place.file?, place.line.unwrap_or_default())));
            let shown = portcullis_core::engine::Frame { function: 0, name: name.as_deref(), source };
            let shown = [shown].into_iter().collect::<portcullis_core::engine::CallStack>().to_string();
            assert!(shown.len() < 1000 && !shown.contains(char::is_control), "{shown:?}");
        }
    }
}
