//! A small world with its judgement, made by hand and against a catalogue of its own, so that what the reports say of it
//! does not change when a technique is added. Every shape that a judgement can have is in it: an open subject, a path
//! through another, a held subject with hints and one without a path, an undetermined one, standards, hostile names.

use std::sync::{Arc, LazyLock};

use confinement::{
    Confinement, Engine, EngineKind, Form, Host, Origin, Place, Problem, Request, Subject, SubjectKind,
    Truth, World, confine,
};
use policy::StandardResult;
use report::Report;
use techniques::barrier::{Barrier, Barriers};
use techniques::condition::Condition;
use techniques::judge::{Evidence, Finding, Hint, Judged, Judgement, NotJudged, Step, Verdict};
use techniques::remedy::{Advice, Remedy};
use techniques::severity::Severity;
use techniques::solver::Depth;
use techniques::technique::{Catalogue, ConditionId, Technique};

/// A name that breaks out of every quoting that forgets a context.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'`&]]>${x}\u{1b}[31m\u{202e}";

const CATALOGUE: &str = r#"[
  {
    "id": "engine-api", "title": "The API of a container engine is in reach", "gain": "host-root",
    "covers": ["SOCK-DOCKER"],
    "explanation": "Whoever can open the engine's socket can ask for a container with the host's files in it. A read-only mount does not limit it.",
    "path": ["the container", "the engine's API", "a new privileged container", "root on the host"],
    "needs": ["mounts(engine-socket)", "host-ids", {"any": ["uid(0)", "in-group(engine-socket)"]}],
    "sensor": ["connect(2) to a Unix socket of an engine"],
    "mitigations": ["Remove the mount.", "Serve a filtered socket."],
    "references": {"attack": ["T1611", "T1610"], "cis-docker": ["5.32"], "nist-800-190": ["3.4.3"], "see": ["unix(7)", "https://docs.docker.com/engine/security/"]},
    "file": "techniques/engine-api.yaml"
  },
  {
    "id": "host-files", "title": "Files of the host that it runs from are writable", "gain": "host-write",
    "covers": [], "explanation": "What is written here is run by the host.",
    "path": ["the container", "the host's /etc", "a program the host runs"],
    "needs": ["mounts(system-files, write)", "host-ids", "uid(0)", "lsm(host-files)"],
    "sensor": ["openat2(2) for writing"], "references": {"attack": ["T1611"]},
    "file": "techniques/host-files.yaml"
  },
  {
    "id": "shared-volume", "title": "Another container's volume is writable", "gain": "other-container",
    "covers": [], "explanation": "The other container runs or reads what is written.",
    "path": ["the container", "a shared volume", "the other container"],
    "relation": "writes-volume-of", "needs": [{"any": ["uid(0)", "host-ids"]}],
    "sensor": ["openat2(2) for writing"], "references": {"attack": ["T1080"]},
    "file": "techniques/shared-volume.yaml"
  },
  {
    "id": "no-memory-limit", "title": "Memory has no limit", "gain": "denial-of-service",
    "covers": [], "explanation": "The host's other workloads are killed when memory runs out.",
    "path": ["the container", "all memory of the host"],
    "needs": ["unlimited(memory)"], "sensor": [],
    "references": {"attack": ["T1499"], "cis-docker": ["5.11"]},
    "file": "techniques/no-memory-limit.yaml"
  }
]"#;

pub(crate) static KNOWN: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::build(CATALOGUE).expect("the catalogue of the tests"));

fn technique(id: &str) -> &'static Technique {
    KNOWN.technique(id).expect("a technique of the tests")
}

fn condition(text: &str) -> ConditionId {
    KNOWN.condition_id(&Condition::parse(text).expect(text)).expect(text)
}

/// A world with what was judged about it, owned, so that a [`Report`] can borrow it.
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) judgement: Judgement,
    pub(crate) standards: Vec<(usize, StandardResult)>,
    pub(crate) waived: policy::Waived,
    pub(crate) targets: Vec<String>,
}

