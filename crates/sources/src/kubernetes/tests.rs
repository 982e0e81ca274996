//! From manifests to confinements: inheritance, references between objects, and what must never pass unseen.

use std::path::PathBuf;
use std::sync::Arc;

use confinement::*;

use super::*;
use crate::document::{Limits, parse_bytes};

fn world_in(files: &[(&str, &str)], context: &Context) -> World {
    let mut objects = Objects::default();
    for (path, text) in files {
        for document in parse_bytes(text.as_bytes(), &Arc::from(*path), &Limits::default()) {
            match document {
                Ok(document) => objects.merge(Objects::read(&document)),
                Err(error) => panic!("{error}"),
            }
        }
    }
    objects.into_world(context)
}

fn world(text: &str) -> World {
    world_in(&[("m.yaml", text)], &Context::assumed())
}

/// A world in which nothing was wrong.
fn sound(text: &str) -> World {
    let world = world(text);
    assert_eq!(world.problems, [], "{text}");
    world
}

fn only(world: &World) -> &Subject {
    assert_eq!(world.subjects.len(), 1, "{:?}", world.subjects.iter().map(|s| &s.id).collect::<Vec<_>>());
    &world.subjects[0]
}

fn subject<'a>(world: &'a World, container: &str) -> &'a Subject {
    world.subjects.iter().find(|s| s.name.ends_with(container)).expect("the container is a subject")
}

/// A pod with one container; `pod` and `container` are further lines of their mappings.
fn pod(pod: &str, container: &str) -> String {
    let indent = |text: &str, by: usize| {
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect::<String>()
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n{}  containers:\n  - name: c\n    image: i\n{}",
        indent(pod, 2),
        indent(container, 4)
    )
}

fn confined(pod_lines: &str, container_lines: &str) -> Arc<Confinement> {
    only(&sound(&pod(pod_lines, container_lines))).confinement.clone()
}

fn line_of(origin: &Origin) -> u32 {
    origin.place().map_or(0, |place| place.line)
}

#[test]
fn every_workload_kind_of_any_api_version_gives_its_containers() {
    let template = |indent: usize| {
        let text = "spec:\n  containers:\n  - name: c\n    image: i\n";
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect::<String>()
    };
    let mut kinds = vec![
        ("v1", "Pod", template(0)),
        ("v1", "PodTemplate", format!("template:\n{}", template(2))),
        (
            "batch/v1",
            "CronJob",
            format!("spec:\n  jobTemplate:\n    spec:\n      template:\n{}", template(8)),
        ),
        (
            "batch/v2alpha1",
            "ScheduledJob",
            format!("spec:\n  jobTemplate:\n    spec:\n      template:\n{}", template(8)),
        ),
    ];
    for (api, kind) in [
        ("apps/v1", "Deployment"),
        ("extensions/v1beta1", "Deployment"),
        ("apps/v1beta2", "StatefulSet"),
        ("v1", "ReplicationController"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
        ("argoproj.io/v1alpha1", "Rollout"),
        ("serving.knative.dev/v1", "Service"),
    ] {
        kinds.push((api, kind, format!("spec:\n  template:\n{}", template(4))));
    }
    for (api, kind, body) in kinds {
        let world =
            sound(&format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: n\n  namespace: s\n{body}"));
        let subject = only(&world);
        assert_eq!(&*subject.id, format!("m.yaml#{kind}/s/n/c"));
        assert_eq!(&*subject.name, "s/n/c");
        assert_eq!(subject.kind, SubjectKind::Workload);
        assert_eq!(subject.pod.as_ref().map(|pod| &*pod.kind), Some(kind));
    }
}

#[test]
fn templates_in_custom_kinds_are_found_wherever_they_are() {
    let text = "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: r}\nspec:\n  headGroupSpec:\n    template:\n      spec: {containers: [{name: head, image: i}]}\n  workerGroupSpecs:\n  - template:\n      spec: {containers: [{name: work, image: i, securityContext: {privileged: true}}]}\n";
    let world = sound(text);
    let ids: Vec<&str> = world.subjects.iter().map(|s| &*s.id).collect();
    assert_eq!(
        ids,
        [
            "m.yaml#RayCluster/r/spec.headGroupSpec.template/head",
            "m.yaml#RayCluster/r/spec.workerGroupSpecs[0].template/work"
        ]
    );
    assert_eq!(world.subjects[1].confinement.privileged.value, Some(true));
}

#[test]
fn kinds_that_start_nothing_are_no_subjects_and_no_problems() {
    for text in [
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {x: '{{ y }}'}",
        "replicaCount: 1\nimage: {repository: nginx}",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\nspec: {versions: [{schema: {template: {spec: {containers: [{name: a}]}}}}]}",
        "[]",
        "just text",
        "",
    ] {
        let world = sound(text);
        assert!(world.subjects.is_empty(), "{text}");
    }
}

#[test]
fn lists_of_any_kind_and_many_documents_are_taken_apart() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec: {containers: [{name: c, image: i}]}\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: b}\n    spec: {containers: [{name: c, image: i}]}\n---\napiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: d, namespace: x}\n  spec: {containers: [{name: c, image: i}]}\n";
    let world = sound(text);
    let ids: Vec<&str> = world.subjects.iter().map(|s| &*s.id).collect();
    assert_eq!(ids, ["m.yaml#Pod/a/c", "m.yaml#Pod/b/c", "m.yaml#Pod/x/d/c"]);
}

#[test]
fn two_objects_of_one_name_in_one_file_are_two_subjects() {
    let one = pod("shareProcessNamespace: true", "");
    let world = sound(&format!("{one}---\n{one}"));
    let ids: Vec<&str> = world.subjects.iter().map(|s| &*s.id).collect();
    assert_eq!(ids, ["m.yaml#Pod/p/c", "m.yaml#Pod/p~2/c"]);
    let pid = |n: usize| world.subjects[n].confinement.namespaces.pid.value.clone();
    assert_eq!(pid(0), Some(Namespace::Container("m.yaml#Pod/p".into())));
    assert_eq!(pid(1), Some(Namespace::Container("m.yaml#Pod/p~2".into())));
}

