//! Manifests of the project's own, byte by byte.

use confinement::{Capability, CapabilitySet, NamespaceKind, Subject};
use techniques::remedy::{LimitKind, Remedy};

use super::{all_remedies, check, read, some_remedies, write};

/// The text after these remedies of these containers, which all must be possible.
fn hardened(name: &str, text: &str, wanted: &[(&str, Vec<Remedy>)]) -> String {
    let of = |subject: &Subject| {
        let found = wanted.iter().find(|(container, _)| subject.name.ends_with(&format!("/{container}")));
        found.map(|(_, list)| list.clone()).unwrap_or_default()
    };
    let done = check(name, text, &of);
    assert!(done.refusals.is_empty(), "{:?}\n{text}", done.refusals);
    done.after
}

/// Why the remedies of the first container cannot be written.
fn refusal(text: &str, remedies: &[Remedy]) -> String {
    let world = read("pod.yaml", text);
    let subject = world.subjects.first().unwrap_or_else(|| panic!("{:?}", world.problems));
    let (after, refusals) = write(text, &[(subject, remedies)]);
    assert_eq!(after, text, "a refused text is left as it is");
    refusals.first().map(ToString::to_string).unwrap_or_default()
}

/// A pod around what is given for its specification.
fn pod(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n{spec}")
}

fn spec_after(spec: &str, wanted: &[(&str, Vec<Remedy>)]) -> String {
    let after = hardened("pod.yaml", &pod(spec), wanted);
    after.strip_prefix(&pod("")).unwrap_or(&after).to_owned()
}

#[test]
fn privileged_is_switched_off_in_its_place() {
    let spec = "  containers:\n    - name: a # the one\n      image: x\n      securityContext: # why\n        privileged: true  # needed once\n";
    let after = spec.replace("privileged: true", "privileged: false");
    assert_eq!(spec_after(spec, &[("a", vec![Remedy::DropPrivileged])]), after);
}

#[test]
fn capabilities_go_from_add_and_come_to_drop() {
    let remedies =
        || vec![Remedy::DropCapability(Capability::SYS_ADMIN), Remedy::DropCapability(Capability::NET_RAW)];
    assert_eq!(
        spec_after(
            "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: # more\n        - SYS_ADMIN # mounts\n        - NET_ADMIN\n",
            &[("a", remedies())]
        ),
        "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: # more\n        # mounts\n        - NET_ADMIN\n        drop:\n        - NET_RAW\n"
    );
    assert_eq!(
        spec_after(
            "  containers:\n  - name: a\n    securityContext: {capabilities: {add: [SYS_ADMIN], drop: [KILL]}}\n",
            &[("a", remedies())]
        ),
        "  containers:\n  - name: a\n    securityContext: {capabilities: {drop: [KILL, NET_RAW]}}\n"
    );
    assert_eq!(
        spec_after(
            "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: [\"ALL\"]\n        drop:\n          - KILL\n",
            &[("a", vec![Remedy::RemoveAllCapabilities])]
        ),
        "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        drop:\n          - KILL\n"
    );
    assert_eq!(
        spec_after(
            "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: [\"ALL\"]\n",
            &[(
                "a",
                vec![Remedy::KeepCapabilities(CapabilitySet::of(&[Capability::CHOWN, Capability::BPF]))]
            )]
        ),
        "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: [CHOWN, BPF]\n        drop:\n        - ALL\n"
    );
}

#[test]
fn the_user_is_set_where_it_counts() {
    let remedies = || vec![Remedy::RunAsNonRoot];
    // A pod of one container says it for that one.
    assert_eq!(
        spec_after(
            "  securityContext:\n    runAsUser: 0 # root\n    runAsNonRoot: false\n  containers:\n  - name: a\n    image: x",
            &[("a", remedies())]
        ),
        "  securityContext:\n    runAsUser: 65532 # root\n    runAsNonRoot: true\n  containers:\n  - name: a\n    image: x\n    securityContext:\n      runAsGroup: 65532"
    );
    // The neighbour stays root.
    assert_eq!(
        spec_after(
            "  securityContext:\n    runAsUser: 0\n  containers:\n  - name: a\n    image: x\n  - name: b\n    image: y\n",
            &[("a", remedies())]
        ),
        "  securityContext:\n    runAsUser: 0\n  containers:\n  - name: a\n    image: x\n    securityContext:\n      runAsNonRoot: true\n      runAsUser: 65532\n      runAsGroup: 65532\n  - name: b\n    image: y\n"
    );
}

