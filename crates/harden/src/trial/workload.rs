//! From a command line or a Compose service to what a trial starts: options that stay, options that become grants,
//! mounts that are replaced, and what is left out, with the reason.

use std::path::PathBuf;
use std::sync::Arc;

use confinement::{
    CapabilitySet, Confinement, EngineKind, Fact, Mount, MountSource, Problem, Subject, World,
};
use sources::Context;
use sources::compose::{self, Files, Words};
use sources::run::{GivenOption, split};

use super::TrialError;
use super::grant::Grant;
use crate::live::single_quoted;

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The words of a `docker run` or `podman run` line.
    Line(Vec<String>),
    /// One service of a Compose project. Other services are not started.
    Service { files: Vec<PathBuf>, service: String, engine: EngineKind },
}

impl Target {
    /// A command line as one text, split as a shell splits it, with nothing expanded.
    pub fn line(text: &str) -> Result<Target, TrialError> {
        let words = shlex::split(text);
        words.map(Target::Line).ok_or_else(|| TrialError::Line("a quote stays open in the line".into()))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) engine: EngineKind,
    pub(super) program: Vec<String>,
    pub(super) image: String,
    /// What follows the image.
    pub(super) command: Vec<String>,
    /// Options that stay as they are, in words.
    pub(super) kept: Vec<String>,
    /// What the user's line gives away, to be taken back where the workload does without.
    pub(super) asked: Vec<Grant>,
    pub(super) asked_privileged: bool,
    pub(super) asked_read_only: bool,
    pub(super) asked_no_new_privileges: bool,
    pub(super) asked_user: Option<String>,
    /// The bounding set under the line as it is.
    pub(super) capabilities: CapabilitySet,
    pub(super) mounts: Vec<Mount>,
    /// Targets of tmpfs mounts of the line, which stay.
    pub(super) tmpfs: Vec<String>,
    /// The command that says whether it is healthy, where the line or file gives one.
    pub(super) health: Option<Vec<String>>,
    pub(super) no_network: bool,
    pub(super) notes: Vec<String>,
    pub(super) subject: Subject,
}

/// Options that the trial sets itself, or that would touch what is not the trial's.
const DROPPED: &[&str] = &[
    "attach",
    "authfile",
    "cert-dir",
    "cidfile",
    "conmon-pidfile",
    "creds",
    "detach",
    "detach-keys",
    "dns",
    "dns-opt",
    "dns-option",
    "dns-search",
    "health-interval",
    "health-on-failure",
    "health-retries",
    "health-start-interval",
    "health-start-period",
    "health-startup-cmd",
    "health-startup-interval",
    "health-startup-retries",
    "health-startup-success",
    "health-startup-timeout",
    "health-timeout",
    "healthcheck-interval",
    "healthcheck-retries",
    "healthcheck-start-period",
    "healthcheck-timeout",
    "health-log-destination",
    "health-max-log-count",
    "health-max-log-size",
    "init-ctr",
    "ip",
    "ip6",
    "label",
    "label-file",
    "link-local-ip",
    "log-driver",
    "log-opt",
    "mac-address",
    "name",
    "net-alias",
    "network-alias",
    "no-healthcheck",
    "pidfile",
    "preserve-fd",
    "preserve-fds",
    "publish",
    "publish-all",
    "pull",
    "quiet",
    "read-only-tmpfs",
    "replace",
    "requires",
    "restart",
    "retry",
    "retry-delay",
    "rm",
    "rmi",
    "sdnotify",
    "sig-proxy",
    "stop-timeout",
    "timeout",
    "tls-verify",
];

/// Options that a trial cannot stand in for.
const REFUSED: &[(&str, &str)] = &[
    ("volumes-from", "the volumes of another container are not copied; name them with --volume"),
    ("pod", "a container of a pod shares what the trial does not have; try it outside the pod"),
    ("pod-id-file", "a container of a pod shares what the trial does not have; try it outside the pod"),
    ("rootfs", "the root file system would be written; make an image of it"),
    ("use-api-socket", "it hands in the engine's API; leave it out"),
];

pub(super) fn read(
    target: &Target,
    files: &dyn Files,
    context: &Context,
    allow_host_network: bool,
) -> Result<Workload, TrialError> {
    match target {
        Target::Line(words) => of_line(words, context, allow_host_network),
        Target::Service { files: paths, service, engine } => {
            of_service(paths, service, *engine, files, context, allow_host_network)
        }
    }
}

fn of_line(words: &[String], context: &Context, allow_host_network: bool) -> Result<Workload, TrialError> {
    let split = split(words).map_err(TrialError::Line)?;
    let text = words.iter().map(|word| single_quoted(word)).collect::<Vec<_>>().join(" ");
    let world = sources::run::read_line(&text, &"-".into(), 1, context);
    let subject = only(world, |_| true)?;
    let mut workload = Workload::of(split.engine, split.program, split.image, subject);
    workload.command = split.command;
    workload.take(&split.options, allow_host_network)?;
    Ok(workload)
}