impl Case {
    pub(crate) fn report(&self) -> Report<'_> {
        Report {
            world: &self.world,
            judgement: &self.judgement,
            catalogue: &KNOWN,
            standards: &self.standards,
            waived: &self.waived,
            decisions: &[],
            targets: &self.targets,
            version: "0.0.0-test",
            threshold: 1,
            all: false,
        }
    }
}

fn place(path: &str, line: u32, column: u32, length: u32) -> Place {
    Place::new(&path.into(), line, column, length)
}

fn plain() -> Arc<Confinement> {
    let engine = Arc::new(Engine::of_version(EngineKind::Docker, (29, u32::MAX), None, "docker-29"));
    confine(&Request::default(), &engine, &Arc::new(Host::unseen())).into()
}

fn subject(id: &str, name: &str, kind: SubjectKind, place: Option<Place>) -> Subject {
    Subject {
        id: id.into(),
        name: name.into(),
        kind,
        form: Form::Compose,
        place,
        declared: Vec::new(),
        realm: "test".into(),
        namespace: None,
        confinement: plain(),
        pod: None,
        labels: Default::default(),
        made: None,
    }
}

fn fact(text: &str, value: Truth, fact: &str, origin: Origin) -> Evidence {
    Evidence { condition: condition(text), value, fact: fact.into(), origin }
}

fn advice(id: &str, summary: &str, cost: u8) -> Advice {
    Advice {
        id: id.into(),
        summary: summary.into(),
        cost,
        changes_behaviour: true,
        note: None,
        remedy: Remedy::RunAsNonRoot,
    }
}

fn at(min: u8, max: u8) -> Depth {
    Depth { min, max }
}

fn finding(steps: &[(&str, usize)], severity: Severity, depth: Depth, evidence: Vec<Evidence>) -> Finding {
    let steps: Vec<Step> =
        steps.iter().map(|(id, subject)| Step { technique: technique(id), subject: *subject }).collect();
    let last = steps.last().expect("a step");
    Finding {
        gain: last.technique.gain,
        severity,
        depth,
        barriers: if depth.max > 0 { Barriers::NONE.with(Barrier::Lsm) } else { Barriers::NONE },
        evidence,
        remedies: vec![advice("run-as-non-root", "set `user:` to an id other than 0", 4)],
        reaches: steps.iter().skip(1).map(|s| s.subject).collect(),
        fingerprint: format!("{:032x}", 0xfeed + steps.len() * 16 + last.subject),
        steps,
    }
}

fn judged(subject: usize, verdict: Verdict, depth: Depth) -> Judged {
    Judged {
        subject,
        verdict,
        depth,
        cuts: Vec::new(),
        paths: Vec::new(),
        lateral: Vec::new(),
        weaknesses: Vec::new(),
        undecided: Vec::new(),
        hints: Vec::new(),
    }
}

fn deploy_bot() -> Judged {
    let socket = || {
        fact(
            "mounts(engine-socket)",
            Truth::True,
            "/var/run/docker.sock is the Docker API; a read-only mount does not limit it",
            Origin::File(place("compose.yaml", 14, 9, 47)),
        )
    };
    let root = fact("uid(0)", Truth::True, "runs as root", Origin::assumed("the image's user is not known"));
    let ids = fact("host-ids", Truth::True, "no user namespace", Origin::engine("docker-29"));
    let mut path = finding(&[("engine-api", 0)], Severity::Critical, at(0, 0), vec![socket(), root, ids]);
    path.remedies.insert(0, advice("remove-mount", "remove the mount of /var/run/docker.sock", 3));
    let memory = fact("unlimited(memory)", Truth::True, "memory has no limit", Origin::engine("docker-29"));
    Judged {
        paths: vec![path],
        weaknesses: vec![finding(&[("no-memory-limit", 0)], Severity::Low, at(0, 0), vec![memory])],
        ..judged(0, Verdict::Open, at(0, 0))
    }
}

