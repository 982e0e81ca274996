//! What a file cannot say: the engine it will be given to, the host, and the users of images.

use std::collections::BTreeMap;
use std::sync::Arc;

use confinement::{Engine, Fact, Host};

/// Given to every reader.
#[derive(Clone, Debug)]
pub struct Context {
    /// What Compose files, `docker run` lines and Dockerfiles run under.
    pub docker: Arc<Engine>,
    /// What `podman run` lines and Quadlet units run under.
    pub podman: Arc<Engine>,
    /// What pods run under.
    pub kubernetes: Arc<Engine>,
    pub host: Arc<Host>,
    /// Users of images that are known from elsewhere (`--image-user IMAGE=USER`, a local image, an OCI layout), by
    /// reference as written. An empty text is an image that names no user.
    pub image_users: Arc<BTreeMap<Arc<str>, Fact<Arc<str>>>>,
}

impl Context {
    /// The engines assumed where nothing else is known, and a host that is not in view.
    pub fn assumed() -> Context {
        let engine = |kind, version, label: &str| Arc::new(Engine::of_version(kind, version, None, label));
        use confinement::EngineKind::{Containerd, Docker, Podman};
        Context {
            docker: engine(Docker, (29, u32::MAX), "docker-29"),
            podman: engine(Podman, (5, u32::MAX), "podman-5"),
            kubernetes: engine(Containerd, (2, u32::MAX), "containerd-2"),
            host: Arc::new(Host::unseen()),
            image_users: Arc::default(),
        }
    }

    /// The user of an image, where it is known.
    pub fn image_user(&self, reference: &str) -> Option<Fact<Arc<str>>> {
        self.image_users.get(reference).cloned()
    }
}