#[test]
fn the_pods_profile_is_changed_where_all_who_heed_it_want_that() {
    let spec = "  securityContext:\n    seccompProfile:\n      type: Localhost # ours\n      localhostProfile: x.json # this\n  initContainers:\n  - name: a\n  containers:\n  - name: b\n  - name: c\n    securityContext:\n      seccompProfile: {type: Unconfined}\n";
    let remedies = || vec![Remedy::SeccompDefault];
    assert_eq!(
        spec_after(spec, &[("a", remedies()), ("b", remedies()), ("c", remedies())]),
        spec.replace("Localhost #", "RuntimeDefault #")
            .replace("localhostProfile: x.json # this", "# this")
            .replace("Unconfined", "RuntimeDefault")
    );
    assert_eq!(
        spec_after(spec, &[("a", remedies())]),
        spec.replace(
            "  - name: a\n",
            "  - name: a\n    securityContext:\n      seccompProfile:\n        type: RuntimeDefault\n"
        )
    );
}

#[test]
fn a_volume_goes_with_its_last_mount() {
    let spec = "  volumes:\n  # the engine's\n  - name: sock\n    hostPath: # of the node\n      path: /var/run/docker.sock\n  - {name: etc, hostPath: {path: /etc}}\n  containers:\n  - name: a\n    volumeMounts:\n    - name: sock # here\n      mountPath: /sock\n    - name: etc\n      mountPath: /etc/host\n  - name: b\n    volumeMounts: [{name: sock, mountPath: /s}]\n";
    let (of_a, of_b) =
        (|| vec![Remedy::RemoveMount("/sock".into())], || vec![Remedy::RemoveMount("/s".into())]);
    assert_eq!(
        spec_after(spec, &[("a", of_a())]),
        spec.replace("    - name: sock # here\n      mountPath: /sock\n", "    # here\n")
    );
    let after = spec
        .replace("    - name: sock # here\n      mountPath: /sock\n", "    # here\n")
        .replace("\n    volumeMounts: [{name: sock, mountPath: /s}]", "")
        .replace(
            "  - name: sock\n    hostPath: # of the node\n      path: /var/run/docker.sock\n",
            "  # of the node\n",
        );
    assert_eq!(spec_after(spec, &[("a", of_a()), ("b", of_b())]), after);
}

#[test]
fn a_mount_is_made_read_only_and_private_where_it_is_written() {
    let spec = "  containers:\n  - name: a\n    volumeMounts:\n    - mountPath: /h\n      name: h\n      mountPropagation: Bidirectional # !\n    - {mountPath: /i, name: h, readOnly: false}\n  volumes:\n  - name: h\n    hostPath:\n      path: /";
    let remedies = vec![
        Remedy::ReadOnlyMount("/h".into()),
        Remedy::PrivatePropagation("/h".into()),
        Remedy::ReadOnlyMount("/i".into()),
    ];
    let after = spec
        .replace("Bidirectional # !\n", "None # !\n      readOnly: true\n")
        .replace("readOnly: false", "readOnly: true");
    assert_eq!(spec_after(spec, &[("a", remedies)]), after);
}

#[test]
fn what_a_pod_says_is_said_once_for_all_its_containers() {
    let text = "apiVersion: batch/v1\r\nkind: CronJob\r\nmetadata: {name: j}\r\nspec:\r\n  schedule: '* * * * *'\r\n  jobTemplate:\r\n    spec:\r\n      template:\r\n        spec:\r\n          hostPID: true # see\r\n          hostNetwork: yes\r\n          shareProcessNamespace: false\r\n          containers:\r\n            - name: a\r\n              image: x # c\r\n            - name: b";
    let remedies = || {
        vec![
            Remedy::PrivateNamespace(NamespaceKind::Pid),
            Remedy::PrivateNamespace(NamespaceKind::Net),
            Remedy::UserNamespace,
            Remedy::NoServiceAccountToken,
        ]
    };
    let after =
        text.replace("hostPID: true", "hostPID: false").replace("hostNetwork: yes", "hostNetwork: false")
            + "\r\n          hostUsers: false\r\n          automountServiceAccountToken: false";
    assert_eq!(hardened("job.yaml", text, &[("a", remedies()), ("b", remedies())]), after);
}

