//! The reasons for which guests are stopped, with the same words on every engine.

use std::fmt::{self, Write};

use crate::abi::hostcall::HostcallId;
use crate::engine::recorded_trap::RecordedTrap;
use crate::model::limits::Limits;
use crate::resources::host::NoRandomness;

/// Why a guest was stopped. Its VM never runs again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trap {
    /// The guest asked to end.
    #[error("the plugin called proc_exit({0})")]
    Exit(i32),
    /// The guest gave up (AssemblyScript's `abort`).
    #[error("the plugin aborted: {0}")]
    Abort(String),
    /// The guest asked for random bytes, and the host has none.
    #[error("the plugin called {hostcall}, but {cause}")]
    NoRandomness {
        /// The hostcall.
        hostcall: HostcallId,
        /// Why the host has none.
        cause: NoRandomness,
    },
    /// A hostcall that the guest has the right to, and that may not run now.
    #[error("the plugin called {hostcall}, which is not allowed {during}")]
    NotCallable {
        /// The hostcall.
        hostcall: HostcallId,
        /// The state that the guest was in.
        during: &'static str,
    },
    /// A hostcall that the plugin may not make, and [`OnDenial::Trap`](crate::rights::OnDenial::Trap) is its operator's choice.
    #[error("the plugin may not call {hostcall}{}, and on_denial is trap", .rule.map(|rule| format!(" with these {rule}")).unwrap_or_default())]
    Denied {
        /// The hostcall.
        hostcall: HostcallId,
        /// The key of the rule that forbids it; none if the plugin does not have the capability.
        rule: Option<&'static str>,
    },
    /// The guest ran longer than its deadline.
    #[error("deadline: the plugin ran longer than its limit for one call{0}")]
    Deadline(CallStack),
    /// The guest called too deep.
    #[error("stack: the plugin used more stack than its limit{0}")]
    Stack(CallStack),
    /// A hostcall ended the guest when it was recorded ([`replay`](crate::observe::transcript::replay())).
    #[error("{0}")]
    Told(RecordedTrap),
    /// WebAssembly's own rules, or an `unreachable` that a compiler put where the guest gives up.
    #[error("trap: {0}{1}")]
    Wasm(WasmTrap, CallStack),
}

/// A rule of WebAssembly that a guest broke. Every engine has these, each under names of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WasmTrap {
    /// `unreachable` was reached.
    #[error("unreachable")]
    Unreachable,
    /// An access beyond memory, or beyond a data segment.
    #[error("out of bounds memory access")]
    MemoryOutOfBounds,
    /// An access beyond a table, or beyond an element segment.
    #[error("out of bounds table access")]
    TableOutOfBounds,
    /// `call_indirect` of a null function.
    #[error("indirect call to null")]
    IndirectCallToNull,
    /// `call_indirect` of a function with another type.
    #[error("indirect call type mismatch")]
    BadSignature,
    /// Division by zero.
    #[error("integer divide by zero")]
    DivisionByZero,
    /// The smallest integer divided by -1, or a float beyond the range of an integer.
    #[error("integer overflow")]
    IntegerOverflow,
    /// NaN converted to an integer.
    #[error("invalid conversion to integer")]
    BadConversion,
    /// Something that one engine alone has, in its own words.
    #[error("{0}")]
    Other(String),
}

impl Trap {
    /// Returns the reason without the functions that were running, which not every engine knows.
    pub(crate) fn without_stack(&self) -> RecordedTrap {
        RecordedTrap::new(match self {
            Self::Wasm(trap, _) => format!("trap: {trap}"),
            Self::Deadline(_) => Self::Deadline(CallStack::default()).to_string(),
            Self::Stack(_) => Self::Stack(CallStack::default()).to_string(),
            other => other.to_string(),
        })
    }

    /// Says why, with the limit that was reached and the key that sets it. `starting`: the guest had the time of a start.
    pub(crate) fn told(&self, limits: &Limits, starting: bool) -> String {
        match self {
            Self::Deadline(stack) if starting => {
                format!("deadline: {:?} (limits.start_deadline) passed{stack}", limits.start_deadline)
            }
            Self::Deadline(stack) => format!("deadline: {:?} (limits.deadline) passed{stack}", limits.deadline),
            Self::Stack(stack) => format!("stack: more than {} bytes (limits.stack) were used{stack}", limits.stack),
            other => other.to_string(),
        }
    }

    /// Names the reason in one word, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Abort(_) => "abort",
            // The word that metrics have had.
            Self::NotCallable { .. } => "restricted",
            Self::Denied { .. } => "denied",
            Self::Deadline(_) => "deadline",
            Self::Stack(_) => "stack",
            Self::Told(_) | Self::Wasm(..) | Self::NoRandomness { .. } => "trap",
        }
    }
}

/// One function that was running.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its index in the module.
    pub function: u32,
    /// Its name in the module's name section, mangled as compilers leave it.
    pub name: Option<&'a str>,
    /// Where it was in its source, as file and line, if the module has DWARF.
    pub source: Option<(&'a str, u32)>,
}

/// The functions that were running, innermost first: a short text, because it ends in logs and all
/// of it was chosen by the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStack(String);

impl CallStack {
    /// How many functions are named, at most.
    pub const FRAMES: usize = 20;
    /// Length of one name, in bytes.
    const NAME: usize = 200;
    /// Length after which no further function is named, in bytes.
    const ALL: usize = 2000;
}