#[test]
fn a_field_of_the_container_is_heard_before_the_pods() {
    let pod_context = "securityContext:\n  runAsUser: 1000\n  runAsGroup: 2000\n  runAsNonRoot: true\n  supplementalGroups: [3000]\n  fsGroup: 4000\n  seccompProfile: {type: RuntimeDefault}\n  seLinuxOptions: {type: spc_t}";
    let inherited = confined(pod_context, "");
    assert_eq!(inherited.identity.uid.value, Some(1000));
    assert_eq!(inherited.identity.gid.value, Some(2000));
    assert_eq!(inherited.identity.groups.value.as_deref(), Some(&[3000, 4000][..]));
    assert!(matches!(inherited.seccomp.value, Some(Seccomp::Builtin(_))));
    let own = confined(
        pod_context,
        "securityContext:\n  runAsUser: 0\n  runAsGroup: 7\n  runAsNonRoot: false\n  seccompProfile: {type: Unconfined}",
    );
    assert_eq!(own.identity.uid.value, Some(0));
    assert_eq!(own.identity.root.value, Some(true));
    assert_eq!(own.identity.gid.value, Some(7));
    assert_eq!(own.seccomp.value, Some(Seccomp::Disabled));
}

#[test]
fn run_as_non_root_alone_makes_the_user_not_root_and_its_number_unknown() {
    let c = confined("securityContext: {runAsNonRoot: true}", "");
    assert_eq!((c.identity.root.value, c.identity.uid.value), (Some(false), None));
}

#[test]
fn run_as_group_alone_changes_the_group_and_not_the_user() {
    let c = confined("securityContext: {runAsGroup: 999}", "");
    assert_eq!(c.identity.gid.value, Some(999));
    assert!(matches!(c.identity.uid.origin, Origin::Assumption { .. }));
}

#[test]
fn privileged_and_capabilities_on_the_pod_have_no_effect() {
    let c = confined(
        "securityContext: {privileged: true, capabilities: {add: [SYS_ADMIN]}, allowPrivilegeEscalation: false}",
        "",
    );
    assert_eq!(c.privileged.value, Some(false));
    assert_eq!(
        c.capabilities.bounding.value,
        Some(Engine::assumed("containerd-2").unwrap().default_capabilities())
    );
    assert_eq!(c.identity.no_new_privileges.value, Some(false));
}

#[test]
fn allow_privilege_escalation_false_is_no_new_privileges_with_its_place() {
    let c = confined("", "securityContext:\n  allowPrivilegeEscalation: false");
    assert_eq!(c.identity.no_new_privileges.value, Some(true));
    assert_eq!(line_of(&c.identity.no_new_privileges.origin), 10);
}

#[test]
fn a_privileged_ephemeral_container_has_every_capability() {
    let text = pod(
        "ephemeralContainers:\n- name: debug\n  image: busybox\n  targetContainerName: c\n  securityContext: {privileged: true}",
        "",
    );
    let world = sound(&text);
    let debug = subject(&world, "/debug");
    assert_eq!(debug.confinement.capabilities.bounding.value, Some(CapabilitySet::ALL));
    assert_eq!(debug.confinement.seccomp.value, Some(Seccomp::Disabled));
    assert_eq!(
        debug.confinement.namespaces.pid.value,
        Some(Namespace::Container("m.yaml#Pod/p/c".into())),
        "it joins its target's pid namespace"
    );
    assert_eq!(subject(&world, "/c").confinement.privileged.value, Some(false));
}

#[test]
fn init_sidecar_and_ordinary_containers_are_all_judged_in_order() {
    let text = pod(
        "initContainers:\n- {name: setup, image: i}\n- {name: proxy, image: i, restartPolicy: Always, securityContext: {privileged: yes}}",
        "",
    );
    let world = sound(&text);
    let names: Vec<&str> = world.subjects.iter().map(|s| &*s.name).collect();
    assert_eq!(names, ["p/setup", "p/proxy", "p/c"]);
    assert_eq!(
        world.subjects[1].confinement.privileged.value,
        Some(true),
        "`yes` is true to the Kubernetes tools"
    );
    let declaration = world.subjects[0].pod.clone().unwrap();
    assert!(world.subjects.iter().all(|s| Arc::ptr_eq(s.pod.as_ref().unwrap(), &declaration)));
    assert_eq!(&*declaration.containers[1].route, "spec.initContainers[1]");
}

#[test]
fn host_namespaces_are_the_hosts_and_the_network_brings_uts_along() {
    let c = confined("hostNetwork: true\nhostPID: true\nhostIPC: true", "");
    for kind in [NamespaceKind::Net, NamespaceKind::Pid, NamespaceKind::Ipc, NamespaceKind::Uts] {
        assert_eq!(c.namespaces.get(kind).value, Some(Namespace::Host), "{}", kind.name());
    }
    assert_eq!(line_of(&c.namespaces.pid.origin), 7);
    let own = confined("hostNetwork: false", "");
    assert_eq!(own.namespaces.net.value, Some(Namespace::Own));
    assert_eq!(own.namespaces.uts.value, Some(Namespace::Own));
}

#[test]
fn host_users_false_is_a_user_namespace_of_its_own() {
    let c = confined("hostUsers: false", "");
    assert_eq!(c.user_namespace.initial.value, Some(false));
    assert_eq!(c.user_namespace.root_is_host_root.value, Some(false));
    assert_eq!(confined("", "").user_namespace.initial.value, Some(true));
    assert_eq!(confined("hostUsers: true", "").user_namespace.initial.value, Some(true));
}

#[test]
fn proc_mount_unmasked_uncovers_every_path() {
    let c = confined("hostUsers: false", "securityContext: {procMount: Unmasked}");
    assert_eq!(c.masked_paths.value.as_deref().map(<[_]>::len), Some(0));
    assert_eq!(c.readonly_paths.value.as_deref().map(<[_]>::len), Some(0));
    assert!(
        confined("", "securityContext: {procMount: Default}").masked_paths.value.clone().unwrap().len() > 5
    );
}

