//! What a gate does with requests that make no container, and with what it cannot judge: the section `doors` of a policy.

pub mod kubernetes;

use sources::document::Node;

use crate::reading::Reader;

pub use kubernetes::Kubernetes;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    pub kubernetes: Kubernetes,
}

/// Reads the section.
pub(crate) fn doors(reader: &mut Reader, node: &Node) -> Doors {
    if !reader.keys(node, "`doors`", &["kubernetes"]) {
        return Doors::default();
    }
    let kubernetes = reader.value(node, "kubernetes").map(|n| kubernetes::read(reader, &n));
    Doors { kubernetes: kubernetes.unwrap_or_default() }
}
