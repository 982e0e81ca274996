//! Running engines, asked over their own interfaces: Docker through its HTTP API, Podman through its HTTP API
//! or its command. Each container becomes a [`Request`](confinement::Request) of what was asked for, the engine
//! and its settings an [`Engine`], and `confine` makes a confinement of both; where the container runs on this
//! machine, what the kernel shows of it ([`crate::process`]) then takes the place of what was derived.
//!
//! Only GET requests are made, and only `podman` commands that read.

pub mod answer;
mod container;
mod daemon;
mod docker;
pub mod follow;
pub mod http;
mod inventory;
mod podman;
mod raw;
mod session;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use answer::Answer;
use confinement::{
    Confinement, Engine, EngineKind, Fact, Form, Host, MountSource, Origin, Problem, Request, Subject,
    SubjectKind, World, confine,
};
use container::Neighbours;

use crate::measured;
use crate::process::{Table, View};

pub use docker::{docker, docker_at, docker_inventory, docker_inventory_at, docker_raw_at};
pub use http::Endpoint;
pub use podman::podman;
pub use raw::{Inspected, Raw, raw};
pub use session::Session;

/// All the questions about one engine together. A daemon that answers each a little late does not hold up the
/// whole audit.
const READING_LIMIT: Duration = Duration::from_secs(60);

/// Which containers are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Only this one, by name or id, running or not.
    pub name: Option<&'a str>,
    /// Also those that do not run.
    pub stopped: bool,
}

/// What an engine told: subjects, and the ids of the containers among them, which `proc:` need not repeat.
#[derive(Debug, Default)]
pub struct Told {
    pub world: World,
    pub container_ids: BTreeSet<Arc<str>>,
}

/// One container of the engine's list.
struct Listed {
    id: Arc<str>,
    name: Arc<str>,
    running: bool,
}

impl Listed {
    fn is_wanted(&self, wanted: Wanted<'_>) -> bool {
        match wanted.name {
            Some(name) => *self.name == *name || (name.len() >= 4 && self.id.starts_with(name)),
            None => wanted.stopped || self.running,
        }
    }
}

/// What is the same for every container of one engine.
struct Reading {
    engine: Arc<Engine>,
    host: Arc<Host>,
    neighbours: Neighbours,
    realm: Arc<str>,
    /// Where the engine runs on this machine: its processes and what the host is.
    kernel: Option<(View, Table)>,
    started: Instant,
}

impl Reading {
    fn kind(&self) -> EngineKind {
        self.engine.kind
    }

    /// `docker:`, as problems and notes name the engine.
    fn source(&self) -> Arc<str> {
        source_name(self.kind(), &self.realm)
    }

    fn form(&self) -> Form {
        match self.kind() {
            EngineKind::Podman => Form::PodmanLive,
            _ => Form::DockerLive,
        }
    }

    /// The engine itself, judged by what it gives a container for which nothing is asked.
    fn engine_subject(&self) -> Subject {
        Subject {
            id: container::subject_id(self.kind(), &self.realm),
            name: format!("{} ({})", self.engine.label, self.realm).into(),
            kind: SubjectKind::Engine,
            form: self.form(),
            place: None,
            declared: Vec::new(),
            realm: self.realm.clone(),
            namespace: None,
            confinement: Arc::new(confine(&Request::default(), &self.engine, &self.host)),
            pod: None,
            labels: Default::default(),
            made: None,
        }
    }

    fn subject(&self, listed: &Listed, answer: Answer, world: &mut World) {
        let root = answer.root();
        let request = container::request(&root, &self.engine, &self.neighbours);
        let mut confinement = confine(&request, &self.engine, &self.host);
        container::overlay_stated(&root, self.kind(), &mut confinement);
        let id = container::subject_id(self.kind(), &listed.name);
        if listed.running {
            self.overlay_measured(listed, &root, &mut confinement, &id, world);
        }
        world.subjects.push(Subject {
            id,
            name: measured::printable(&listed.name).into(),
            kind: SubjectKind::Container,
            form: self.form(),
            place: None,
            declared: Vec::new(),
            realm: self.realm.clone(),
            namespace: None,
            confinement: Arc::new(confinement),
            pod: None,
            labels: container::labels(&root),
            made: container::made(&root),
        });
        world.problems.extend(answer.into_problems());
    }

