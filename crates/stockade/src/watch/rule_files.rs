//! The rules of a watch: read, and told about where they are broken.

use rules::{Matcher, Selection};

use super::Arguments;

pub(super) struct Rules {
    pub(super) matcher: Matcher,
    /// Of each file that is broken, and is used all the same.
    #[cfg_attr(not(feature = "sensor"), expect(dead_code, reason = "told in heartbeats"))]
    pub(super) problems: Vec<String>,
}

/// None where no rules are asked for. A broken file ends it, unless that is allowed.
pub(super) fn load(arguments: &Arguments) -> anyhow::Result<Option<Rules>> {
    if arguments.rules.is_empty() {
        return Ok(None);
    }
    let loaded = crate::rules::load(&arguments.rules)?;
    for problem in &loaded.problems {
        eprintln!("{}", report::printable(&problem.to_string()));
    }
    let errors = loaded.errors();
    if errors > 0 && !arguments.allow_broken_rules {
        anyhow::bail!(
            "the rules are broken in {errors} places; `stockade rules check` shows them, --allow-broken-rules starts with what is left"
        );
    }
    let problems = loaded
        .problems
        .iter()
        .filter(|problem| problem.severity == rules::problem::Severity::Error)
        .map(|problem| format!("broken rules: {problem}"))
        .collect();
    Ok(Some(Rules { matcher: Matcher::new(&loaded, &Selection::default()), problems }))
}