fn builder() -> Judged {
    let shared = fact(
        "host-ids",
        Truth::True,
        "the volume `work` is mounted writable at /work, and in the next container too",
        Origin::File(place("compose.yaml", 24, 9, 10)),
    );
    let socket = fact(
        "mounts(engine-socket)",
        Truth::True,
        "/var/run/docker.sock is the Docker API",
        Origin::File(place("compose.yaml", 14, 9, 47)),
    );
    let chain = finding(
        &[("shared-volume", 2), ("engine-api", 0)],
        Severity::Critical,
        at(0, 0),
        vec![shared.clone(), socket],
    );
    let mut lateral = finding(&[("shared-volume", 2)], Severity::Medium, at(0, 0), vec![shared]);
    lateral.reaches = vec![0];
    Judged { paths: vec![chain], lateral: vec![lateral], ..judged(2, Verdict::Open, at(0, 0)) }
}

fn agent() -> Judged {
    let lsm = fact("lsm(host-files)", Truth::Unknown, "the LSM of the host", Origin::Nowhere);
    let etc = fact(
        "mounts(system-files, write)",
        Truth::True,
        "the host's /etc is mounted writable at /host/etc",
        Origin::File(place("manifests/agent 1.yaml", 31, 13, 4)),
    );
    Judged {
        paths: vec![finding(&[("host-files", 3)], Severity::Critical, at(0, 1), vec![etc, lsm.clone()])],
        undecided: vec![lsm],
        ..judged(3, Verdict::Undetermined, at(0, 1))
    }
}

/// Five subjects: deploy-bot open, web held, builder open through deploy-bot, agent undetermined, one with a hostile name.
pub(crate) fn case() -> Case {
    let container = SubjectKind::Container;
    let compose = |line| Some(place("compose.yaml", line, 3, 0));
    let subjects = vec![
        subject("compose.yaml#service/deploy-bot", "deploy-bot", container, compose(10)),
        subject("compose.yaml#service/web", "web", container, compose(3)),
        subject("compose.yaml#service/builder", "builder", container, compose(20)),
        subject(
            "manifests/agent 1.yaml#DaemonSet/kube-system/agent/agent",
            "kube-system/agent/agent",
            SubjectKind::Workload,
            Some(place("manifests/agent 1.yaml", 18, 11, 0)),
        ),
        subject(&format!("docker:{HOSTILE}"), HOSTILE, container, None),
    ];
    let world = World {
        subjects,
        problems: vec![
            Problem::at(
                &place("broken.yaml", 3, 7, 0),
                "a mapping value is not allowed here, 100% <sure>,\nreally",
            ),
            Problem::new("docker:", "the socket /run/docker.sock cannot be opened: permission denied"),
        ],
        notes: vec![Problem::at(&place("compose.yaml", 5, 12, 0), "the variable TAG is not set")],
    };
    let web = Judged {
        cuts: vec![Barriers::NONE.with(Barrier::MountNamespace).with(Barrier::Identity)],
        hints: vec![Hint {
            advice: advice("user-namespace", "set `userns-remap` in daemon.json", 5),
            depth: at(3, 3),
        }],
        ..judged(1, Verdict::Held, at(2, 2))
    };
    let judgement = Judgement {
        subjects: vec![deploy_bot(), web, builder(), agent(), judged(4, Verdict::Held, Depth::NONE)],
        not_judged: vec![NotJudged { technique: "CVE-2024-21626", subjects: 5 }],
        assumptions: vec![
            ("docker-29".into(), 5),
            ("kernel settings are taken at the kernel's defaults".into(), 5),
        ],
    };
    Case {
        world,
        judgement,
        standards: vec![(3, standard())],
        waived: Default::default(),
        targets: vec!["compose.yaml".into(), "docker:".into()],
    }
}