fn of_service(
    paths: &[PathBuf],
    service: &str,
    engine: EngineKind,
    files: &dyn Files,
    context: &Context,
    allow_host_network: bool,
) -> Result<Workload, TrialError> {
    let names: Vec<String> = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let settings = compose::settings(&names, files, service, context).map_err(TrialError::Problems)?;
    let subject = only(compose::read(&names, files, context), |subject| &*subject.name == service)?;
    let image = settings.image.clone().ok_or_else(|| TrialError::NoImageNamed { service: service.into() })?;
    let mut workload = Workload::of(engine, vec![engine.name().into()], image, subject);
    let mut command = settings.command.as_ref().map(split_words).transpose()?.unwrap_or_default();
    if let Some(entrypoint) = &settings.entrypoint {
        let mut entrypoint = split_words(entrypoint)?;
        let first = if entrypoint.is_empty() { String::new() } else { entrypoint.remove(0) };
        workload.kept.push(format!("--entrypoint={first}"));
        entrypoint.append(&mut command);
        command = entrypoint;
    }
    workload.command = command;
    workload.health = settings.health.as_ref().and_then(health_words);
    let options: Vec<GivenOption> =
        settings.options.into_iter().map(|(name, value)| GivenOption { name, value }).collect();
    workload.take(&options, allow_host_network)?;
    workload.notes.push("other services of the project are not started".into());
    Ok(workload)
}

fn split_words(words: &Words) -> Result<Vec<String>, TrialError> {
    match words {
        Words::List(words) => Ok(words.clone()),
        Words::Text(text) => shlex::split(text).ok_or_else(|| {
            TrialError::Line(format!("`{text}` cannot be split into words: a quote stays open"))
        }),
    }
}

/// `test` of a health check, as a command to run inside.
fn health_words(words: &Words) -> Option<Vec<String>> {
    let shell = |text: &str| Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()]);
    match words {
        Words::Text(text) => shell(text),
        Words::List(words) => match words.split_first()? {
            (kind, [text]) if kind == "CMD-SHELL" => shell(text),
            (kind, rest) if kind == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
            _ => None,
        },
    }
}

/// The subject that is meant, or what could not be read.
fn only(world: World, meant: impl Fn(&Subject) -> bool) -> Result<Subject, TrialError> {
    let problems: Vec<Problem> = world.problems;
    match world.subjects.into_iter().find(|subject| meant(subject)) {
        Some(subject) if problems.is_empty() => Ok(subject),
        _ => Err(TrialError::Problems(problems)),
    }
}

impl Workload {
    fn of(engine: EngineKind, program: Vec<String>, image: String, subject: Subject) -> Workload {
        let confinement = &subject.confinement;
        let is_users = |mount: &&Mount| !matches!(mount.source.get(), Some(MountSource::Kernel(_)));
        Workload {
            engine,
            program,
            image,
            command: Vec::new(),
            kept: Vec::new(),
            asked: Vec::new(),
            asked_privileged: false,
            asked_read_only: false,
            asked_no_new_privileges: false,
            asked_user: None,
            capabilities: confinement.capabilities.bounding.value.unwrap_or(CapabilitySet::EMPTY),
            mounts: confinement.mounts.iter().filter(is_users).cloned().collect(),
            tmpfs: Vec::new(),
            health: None,
            no_network: false,
            notes: Vec::new(),
            subject,
        }
    }

    pub(super) fn confinement(&self) -> &Arc<Confinement> {
        &self.subject.confinement
    }

    fn keep(&mut self, option: &GivenOption) {
        self.kept.push(match &option.value {
            Some(value) => format!("--{}={value}", option.name),
            None => format!("--{}", option.name),
        });
    }

    fn ask(&mut self, option: &GivenOption) {
        let grant = Grant::Option(option.name.to_owned(), option.value.clone().unwrap_or_default());
        if !self.asked.contains(&grant) {
            self.asked.push(grant);
        }
    }