fn crio(version: (u32, u32)) -> Context {
    let engine = Engine::of_version(EngineKind::Crio, version, None, "crio");
    let mut context = Context::assumed();
    context.kubernetes = Arc::new(engine);
    context
}

#[test]
fn seccomp_annotations_count_up_to_1_26_and_lose_to_the_containers_field() {
    let annotated = |value: &str, spec: &str, container: &str| {
        pod(spec, container).replace("  name: p\n", &format!("  name: p\n  annotations:\n    {value}\n"))
    };
    let seccomp = |context: &Context, text: &str| {
        only(&world_in(&[("m.yaml", text)], context)).confinement.seccomp.value.clone()
    };
    let old = crio((1, 24));
    let new = crio((1, 30));
    let pod_level = annotated("seccomp.security.alpha.kubernetes.io/pod: runtime/default", "", "");
    assert!(matches!(seccomp(&old, &pod_level), Some(Seccomp::Builtin(_))));
    assert_eq!(seccomp(&new, &pod_level), Some(Seccomp::Disabled));
    assert_eq!(
        seccomp(&Context::assumed(), &pod_level),
        None,
        "containerd does not say which kubelet it serves"
    );

    let own = "container.seccomp.security.alpha.kubernetes.io/c: localhost/x.json";
    assert_eq!(seccomp(&old, &annotated(own, "", "")), Some(Seccomp::Opaque));
    let over_pod_field = annotated(own, "securityContext: {seccompProfile: {type: Unconfined}}", "");
    assert_eq!(seccomp(&old, &over_pod_field), Some(Seccomp::Opaque));
    assert_eq!(seccomp(&new, &over_pod_field), Some(Seccomp::Disabled));
    let under_field = annotated(own, "", "securityContext: {seccompProfile: {type: RuntimeDefault}}");
    assert!(matches!(seccomp(&Context::assumed(), &under_field), Some(Seccomp::Builtin(_))));
    let other = annotated("container.seccomp.security.alpha.kubernetes.io/other: localhost/x.json", "", "");
    assert_eq!(seccomp(&old, &other), Some(Seccomp::Disabled));
}

#[test]
fn apparmor_annotation_stands_between_the_containers_field_and_the_pods() {
    let mut context = Context::assumed();
    let mut host = (*context.host).clone();
    host.lsms = Fact::known(Arc::from([Arc::from("apparmor")]), Origin::Nowhere);
    context.host = Arc::new(host);
    let apparmor = |annotation: &str, spec: &str, container: &str| {
        let text = pod(spec, container)
            .replace("  name: p\n", &format!("  name: p\n  annotations:\n    {annotation}\n"));
        match only(&world_in(&[("m.yaml", &text)], &context)).confinement.apparmor.value.clone() {
            Some(AppArmor::Profile { name, .. }) => name.to_string(),
            other => format!("{other:?}"),
        }
    };
    let annotation = "container.apparmor.security.beta.kubernetes.io/c: localhost/mine";
    let pod_field = "securityContext: {appArmorProfile: {type: Unconfined}}";
    assert_eq!(apparmor("x: y", "", ""), "cri-containerd.apparmor.d");
    assert_eq!(apparmor(annotation, "", ""), "mine");
    assert_eq!(apparmor(annotation, pod_field, ""), "mine");
    assert_eq!(apparmor("x: y", pod_field, ""), "Some(Unconfined)");
    let field = "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: own}}";
    assert_eq!(apparmor(annotation, pod_field, field), "own");
    let off = "container.apparmor.security.beta.kubernetes.io/c: unconfined";
    assert_eq!(apparmor(off, "", ""), "Some(Unconfined)");
}

#[test]
fn selinux_options_of_the_container_replace_the_pods_as_a_whole() {
    // CRI-O labels containers wherever the host runs SELinux; containerd only where it is told to.
    let selinux = |container: &str| {
        let text = pod("securityContext: {seLinuxOptions: {type: spc_t}}", container);
        only(&world_in(&[("m.yaml", &text)], &crio((1, 30)))).confinement.selinux.value.clone()
    };
    assert_eq!(selinux(""), Some(SeLinux::Unconfined));
    assert_ne!(selinux("securityContext: {seLinuxOptions: {level: 's0:c1'}}"), Some(SeLinux::Unconfined));
}

#[test]
fn a_runtime_class_given_beside_names_the_handler() {
    let class =
        "---\napiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: safe}\nhandler: runsc\n";
    let text = pod("runtimeClassName: safe", "");
    let with = sound(&format!("{text}{class}"));
    assert_eq!(only(&with).confinement.runtime.value, Some(Runtime::Gvisor));
    let without = sound(&text);
    assert_eq!(only(&without).confinement.runtime.value, Some(Runtime::Other("safe".into())));
    let by_name = confined("runtimeClassName: kata-qemu", "");
    assert_eq!(by_name.runtime.value, Some(Runtime::Kata));
}

fn mounts_of(confinement: &Confinement) -> Vec<&Mount> {
    confinement.mounts.iter().filter(|m| !matches!(m.source.value, Some(MountSource::Kernel(_)))).collect()
}

