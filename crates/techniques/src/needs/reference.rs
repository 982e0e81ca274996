//! Image references taken apart: which repository, which tag (distribution/reference, the grammar in reference.go).

use std::borrow::Cow;

/// `[REGISTRY/]PATH[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// `None`: Docker's own, where `library` is the publisher of the official images.
    pub registry: Option<&'a str>,
    /// With the publisher: `library/nginx`.
    pub path: Cow<'a, str>,
    pub tag: Option<&'a str>,
    pub digest: Option<&'a str>,
}

/// The names of the registry that a reference without one means.
const DEFAULT_REGISTRY: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A reference as written in its parts: `(REGISTRY/PATH, TAG, DIGEST)`.
pub fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag), digest),
        _ => (name, None, digest),
    }
}

/// The registry that a name begins with, and the rest of it.
pub fn registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

impl<'a> Reference<'a> {
    pub fn parse(text: &'a str) -> Reference<'a> {
        let text = text.trim();
        let (name, tag, digest) = split(text.strip_prefix("docker://").unwrap_or(text));
        let (registry, path) = registry(name);
        let registry = registry.filter(|r| !DEFAULT_REGISTRY.contains(r));
        let path = if registry.is_none() && !path.contains('/') {
            Cow::Owned(format!("library/{path}"))
        } else {
            Cow::Borrowed(path)
        };
        Reference { registry, path, tag, digest }
    }

    /// The repository's last name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether it is this repository, publisher and all, or a mirror of it: other registries keep the path, behind a
    /// project of their own perhaps. A repository of the same name by another publisher is another image.
    pub fn is(&self, path: &str) -> bool {
        match self.path.strip_suffix(path) {
            Some("") => true,
            Some(before) => self.registry.is_some() && before.ends_with('/'),
            None => false,
        }
    }

    /// The version that the tag begins with; parts it leaves open, and a tag without a number, mean the newest.
    pub fn version(&self) -> [u32; 3] {
        const NEWEST: u32 = u32::MAX;
        let tag = self.tag.unwrap_or_default();
        version(tag.strip_prefix('v').unwrap_or(tag), NEWEST)
    }

    /// Whether a part of the tag is this, apart from the number it ends in: `alpine` of `18-alpine3.22`.
    pub fn has_variant(&self, variant: &str) -> bool {
        let mut parts = self.tag.unwrap_or_default().split('-');
        parts.any(|part| part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') == variant)
    }
}

/// The numbers a text begins with, `missing` for those it has not.
pub(super) fn version(text: &str, missing: u32) -> [u32; 3] {
    let digits = text.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    let mut numbers = digits.split('.').map(|n| n.parse().unwrap_or(missing));
    std::array::from_fn(|_| numbers.next().unwrap_or(missing))
}
