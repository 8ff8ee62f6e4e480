use std::fmt;

use portcullis_core::observe::profile::Time;

use super::report::{PluginReport, Report};

/// For a person: a table for each plugin.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (elapsed, threads) = (Nanoseconds(self.elapsed), self.threads.join(", "));
        let threads = if threads.is_empty() { "no thread" } else { &threads };
        writeln!(f, "{elapsed} of {threads}")?;
        self.plugins.iter().try_for_each(|plugin| table(f, plugin))
    }
}

fn table(f: &mut fmt::Formatter<'_>, plugin: &PluginReport) -> fmt::Result {
    let PluginReport { vm, engine, threads, time, .. } = plugin;
    let name = plugin.plugin.as_ref().map_or_else(|| format!("the VM of {vm}"), Clone::clone);
    let s = if *threads == 1 { "" } else { "s" };
    writeln!(f, "\n{name} on {engine}, {threads} thread{s}: {}\n", Nanoseconds(*time))?;
    let columns =
        |name: &str| format!("  {name:<36} {:>10} {:>10} {:>6} {:>10} {:>10}", "calls", "own", "own %", "total", "max");
    writeln!(f, "{}", columns("plugin"))?;
    for row in &plugin.guest {
        write!(f, "  {:<36} {}", row.name, columns_of(&row.time, *time))?;
        let traps = [(row.time.traps, "traps".to_owned())];
        writeln!(f, "{}", listed(traps.into_iter()))?;
    }
    if plugin.hostcalls.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{} {:>10} {:>10}", columns("host"), "bytes in", "bytes out")?;
    for row in &plugin.hostcalls {
        let (times, bytes_in, bytes_out) = (columns_of(&row.time, *time), row.bytes_in, row.bytes_out);
        let failures = row.failures.iter().map(|(status, count)| (*count, status.clone()));
        let failures = listed(failures.chain([(row.time.traps, "traps".to_owned())]));
        writeln!(f, "  {:<36} {times} {bytes_in:>10} {bytes_out:>10}{failures}", row.name)?;
    }
    Ok(())
}

fn columns_of(time: &Time, of: u64) -> String {
    let [own, total, max] = [time.own, time.total, time.max].map(|time| Nanoseconds(time).to_string());
    #[expect(clippy::cast_precision_loss, reason = "a percentage of one digit")]
    let share = if of == 0 { 0.0 } else { time.own as f64 * 100.0 / of as f64 };
    format!("{:>10} {own:>10} {share:>6.1} {total:>10} {max:>10}", time.calls)
}

/// Describes the failures, as the end of a line.
fn listed(counts: impl Iterator<Item = (u64, String)>) -> String {
    let counts: Vec<_> =
        counts.filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if counts.is_empty() { String::new() } else { format!("  {}", counts.join(", ")) }
}

/// A time with three digits.
struct Nanoseconds(u64);

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1_000 => return write!(f, "{} ns", self.0),
            1_000..1_000_000 => (1e3, "us"),
            1_000_000..1_000_000_000 => (1e6, "ms"),
            _ => (1e9, "s"),
        };
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let number = self.0 as f64 / unit;
        let digits = match number {
            ..9.995 => 2,
            ..99.95 => 1,
            _ => 0,
        };
        write!(f, "{number:.digits$} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let shown = |time| Nanoseconds(time).to_string();
        for (time, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (99_949, "99.9 us"),
            (123_456_789, "123 ms"),
            (12_345_678_900, "12.3 s"),
            (1_234_567_890_000, "1235 s"),
        ] {
            assert_eq!(shown(time), text);
        }
    }
}