#[test]
fn writable_paths_get_volumes_of_their_own_in_every_container() {
    let text = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: s\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        volumeMounts:\n        - {name: tmp, mountPath: /tmp}\n      - name: b\n      volumes: # all\n      - name: b-run\n        emptyDir: {}\n  volumeClaimTemplates:\n  - metadata: {name: tmp}\n";
    let remedies = || vec![Remedy::ReadOnlyRootfs];
    let after = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: s\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        volumeMounts:\n        - {name: tmp, mountPath: /tmp}\n        - name: a-run\n          mountPath: /run\n        securityContext:\n          readOnlyRootFilesystem: true\n      - name: b\n        securityContext:\n          readOnlyRootFilesystem: true\n        volumeMounts:\n        - name: b-tmp\n          mountPath: /tmp\n        - name: b-run-2\n          mountPath: /run\n      volumes: # all\n      - name: b-run\n        emptyDir: {}\n      - name: a-run\n        emptyDir: {}\n      - name: b-tmp\n        emptyDir: {}\n      - name: b-run-2\n        emptyDir: {}\n  volumeClaimTemplates:\n  - metadata: {name: tmp}\n";
    assert_eq!(hardened("set.yaml", text, &[("a", remedies()), ("b", remedies())]), after);
}

#[test]
fn a_limit_is_not_below_what_is_requested() {
    let spec = "  containers:\n  - name: a\n    resources:\n      requests:\n        memory: 3Gi\n        cpu: 100m # little\n";
    let remedies = vec![Remedy::Limit(LimitKind::Memory), Remedy::Limit(LimitKind::Cpu)];
    assert_eq!(
        spec_after(spec, &[("a", remedies)]),
        format!("{spec}      limits:\n        memory: 3Gi\n        cpu: \"2\"\n")
    );
}

#[test]
fn the_annotations_of_older_clusters_are_changed_with_the_fields() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    container.apparmor.security.beta.kubernetes.io/a: unconfined # off\n    container.seccomp.security.alpha.kubernetes.io/a: 'unconfined'\nspec:\n  containers:\n  - name: a\n";
    let after =
        text.replace(": unconfined #", ": runtime/default #").replace("'unconfined'", "'runtime/default'")
            + "    securityContext:\n      seccompProfile:\n        type: RuntimeDefault\n";
    assert_eq!(hardened("pod.yaml", text, &[("a", vec![Remedy::SeccompDefault, Remedy::LsmDefault])]), after);
}

#[test]
fn sysctls_domains_masks_and_engine_variables_go() {
    let spec = "  securityContext:\n    sysctls:\n    - name: kernel.msgmax # host's\n      value: \"1\"\n    seLinuxOptions:\n      type: spc_t\n  hostNetwork: true\n  containers:\n  - name: a\n    env:\n    - name: DOCKER_HOST # engine\n      value: tcp://127.0.0.1:2375\n    - name: B\n      value: c\n    securityContext:\n      procMount: Unmasked\n      appArmorProfile:\n        type: Unconfined\n";
    let remedies = vec![
        Remedy::RemoveSysctl("kernel.msgmax".into()),
        Remedy::LsmDefault,
        Remedy::DefaultPaths,
        Remedy::RemoveControlApi,
    ];
    assert_eq!(
        spec_after(spec, &[("a", remedies)]),
        "  # host's\n  hostNetwork: true\n  containers:\n  - name: a\n    env:\n    # engine\n    - name: B\n      value: c\n    securityContext:\n      procMount: Default\n      appArmorProfile:\n        type: RuntimeDefault\n"
    );
}

const SEVERAL: &str = "# first\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: one, namespace: n}\n  spec: {hostIPC: true, containers: [{name: a, securityContext: {privileged: true}}]} # flow\n- apiVersion: v1\n  kind: Service\n---\n# second\napiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: two # c\nspec:\n  template:\n    spec:\n      containers:\n        -\n          name: b # dash alone\n          securityContext:\n            privileged: true\n            # a comment at the end\n      # another\n---\n{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"three\"}, \"spec\": {\"containers\": [{\"name\": \"c\"}]}}\n";

#[test]
fn many_objects_in_one_file_are_hardened_together_and_once() {
    for text in [SEVERAL.to_owned(), SEVERAL.replace('\n', "\r\n"), SEVERAL.trim_end().to_owned()] {
        for choose in [all_remedies, some_remedies] {
            let done = check("several.yaml", &text, &choose);
            assert!(done.refusals.is_empty(), "{:?}", done.refusals);
            assert_ne!(done.after, text);
            assert_eq!(check("several.yaml", &done.after, &choose).after, done.after);
            assert_eq!(text.ends_with('\n'), done.after.ends_with('\n'));
        }
    }
}

