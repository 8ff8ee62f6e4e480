//! Compiled code in the plugin's own file: custom sections, which other hosts skip.

/// The name of the sections. One holds the engine's name, a zero byte, and sealed code.
const NAME: &[u8] = b"portcullis.compiled";

/// Length of the magic number and version that a module begins with.
const HEADER: usize = 8;

/// Splits a plugin into the module without compiled code, and the sealed code for every engine.
pub(super) fn split(plugin: &[u8]) -> (Vec<u8>, Vec<&[u8]>) {
    let (mut wasm, mut sealed) = (Vec::with_capacity(plugin.len()), Vec::new());
    for part in parts(plugin) {
        match part {
            Part::Code { sealed: code, .. } => sealed.push(code),
            Part::Other(bytes) | Part::Packaged(bytes) => wasm.extend_from_slice(bytes),
        }
    }
    (wasm, sealed)
}

/// Returns the plugin with this code in place of the code that it has for the engine.
pub(super) fn with(plugin: &[u8], engine: &str, sealed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plugin.len() + sealed.len());
    for part in parts(plugin) {
        match part {
            Part::Code { engine: other, .. } if other == engine.as_bytes() => {}
            Part::Code { whole, .. } => out.extend_from_slice(whole),
            Part::Other(bytes) | Part::Packaged(bytes) => out.extend_from_slice(bytes),
        }
    }
    let mut content = leb(NAME.len());
    for field in [NAME, engine.as_bytes(), b"\0", sealed] {
        content.extend_from_slice(field);
    }
    out.push(0);
    out.extend(leb(content.len()));
    out.extend(content);
    out
}

enum Part<'a> {
    Code {
        whole: &'a [u8],
        engine: &'a [u8],
        sealed: &'a [u8],
    },
    /// A section that says something about the plugin and does not change how it runs.
    Packaged(&'a [u8]),
    /// The header, another section, or what is no section at all.
    Other(&'a [u8]),
}

/// The sections that are written behind the code of a plugin: code that was compiled before is still of it.
const PACKAGED: [&[u8]; 3] = [b"portcullis.rights", b"signature", b"signature_wasmsign"];

/// Returns the parts of a plugin that decide how it runs.
pub(super) fn that_run(plugin: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(plugin).filter_map(|part| match part {
        Part::Other(bytes) => Some(bytes),
        Part::Code { .. } | Part::Packaged(_) => None,
    })
}

fn parts(plugin: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let (header, mut rest) = plugin.split_at_checked(HEADER).unwrap_or((plugin, &[]));
    let sections = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = section(rest).unwrap_or((Part::Other(rest), &[]));
        rest = after;
        Some(part)
    });
    std::iter::once(Part::Other(header)).chain(sections)
}

/// Reads the first section, and returns it with the bytes behind it.
fn section(bytes: &[u8]) -> Option<(Part<'_>, &[u8])> {
    let (id, after) = bytes.split_first()?;
    let (len, content) = read_leb(after)?;
    let (content, rest) = content.split_at_checked(len)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    let code = || {
        let (len, named) = read_leb(content).filter(|_| *id == 0)?;
        let (_, content) = named.split_at_checked(len).filter(|(name, _)| *name == NAME)?;
        let end = content.iter().position(|byte| *byte == 0)?;
        Some(Part::Code { whole, engine: content.get(..end)?, sealed: content.get(end + 1..)? })
    };
    let packaged = || {
        let (len, named) = read_leb(content).filter(|_| *id == 0)?;
        let (name, _) = named.split_at_checked(len)?;
        PACKAGED.contains(&name).then_some(Part::Packaged(whole))
    };
    Some((code().or_else(packaged).unwrap_or(Part::Other(whole)), rest))
}

fn read_leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(u32::try_from(value).ok()?).ok()?, bytes.get(i + 1..)?));
        }
    }
    None
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x00\x05\x04name";

    #[test]
    fn code_is_put_in_and_taken_out() {
        assert_eq!(split(MODULE), (MODULE.to_vec(), Vec::new()));
        let long = vec![7; 300];
        let one = with(MODULE, "a", &long);
        assert_eq!(split(&one), (MODULE.to_vec(), vec![&long[..]]));
        let two = with(&one, "b", b"");
        assert_eq!(split(&two), (MODULE.to_vec(), vec![&long[..], &[]]));
        assert_eq!(split(&with(&two, "a", b"new")), (MODULE.to_vec(), vec![&b""[..], b"new"]));
    }

    #[test]
    fn what_is_packaged_behind_the_code_stays_and_changes_nothing_that_runs() {
        let of = |plugin: &[u8]| that_run(plugin).collect::<Vec<_>>().concat();
        for section in [&b"\0\x0a\x09signature"[..], b"\0\x14\x11portcullis.rights{}", b"\0\x13\x12signature_wasmsign"]
        {
            let packaged = [&with(MODULE, "a", b"code"), section].concat();
            assert_eq!(of(&packaged), MODULE);
            assert_eq!(split(&packaged), ([MODULE, section].concat(), vec![&b"code"[..]]));
        }
        let other = [MODULE, b"\0\x02\x01x"].concat();
        assert_eq!(of(&other), other);
    }

    #[test]
    fn what_is_no_module_stays_as_it_is() {
        let plugin = with(MODULE, "a", b"code");
        for bad in [
            &b""[..],
            b"\0asm",
            b"(module)",
            &plugin[..plugin.len() - 1],
            b"\0asm\x01\0\0\0\x00\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(split(bad), (bad.to_vec(), Vec::new()), "{bad:?}");
        }
    }
}
