//! Hosts in the one spelling that all others are compared in.
//!
//! | spelling | compared as |
//! |---|---|
//! | letters of either case, `a.example.` | without case, without dots at the end |
//! | `127.1`, `0x7f.0.0.1`, `017700000001`, `2130706433` (resolvers take them) | `127.0.0.1` |
//! | `[0:0:0:0:0:0:0:1]`, `[::ffff:127.0.0.1]` | `[::1]`, `127.0.0.1` |
//! | `a:0080` | `a:80` |
//! | `a`, `a:`, `a:80`, `a:443` | each of them: one that is allowed allows all, one that is taken away takes all |
//!
//! No list allows what is no host: a user before `@`, percent-encoding, a backslash (resolvers read `\097` as `a`), characters
//! outside of ASCII (`xn--` is how they are sent), more than 253 bytes.

use std::borrow::Cow;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::likeness::Likeness;
use super::super::pattern::Patterns;

/// The most bytes of a host's name (RFC 1035, section 3.1, as text).
const MOST: usize = 253;
/// Ports that say no more than none.
const USUAL: [Option<u16>; 3] = [None, Some(80), Some(443)];

/// A host, and a port behind it, in a buffer of its own: judging allocates nothing.
struct Spelling {
    bytes: [u8; MOST + 8],
    host: usize,
}

/// Returns whether a list allows the name of a host that is to be looked up.
pub(super) fn allows_name(list: &Patterns, name: &[u8]) -> bool {
    Spelling::of_name(name, false).is_some_and(|host| list.allows(host.host()))
}

/// Returns whether a list allows the host of a request. What takes a host away takes it away with any port.
pub(super) fn allows_authority(list: &Patterns, authority: &[u8]) -> bool {
    let Some((mut host, port)) = Spelling::of_authority(authority) else { return false };
    if list.takes(host.host(), Likeness::Folded) {
        return false;
    }
    if !USUAL.contains(&port) {
        return list.allows(host.with_port(port));
    }
    let mut is_allowed = false;
    for port in USUAL {
        let whole = host.with_port(port);
        if list.takes(whole, Likeness::Folded) {
            return false;
        }
        is_allowed |= list.includes(whole, Likeness::Folded);
    }
    is_allowed
}

/// Returns whether it is a host, with or without a port, that lists can allow.
pub(super) fn is_authority(authority: &[u8]) -> bool {
    Spelling::of_authority(authority).is_some()
}

/// Writes a pattern of names as they are compared.
pub(super) fn name_pattern(text: &str) -> Cow<'_, str> {
    match Spelling::of_name(text.as_bytes(), false) {
        Some(host) => String::from_utf8_lossy(host.host()).into_owned().into(),
        // Stars are left as they are.
        None => text.trim_end_matches('.').into(),
    }
}

/// Writes a pattern of hosts with ports as they are compared.
pub(super) fn authority_pattern(text: &str) -> Cow<'_, str> {
    if let Some((mut host, port)) = Spelling::of_authority(text.as_bytes()) {
        return String::from_utf8_lossy(host.with_port(port)).into_owned().into();
    }
    match text.rsplit_once(':') {
        Some((host, "")) => host.trim_end_matches('.').into(),
        Some((host, port)) => format!("{}:{port}", host.trim_end_matches('.')).into(),
        None => text.trim_end_matches('.').into(),
    }
}

impl Spelling {
    /// Reads the name of a host, or its address. `is_bracketed` says whether an IPv6 address is written in brackets.
    fn of_name(name: &[u8], is_bracketed: bool) -> Option<Self> {
        let text = std::str::from_utf8(name).ok()?;
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return Some(Self::of_address(inner.parse().ok()?, is_bracketed));
        }
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Some(Self::of_address(address, is_bracketed));
        }
        let text = text.trim_end_matches('.');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+;=".contains(&byte);
        if text.is_empty() || text.len() > MOST || !text.bytes().all(is_name) {
            return None;
        }
        let mut host = Self::empty();
        match address_v4(text) {
            Some(address) => host.push(format_args!("{address}")),
            None => host.push(format_args!("{text}")),
        }
        Some(host)
    }

    /// Reads a host and the port behind it.
    fn of_authority(authority: &[u8]) -> Option<(Self, Option<u16>)> {
        if let Some(host) = Self::of_name(authority, true) {
            return Some((host, None));
        }
        let colon = authority.iter().rposition(|byte| *byte == b':')?;
        let (host, port) = authority.split_at_checked(colon)?;
        // An address with colons has a port behind brackets alone.
        if host.contains(&b':') && !host.starts_with(b"[") {
            return None;
        }
        let port = port.get(1..).filter(|port| port.iter().all(u8::is_ascii_digit))?;
        let port = match port {
            [] => None,
            port => Some(std::str::from_utf8(port).ok()?.parse().ok()?),
        };
        Some((Self::of_name(host, true)?, port))
    }

    fn of_address(address: Ipv6Addr, is_bracketed: bool) -> Self {
        let mut host = Self::empty();
        match address.to_ipv4_mapped() {
            Some(address) => host.push(format_args!("{address}")),
            None if is_bracketed => host.push(format_args!("[{address}]")),
            None => host.push(format_args!("{address}")),
        }
        host
    }

    const fn empty() -> Self {
        Self { bytes: [0; MOST + 8], host: 0 }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.host = self.write(0, text);
    }

    fn host(&self) -> &[u8] {
        self.bytes.get(..self.host).unwrap_or_default()
    }

    fn with_port(&mut self, port: Option<u16>) -> &[u8] {
        let end = port.map_or(self.host, |port| self.write(self.host, format_args!(":{port}")));
        self.bytes.get(..end).unwrap_or_default()
    }

    /// Writes behind what is there; says where that ends. There is room for the longest name and port.
    fn write(&mut self, start: usize, text: std::fmt::Arguments<'_>) -> usize {
        let mut rest = self.bytes.get_mut(start..).unwrap_or_default();
        let room = rest.len();
        // What does not fit is cut off; nothing is longer than the room.
        drop(rest.write_fmt(text));
        start + (room - rest.len())
    }
}

/// Reads an address as `inet_aton` does, and with it most resolvers: one to four numbers, decimal, octal or hexadecimal, of
/// which the last stands for all bytes that are left.
fn address_v4(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = [0_u32; 4];
    let mut count = 0;
    for part in text.split('.') {
        *numbers.get_mut(count)? = number(part)?;
        count += 1;
    }
    let (last, before) = numbers.get(..count)?.split_last()?;
    let shift = 8 * (4 - u32::try_from(before.len()).ok()?);
    if u64::from(*last) >> shift != 0 || before.iter().any(|number| *number > 255) {
        return None;
    }
    let high = before.iter().enumerate().fold(0, |all, (index, number)| all | number << (24 - 8 * index));
    Some(Ipv4Addr::from_bits(high | last))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] => (digits, 8),
        [] => return None,
        digits => (digits, 10),
    };
    digits
        .iter()
        .try_fold(0_u32, |number, digit| number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?))
}

#[cfg(test)]
mod tests;
