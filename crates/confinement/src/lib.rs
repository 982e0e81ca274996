#![forbid(unsafe_code)]
//! What confines one container: capabilities, namespaces, mounts, seccomp, LSM, devices, cgroups and the
//! host under it, as facts with their origins. Every source produces this one type; nothing here reads a
//! file or judges.

pub mod capability;
pub mod changelog;
pub mod confine;
pub mod engine;
pub mod fact;
pub mod host;
pub mod mount;
pub mod parts;
pub mod pod;
pub mod seccomp;
pub mod subject;
pub mod version;

pub use capability::{Capability, CapabilitySet};
pub use confine::{Request, confine};
pub use engine::{Engine, EngineKind};
pub use fact::{Fact, Origin, Place, Truth};
pub use host::Host;
pub use mount::{HostPath, Mount, MountSource, Propagation};
pub use parts::*;
pub use pod::PodDeclaration;
pub use subject::{Confinement, Form, Labels, Problem, Subject, SubjectKind, World};