impl<'a> FromIterator<Frame<'a>> for CallStack {
    fn from_iter<I: IntoIterator<Item = Frame<'a>>>(frames: I) -> Self {
        let mut text = String::new();
        for (i, frame) in frames.into_iter().enumerate() {
            if i == Self::FRAMES || text.len() > Self::ALL {
                text.push_str(", and so on");
                break;
            }
            text.push_str(match i {
                0 => " in ",
                1 => ", called by ",
                _ => ", by ",
            });
            frame.append_to(&mut text);
        }
        Self(text)
    }
}

impl fmt::Display for CallStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Frame<'_> {
    fn append_to(self, text: &mut String) {
        match self.name {
            Some(mangled) => append_name(text, mangled),
            None => text.push_str(&format!("function {}", self.function)),
        }
        let Some((file, line)) = self.source else { return };
        text.push_str(" (");
        if write!(Clipped { text, room: CallStack::NAME }, "{file}:{line}").is_err() {
            text.push_str("...");
        }
        text.push(')');
    }
}

/// Returns the name of a guest's function as it stood in its source, whatever the guest chose: Rust's and C++'s demangled,
/// printable characters alone, and clipped.
pub fn function_name(mangled: &str) -> String {
    let mut name = String::new();
    append_name(&mut name, mangled);
    name
}

fn append_name(text: &mut String, mangled: &str) {
    let mut name = Clipped { text, room: CallStack::NAME };
    if write_demangled(&mut name, mangled).is_err() {
        text.push_str("...");
    }
}

/// Writes a Rust or C++ name as it stood in the source, and any other as it is.
fn write_demangled(out: &mut Clipped<'_>, mangled: &str) -> fmt::Result {
    /// Beyond this, a mangled name is an attack on the demangler.
    const LONGEST: usize = 2000;
    /// How deep C++'s names may nest. The parser goes back and tries anew at each depth, so its work can double with each; the
    /// containers of the standard library need no more.
    const DEEPEST: u32 = 40;
    if mangled.len() <= LONGEST {
        let parsing = cpp_demangle::ParseOptions::default().recursion_limit(DEEPEST);
        if let Ok(name) = rustc_demangle::try_demangle(mangled) {
            return write!(out, "{name:#}");
        }
        if mangled.starts_with("_Z")
            && let Ok(name) = cpp_demangle::Symbol::new_with_options(mangled, &parsing)
        {
            let options = cpp_demangle::DemangleOptions::new().recursion_limit(64);
            return name.structured_demangle(out, &options);
        }
    }
    out.write_str(mangled)
}

/// Takes a text that the guest chose: printable, and no more of it than there is room for.
struct Clipped<'a> {
    text: &'a mut String,
    room: usize,
}

impl Write for Clipped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            self.room = self.room.checked_sub(c.len_utf8()).ok_or(fmt::Error)?;
            self.text.push(c);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &[&str]) -> String {
        names
            .iter()
            .map(|name| Frame { function: 7, name: Some(name), source: None })
            .collect::<CallStack>()
            .to_string()
    }

    #[test]
    fn names_are_demangled() {
        assert_eq!(shown(&["_ZN4core9panicking5panic17h0123456789abcdefE"]), " in core::panicking::panic");
        assert_eq!(shown(&["_ZN7Context6onTickEv"]), " in Context::onTick()");
        assert_eq!(shown(&["main.main", "_Zzz", "~start"]), " in main.main, called by _Zzz, by ~start");
    }

    #[test]
    fn a_frame_without_a_name_has_its_index() {
        let frames = [Frame { function: 7, name: None, source: Some(("src/lib.rs", 3)) }];
        assert_eq!(frames.into_iter().collect::<CallStack>().to_string(), " in function 7 (src/lib.rs:3)");
    }

    #[test]
    fn the_text_is_bounded_and_printable() {
        assert_eq!(shown(&["a\nb\u{1b}"]), " in a\u{fffd}b\u{fffd}");
        let long = "é".repeat(5000);
        assert_eq!(shown(&[&long]), format!(" in {}...", "é".repeat(100)));
        // What stands in place of a control character is longer.
        assert_eq!(shown(&[&"\0".repeat(5000)]), format!(" in {}...", "\u{fffd}".repeat(66)));
        let many = shown(&["f"; 1000]);
        assert!(many.ends_with(", by f, and so on") && many.len() < 200, "{many}");
        assert!(shown(&[long.as_str(); 1000]).len() < 2500);
    }

    #[test]
    fn a_name_that_unfolds_without_end_is_clipped() {
        // Each of Rust's and C++'s back references can double what is written.
        let rust = format!("_RNvC1a{}1b", "TB5_B5_".repeat(200));
        let cpp = format!("_Z1fI{}E", "S_S_".repeat(200));
        assert!(shown(&[&rust, &cpp]).len() < 5000);
    }

    #[test]
    fn a_name_that_is_parsed_again_and_again_is_left_mangled() {
        let names =
            [("_Z1a", "IS_"), ("_Z1aI", "LDt"), ("_ZN", "DtL"), ("_Z1aIX", "nw"), ("_Z1aI", "LA"), ("_Z1aIX", "cl")];
        for (begin, unit) in names {
            let name = format!("{begin}{}", unit.repeat(60));
            assert!(function_name(&name).starts_with(&name[..100]), "{name}");
        }
        let map = "_ZNSt3__13mapINS_12basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEEEiE4findERKS6_";
        assert!(function_name(map).starts_with("std::__1::map<std::__1::basic_string<char, "));
    }
}
