//! An image's reference in its parts, as Docker and Podman complete it (distribution/reference, `ParseDockerRef`):
//! `nginx` is `docker.io/library/nginx:latest`.

use techniques::needs::reference;

/// The parts of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    pub registry: &'a str,
    /// Without `library/`, which Docker's registry puts before names of one part.
    pub repository: &'a str,
    /// `None` where a digest stands alone.
    pub tag: Option<&'a str>,
    /// `sha256:…`.
    pub digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// The parts of a reference as written. A reference that no engine would take still has parts: nothing here refuses.
    pub fn parse(text: &'a str) -> Reference<'a> {
        // Podman's transports, `docker://` among them.
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (name, tag, digest) = reference::split(text);
        let (registry, repository) = reference::registry(name);
        let registry = registry.unwrap_or("docker.io");
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let repository = match registry {
            "docker.io" => repository.strip_prefix("library/").unwrap_or(repository),
            _ => repository,
        };
        let tag = tag.or(if digest.is_none() { Some("latest") } else { None });
        Reference { registry, repository, tag, digest }
    }

    /// `docker.io/nginx:latest`, `ghcr.io/o/n@sha256:…`: what patterns of images are compared with.
    pub fn complete(&self) -> String {
        let mut text = format!("{}/{}", self.registry, self.repository);
        if let Some(tag) = self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = self.digest {
            text.push('@');
            text.push_str(digest);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_image_has_the_same_parts() {
        for text in
            ["nginx", "library/nginx", "docker.io/library/nginx:latest", "index.docker.io/nginx:latest"]
        {
            assert_eq!(Reference::parse(text).complete(), "docker.io/nginx:latest", "{text}");
        }
    }

    #[test]
    fn a_port_is_no_tag_and_a_digest_stands_alone() {
        let r = Reference::parse("localhost:5000/a/b");
        assert_eq!((r.registry, r.repository, r.tag), ("localhost:5000", "a/b", Some("latest")));
        let r = Reference::parse("ghcr.io/o/n@sha256:00");
        assert_eq!((r.registry, r.repository, r.tag, r.digest), ("ghcr.io", "o/n", None, Some("sha256:00")));
        let r = Reference::parse("quay.io/o/n:1@sha256:00");
        assert_eq!((r.tag, r.digest), (Some("1"), Some("sha256:00")));
        // Docker Hub's own names hold no dot.
        assert_eq!(Reference::parse("grafana/grafana:11").registry, "docker.io");
    }

    #[test]
    fn odd_references_have_parts_and_never_panic() {
        for text in ["", "@", ":", "/", "a//b", "://", "@:", "é:é@é"] {
            let _ = Reference::parse(text).complete();
        }
    }
}
