//! Figures, and what they are held to.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::steady::{MOST_GROWTH, Steady};
use crate::tally::Counts;

/// Figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) turns: Vec<Turn>,
    pub(crate) reload_times: Vec<Duration>,
    pub(crate) steady: Steady,
    /// The results while broken configurations were pushed.
    pub(crate) broken: Option<Counts>,
    pub(crate) refused: usize,
    /// Messages of refusals that do not say what they should, and what was not refused.
    pub(crate) misworded: Vec<String>,
    pub(crate) memory_after_ten: u64,
    pub(crate) memory_after_all: u64,
    pub(crate) memory_at_end: u64,
    /// The gateway ended as it should.
    pub(crate) ended: bool,
    /// The results after the last reload, while clients stopped.
    last: Counts,
}

/// A time with reloads, or without.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) reloads: usize,
    pub(crate) length: Duration,
    pub(crate) tally: Counts,
}

/// Which aims figures are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aims {
    /// The aims that nothing else on the machine can make miss.
    Busy,
    /// All of them.
    Quiet,
}

impl Figures {
    /// Adds the results of the end.
    pub(crate) fn finish(&mut self, last: &Counts) {
        self.last = last.clone();
    }

    /// Returns the aims that were missed.
    pub(crate) fn missed(&self, aims: Aims) -> Vec<String> {
        let mut missed = Vec::new();
        let mut hold = |met: bool, text: String| {
            if !met {
                missed.push(text);
            }
        };
        let all = self.all();
        hold(all.answered() > 0, "nothing was answered".to_owned());
        hold(all.lost() == 0, format!("{} requests were lost: {}", all.lost(), some(&all)));
        hold(all.wrong() == 0, format!("{} answers were wrong: {}", all.wrong(), some(&all)));
        hold(all.closed() == 0, format!("{} connections were closed without an announcement", all.closed()));
        hold(
            all.announced() == 0,
            format!("{} connections were told to close, and no listener had changed", all.announced()),
        );
        hold(self.misworded.is_empty(), format!("not refused as they should be: {:#?}", self.misworded));
        hold(self.ended, "the gateway did not end as it should".to_owned());
        if let Some(growth) = self.steady.growth() {
            hold(
                growth <= MOST_GROWTH,
                format!("a reload grows resident memory by {:.1} KiB: above {:.1} KiB", kib(growth), kib(MOST_GROWTH)),
            );
        }
        if aims == Aims::Quiet {
            let (with, without) = (self.with_reloads(), self.without());
            for (name, part) in [("p99.9", 0.999), ("the longest", 1.0)] {
                let (with, without) = (with.quantile(part), without.quantile(part));
                let most = without * 1.2 + 20.0;
                hold(
                    with <= most,
                    format!("{name} is {with:.1} ms with reloads, {without:.1} ms without: above {most:.1} ms"),
                );
            }
            for (when, memory) in [("after all reloads", self.memory_after_all), ("at the end", self.memory_at_end)] {
                let part = memory as f64 / self.memory_after_ten.max(1) as f64;
                hold(part <= 1.05, format!("resident memory {when} is {part:.3} times that after the tenth"));
            }
        }
        missed
    }

    /// Returns all figures.
    pub(crate) fn to_json(&self) -> Value {
        let of = |counts: &Counts| {
            json!({
                "answered": counts.answered(), "lost": counts.lost(), "wrong": counts.wrong(),
                "closed": counts.closed(), "announced": counts.announced(),
                "p50_ms": counts.quantile(0.5), "p99_ms": counts.quantile(0.99),
                "p999_ms": counts.quantile(0.999), "max_ms": counts.quantile(1.0),
            })
        };
        json!({
            "reloads": self.reloads(),
            "seconds_with_reloads": self.seconds(true), "seconds_without": self.seconds(false),
            "with_reloads": of(&self.with_reloads()), "without": of(&self.without()),
            "with_broken": self.broken.as_ref().map(of),
            "refused": self.refused, "misworded": self.misworded,
            "reload_p50_ms": self.reload_time(0.5), "reload_p99_ms": self.reload_time(0.99),
            "reload_max_ms": self.reload_time(1.0),
            "memory_after_ten": self.memory_after_ten, "memory_after_all": self.memory_after_all,
            "memory_at_end": self.memory_at_end, "memory_growth_of_a_reload": self.steady.growth(),
        })
    }

    fn all(&self) -> Counts {
        let mut all = self.last.clone();
        all.add(&self.steady.tally);
        self.turns.iter().map(|turn| &turn.tally).chain(&self.broken).for_each(|tally| all.add(tally));
        all
    }