#[test]
fn a_host_path_is_mounted_with_its_sub_path_its_options_and_its_place() {
    let c = confined(
        "volumes:\n- name: v\n  hostPath:\n    path: /var/run/\n    type: Directory",
        "volumeMounts:\n- {name: v, mountPath: /a}\n- {name: v, mountPath: /b, subPath: docker.sock, readOnly: true, mountPropagation: HostToContainer}\n- {name: v, mountPath: /c, readOnly: true, recursiveReadOnly: Enabled}\n- {name: v, mountPath: /d, mountPropagation: Bidirectional, subPathExpr: $(POD)}",
    );
    let mounts = mounts_of(&c);
    let host = |n: usize| mounts[n].host_path().map(|path| path.as_str().to_owned()).unwrap();
    assert_eq!([host(0), host(1), host(2), host(3)], ["/run", "/run/docker.sock", "/run", "/run/$(POD)"]);
    assert_eq!(line_of(mounts[0].origin()), 9);
    assert_eq!(
        mounts.iter().map(|m| m.read_only.value).collect::<Vec<_>>(),
        [Some(false), Some(true), Some(true), Some(false)]
    );
    assert_eq!(mounts[1].recursive_read_only.value, Some(false));
    assert_eq!(mounts[2].recursive_read_only.value, Some(true));
    let propagation: Vec<_> = mounts.iter().map(|m| m.propagation.value.unwrap()).collect();
    assert_eq!(
        propagation,
        [Propagation::Private, Propagation::Slave, Propagation::Private, Propagation::Shared]
    );
}

#[test]
fn an_empty_dir_of_two_containers_is_shared_and_of_one_is_private() {
    let text = pod(
        "volumes:\n- {name: both, emptyDir: {}}\n- name: mine\n- {name: conf, configMap: {name: x}}\ninitContainers:\n- {name: i, image: i, volumeMounts: [{name: both, mountPath: /x}]}",
        "volumeMounts:\n- {name: both, mountPath: /b}\n- {name: mine, mountPath: /m}\n- {name: conf, mountPath: /c}",
    );
    let world = sound(&text);
    let c = &subject(&world, "/c").confinement;
    let sources: Vec<_> = mounts_of(c).iter().map(|m| m.source.value.clone().unwrap()).collect();
    assert_eq!(
        sources,
        [
            MountSource::Volume("m.yaml#Pod/p/both".into()),
            MountSource::Private,
            MountSource::Other("configMap".into())
        ]
    );
    assert_eq!(mounts_of(c)[2].read_only.value, Some(true), "the kubelet mounts a ConfigMap read-only");
    assert_eq!(mounts_of(&subject(&world, "/i").confinement)[0].source.value, Some(sources[0].clone()));
}

const CLAIMANT: &str = "volumes:\n- {name: v, persistentVolumeClaim: {claimName: data}}";
const MOUNTS_IT: &str = "volumeMounts: [{name: v, mountPath: /data}]";

fn claim(spec: &str) -> String {
    format!("---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec: {spec}\n")
}

fn volume(spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: pv, labels: {{disk: root}}}}\nspec: {spec}\n"
    )
}

fn claimed(files: &str) -> Fact<MountSource> {
    let world = sound(&format!("{}{files}", pod(CLAIMANT, MOUNTS_IT)));
    mounts_of(&only(&world).confinement)[0].source.clone()
}

#[test]
fn a_claim_ends_in_the_host_path_of_its_volume_however_it_is_bound() {
    let root = Some(MountSource::Host(HostPath::new("/")));
    let cases = [
        ("by volumeName", claim("{volumeName: pv}") + &volume("{hostPath: {path: /}}")),
        (
            "by claimRef",
            claim("{storageClassName: x}")
                + &volume("{claimRef: {namespace: default, name: data}, hostPath: {path: /}}"),
        ),
        (
            "by claimRef, the claim not in view",
            volume("{claimRef: {namespace: default, name: data}, hostPath: {path: /}}"),
        ),
        (
            "by class",
            claim("{storageClassName: manual}") + &volume("{storageClassName: manual, hostPath: {path: /}}"),
        ),
        (
            "by neither naming a class",
            claim("{accessModes: [ReadWriteOnce]}")
                + &volume("{accessModes: [ReadWriteOnce], hostPath: {path: /}}"),
        ),
        ("by selector", claim("{selector: {matchLabels: {disk: root}}}") + &volume("{hostPath: {path: /}}")),
        ("local", claim("{volumeName: pv}") + &volume("{local: {path: /}}")),
    ];
    for (how, files) in cases {
        assert_eq!(claimed(&files).value, root, "{how}");
    }
}

#[test]
fn a_claim_that_no_volume_in_view_suits_is_a_volume_of_its_own_name() {
    let of_its_own = Some(MountSource::Volume("kubernetes/default/claim/data".into()));
    for files in [
        String::new(),
        claim("{storageClassName: fast}") + &volume("{storageClassName: slow, hostPath: {path: /}}"),
        claim("{selector: {matchLabels: {disk: other}}}") + &volume("{hostPath: {path: /}}"),
        claim("{resources: {requests: {storage: 10Gi}}}")
            + &volume("{capacity: {storage: 5Gi}, hostPath: {path: /}}"),
        claim("{accessModes: [ReadWriteMany]}")
            + &volume("{accessModes: [ReadWriteOnce], hostPath: {path: /}}"),
        claim("{}") + &volume("{claimRef: {namespace: other, name: data}, hostPath: {path: /}}"),
        claim("{volumeName: pv}") + &volume("{nfs: {server: s, path: /}}"),
    ] {
        assert_eq!(claimed(&files).value, of_its_own, "{files}");
    }
}

#[test]
fn the_smallest_volume_that_suits_is_bound_and_equals_that_differ_are_unknown() {
    let small = volume("{capacity: {storage: 1Gi}, hostPath: {path: /small}}");
    let large = volume("{capacity: {storage: 9Gi}, hostPath: {path: /large}}");
    let asked = claim("{resources: {requests: {storage: 500Mi}}}");
    assert_eq!(
        claimed(&(asked.clone() + &large + &small)).value,
        Some(MountSource::Host(HostPath::new("/small")))
    );
    let other = volume("{capacity: {storage: 1Gi}, hostPath: {path: /other}}");
    assert_eq!(claimed(&(asked + &other + &small)).value, None);
}

