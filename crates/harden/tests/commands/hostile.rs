//! Text that nobody would write: every remedy is made or refused, and nothing panics.

use std::sync::Arc;

use confinement::{Capability, CapabilitySet, NamespaceKind, Subject, World};
use harden::draft::Drafts;
use sources::{Context, dockerfile, quadlet, run};
use techniques::remedy::{LimitKind, Remedy};

use crate::support::{Edit, edited};

const SHELL: &[&str] = &[
    "docker run ",
    "podman run ",
    " ",
    "\\\n",
    "\n",
    "'",
    "\"",
    "$",
    "${X:-",
    "}",
    "$(",
    ")",
    "`",
    "\\",
    " -v ",
    " -v/a:/b",
    " -itv ",
    " -u0 ",
    "=",
    ":",
    "/a:/b:rw",
    " --mount ",
    "type=bind,src=/a,dst=/b",
    ",",
    "\"",
    " --privileged ",
    " --cap-add ",
    "ALL",
    "SYS_ADMIN",
    ",NET_ADMIN",
    " --pid host ",
    " --security-opt ",
    "seccomp=unconfined",
    "unmask=ALL",
    " --device ",
    "/dev/sda",
    " -- ",
    "img",
    " $OPTS ",
    " \"${A[@]}\" ",
    "A=(--privileged)",
    "; ",
    "# c",
    "é",
    "\u{FFFC}",
    "\r\n",
    " > f ",
    "bash -c ",
    " --user ",
    "root",
    " --read-only=false ",
    "<<E\nE\n",
    " --tmpfs ",
    "/tmp",
    "&&",
    "for x in a; do ",
    " done ",
    "\t",
];

const UNIT: &[&str] = &[
    "[Container]\n",
    "Image=x\n",
    "\n",
    "=",
    " ",
    "\\\n",
    "# c\n",
    "; c\n",
    "AddCapability=",
    "DropCapability=",
    "ALL",
    " SYS_ADMIN",
    ",NET_ADMIN",
    "Volume=",
    "/a:/b",
    ":rw",
    "%h",
    "%i",
    "%",
    "Mount=",
    "type=bind,src=/a,dst=/c",
    "PodmanArgs=",
    "--privileged ",
    "-itv /a:/d ",
    "-u0 ",
    "'",
    "\"",
    "\\",
    "User=",
    "0",
    "Group=",
    "UserNS=host\n",
    "Network=host\n",
    "NoNewPrivileges=",
    "false\n",
    "ReadOnly=no\n",
    "SecurityLabelDisable=true\n",
    "SeccompProfile=unconfined\n",
    "Unmask=ALL\n",
    "AddDevice=-/dev/sda\n",
    "Environment=",
    "CONTAINER_HOST=tcp://h:1 ",
    "\r\n",
    "é",
    "\u{FFFC}",
    "[Service]\n",
    "Pod=p.pod\n",
    "--cap-add ",
    "Memory=0\n",
];

const BUILD: &[&str] = &[
    "FROM x\n",
    "FROM scratch\n",
    "from x as y\n",
    "FROM y\n",
    "USER root\n",
    "USER app\n",
    "USER ",
    "0:0\n",
    "RUN a\n",
    "RUN [\"a\"]\n",
    "RUN ",
    "chmod 4755 /a",
    " && ",
    "chmod u+s,g+x \"/b\"",
    "install -m 4755 a b",
    "setcap x+ep /c",
    "\\\n",
    "\n",
    "# c\n",
    "CMD a\n",
    "ENTRYPOINT [\"a\"]\n",
    "COPY --chmod=4755 a b\n",
    "RUN <<E\n",
    "E\n",
    "# escape=`\n",
    "`\n",
    "é",
    "\r\n",
    " ",
    "ARG U=root\n",
    "USER $U\n",
    "\\",
];

/// A fixed linear congruential sequence: the same texts on every run.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % below
    }
    fn text(&mut self, head: &str, pieces: &[&str]) -> String {
        let count = self.next(28);
        (0..count).fold(head.to_owned(), |text, _| text + pieces[self.next(pieces.len())])
    }
}