#[test]
fn json_of_a_cluster_keeps_its_indentation() {
    let text = "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {\n            \"apiVersion\": \"v1\",\n            \"kind\": \"Pod\",\n            \"metadata\": {\n                \"name\": \"p\"\n            },\n            \"spec\": {\n                \"containers\": [\n                    {\n                        \"name\": \"a\",\n                        \"resources\": {},\n                        \"securityContext\": {\n                            \"privileged\": true\n                        }\n                    }\n                ],\n                \"hostPID\": true\n            }\n        }\n    ],\n    \"kind\": \"List\"\n}\n";
    let remedies = vec![
        Remedy::DropPrivileged,
        Remedy::PrivateNamespace(NamespaceKind::Pid),
        Remedy::NoServiceAccountToken,
        Remedy::Limit(LimitKind::Memory),
    ];
    let after = text
        .replace("\"privileged\": true", "\"privileged\": false")
        .replace("\"hostPID\": true", "\"hostPID\": false,\n                \"automountServiceAccountToken\": false")
        .replace(
            "\"resources\": {}",
            "\"resources\": {\n                            \"limits\": {\n                                \"memory\": \"1Gi\"\n                            }\n                        }",
        );
    assert_eq!(hardened("list.json", text, &[("a", remedies)]), after);
    for choose in [all_remedies, some_remedies] {
        let done = check("list.json", text, &choose);
        assert!(done.refusals.is_empty());
        serde_json::from_str::<serde_json::Value>(&done.after).unwrap();
        assert_eq!(check("list.json", &done.after, &choose).after, done.after);
    }
}

#[test]
fn what_others_use_too_is_not_changed_under_their_feet() {
    let shared = pod(
        "  containers:\n  - name: a\n    securityContext: &s\n      privileged: true\n  - name: b\n    securityContext: *s\n",
    );
    assert!(refusal(&shared, &[Remedy::DropPrivileged]).contains("also used at line 11"));
    let alias = pod("  initContainers:\n  - name: a\n    securityContext: *s\n")
        .replace("metadata:", "x: &s {privileged: true}\nmetadata:");
    assert!(refusal(&alias, &[Remedy::DropPrivileged]).contains("alias"));
    let merged = pod("  containers:\n  - <<: *s\n    name: a\n")
        .replace("metadata:", "x: &s {securityContext: {privileged: true}}\nmetadata:");
    assert!(refusal(&merged, &[Remedy::DropPrivileged]).contains("merge key"));
    let whole = pod(
        "  containers:\n  - &c\n    name: a\n    securityContext:\n      privileged: true\n  initContainers:\n  - *c\n",
    );
    assert!(refusal(&whole, &[Remedy::DropPrivileged]).contains("by an alias"));
}

#[test]
fn what_the_api_server_would_refuse_is_refused_with_the_reason() {
    let spec = pod(
        "  hostNetwork: true\n  containers:\n  - name: a\n    securityContext:\n      privileged: true\n",
    );
    assert!(refusal(&spec, &[Remedy::UserNamespace]).contains("`hostNetwork: true`"));
    assert!(refusal(&spec, &[Remedy::NoNewPrivileges]).contains("privileged"));
    let admin = pod(
        "  containers:\n  - name: a\n    securityContext:\n      capabilities:\n        add: [SYS_ADMIN]\n",
    );
    assert!(refusal(&admin, &[Remedy::NoNewPrivileges]).contains("CAP_SYS_ADMIN"));
    let token = pod(
        "  containers:\n  - name: a\n    volumeMounts:\n    - name: t\n      mountPath: /t\n  volumes:\n  - name: t\n    projected:\n      sources:\n      - serviceAccountToken:\n          path: token\n",
    );
    assert!(refusal(&token, &[Remedy::NoServiceAccountToken]).contains("projected volume"));
    assert!(refusal(&token, &[Remedy::RemoveMount("/elsewhere".into())]).contains("/elsewhere"));
    let request = pod("  containers:\n  - name: a\n    resources: {requests: {memory: lots}}\n");
    assert!(refusal(&request, &[Remedy::Limit(LimitKind::Memory)]).contains("no quantity"));
}