fn standard() -> StandardResult {
    let location = place("manifests/agent 1.yaml", 31, 13, 4);
    let control = |id, result, message: &str, location: Option<Place>| policy::ControlResult {
        id,
        result,
        message: message.into(),
        origin: None,
        violations: location
            .iter()
            .map(|l| policy::Violation { message: message.into(), location: Some(l.clone()) })
            .collect(),
        location,
    };
    StandardResult {
        standard: "pss-baseline".into(),
        version: "1.37".into(),
        result: policy::Verdict::Fail,
        controls: vec![
            control(
                "hostPathVolumes",
                policy::Verdict::Fail,
                "the volume `etc` is a hostPath",
                Some(location),
            ),
            control("privileged", policy::Verdict::Pass, "", None),
        ],
    }
}

/// `count` subjects: one in `every` is open, the others are held, and their names are all different.
pub(crate) fn many(count: usize, every: usize) -> Case {
    let base = case();
    let mut world = World::default();
    let mut list = Vec::new();
    for i in 0..count {
        let name = format!("app-{i:05}");
        let id = format!("manifests/{name}.yaml#Deployment/default/{name}/main");
        let path = place(&format!("manifests/{name}.yaml"), 12, 7, 0);
        world.subjects.push(Subject {
            confinement: base.world.subjects[0].confinement.clone(),
            ..subject_shell(&id, &name, path)
        });
        let mut one = if i % every == 0 { deploy_bot() } else { judged(i, Verdict::Held, at(1, 1)) };
        one.subject = i;
        if one.verdict == Verdict::Held {
            one.weaknesses = deploy_bot().weaknesses;
            one.hints = vec![Hint {
                advice: advice("run-as-non-root", "set `runAsNonRoot: true`", 4),
                depth: at(2, 2),
            }];
            one.cuts = vec![Barriers::NONE.with(Barrier::MountNamespace)];
        }
        for finding in one.paths.iter_mut().chain(&mut one.weaknesses) {
            finding.steps.iter_mut().for_each(|s| s.subject = i);
            finding.fingerprint = format!("{i:032x}");
        }
        list.push(one);
    }
    let judgement = Judgement { subjects: list, not_judged: Vec::new(), assumptions: Vec::new() };
    let (standards, waived) = (Vec::new(), Default::default());
    Case { world, judgement, standards, waived, targets: vec!["manifests".into()] }
}

fn subject_shell(id: &str, name: &str, place: Place) -> Subject {
    static PLAIN: LazyLock<Arc<Confinement>> = LazyLock::new(plain);
    Subject {
        id: id.into(),
        name: name.into(),
        kind: SubjectKind::Workload,
        form: Form::Kubernetes,
        place: Some(place),
        declared: Vec::new(),
        realm: "test".into(),
        namespace: Some("default".into()),
        confinement: PLAIN.clone(),
        pod: None,
        labels: Default::default(),
        made: None,
    }
}

/// What a format writes, as text.
pub(crate) fn written(
    report: &Report<'_>,
    write: fn(&Report<'_>, &mut dyn std::io::Write) -> std::io::Result<()>,
) -> String {
    let mut out = Vec::new();
    write(report, &mut out).expect("memory can be written");
    String::from_utf8(out).expect("reports are UTF-8")
}

/// Compares with a file under `tests/golden`; `UPDATE_GOLDEN=1` writes it anew.
pub(crate) fn golden(name: &str, text: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/").to_owned() + name;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).expect("a folder");
        std::fs::write(&path, text).expect(&path);
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept == text {
        return;
    }
    let line = kept.lines().zip(text.lines()).position(|(a, b)| a != b).unwrap_or(0);
    panic!(
        "{path} differs from line {}:\n  kept    {}\n  written {}\nUPDATE_GOLDEN=1 writes it anew",
        line + 1,
        kept.lines().nth(line).unwrap_or("nothing"),
        text.lines().nth(line).unwrap_or("nothing"),
    );
}
