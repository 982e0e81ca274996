//! ClusterRoles that every cluster has and no file brings along.
//!
//! Source: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy (policy.go, testdata/cluster-roles.yaml). Of
//! the roles for users the rules that reach beyond reading of harmless objects are kept together with the reading of
//! secrets; rules on status subresources are left out.

/// One rule of a built-in role.
pub(super) struct BuiltinRule {
    pub(super) api_groups: &'static [&'static str],
    pub(super) resources: &'static [&'static str],
    pub(super) verbs: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["*"];
const CREATE: &[&str] = &["create"];

const fn rule(
    api_groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> BuiltinRule {
    BuiltinRule { api_groups, resources, verbs }
}

const CLUSTER_ADMIN: &[BuiltinRule] = &[rule(ALL, ALL, ALL)];

const VIEW: &[BuiltinRule] = &[
    rule(
        &[""],
        &[
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "pods",
            "pods/log",
            "replicationcontrollers",
            "serviceaccounts",
            "services",
            "events",
            "limitranges",
            "namespaces",
            "resourcequotas",
        ],
        READ,
    ),
    rule(
        &["apps", "extensions", "batch"],
        &[
            "controllerrevisions",
            "daemonsets",
            "deployments",
            "replicasets",
            "statefulsets",
            "cronjobs",
            "jobs",
        ],
        READ,
    ),
    rule(
        &["autoscaling", "policy", "networking.k8s.io", "discovery.k8s.io"],
        &[
            "horizontalpodautoscalers",
            "poddisruptionbudgets",
            "ingresses",
            "networkpolicies",
            "endpointslices",
        ],
        READ,
    ),
];

/// Above what [`VIEW`] grants.
const EDIT: &[BuiltinRule] = &[
    rule(
        &[""],
        &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"],
        READ,
    ),
    rule(&[""], &["serviceaccounts"], &["impersonate"]),
    rule(&[""], &["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"], WRITE),
    rule(&[""], &["pods/eviction", "serviceaccounts/token"], CREATE),
    rule(
        &[""],
        &[
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
        WRITE,
    ),
    rule(
        &["apps", "extensions"],
        &[
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
        WRITE,
    ),
    rule(&["batch"], &["cronjobs", "jobs"], WRITE),
    rule(
        &["autoscaling", "policy", "networking.k8s.io", "extensions"],
        &["horizontalpodautoscalers", "poddisruptionbudgets", "ingresses", "networkpolicies"],
        WRITE,
    ),
    rule(
        &["coordination.k8s.io"],
        &["leases"],
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    ),
];

/// Above what [`EDIT`] grants.
const ADMIN: &[BuiltinRule] = &[
    rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], CREATE),
    rule(
        &["rbac.authorization.k8s.io"],
        &["rolebindings", "roles"],
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    ),
];

const AUTH_DELEGATOR: &[BuiltinRule] = &[
    rule(&["authentication.k8s.io"], &["tokenreviews"], CREATE),
    rule(&["authorization.k8s.io"], &["subjectaccessreviews"], CREATE),
];

const BASIC_USER: &[BuiltinRule] = &[
    rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], CREATE),
    rule(&["authentication.k8s.io"], &["selfsubjectreviews"], CREATE),
];

const HEAPSTER: &[BuiltinRule] = &[
    rule(&[""], &["events", "namespaces", "nodes", "pods"], READ),
    rule(&["extensions"], &["deployments"], READ),
];

const KUBE_DNS: &[BuiltinRule] = &[rule(&[""], &["endpoints", "services"], &["list", "watch"])];

const NODE_PROXIER: &[BuiltinRule] = &[
    rule(&[""], &["endpoints", "services"], &["list", "watch"]),
    rule(&[""], &["nodes"], READ),
    rule(&["", "events.k8s.io"], &["events"], &["create", "patch", "update"]),
    rule(&["discovery.k8s.io"], &["endpointslices"], &["list", "watch"]),
];

const KUBELET_API_ADMIN: &[BuiltinRule] = &[
    rule(&[""], &["nodes"], &["get", "list", "watch", "proxy"]),
    rule(&[""], &["nodes/log", "nodes/metrics", "nodes/proxy", "nodes/stats"], ALL),
];

/// The rules of a built-in ClusterRole; `None` for a name that is none of those listed here.
pub(super) fn rules(name: &str) -> Option<Vec<&'static BuiltinRule>> {
    let parts: &[&'static [BuiltinRule]] = match name {
        "cluster-admin" => &[CLUSTER_ADMIN],
        "admin" => &[ADMIN, EDIT, VIEW],
        "edit" => &[EDIT, VIEW],
        "view" => &[VIEW],
        "system:auth-delegator" => &[AUTH_DELEGATOR],
        "system:basic-user" => &[BASIC_USER],
        "system:heapster" => &[HEAPSTER],
        "system:kube-dns" => &[KUBE_DNS],
        "system:node-proxier" => &[NODE_PROXIER],
        "system:kubelet-api-admin" => &[KUBELET_API_ADMIN],
        // Only paths of the API server itself.
        "system:discovery" | "system:public-info-viewer" | "system:monitoring" => &[],
        _ => return None,
    };
    Some(parts.iter().copied().flatten().collect())
}

/// The labels of ClusterRoles whose rules a built-in role takes up.
pub(super) fn aggregated_labels(name: &str) -> &'static [&'static str] {
    const TO_ADMIN: &str = "rbac.authorization.k8s.io/aggregate-to-admin";
    const TO_EDIT: &str = "rbac.authorization.k8s.io/aggregate-to-edit";
    const TO_VIEW: &str = "rbac.authorization.k8s.io/aggregate-to-view";
    match name {
        "admin" => &[TO_ADMIN, TO_EDIT, TO_VIEW],
        "edit" => &[TO_EDIT, TO_VIEW],
        "view" => &[TO_VIEW],
        _ => &[],
    }
}
