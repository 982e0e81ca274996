//! The OCI runtime as a door: what an engine asks runc or crun to start, judged before it is started, whichever client
//! asked the engine.
//!
//! The words of the command line ([`invocation`]) lead to a configuration: the bundle's own, or for `exec` the running
//! container's with the added process in it ([`process`]). It is read where only root can change it ([`trusted`]), made a
//! world by the reader that the audit uses, completed by what the host alone can tell ([`surroundings`]), and ruled on.

mod annotations;
pub mod complaint;
mod hooks;
pub mod invocation;
mod misread;
pub mod process;
pub mod surroundings;
pub mod trusted;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confinement::{Fact, Host, Labels, Origin, Runtime, Subject, World};
use policy::Date;
use serde::Deserialize;
use sources::Context;
use sources::document::{Document, Limits, Node, parse_json};

use crate::rules::InForce;
use crate::ruling::Ruling;
use invocation::Invocation;
use surroundings::Surroundings;
use trusted::Owners;

/// Engines write some 20 KB; a filter of every system call with its arguments a few hundred.
pub(crate) const CONFIGURATION_LIMIT: u64 = 8 << 20;

/// What every call of this door is decided with.
pub struct Gate<'a> {
    pub rules: &'a InForce,
    pub today: Date,
    /// Which runtime will run it.
    pub runtime: Runtime,
    pub host: Arc<Host>,
    /// Folders where the runtime keeps its state when the command line names none, the first that has a container counts.
    pub state: Vec<PathBuf>,
    /// Annotations that pass though they change what the runtime does, with `*` at the end for all that begin so.
    pub allow_annotations: &'a [String],
    /// The only programs that hooks may run; any that only root can change where there is no list.
    pub hooks: Option<&'a [PathBuf]>,
}

/// The state that a hook reads on its standard input (runtime.md, "State").
#[derive(Debug, Deserialize)]
pub struct HookState {
    pub id: String,
    pub bundle: PathBuf,
}

impl Gate<'_> {
    /// Decides about one call of the runtime. What makes nothing is allowed.
    pub fn rule(&self, invocation: &Invocation) -> Ruling {
        let owners = Owners::of_this_process();
        match invocation {
            Invocation::Other => Ruling::allow(),
            Invocation::Make { bundle, config, container, .. } => {
                self.rule_bundle(bundle, config.as_deref(), container, &owners)
            }
            Invocation::Exec { root, process, container } => {
                let state = root.as_ref().map_or_else(|| self.state.clone(), |root| vec![root.clone()]);
                let text =
                    process::configuration(container, &self.runtime, &state, &owners).and_then(|path| {
                        let bytes = owners.read(&path, CONFIGURATION_LIMIT)?;
                        let text = process::with_process(&bytes, &path, process, &owners)?;
                        Ok((text, path))
                    });
                match text {
                    Ok((text, path)) => self.rule_text(text.as_bytes(), &path, container),
                    Err(error) => Ruling::deny(format!("denied: what exec adds cannot be judged: {error}")),
                }
            }
        }
    }

    /// Decides about the container that a hook was called for.
    pub fn rule_hook(&self, state: &HookState) -> Ruling {
        self.rule_bundle(&state.bundle, None, OsStr::new(&state.id), &Owners::of_this_process())
    }

    fn rule_bundle(
        &self,
        bundle: &Path,
        config: Option<&Path>,
        container: &OsStr,
        owners: &Owners,
    ) -> Ruling {
        // crun takes another name from the working directory, and the usual one from the bundle (src/create.c).
        let path = match config {
            Some(config) if config != Path::new("config.json") => config.to_owned(),
            _ => bundle.join("config.json"),
        };
        match owners.read(&path, CONFIGURATION_LIMIT) {
            Ok(bytes) => {
                // Relative paths in it are the bundle's, wherever it lies itself.
                let bundle = bundle.canonicalize().unwrap_or_else(|_| bundle.to_owned());
                self.rule_text(&bytes, &bundle.join("config.json"), container)
            }
            Err(error) => Ruling::deny(format!("denied: the configuration cannot be read: {error}")),
        }
    }

    /// Decides about a configuration's text.
    pub fn rule_text(&self, bytes: &[u8], path: &Path, container: &OsStr) -> Ruling {
        let surroundings = match Surroundings::read() {
            Ok(surroundings) => surroundings,
            Err(problem) => return Ruling::deny(format!("denied: the host cannot be read: {problem}")),
        };
        self.rule_in(bytes, path, container, &surroundings)
    }

    /// As [`Gate::rule_text`], with what is known of the host given.
    pub fn rule_in(
        &self,
        bytes: &[u8],
        path: &Path,
        container: &OsStr,
        surroundings: &Surroundings,
    ) -> Ruling {
        let name: Arc<str> = path.to_string_lossy().into();
        let unreadable =
            |why: String| Ruling::deny(format!("denied: the configuration cannot be read: {why}"));
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return unreadable(format!("{name}: not a text in UTF-8: {error}")),
        };
        let document = match parse_json(text, &name, &Limits::default()) {
            Ok(document) => document,
            Err(error) => return unreadable(error.to_string()),
        };
        if let Some((node, message)) = misread::first(&document.root) {
            let place = node.place();
            return unreadable(format!("{}:{}:{}: {message}", place.path, place.line, place.column));
        }
        if !sources::oci::recognise(&document.root) {
            return unreadable(format!("{name}: it is no runtime configuration"));
        }
        let world = self.world(&document, container, surroundings);
        let rootfs = rootfs(&document);
        let mut ruling = Ruling::of(&world, self.rules, self.today);
        let annotations = world.subjects.first().map(|s| s.labels.clone()).unwrap_or_default();
        let refused = annotations::refused(&annotations, Some(&self.runtime), self.allow_annotations);
        if let Some(why) = refused {
            ruling = ruling.and(Ruling::deny(format!("denied: {why}")));
        }
        let confinement = world.subjects.first().map(|subject| &subject.confinement);
        let refused =
            confinement.and_then(|c| hooks::refused(&document.root, c, rootfs.as_deref(), self.hooks));
        if let Some(why) = refused {
            ruling = ruling.and(Ruling::deny(format!("denied: {why}")));
        }
        ruling
    }

    fn world(&self, document: &Document, container: &OsStr, surroundings: &Surroundings) -> World {
        let context = Context { host: self.host.clone(), ..Context::assumed() };
        let origin = Origin::measured("the runtime that this door stands before");
        let runtime = Fact::known(self.runtime.clone(), origin);
        let mut world = sources::oci::read_with(document, &runtime, &context);
        let rootfs = rootfs(document);
        let users = joined_users(&document.root);
        for subject in &mut world.subjects {
            surroundings.apply(Arc::make_mut(&mut subject.confinement), rootfs.as_deref(), users.as_deref());
            name(subject, &container.to_string_lossy());
        }
        world
    }
}