    fn take(&mut self, options: &[GivenOption], allow_host_network: bool) -> Result<(), TrialError> {
        for option in options {
            let value = option.value.as_deref().unwrap_or("");
            let is_on =
                option.value.as_deref().is_none_or(|value| sources::options::boolean(value) == Ok(true));
            match option.name {
                "privileged" => self.asked_privileged = is_on,
                "read-only" => self.asked_read_only = is_on,
                "user" => self.asked_user = Some(value.to_owned()),
                // What they come to is in the confinement.
                "cap-add" | "cap-drop" | "volume" | "mount" => {}
                "tmpfs" => {
                    self.tmpfs.push(value.split(':').next().unwrap_or(value).to_owned());
                    self.keep(option);
                }
                "security-opt" => self.security_option(option, value),
                "pid" | "ipc" | "uts" | "cgroupns" | "userns" if value == "host" => self.ask(option),
                "device" | "device-cgroup-rule" | "gpus" => self.ask(option),
                "network" | "net" => self.network(option, value, allow_host_network),
                "link" => {
                    self.notes.push(format!("--link={value} is left out: other containers are not reached"));
                }
                "health-cmd" | "healthcheck-command" => self.health = health_words(&health_option(value)),
                name => {
                    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                        return Err(TrialError::Line(format!("--{name} cannot be tried: {why}")));
                    }
                    if !DROPPED.contains(&name) {
                        self.keep(option);
                    }
                }
            }
        }
        // Read into a mount as well as kept.
        let tmpfs = std::mem::take(&mut self.tmpfs);
        self.mounts.retain(|mount| !tmpfs.iter().any(|path| **path == *mount.target));
        self.tmpfs = tmpfs;
        Ok(())
    }

    fn security_option(&mut self, option: &GivenOption, value: &str) {
        let (key, rest) = value.split_once(['=', ':']).unwrap_or((value, ""));
        match (key, rest) {
            ("no-new-privileges", rest) => self.asked_no_new_privileges = rest != "false",
            ("seccomp" | "apparmor" | "systempaths", "unconfined") | ("label", "disable") | ("unmask", _) => {
                self.ask(option);
            }
            // A profile of the user's own is protection, and stays.
            _ => self.keep(option),
        }
    }

    fn network(&mut self, option: &GivenOption, value: &str, allow_host_network: bool) {
        match value.split(':').next().unwrap_or(value) {
            "none" => self.no_network = true,
            "host" if allow_host_network => {
                self.ask(&GivenOption { name: "network", value: option.value.clone() });
            }
            "bridge" | "default" | "" | "slirp4netns" | "pasta" | "private" => {}
            "host" => self.notes.push(
                "--network=host is replaced by the trial's own network (--allow-host-network keeps it)"
                    .into(),
            ),
            _ => self.notes.push(format!(
                "--network={value} is replaced by the trial's own network; what is on it is not reached"
            )),
        }
    }
}

/// A text that a shell in the container reads.
fn health_option(value: &str) -> Words {
    Words::Text(value.to_owned())
}

/// What a mount shows, where it is known.
pub(super) fn source(mount: &Mount) -> Option<&MountSource> {
    Fact::get(&mount.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Workload, TrialError> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        of_line(&words, &Context::assumed(), false)
    }

    #[test]
    fn options_that_the_trial_sets_itself_are_left_out_and_others_stay() {
        let text = "docker run -d --name web --rm -p 80:80 -e A=b --label x=y --restart always --hostname h \
                    --pull always --sysctl net.core.somaxconn=1 nginx nginx -g x";
        let workload = line(text).unwrap();
        assert_eq!(workload.kept, ["--env=A=b", "--hostname=h", "--sysctl=net.core.somaxconn=1"]);
        assert_eq!((workload.image.as_str(), workload.command.len()), ("nginx", 3));
        assert!(workload.asked.is_empty());
    }

    #[test]
    fn what_takes_protection_away_becomes_grants() {
        let text = "podman run --pid=host --device /dev/fuse --security-opt seccomp=unconfined --security-opt \
                    label=disable --cap-add SYS_ADMIN --cap-drop CHOWN --ipc=private --security-opt mask=/x x";
        let workload = line(text).unwrap();
        let asked: Vec<String> = workload.asked.iter().map(Grant::to_string).collect();
        let expected = [
            "option:--pid=host",
            "option:--device=/dev/fuse",
            "option:--security-opt=seccomp=unconfined",
            "option:--security-opt=label=disable",
        ];
        assert_eq!(asked, expected);
        assert_eq!(workload.kept, ["--ipc=private", "--security-opt=mask=/x"]);
        assert!(workload.capabilities.has(confinement::Capability::SYS_ADMIN));
        assert!(!workload.capabilities.has(confinement::Capability::CHOWN));
    }

    #[test]
    fn mounts_are_read_with_their_sources() {
        let text =
            "podman run -v /srv/x:/data:ro --mount type=volume,src=v,dst=/v --tmpfs /t:size=1m -v /anon x";
        let workload = line(text).unwrap();
        let targets: Vec<&str> = workload.mounts.iter().map(|mount| &*mount.target).collect();
        assert_eq!(targets, ["/data", "/v", "/anon"]);
        assert_eq!(workload.kept, ["--tmpfs=/t:size=1m"]);
    }

    #[test]
    fn what_cannot_be_tried_is_refused_with_a_reason() {
        let error = line("docker run --volumes-from other x").unwrap_err().to_string();
        assert!(error.contains("--volumes-from") && error.contains("--volume"), "{error}");
        assert!(line("docker ps").is_err());
    }
}