    fn overlay_measured(
        &self,
        listed: &Listed,
        root: &answer::Field<'_>,
        confinement: &mut Confinement,
        id: &Arc<str>,
        world: &mut World,
    ) {
        let Some((view, table)) = &self.kernel else { return };
        let pid = root.get("State").get("Pid").integer().and_then(|pid| u32::try_from(pid.value?).ok());
        let found = table.by_id(&listed.id).or_else(|| table.by_init(pid.filter(|pid| *pid > 0)?));
        let note = |message: String| Problem::new(id.clone(), message);
        let Some(container) = found else {
            let why =
                "its processes are not seen in /proc; what the engine says is not compared with the kernel";
            world.notes.push(note(why.into()));
            return;
        };
        let what = format!("the processes of {}", listed.name);
        Arc::make_mut(&mut confinement.operation).ssh_server =
            Some(container.runs("sshd").map_or_else(Fact::default, |runs| {
                Fact::known(runs, Origin::measured(measured::printable(&what)))
            }));
        match table.observe(container, view) {
            Ok(observed) => {
                let differences = measured::overlay(confinement, &observed, &view.host());
                world.notes.extend(differences.into_iter().map(note));
            }
            Err(_) => world.notes.push(note("its processes could not be read in /proc".into())),
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.started.elapsed() > READING_LIMIT
    }

    /// Reads the containers that are wanted with `inspect`, which returns `None` for one that is gone, and an
    /// error where asking further makes no sense.
    fn containers(
        &self,
        list: &[Listed],
        wanted: Wanted<'_>,
        mut inspect: impl FnMut(&Listed) -> Result<Option<Answer>, Problem>,
        told: &mut Told,
    ) {
        let chosen: Vec<&Listed> = list.iter().filter(|c| c.is_wanted(wanted)).collect();
        if chosen.is_empty() {
            let (source, running) = (self.source(), if wanted.stopped { "" } else { " running" });
            match wanted.name {
                Some(name) => {
                    let message = format!("there is no container `{}`", measured::printable(name));
                    told.world.problems.push(Problem::new(source, message));
                }
                None => {
                    told.world.notes.push(Problem::new(source, format!("no container is{running} there")))
                }
            }
        }
        for (done, listed) in chosen.iter().enumerate() {
            if self.is_out_of_time() {
                let left = chosen.len() - done;
                let message =
                    format!("{left} containers are left unread after {} s", READING_LIMIT.as_secs());
                told.world.problems.push(Problem::new(self.source(), message));
                return;
            }
            match inspect(listed) {
                Ok(Some(answer)) => {
                    told.container_ids.insert(listed.id.clone());
                    self.subject(listed, answer, &mut told.world);
                }
                Ok(None) => {
                    let message =
                        format!("container {} went away while it was looked at; left out", listed.name);
                    told.world.notes.push(Problem::new(self.source(), message));
                }
                Err(problem) => {
                    told.world.problems.push(problem);
                    return;
                }
            }
        }
    }
}

fn source_name(kind: EngineKind, realm: &str) -> Arc<str> {
    format!("{}: ({realm})", kind.name()).into()
}

/// What `/proc` shows of this machine; a problem where it cannot be read.
fn kernel(world: &mut World) -> Option<(View, Table)> {
    match View::read() {
        Ok(view) => {
            world.notes.extend(view.notes.iter().cloned());
            let table = Table::scan(&view);
            Some((view, table))
        }
        Err(problem) => {
            world.problems.push(problem);
            None
        }
    }
}

/// Major, minor and patch of `20.10.24+dfsg1`, `v5.2.0-rc1`, `29.0`.
fn version_numbers(text: &str) -> Option<((u32, u32), Option<u32>)> {
    let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(((major, minor), numbers.next().and_then(|n| n.parse().ok())))
}

/// A volume by its folder on the host, which two engines of one machine cannot both have.
fn volume_source(
    driver: Option<&str>,
    options: &[(String, String)],
    folder: Option<&str>,
    name: &str,
    realm: &str,
    origin: Origin,
) -> Fact<MountSource> {
    let pairs = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    crate::options::volume_content(driver, pairs, &origin).unwrap_or_else(|| {
        let folder = folder.filter(|f| !f.is_empty());
        let known =
            folder.map_or_else(|| format!("{realm}#{name}"), |f| confinement::HostPath::new(f).to_string());
        Fact::known(MountSource::Volume(known.into()), origin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engines_version_text_is_read() {
        assert_eq!(version_numbers("20.10.24+dfsg1"), Some(((20, 10), Some(24))));
        assert_eq!(version_numbers("4.3.1"), Some(((4, 3), Some(1))));
        assert_eq!(version_numbers("29.0"), Some(((29, 0), None)));
        assert_eq!(version_numbers("5.6.0-dev"), Some(((5, 6), Some(0))));
        assert_eq!(version_numbers("dev"), None);
    }

    #[test]
    fn a_volume_that_binds_a_path_of_the_host_is_that_path() {
        let options = [("type", "none"), ("o", "bind"), ("device", "/var/run/")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let source = volume_source(Some("local"), &options, Some("/v/x/_data"), "x", "r", Origin::Nowhere);
        assert_eq!(source.value, Some(MountSource::Host(confinement::HostPath::new("/run"))));
        let plain = volume_source(Some("local"), &[], Some("/v/x/_data"), "x", "r", Origin::Nowhere);
        assert_eq!(plain.value, Some(MountSource::Volume("/v/x/_data".into())));
    }
}