/// The folder of the root file system, absolute.
fn rootfs(document: &Document) -> Option<String> {
    let path = document.root.get("root")?.get("path")?;
    let path = path.as_string_strict()?;
    let folder = Path::new(&*document.path).parent()?;
    Some(folder.join(path).to_string_lossy().into_owned())
}

/// The path of a user namespace that is joined.
fn joined_users(root: &Node) -> Option<String> {
    let namespaces = root.get("linux")?.get("namespaces")?;
    let user = namespaces
        .items()
        .find(|item| item.get("type").is_some_and(|kind| kind.as_string_strict() == Some("user")))?;
    user.get("path")?.as_string_strict().map(str::to_owned)
}

/// Where engines keep a container's own name: containerd's and CRI-O's CRI (pkg/cri/annotations, pkg/annotations), nerdctl.
const NAMES: &[&str] = &["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
const NAMESPACES: &[&str] =
    &["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace", "nerdctl/namespace"];
const IMAGES: &[&str] = &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];

/// Names the subject as its engine does, so that a rule finds it and a reader knows it; by the container's id where the
/// engine says no more.
fn name(subject: &mut Subject, container: &str) {
    let labels: Labels = subject.labels.clone();
    let first =
        |keys: &[&str]| keys.iter().find_map(|key| labels.get(*key)).filter(|v| !v.is_empty()).cloned();
    let named = first(NAMES);
    let is_id = container.len() == 64 && container.bytes().all(|b| b.is_ascii_hexdigit());
    let id = if is_id { container.get(..12).unwrap_or(container) } else { container };
    subject.name = named.unwrap_or_else(|| id.into());
    subject.namespace = first(NAMESPACES);
    // Fingerprints are made of it, and the folder of a bundle is another at each start.
    subject.id = match &subject.namespace {
        Some(namespace) => format!("oci:{namespace}/{}", subject.name).into(),
        None => format!("oci:{}", subject.name).into(),
    };
    if let Some(image) = first(IMAGES) {
        let confinement = Arc::make_mut(&mut subject.confinement);
        confinement.image.reference = Fact::known(image, Origin::measured("the annotations of the engine"));
    }
}

#[cfg(test)]
mod tests;