    fn with_reloads(&self) -> Counts {
        self.sum(true)
    }

    fn without(&self) -> Counts {
        self.sum(false)
    }

    fn sum(&self, with_reloads: bool) -> Counts {
        let mut sum = Counts::default();
        self.of(with_reloads).for_each(|turn| sum.add(&turn.tally));
        sum
    }

    fn seconds(&self, with_reloads: bool) -> f64 {
        self.of(with_reloads).map(|turn| turn.length.as_secs_f64()).sum()
    }

    fn of(&self, with_reloads: bool) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| (turn.reloads > 0) == with_reloads)
    }

    fn reloads(&self) -> usize {
        self.turns.iter().map(|turn| turn.reloads).sum()
    }

    fn reload_time(&self, part: f64) -> f64 {
        let mut times = self.reload_times.clone();
        times.sort_unstable();
        let rank = (part * times.len() as f64).ceil() as usize;
        times.get(rank.max(1) - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, what: &str, seconds: f64, counts: &Counts| {
            writeln!(
                f,
                "{what:18} {seconds:6.0} s {:8} answered {:3} lost {:3} wrong   p50 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} ms",
                counts.answered(),
                counts.lost(),
                counts.wrong(),
                counts.quantile(0.5),
                counts.quantile(0.99),
                counts.quantile(0.999),
                counts.quantile(1.0),
            )
        };
        line(f, "without reloads", self.seconds(false), &self.without())?;
        line(f, &format!("{} reloads", self.reloads()), self.seconds(true), &self.with_reloads())?;
        if let Some(broken) = &self.broken {
            line(f, &format!("{} broken", self.refused + self.misworded.len()), 0.0, broken)?;
        }
        let [median, p99, longest] = [0.5, 0.99, 1.0].map(|part| self.reload_time(part));
        writeln!(f, "a reload           p50 {median:.0}  p99 {p99:.0}  max {longest:.0} ms")?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            f,
            "resident memory    {:.1} MiB after 10 reloads, {:.1} after all, {:.1} at the end",
            mib(self.memory_after_ten),
            mib(self.memory_after_all),
            mib(self.memory_at_end)
        )?;
        if let Some(growth) = self.steady.growth() {
            writeln!(
                f,
                "                   {:+.1} KiB for each of {} reloads more",
                kib(growth),
                self.steady.memory.len()
            )?;
        }
        Ok(())
    }
}

fn kib(bytes: f64) -> f64 {
    bytes / 1024.0
}

fn some(counts: &Counts) -> String {
    counts.reasons().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;

    fn turn(reloads: usize, latencies: &[u64]) -> Turn {
        let tally = Tally::default();
        latencies.iter().for_each(|millis| tally.answered(Duration::from_millis(*millis)));
        Turn { reloads, length: Duration::from_secs(1), tally: tally.counts() }
    }

    fn figures(with_reloads: u64, memory: u64) -> Figures {
        let turns = vec![turn(0, &[1, 10]), turn(3, &[1, with_reloads])];
        Figures {
            turns,
            memory_after_ten: 100,
            memory_after_all: memory,
            memory_at_end: 100,
            ended: true,
            ..Figures::default()
        }
    }

    #[test]
    fn aims_are_ratios_to_the_turns_without_reloads() {
        assert!(figures(32, 105).missed(Aims::Quiet).is_empty());
        assert_eq!(figures(33, 105).missed(Aims::Quiet).len(), 2, "p99.9 and the longest");
        assert_eq!(figures(32, 106).missed(Aims::Quiet).len(), 1);
        assert!(figures(33, 106).missed(Aims::Busy).is_empty());
    }

    #[test]
    fn growth_is_held_also_on_a_busy_machine() {
        let mut figures = figures(1, 100);
        figures.steady.memory = (0..300).map(|reload| (60 << 20) + reload * 7000).collect();
        let missed = figures.missed(Aims::Busy);
        assert_eq!(missed, ["a reload grows resident memory by 6.8 KiB: above 6.0 KiB"]);
        figures.steady.memory.reverse();
        assert!(figures.missed(Aims::Busy).is_empty());
    }

    #[test]
    fn one_lost_request_is_one_too_many() {
        let tally = Tally::default();
        tally.lost("no answer".to_owned());
        let mut figures = figures(1, 100);
        figures.finish(&tally.counts());
        let missed = figures.missed(Aims::Busy);
        assert!(missed.iter().any(|line| line.contains("1 requests were lost: no answer")), "{missed:?}");
    }
}
