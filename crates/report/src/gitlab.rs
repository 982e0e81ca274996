//! GitLab's code quality report, which merge requests show beside the lines: a list of issues
//! (docs.gitlab.com, ci/testing/code_quality, "Code Quality report format").

use std::io::{self, Write};

use serde_json::json;
use techniques::severity::Severity;

use crate::escape::{file, visible};
use crate::words::sentence;
use crate::{Report, io_error};

pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut issues = Vec::new();
    for (subject, judged) in report.subjects() {
        for (class, finding) in report.findings(judged) {
            // What somebody answers for is no issue of this change; GitLab has no word for an exception.
            if report.waiver(judged, finding).is_some() {
                continue;
            }
            let place = finding.evidence.iter().find_map(|e| e.origin.place()).or(subject.place.as_ref());
            let Some((place, path)) = place.and_then(|p| Some((p, file(&p.path)?))) else { continue };
            issues.push(json!({
                "type": "issue",
                "check_name": finding.technique().id,
                "description": visible(&sentence(report, &subject.name, class, finding)),
                "categories": ["Security"],
                "severity": severity(finding.severity),
                "fingerprint": finding.fingerprint,
                "location": { "path": path, "lines": { "begin": place.line.max(1) } },
            }));
        }
    }
    serde_json::to_writer_pretty(&mut *out, &issues).map_err(io_error)?;
    out.write_all(b"\n")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "blocker",
        Severity::High => "critical",
        Severity::Medium => "major",
        Severity::Low => "minor",
        Severity::Info => "info",
    }
}
