//! Weak command lines and units of every kind, planned, edited and planned again: what was open is held, nothing is
//! changed that was not planned, and a second run changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use confinement::World;
use harden::editor;
use harden::hardening::harden;
use sources::{Context, quadlet, run};
use techniques::plan::{Asked, Costs, Plan, plan};

fn planned(world: &World, depth: u8, recommended: bool) -> Plan {
    let costs: Costs = BTreeMap::new();
    plan(
        world,
        &Asked {
            depth,
            alternatives: 0,
            costs: &costs,
            pinned: &|_, _| Vec::new(),
            recommended: recommended.then_some(&[]),
            can: &editor::can,
        },
    )
}

/// The text after the plan of a depth, and how many subjects were changed; nothing may be left to a person.
fn hardened(text: &str, depth: u8, recommended: bool, read: &dyn Fn(&str) -> World) -> (String, usize) {
    let world = read(text);
    assert_eq!(world.problems, [], "{text}");
    let path = world.subjects[0].place.as_ref().unwrap().path.clone();
    let source: Arc<str> = text.into();
    let texts = |_: &str| Ok::<Arc<str>, String>(source.clone());
    let plan = planned(&world, depth, recommended);
    let done =
        harden(&world, &plan, &texts, &|overlay| read(overlay.get(&path).map_or(text, |changed| changed)));
    for (subject, written) in world.subjects.iter().zip(&done.subjects) {
        assert_eq!(written.refusal, None, "depth {depth}: {}\n{text}", subject.name);
    }
    let changed = plan.subjects.iter().filter(|planned| !planned.plan.remedies.is_empty()).count();
    // Solved anew from what was written, not from what was meant.
    let again = planned(&done.after, depth, recommended);
    for (number, after) in again.subjects.iter().enumerate() {
        let before = &plan.subjects[number];
        assert!(after.plan.remedies.is_empty(), "depth {depth}: {:?}\n{text}\n{:?}", after.plan, done.files);
        if before.left.is_empty() {
            assert!(after.before.max >= depth, "depth {depth}: {:?}\n{text}\n{:?}", after.before, done.files);
        }
    }
    (done.files.first().map_or(text.to_owned(), |file| file.after.to_string()), changed)
}

#[rustfmt::skip]
const LINES: &[&str] = &[
    "docker run -v /var/run/docker.sock:/var/run/docker.sock portainer",
    "docker run --privileged app",
    "docker run --privileged --pid=host -v /:/host app nsenter",
    "docker run -v /:/host:ro agent",
    "docker run -itv/etc:/etc alpine sh",
    "docker run --mount type=bind,source=/,target=/host alpine",
    "docker run --cap-add=ALL alpine",
    "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine",
    "docker run --cap-add=SYS_MODULE alpine",
    "docker run --cap-add SYS_PTRACE --pid host alpine",
    "docker run --cap-add DAC_READ_SEARCH -v /srv:/srv alpine",
    "docker run --device=/dev/sda alpine",
    "docker run --device-cgroup-rule='b *:* rwm' alpine",
    "docker run --security-opt systempaths=unconfined alpine",
    "docker run -e DOCKER_HOST=tcp://172.17.0.1:2375 alpine",
    "docker run --use-api-socket alpine",
    "docker run -v /proc:/hostproc alpine",
    "docker run -v /dev:/dev --cap-add MKNOD alpine",
    "docker run -v /root/.ssh:/keys alpine",
    "docker run -v /srv:/srv:rshared --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine",
    "docker run -v /run/containerd/containerd.sock:/c.sock alpine",
    "S=/var/run/docker.sock; docker run -v \"$S:$S\" alpine",
    "O=--privileged; docker run $O alpine",
    "docker run -d \\\n  --name a \\\n  --privileged \\\n  -v /:/h \\\n  alpine # why\n",
    "docker run --name a -v /etc:/e x\ndocker run --volumes-from a y",
    "sudo podman run --privileged alpine",
    "sudo podman run -v /run/podman/podman.sock:/s alpine",
    "sudo podman run --cap-add sys_admin,sys_module alpine",
    "sudo podman run --security-opt unmask=ALL --security-opt label=disable alpine",
    "sudo podman run --pid=host --cap-add=SYS_PTRACE alpine",
    "bash -c 'docker run --privileged -v /:/h alpine'",
    "for n in 1 2; do docker run -d --name \"w$n\" --privileged worker; done",
];

const UNITS: &[&str] = &[
    "Volume=/run/podman/podman.sock:/s\n",
    "PodmanArgs=--privileged\n",
    "AddCapability=SYS_ADMIN NET_ADMIN\nSeccompProfile=unconfined\n",
    "AddCapability=all\n# why\nSecurityLabelDisable=true\n",
    "AddDevice=/dev/sda\n",
    "Volume=/:/host\n; why\nUser=0\n",
    "PodmanArgs=--pid=host \\\n  --cap-add SYS_PTRACE\n",
    "Mount=type=bind,src=/etc,dst=/etc\n",
    "Unmask=ALL\nNetwork=host\n",
];

#[test]
fn weak_command_lines_and_units_are_held_after_the_change() {
    let context = Context::assumed();
    let line = |text: &str| run::read_line(text, &"--run".into(), 1, &context);
    let unit = |text: &str| {
        quadlet::read_with(
            text.as_bytes(),
            &"/etc/containers/systemd/w.container".into(),
            &|_| None,
            &context,
        )
    };
    let mut changed = 0;
    for (depth, recommended) in [(1, false), (2, false), (1, true)] {
        for text in LINES {
            let (once, count) = hardened(text, depth, recommended, &line);
            changed += count;
            assert_eq!(hardened(&once, depth, recommended, &line).0, once, "a second time");
        }
        for keys in UNITS {
            let text = format!(
                "# a unit\n[Container]\nImage=docker.io/library/app:1\n{keys}\n[Install]\nWantedBy=x\n"
            );
            let (once, count) = hardened(&text, depth, recommended, &unit);
            changed += count;
            assert_eq!(hardened(&once, depth, recommended, &unit).0, once, "a second time");
        }
    }
    assert!(changed > 3 * (LINES.len() + UNITS.len()) / 2, "{changed}");
}
