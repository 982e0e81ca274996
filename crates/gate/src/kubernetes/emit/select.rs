//! Which pods and containers a rule is about, in CEL: what hangs on the namespace alone becomes a match condition, which is
//! asked first; the rest decides container by container.

use confinement::{Form, SubjectKind};
use policy::rule::Selector;

use super::text::{all, any, matches, not, quote};

/// What selects the subjects of a rule.
pub(super) enum Selected {
    /// No container of a pod, for the reason told.
    Nothing(&'static str),
    Some {
        /// Over the request: true where the rule may be about it.
        request: String,
        /// Over a container `c`.
        container: String,
    },
}

const NAMESPACE: &str = "request.namespace";
const LABELS: &str = "variables.pod.?metadata.?labels.orValue({})";
/// `metadata.name`, which the API server has made of `generateName` by then.
const POD_NAME: &str = "object.metadata.?name.orValue(object.metadata.?generateName.orValue('-'))";
const IMAGE: &str = "c.?image.orValue('')";

pub(super) fn selected(subjects: Option<&Selector>, except: &[Selector]) -> Selected {
    let (mut request, mut container) = (Vec::new(), Vec::new());
    if let Some(subjects) = subjects {
        if let Some(why) = never(subjects) {
            return Selected::Nothing(why);
        }
        request.push(namespaces(subjects));
        container.push(of_container(subjects, true));
    }
    for selector in except.iter().filter(|s| never(s).is_none()) {
        let own = of_container(selector, false);
        if own == "true" {
            request.push(not(&namespaces(selector)));
        } else {
            container.push(not(&all(vec![namespaces(selector), own])));
        }
    }
    let (request, container) = (all(request), all(container));
    if request == "false" || container == "false" {
        return Selected::Nothing("its exceptions leave nothing");
    }
    Selected::Some { request, container }
}

/// Why a selector selects no container of a pod at admission.
fn never(selector: &Selector) -> Option<&'static str> {
    if !selector.forms.is_empty() && !selector.forms.contains(&Form::Kubernetes) {
        return Some("it is about other forms than kubernetes");
    }
    if !selector.kinds.is_empty() && !selector.kinds.contains(&SubjectKind::Workload) {
        return Some("it is about other kinds than workload");
    }
    // What is asked of the API server stands in no file.
    let everywhere = |pattern: &policy::pattern::Pattern| pattern.as_str().chars().all(|c| c == '*');
    if !selector.paths.is_empty() && !selector.paths.iter().any(everywhere) {
        return Some("it is about files, and what is asked of the API server stands in none");
    }
    None
}

fn namespaces(selector: &Selector) -> String {
    if selector.namespaces.is_empty() {
        return "true".to_owned();
    }
    // Those that are named outright in one list.
    let (names, patterns): (Vec<_>, Vec<_>) =
        selector.namespaces.iter().partition(|pattern| !pattern.as_str().contains('*'));
    let names: Vec<&str> = names.into_iter().map(|pattern| pattern.as_str()).collect();
    let mut parts: Vec<String> = patterns.into_iter().map(|pattern| matches(pattern, NAMESPACE)).collect();
    match names.as_slice() {
        [] => {}
        [name] => parts.push(format!("{NAMESPACE} == {}", quote(name))),
        names => parts.push(format!("{NAMESPACE} in {}", super::text::list(names))),
    }
    any(parts)
}

/// An image that is not named may be meant by a rule, and is not meant by an exception.
fn of_container(selector: &Selector, unknown: bool) -> String {
    let mut parts: Vec<String> = selector
        .labels
        .iter()
        .map(|(key, value)| {
            let key = quote(key);
            let value = matches(value, &format!("{LABELS}[{key}]"));
            all(vec![format!("{key} in {LABELS}"), value])
        })
        .collect();
    if !selector.names.is_empty() {
        let container = "[".to_owned() + POD_NAME + "].exists(n, ";
        let names = selector.names.iter().flat_map(|pattern| {
            [matches(pattern, "n"), matches(pattern, &format!("({NAMESPACE} + '/' + n + '/' + c.name)"))]
        });
        parts.push(container + &any(names.collect()) + ")");
    }
    if !selector.images.is_empty() {
        let patterns = selector.images.iter().flat_map(|p| [matches(p, IMAGE), matches(p, "i")]);
        let found = with_complete_image(&any(patterns.collect()));
        let named = format!("{IMAGE} != ''");
        parts.push(if unknown { any(vec![not(&named), found]) } else { all(vec![named, found]) });
    }
    all(parts)
}

/// An expression over `i`, the image of `c` as Docker completes it: `nginx` is `docker.io/nginx:latest`, as
/// `policy::published::Reference` says it.
pub(super) fn with_complete_image(of_i: &str) -> String {
    with_image_name(&format!(
        "[i + (i.matches(':[^/]*$') || c.image.contains('@') ? '' : ':latest') + \
         (c.image.contains('@') ? c.image.substring(c.image.indexOf('@')) : '')].exists(i, {of_i})"
    ))
}

/// An expression over `i`, the image's registry and repository, with its tag where it has one and without its digest.
pub(super) fn with_image_name(of_i: &str) -> String {
    // Podman's transports, the digest; then the registry, where the first part is none; then Docker's own.
    format!(
        "[{IMAGE}].map(i, i.contains('://') ? i.substring(i.indexOf('://') + 3) : i)\
         .map(i, i.contains('@') ? i.substring(0, i.indexOf('@')) : i)\
         .map(i, i.matches('^([^/]*[.:][^/]*|localhost)/') ? i : 'docker.io/' + i)\
         .map(i, i.startsWith('index.docker.io/') ? i.substring(6) : i)\
         .map(i, i.startsWith('docker.io/library/') ? 'docker.io/' + i.substring(18) : i)\
         .exists(i, {of_i})"
    )
}