#[test]
fn a_claim_is_mounted_with_its_sub_path_and_forced_read_only() {
    let files = claim("{volumeName: pv}") + &volume("{hostPath: {path: /srv}}");
    let text = pod(
        "volumes:\n- {name: v, persistentVolumeClaim: {claimName: data, readOnly: true}}",
        "volumeMounts: [{name: v, mountPath: /data, subPath: a/b}]",
    );
    let world = sound(&(text + &files));
    let mounts = &only(&world).confinement.mounts;
    let mount = mounts.last().unwrap();
    assert_eq!(mount.host_path().unwrap().as_str(), "/srv/a/b");
    assert_eq!(mount.read_only.value, Some(true));
}

#[test]
fn the_claims_of_a_stateful_set_are_met_by_volumes_kept_for_its_replicas() {
    let set = |claim_ref: &str| {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: web, namespace: n}}\nspec:\n  volumeClaimTemplates:\n  - metadata: {{name: data}}\n    spec: {{storageClassName: s}}\n  template:\n    spec:\n      containers: [{{name: c, image: i, volumeMounts: [{{name: data, mountPath: /d}}]}}]\n---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: pv}}\nspec: {{claimRef: {{namespace: n, name: {claim_ref}}}, hostPath: {{path: /var/lib/kubelet}}}}\n"
        )
    };
    let source = |text: &str| only(&sound(text)).confinement.mounts.last().unwrap().source.value.clone();
    assert_eq!(source(&set("data-web-1")), Some(MountSource::Host(HostPath::new("/var/lib/kubelet"))));
    assert_eq!(
        source(&set("data-other-1")),
        Some(MountSource::Volume("m.yaml#StatefulSet/n/web/data".into()))
    );
}

#[test]
fn a_block_volume_of_the_node_is_a_device() {
    let text = pod(CLAIMANT, "volumeDevices: [{name: v, devicePath: /dev/x}]")
        + &claim("{volumeName: pv, volumeMode: Block}")
        + &volume("{volumeMode: Block, local: {path: /dev/sdb}}");
    let world = sound(&text);
    let nodes = &only(&world).confinement.devices.nodes;
    assert_eq!(nodes[0].get().map(|node| node.host.as_str().to_owned()), Some("/dev/sdb".into()));
}

#[test]
fn a_claim_in_another_file_is_found_and_two_pods_of_it_share_it() {
    let a = pod(CLAIMANT, MOUNTS_IT);
    let b = a.replace("name: p\n", "name: q\n");
    let world = world_in(&[("a.yaml", &a), ("b.yaml", &b)], &Context::assumed());
    assert_eq!(world.subjects[0].confinement.mounts.last(), world.subjects[1].confinement.mounts.last());
    let volumes = claim("{volumeName: pv}") + &volume("{hostPath: {path: /etc}}");
    let world = world_in(&[("a.yaml", &a), ("v.yaml", &volumes)], &Context::assumed());
    let mount = only(&world).confinement.mounts.last().unwrap();
    assert_eq!(mount.host_path().map(HostPath::as_str), Some("/etc"));
    assert_eq!(mount.origin().place().map(|place| &*place.path), Some("v.yaml"));
}

fn account_of(text: &str) -> ServiceAccount {
    let world = sound(text);
    world.subjects[0].confinement.service_account.clone().expect("a pod has a service account")
}

#[test]
fn the_token_is_mounted_unless_the_pod_or_the_account_says_no() {
    let token = |spec: &str, beside: &str| account_of(&(pod(spec, "") + beside)).token_mounted.value;
    let account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bot}\nautomountServiceAccountToken: false\n";
    assert_eq!(token("", ""), Some(true));
    assert_eq!(token("automountServiceAccountToken: false", ""), Some(false));
    assert_eq!(token("serviceAccountName: bot", account), Some(false));
    assert_eq!(token("serviceAccount: bot", account), Some(false));
    assert_eq!(token("serviceAccountName: bot\nautomountServiceAccountToken: true", account), Some(true));
    assert_eq!(token("serviceAccountName: other", account), Some(true));
}

#[test]
fn a_projected_token_for_the_api_server_is_a_token_and_for_another_audience_is_none() {
    let token = |audience: &str| {
        let spec = format!(
            "automountServiceAccountToken: false\nvolumes:\n- name: t\n  projected: {{sources: [{{serviceAccountToken: {{path: t{audience}}}}}]}}"
        );
        account_of(&pod(&spec, "volumeMounts: [{name: t, mountPath: /t}]")).token_mounted.value
    };
    assert_eq!(token(""), Some(true));
    assert_eq!(token(", audience: vault"), Some(false));
    assert_eq!(token(", audience: 'https://kubernetes.default.svc'"), Some(true));
}

#[test]
fn a_mount_over_the_tokens_path_keeps_the_token_out_and_ephemeral_containers_get_none() {
    let over = pod(
        "volumes: [{name: none, emptyDir: {}}]",
        "volumeMounts: [{name: none, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]",
    );
    assert_eq!(account_of(&over).token_mounted.value, Some(false));
    let world = sound(&pod("ephemeralContainers: [{name: e, image: i}]", ""));
    let token =
        |name: &str| subject(&world, name).confinement.service_account.clone().unwrap().token_mounted.value;
    assert_eq!((token("/c"), token("/e")), (Some(true), Some(false)));
}

const BOT: &str = "serviceAccountName: bot";

fn rbac(kind: &str, body: &str) -> String {
    format!("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n{body}\n")
}

fn grants(beside: &str) -> Fact<Arc<[Fact<Grant>]>> {
    account_of(&(pod(BOT, "") + beside)).grants
}

/// The truth of "may do this", over a list in which a grant may be unknown.
fn may(grants: &Fact<Arc<[Fact<Grant>]>>, verb: &str, resource: &str) -> Truth {
    let Some(list) = grants.get() else { return Truth::Unknown };
    list.iter().fold(Truth::False, |truth, grant| truth.or(grant.is(|grant| grant.allows(verb, resource))))
}

