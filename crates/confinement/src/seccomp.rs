//! Seccomp profiles. The evaluator comes with the next change; until then a profile is only a name.

use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builtin(Arc<str>);

impl Builtin {
    pub fn docker(major: u32, minor: u32, _patch: Option<u32>) -> Builtin {
        Builtin(format!("docker-{major}.{minor}").into())
    }
    pub fn containerd(major: u32, minor: u32) -> Builtin {
        Builtin(format!("containerd-{major}.{minor}").into())
    }
    pub fn podman(major: u32) -> Builtin {
        Builtin(format!("podman-{major}").into())
    }
    pub fn crio(major: u32, minor: u32) -> Builtin {
        Builtin(format!("crio-{major}.{minor}").into())
    }
    pub fn profile(&self) -> Arc<Profile> {
        Arc::new(Profile { name: self.0.clone() })
    }
}
