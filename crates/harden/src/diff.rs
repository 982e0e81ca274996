//! Unified diffs that `git apply` and `patch -p1` take.

use std::fmt::Write;

use similar::TextDiff;

use crate::draft::Edited;

/// The diff of a file, or nothing where it has not changed. An absolute path loses its first slash, as git's do.
pub fn unified(file: &Edited) -> String {
    let path = file.path.trim_start_matches("./").trim_start_matches('/');
    let diff = TextDiff::from_lines(&*file.before, &*file.after);
    let mut out = String::new();
    let _ = write!(
        out,
        "{}",
        diff.unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}"))
    );
    out
}
