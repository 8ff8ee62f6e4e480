//! The page that is made of reports.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_conformance::report::{self, Report};

use crate::files::{read, say, write};

/// Returns the reports in some files, those of one host as one.
pub(crate) fn merged(files: &[PathBuf]) -> Result<Vec<Report>, String> {
    let mut reports: Vec<Report> = Vec::new();
    for file in files {
        let read: Vec<Report> =
            serde_json::from_str(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        for report in read {
            match reports.iter_mut().find(|own| own.host == report.host) {
                Some(own) => own.merge(report),
                None => reports.push(report),
            }
        }
    }
    Ok(reports)
}

/// Writes the page of some reports, what is in them, and the table of totals; returns whether nothing was stale.
pub(crate) fn make(
    reports: &[Report],
    output: &Path,
    results: Option<&Path>,
    totals: Option<&Path>,
    check: bool,
) -> Result<bool, String> {
    if let Some(report) = reports.iter().find(|report| report.results.iter().any(|result| result.is_earlier))
        && !check
    {
        return Err(format!(
            "the report of {} is of a share of the cases, of which no page is made, but --check looks at one; \
             conformance/run.sh without --only examines all",
            report.host
        ));
    }
    let mut pages = vec![(output, report::markdown(reports))];
    pages.extend(results.map(|file| (file, report::results(reports))));
    if let Some(file) = totals {
        const MARKS: [&str; 2] = ["<!-- conformance -->\n", "<!-- /conformance -->"];
        let text = read(file)?;
        let parts = text.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
        let (before, after) =
            parts.ok_or_else(|| format!("{}: there are no comments {MARKS:?} for the totals", file.display()))?;
        pages.push((file, format!("{before}{}{}{}{after}", MARKS[0], report::totals(reports), MARKS[1])));
    }
    let mut is_fresh = true;
    for (file, page) in pages {
        if check && fs::read_to_string(file).unwrap_or_default() != page {
            is_fresh = false;
            say(&format!("{} is stale; conformance/run.sh makes it anew\n", file.display()))?;
        } else if !check {
            write(file, &page)?;
        }
    }
    Ok(is_fresh)
}