#[test]
fn grants_come_from_bindings_that_name_the_account_in_any_way() {
    let role = rbac(
        "ClusterRole",
        "metadata: {name: maker}\nrules: [{apiGroups: [''], resources: [pods], verbs: [create]}]",
    );
    let bound = |kind: &str, subjects: &str| {
        rbac(
            kind,
            &format!(
                "metadata: {{name: b, namespace: default}}\nroleRef: {{kind: ClusterRole, name: maker}}\nsubjects: [{subjects}]"
            ),
        ) + &role
    };
    for (subjects, expected) in [
        ("{kind: ServiceAccount, name: bot, namespace: default}", Truth::True),
        ("{kind: User, name: 'system:serviceaccount:default:bot'}", Truth::True),
        ("{kind: Group, name: 'system:serviceaccounts'}", Truth::True),
        ("{kind: Group, name: 'system:serviceaccounts:default'}", Truth::True),
        ("{kind: Group, name: 'system:authenticated'}", Truth::True),
        ("{kind: Group, name: 'system:serviceaccounts:other'}", Truth::Unknown),
        ("{kind: ServiceAccount, name: bot, namespace: other}", Truth::Unknown),
        ("{kind: ServiceAccount, name: default, namespace: default}", Truth::Unknown),
        ("{kind: User, name: alice}", Truth::Unknown),
    ] {
        let grants = grants(&bound("ClusterRoleBinding", subjects));
        assert_eq!(may(&grants, "create", "pods"), expected, "{subjects}");
    }
    let own = grants(&bound("RoleBinding", "{kind: ServiceAccount, name: bot}"));
    assert_eq!(may(&own, "create", "pods"), Truth::True);
    assert_eq!(may(&own, "get", "secrets"), Truth::False, "a binding that names it makes its grants known");
    let list = own.get().unwrap();
    assert_eq!(list[0].get().unwrap().namespace.as_deref(), Some("default"));
}

#[test]
fn no_binding_in_view_leaves_grants_unknown() {
    assert!(!grants("").is_known());
}

#[test]
fn a_role_is_looked_up_in_the_bindings_namespace() {
    let binding = rbac(
        "RoleBinding",
        "metadata: {name: b, namespace: default}\nroleRef: {kind: Role, name: r}\nsubjects: [{kind: ServiceAccount, name: bot, namespace: default}]",
    );
    let role = |namespace: &str| {
        rbac(
            "Role",
            &format!(
                "metadata: {{name: r, namespace: {namespace}}}\nrules: [{{apiGroups: [''], resources: [secrets], verbs: ['*']}}]"
            ),
        )
    };
    assert_eq!(may(&grants(&(binding.clone() + &role("default"))), "list", "secrets"), Truth::True);
    let missing = grants(&(binding + &role("other")));
    assert_eq!(may(&missing, "list", "secrets"), Truth::Unknown, "a role that is not in view may grant it");
}

#[test]
fn built_in_roles_need_not_be_given() {
    let bound = |role: &str| {
        grants(&rbac(
            "ClusterRoleBinding",
            &format!(
                "metadata: {{name: b}}\nroleRef: {{kind: ClusterRole, name: '{role}'}}\nsubjects: [{{kind: ServiceAccount, name: bot, namespace: default}}]"
            ),
        ))
    };
    assert_eq!(may(&bound("cluster-admin"), "create", "pods/exec"), Truth::True);
    assert_eq!(may(&bound("edit"), "get", "secrets"), Truth::True);
    assert_eq!(may(&bound("edit"), "create", "rolebindings"), Truth::False);
    assert_eq!(may(&bound("admin"), "create", "rolebindings"), Truth::True);
    assert_eq!(may(&bound("view"), "get", "secrets"), Truth::False);
    assert_eq!(may(&bound("view"), "get", "pods/log"), Truth::True);
    assert_eq!(may(&bound("system:nobody-knows"), "get", "pods"), Truth::Unknown);
}

#[test]
fn an_aggregated_role_has_the_rules_of_those_it_selects_and_ends_on_a_circle() {
    let binding = rbac(
        "ClusterRoleBinding",
        "metadata: {name: b}\nroleRef: {kind: ClusterRole, name: all}\nsubjects: [{kind: ServiceAccount, name: bot, namespace: default}]",
    );
    let all = rbac(
        "ClusterRole",
        "metadata: {name: all, labels: {part: 'yes'}}\naggregationRule: {clusterRoleSelectors: [{matchLabels: {part: 'yes'}}]}\nrules: [{apiGroups: [''], resources: [nodes], verbs: [get]}]",
    );
    let part = rbac(
        "ClusterRole",
        "metadata: {name: part, labels: {part: 'yes'}}\nrules: [{apiGroups: [''], resources: [pods], verbs: [delete]}]",
    );
    let grants = grants(&(binding + &all + &part));
    assert_eq!(may(&grants, "delete", "pods"), Truth::True);
    assert_eq!(may(&grants, "get", "nodes"), Truth::False, "the controller overwrites the role's own rules");
}

#[test]
fn limits_sysctls_ports_and_graphics_processors_are_read() {
    let c = confined(
        "securityContext: {sysctls: [{name: net.core.somaxconn, value: '1024'}]}",
        "resources: {limits: {memory: 64Mi, cpu: 250m, nvidia.com/gpu: 1}}\nports: [{containerPort: 80, hostPort: 8080}, {containerPort: 81, hostPort: 0}]\nsecurityContext: {readOnlyRootFilesystem: true}",
    );
    assert_eq!(c.limits.memory.value, Some(Some(64 << 20)));
    assert_eq!(c.limits.cpu.value, Some(Some(250)));
    assert_eq!(&*c.sysctls[0].0, "net.core.somaxconn");
    assert_eq!(c.network.published.len(), 1);
    assert_eq!(c.read_only_rootfs.value, Some(true));
    assert_eq!(confined("", "").limits.memory.value, Some(None));
}