/// Every remedy that has to do with the subject.
fn remedies(subject: &Subject) -> Vec<Remedy> {
    let c = &subject.confinement;
    let mut list = vec![
        Remedy::DropPrivileged,
        Remedy::DropCapability(Capability::SYS_ADMIN),
        Remedy::DropCapability(Capability::CHOWN),
        Remedy::RemoveAllCapabilities,
        Remedy::KeepCapabilities(CapabilitySet::of(&[Capability::CHOWN])),
        Remedy::RunAsNonRoot,
        Remedy::UserNamespace,
        Remedy::NoNewPrivileges,
        Remedy::SeccompDefault,
        Remedy::LsmDefault,
        Remedy::DefaultPaths,
        Remedy::RemoveControlApi,
        Remedy::Limit(LimitKind::Memory),
        Remedy::Limit(LimitKind::Cpu),
        Remedy::ReadOnlyRootfs,
        Remedy::ReadOnlyCgroup,
        Remedy::OwnNetwork,
    ];
    list.extend(NamespaceKind::ALL.map(Remedy::PrivateNamespace));
    for mount in &c.mounts {
        let target = || mount.target.clone();
        list.extend([
            Remedy::RemoveMount(target()),
            Remedy::ReadOnlyMount(target()),
            Remedy::PrivatePropagation(target()),
        ]);
    }
    list.extend(
        c.devices.nodes.iter().filter_map(|n| n.get()).map(|n| Remedy::RemoveDevice(n.host.as_str().into())),
    );
    list
}

fn try_all(text: &str, read: &dyn Fn(&str) -> World, edit: Edit, made: &mut usize) {
    let world = read(text);
    for subject in &world.subjects {
        let remedies = remedies(subject);
        for remedy in remedies.iter().map(std::slice::from_ref).chain([remedies.as_slice()]) {
            match edited(text, subject, remedy, edit) {
                // What is written can be read, and the containers are still there. (One may have another name, where
                // a variable stood for options only because an option followed it; a substitution goes with what it runs.)
                Ok(result) => {
                    let after = read(&result);
                    let same = after.subjects.len() == world.subjects.len() || text.contains(['`', '(']);
                    assert!(same, "{remedy:?}\n{text:?}\n{result:?}");
                    *made += usize::from(result != text);
                }
                Err(refusal) => assert!(!refusal.problem.message.is_empty(), "{text:?}"),
            }
        }
    }
}

#[test]
fn no_command_line_panics() {
    let (mut sequence, mut made, context) = (Sequence(21), 0, Context::assumed());
    let read = |text: &str| run::read_line(text, &"--run".into(), 1, &context);
    for _ in 0..400 {
        try_all(&sequence.text("docker run ", SHELL), &read, harden::run::edit, &mut made);
    }
    assert!(made > 1_000, "{made}");
}

#[test]
fn no_unit_panics() {
    let (mut sequence, mut made, context) = (Sequence(21), 0, Context::assumed());
    let read = |text: &str| quadlet::read_with(text.as_bytes(), &"a.container".into(), &|_| None, &context);
    for _ in 0..400 {
        try_all(&sequence.text("[Container]\nImage=x\n", UNIT), &read, harden::quadlet::edit, &mut made);
    }
    assert!(made > 1_000, "{made}");
}

#[test]
fn no_dockerfile_panics() {
    let (mut sequence, mut made, context) = (Sequence(21), 0, Context::assumed());
    let read = |text: &str| dockerfile::read(text.as_bytes(), &"Dockerfile".into(), &context);
    for _ in 0..2000 {
        let text = sequence.text("FROM x\n", BUILD);
        let world = read(&text);
        try_all(&text, &read, harden::dockerfile::edit, &mut made);
        for subject in &world.subjects {
            let source: Arc<str> = text.as_str().into();
            let texts = |_: &str| Ok::<Arc<str>, String>(source.clone());
            let mut drafts = Drafts::new(&texts);
            if harden::dockerfile::suggest(subject, &mut drafts).is_ok()
                && let Some(edited) = drafts.finish().unwrap().first()
            {
                assert_eq!(read(&edited.after).subjects.len(), 1, "{text:?}\n{:?}", edited.after);
            }
        }
    }
    assert!(made > 100, "{made}");
}
