//! Remedies written into dockerd's `daemon.json`, and any of its keys set for the hardening of a host.

use confinement::{NamespaceKind, Place, Subject};
use sources::document::Node;
use techniques::remedy::Remedy;

use crate::draft::{Drafts, Refusal, Task};
use crate::tree::{self, Value, Wish};

/// Whether dockerd's configuration can say the remedy for every container at once.
pub fn can(_subject: &Subject, remedy: &Remedy) -> bool {
    matches!(
        remedy,
        Remedy::UserNamespace
            | Remedy::NoNewPrivileges
            | Remedy::SeccompDefault
            | Remedy::EngineClientCertificates
            | Remedy::PrivateNamespace(NamespaceKind::Cgroup)
    )
}

/// Writes a task's remedies into the drafts.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let Some(place) = &task.subject.place else {
        return Err(Refusal::file(task.subject.id.clone(), "it is not known where this is written"));
    };
    let root = root(drafts, &place.path)?;
    let mut wishes = Vec::new();
    for remedy in task.remedies {
        match remedy {
            // dockremap and its ranges are made by dockerd (dockerd(8), `--userns-remap`).
            Remedy::UserNamespace => wishes.push(("userns-remap".to_owned(), Wish::text("default"))),
            Remedy::NoNewPrivileges => wishes.push(("no-new-privileges".to_owned(), Wish::bool(true))),
            // Without the key the built-in profile is loaded, by every release.
            Remedy::SeccompDefault => wishes.push(("seccomp-profile".to_owned(), Wish::Remove)),
            Remedy::PrivateNamespace(NamespaceKind::Cgroup) => {
                wishes.push(("default-cgroupns-mode".to_owned(), Wish::text("private")));
            }
            Remedy::EngineClientCertificates => {
                check_certificates(&root, place)?;
                wishes.push(("tlsverify".to_owned(), Wish::bool(true)));
            }
            _ => return Err(Refusal::at(place, "daemon.json cannot say this")),
        }
    }
    tree::fulfil(drafts, &root, &wishes)
}

/// Sets one key of a daemon.json. A file that is not there yet is edited as the text `{}`.
pub fn set(drafts: &mut Drafts<'_>, path: &str, key: &str, value: &Value) -> Result<(), Refusal> {
    let root = root(drafts, path)?;
    tree::fulfil(drafts, &root, &[(key.to_owned(), Wish::Set(value.clone()))])
}

/// Takes one key away.
pub fn unset(drafts: &mut Drafts<'_>, path: &str, key: &str) -> Result<(), Refusal> {
    let root = root(drafts, path)?;
    tree::fulfil(drafts, &root, &[(key.to_owned(), Wish::Remove)])
}

fn root(drafts: &mut Drafts<'_>, path: &str) -> Result<Node, Refusal> {
    let root = drafts.documents(path)?.first().map(|document| document.root.clone());
    root.filter(Node::is_mapping).ok_or_else(|| Refusal::file(path, "the file holds no JSON object"))
}

/// dockerd does not start with `tlsverify` and without the files that it names.
fn check_certificates(root: &Node, place: &Place) -> Result<(), Refusal> {
    let missing: Vec<&str> = ["tlscacert", "tlscert", "tlskey"]
        .into_iter()
        .filter(|key| root.get(key).and_then(|node| node.as_str().map(str::is_empty)).unwrap_or(true))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "clients are asked for certificates once there are some: make a certificate authority and keys, name them \
         in {}, and set `tlsverify`; or take the tcp:// address out of `hosts`",
        missing.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    );
    Err(Refusal::at(place, message))
}