#[test]
fn an_engine_named_by_the_environment_is_a_control_api_unless_it_is_the_pods_own() {
    let apis = |spec: &str, env: &str| confined(spec, &format!("env: [{env}]")).control_apis.len();
    assert_eq!(apis("", "{name: DOCKER_HOST, value: 'tcp://10.0.0.5:2375'}"), 1);
    assert_eq!(apis("", "{name: DOCKER_HOST, value: 'tcp://localhost:2375'}"), 0);
    assert_eq!(apis("hostNetwork: true", "{name: DOCKER_HOST, value: 'tcp://localhost:2375'}"), 1);
    assert_eq!(apis("", "{name: DOCKER_HOST, value: 'unix:///var/run/docker.sock'}"), 0);
    assert_eq!(apis("", "{name: OTHER, value: '${NOT_OURS}'}"), 0);
}

#[test]
fn a_value_of_the_wrong_type_is_a_problem_and_the_fact_is_unknown() {
    let cases = [
        ("", "securityContext: {privileged: 'true'}"),
        ("", "securityContext: {privileged: 1}"),
        ("", "securityContext: {runAsUser: root}"),
        ("", "securityContext: [privileged]"),
        ("", "securityContext: {capabilities: {add: SYS_ADMIN}}"),
        ("", "securityContext: {seccompProfile: {type: runtime/default}}"),
        ("", "securityContext: {seccompProfile: {localhostProfile: x}}"),
        ("", "volumeMounts: [{name: nowhere, mountPath: /x}]"),
        ("", "volumeMounts: [{name: nowhere}]"),
        ("", "resources: {limits: {memory: lots}}"),
        ("hostPID: 'true'", ""),
        ("volumes: {v: {}}", ""),
        ("volumes: [{name: v, hostPath: /etc}]", ""),
        ("initContainers: [text]", ""),
    ];
    for (spec, container) in cases {
        let world = world(&pod(spec, container));
        assert_eq!(world.problems.len(), 1, "{spec} {container}: {:?}", world.problems);
        assert!(world.problems[0].line.is_some() && world.problems[0].column.is_some());
        assert_eq!(world.subjects.len(), 1, "the rest is still read");
    }
    let privileged = world(&pod("", "securityContext: {privileged: 'true'}"));
    assert_eq!(only(&privileged).confinement.privileged.value, None);
    let pid = world(&pod("hostPID: 'true'", ""));
    assert_eq!(only(&pid).confinement.namespaces.pid.value, None);
}

#[test]
fn a_document_that_was_not_rendered_is_one_problem_and_hides_nothing() {
    for value in ["'{{ .Values.image }}'", "${IMAGE}", "'<no value>'", "registry/{{ image }}:1"] {
        let text =
            pod("", "securityContext: {privileged: true}").replace("image: i", &format!("image: {value}"));
        let world = world(&text);
        assert_eq!(world.problems.len(), 1, "{value}");
        assert!(world.problems[0].message.contains("not rendered"), "{}", world.problems[0]);
        assert_eq!(world.problems[0].line, Some(8));
        assert_eq!(only(&world).confinement.privileged.value, Some(true));
    }
    let twice = world(&pod("hostPID: ${A}\nhostIPC: ${B}", "securityContext: {runAsUser: '{{ user }}'}"));
    assert_eq!(twice.problems.len(), 1);
    assert_eq!(only(&twice).confinement.namespaces.pid.value, None);
}

#[test]
fn a_windows_pod_is_a_note_and_no_subject() {
    for spec in ["os: {name: windows}", "nodeSelector: {kubernetes.io/os: windows}"] {
        let world = sound(&pod(spec, ""));
        assert!(world.subjects.is_empty());
        assert_eq!(world.notes.len(), 1);
    }
    assert_eq!(sound(&pod("os: {name: linux}", "")).subjects.len(), 1);
}

#[test]
fn a_windows_pod_that_is_a_process_of_the_host_is_said_to_be_one() {
    let world = sound(&pod("os: {name: windows}", "securityContext: {windowsOptions: {hostProcess: true}}"));
    assert!(world.notes[0].message.contains("hostProcess"), "{}", world.notes[0]);
}

#[test]
fn a_patch_without_containers_is_a_note() {
    let world = sound("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 3}");
    assert!(world.subjects.is_empty());
    assert_eq!(world.notes.len(), 1);
}

#[test]
fn the_declaration_holds_what_standards_look_at() {
    let world = sound(&pod(
        "hostNetwork: false\nsecurityContext: {sysctls: [{name: a, value: b}], windowsOptions: {hostProcess: true}}\nvolumes: [{name: h, hostPath: {path: /x}}]",
        "ports: [{hostPort: 0}]\nlivenessProbe: {httpGet: {host: h1, port: 1}}\nlifecycle: {preStop: {tcpSocket: {host: h2, port: 1}}}\nsecurityContext: {capabilities: {add: [A], drop: [B]}, procMount: Default, seLinuxOptions: {user: u, role: r, type: t}}",
    ));
    let pod = only(&world).pod.clone().unwrap();
    assert_eq!(pod.host_network.as_ref().and_then(|f| f.value), Some(false));
    assert_eq!(pod.sysctls[0].get().map(|s| &**s), Some("a"));
    assert_eq!(pod.security.windows_host_process.as_ref().and_then(|f| f.value), Some(true));
    assert_eq!(pod.volumes[0].source.get().cloned().flatten().as_deref(), Some("hostPath"));
    let container = &pod.containers[0];
    assert_eq!(container.host_ports[0].value, Some(0));
    let hosts: Vec<&str> = container.probe_hosts.iter().map(|(route, _)| &**route).collect();
    assert_eq!(hosts, ["livenessProbe.httpGet.host", "lifecycle.preStop.tcpSocket.host"]);
    assert_eq!(container.security.capabilities_add.len(), 1);
    assert!(container.security.selinux.is_some());
    assert_eq!(&*pod.namespace, "default");
}

#[test]
fn aliases_that_stand_for_too_much_are_one_problem_and_bounded() {
    let mut text =
        String::from("apiVersion: v1\nkind: List\nx: &c {name: c, image: i}\ny: &s {containers: [");
    text += &"*c, ".repeat(500);
    text += "]}\nz: &p {kind: Pod, metadata: {name: p}, spec: *s}\nitems: [";
    text += &"*p, ".repeat(500);
    text += "]\n";
    let world = world(&text);
    assert_eq!(world.problems.len(), 1, "{:?}", world.problems);
    assert!(world.problems[0].message.contains("aliases"));
    assert!(world.subjects.len() <= 10_000, "{}", world.subjects.len());
}

#[test]
fn a_list_of_many_pods_is_read_whole() {
    let mut text = String::from("apiVersion: v1\nkind: List\nitems:\n");
    for n in 0..12_000 {
        text += &format!("- {{kind: Pod, metadata: {{name: p{n}}}, spec: {{containers: [{{name: c}}]}}}}\n");
    }
    assert_eq!(sound(&text).subjects.len(), 12_000);
}

#[test]
fn bindings_and_roles_that_multiply_end_in_an_unknown_grant() {
    let mut text = pod(BOT, "");
    for n in 0..300 {
        text += &rbac(
            "ClusterRole",
            &format!(
                "metadata: {{name: r{n}, labels: {{a: b}}}}\naggregationRule: {{clusterRoleSelectors: [{{}}]}}"
            ),
        );
        text += &rbac(
            "ClusterRole",
            &format!(
                "metadata: {{name: s{n}, labels: {{a: b}}}}\nrules: [{{apiGroups: [''], resources: [pods], verbs: [get]}}]"
            ),
        );
        text += &rbac(
            "ClusterRoleBinding",
            &format!(
                "metadata: {{name: b}}\nroleRef: {{kind: ClusterRole, name: r{n}}}\nsubjects: [{{kind: ServiceAccount, name: bot, namespace: default}}]"
            ),
        );
    }
    let grants = account_of(&text).grants;
    assert_eq!((may(&grants, "get", "pods"), may(&grants, "get", "secrets")), (Truth::True, Truth::Unknown));
}

/// What the audit must tell apart stands on these facts.
#[test]
fn the_facts_that_verdicts_rest_on_are_read() {
    use Capability as C;
    let add = |name: &str| format!("securityContext: {{capabilities: {{add: [{name}]}}}}");
    let has = |c: &Confinement, cap: C| c.capabilities.effective.is(|set| set.has(cap)).is_true();
    let own_pid = |c: &Confinement| c.namespaces.pid.value == Some(Namespace::Own);

    let c = confined("hostUsers: false", &add("SYS_ADMIN"));
    assert!(has(&c, C::SYS_ADMIN) && c.user_namespace.initial.value == Some(false));
    let c = confined("", &add("SYS_PTRACE"));
    assert!(has(&c, C::SYS_PTRACE) && own_pid(&c));
    let c = confined("", &add("CAP_NET_ADMIN"));
    assert!(has(&c, C::NET_ADMIN) && c.namespaces.net.value == Some(Namespace::Own));
    let c = confined("", &add("mknod"));
    assert!(has(&c, C::MKNOD) && c.devices.asked.is_empty());
    let c = confined("hostPID: true", &add("SYS_PTRACE"));
    assert!(has(&c, C::SYS_PTRACE) && !own_pid(&c) && c.seccomp.value == Some(Seccomp::Disabled));

    let mounted = |path: &str, container: &str| {
        let spec = format!("volumes: [{{name: v, hostPath: {{path: {path}}}}}]");
        let c = confined(&spec, &format!("volumeMounts: [{{name: v, mountPath: /m}}]\n{container}"));
        let mount = c.mounts.last().unwrap();
        assert_eq!(mount.read_only.value, Some(false));
        assert_eq!(mount.host_path().map(HostPath::as_str), Some(path));
        c
    };
    assert!(has(&mounted("/data/app", &add("DAC_READ_SEARCH")), C::DAC_READ_SEARCH));
    mounted("/var/lib/kubelet", "");
    mounted("/opt/cni/bin", "");
    let c = mounted("/proc/sys/kernel", "securityContext: {runAsUser: 0, capabilities: {drop: [ALL]}}");
    assert_eq!(c.capabilities.bounding.value, Some(CapabilitySet::EMPTY));
    assert_eq!(c.identity.root.value, Some(true));
}

#[test]
fn an_annotation_of_the_pod_is_noted_once_for_all_its_containers() {
    let text = pod("initContainers: [{name: i, image: i}]", "").replace(
        "  name: p\n",
        "  name: p\n  annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined}\n",
    );
    assert_eq!(sound(&text).notes.len(), 1);
}

fn corpus(folder: &str) -> Option<Vec<PathBuf>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora");
    let root = std::env::var("STOCKADE_CORPORA").unwrap_or_else(|_| beside.to_owned());
    let Ok(entries) = std::fs::read_dir(PathBuf::from(&root).join(folder)) else {
        eprintln!("skipped: no corpora at {root}");
        return None;
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    Some(files)
}

#[test]
fn every_manifest_of_the_corpus_is_read_and_every_error_has_a_place() {
    let Some(files) = corpus("kubernetes") else { return };
    let context = Context::assumed();
    let mut objects = Objects::default();
    let mut broken = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).expect("the corpus can be read");
        let path: Arc<str> = file.file_name().unwrap_or_default().to_string_lossy().into();
        for document in parse_bytes(&bytes, &path, &Limits::default()) {
            match document {
                Ok(document) => objects.merge(Objects::read(&document)),
                Err(error) => broken.push(error.to_string()),
            }
        }
    }
    let world = objects.into_world(&context);
    assert!(world.problems.iter().all(|problem| problem.line.is_some()));
    assert!(world.subjects.len() > 100, "{} subjects", world.subjects.len());
    let mut ids: Vec<&str> = world.subjects.iter().map(|s| &*s.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), world.subjects.len(), "identifiers are unique");
    eprintln!("{} files, {} subjects, {} broken documents", files.len(), world.subjects.len(), broken.len());
    for problem in world.problems.iter().map(ToString::to_string).chain(broken) {
        eprintln!("problem: {problem}");
    }
    for note in &world.notes {
        eprintln!("note: {note}");
    }
}
