//! Service accounts and what they may do: Roles, ClusterRoles and the bindings that name an account.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use confinement::{Fact, Grant, Origin};

use crate::document::Node;

use super::builtin_roles::{self, BuiltinRule};
use super::field::{Reader, present};
use super::pod::{DEFAULT_NAMESPACE, identity};
use super::selector::{Labels, Selector, object_labels};

#[derive(Debug)]
pub(super) struct Account {
    pub(super) path: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) automount: Option<Fact<bool>>,
}

#[derive(Debug)]
pub(super) struct Role {
    path: Arc<str>,
    /// `None` for a ClusterRole.
    namespace: Option<Arc<str>>,
    name: Arc<str>,
    labels: Labels,
    rules: Vec<Fact<Rule>>,
    /// `aggregationRule`: the controller fills this ClusterRole with the rules of those that one selector matches.
    aggregates: Option<Vec<Selector>>,
}

#[derive(Debug, Clone)]
struct Rule {
    verbs: Arc<[Arc<str>]>,
    api_groups: Arc<[Arc<str>]>,
    resources: Arc<[Arc<str>]>,
    resource_names: Arc<[Arc<str>]>,
}

#[derive(Debug)]
pub(super) struct Binding {
    path: Arc<str>,
    /// `None` for a ClusterRoleBinding: what it grants holds in every namespace.
    namespace: Option<Arc<str>>,
    to_cluster_role: bool,
    role: Fact<Arc<str>>,
    members: Vec<Member>,
}

/// Whom a binding names, as far as it can be a service account.
#[derive(Debug)]
enum Member {
    Account {
        namespace: Arc<str>,
        name: Arc<str>,
    },
    /// `system:serviceaccounts:NAMESPACE`.
    AccountsOf(Arc<str>),
    /// `system:serviceaccounts` or `system:authenticated`.
    AllAccounts,
}

pub(super) fn account(node: &Node, reader: &mut Reader) -> Option<Account> {
    let (name, namespace) = identity(node, reader);
    Some(Account {
        path: reader.path().clone(),
        namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
        name,
        automount: reader.boolean(node, "automountServiceAccountToken"),
    })
}

pub(super) fn role(node: &Node, kind: &str, reader: &mut Reader) -> Option<Role> {
    let (name, namespace) = identity(node, reader);
    let aggregates = reader.mapping(node, "aggregationRule").map(|rule| {
        let selectors = reader.mappings(&rule, "clusterRoleSelectors");
        selectors.iter().map(|selector| Selector::read(selector, reader)).collect()
    });
    let rules = reader
        .mappings(node, "rules")
        .iter()
        .map(|rule| {
            let mut list = |key: &str| -> Option<Arc<[Arc<str>]>> {
                reader.strings(rule, key).into_iter().map(|fact| fact.value).collect()
            };
            let value = (|| {
                Some(Rule {
                    verbs: list("verbs")?,
                    api_groups: list("apiGroups")?,
                    resources: list("resources")?,
                    resource_names: list("resourceNames")?,
                })
            })();
            Fact { value, origin: rule.origin() }
        })
        // A rule of `nonResourceURLs` grants nothing over objects.
        .filter(|rule| rule.get().is_none_or(|rule| !rule.resources.is_empty()))
        .collect();
    Some(Role {
        path: reader.path().clone(),
        namespace: (kind == "Role").then(|| namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into())),
        name,
        labels: object_labels(node, reader),
        rules,
        aggregates,
    })
}

pub(super) fn binding(node: &Node, kind: &str, reader: &mut Reader) -> Option<Binding> {
    let (_, namespace) = identity(node, reader);
    let namespace = (kind == "RoleBinding").then(|| namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()));
    let reference = reader.mapping(node, "roleRef")?;
    let role = reader.string(&reference, "name")?;
    let role_kind = reader.string(&reference, "kind").and_then(|kind| kind.value);
    let members = reader
        .mappings(node, "subjects")
        .iter()
        .filter_map(|subject| member(subject, namespace.as_ref(), reader))
        .collect();
    Some(Binding {
        path: reader.path().clone(),
        // A ClusterRoleBinding can refer to nothing else.
        to_cluster_role: namespace.is_none() || role_kind.as_deref() != Some("Role"),
        namespace,
        role,
        members,
    })
}

/// A service account is also the user `system:serviceaccount:NAMESPACE:NAME`, and a member of the groups
/// `system:serviceaccounts`, `system:serviceaccounts:NAMESPACE` and `system:authenticated`
/// (apiserver pkg/authentication/serviceaccount/util.go).
fn member(subject: &Node, binding_namespace: Option<&Arc<str>>, reader: &mut Reader) -> Option<Member> {
    let kind = present(subject, "kind")?;
    let name = reader.string(subject, "name")?.value?;
    match kind.as_str()? {
        "ServiceAccount" => {
            let written = reader.string(subject, "namespace").and_then(|namespace| namespace.value);
            let namespace = written.or_else(|| binding_namespace.cloned());
            Some(Member::Account { namespace: namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.into()), name })
        }
        "User" => {
            let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
            Some(Member::Account { namespace: namespace.into(), name: name.into() })
        }
        "Group" => match &*name {
            "system:serviceaccounts" | "system:authenticated" => Some(Member::AllAccounts),
            other => Some(Member::AccountsOf(other.strip_prefix("system:serviceaccounts:")?.into())),
        },
        _ => None,
    }
}

/// What every service account of one run may do, looked up once each.
pub(super) struct Grants<'a> {
    roles: HashMap<(Option<&'a str>, &'a str), Vec<&'a Role>>,
    cluster_roles: Vec<&'a Role>,
    by_account: HashMap<(&'a str, &'a str), Vec<&'a Binding>>,
    by_namespace: HashMap<&'a str, Vec<&'a Binding>>,
    everyone: Vec<&'a Binding>,
    known: HashMap<(Arc<str>, Arc<str>), Granted>,
    /// Grants and roles that may still be looked at in this run.
    budget: usize,
}

/// One account's list is cut here, with an unknown grant for the rest. A cluster's administrator needs one.
const MOST_GRANTS: usize = 4_000;
/// Bindings, roles and rules multiply; what a run looks at together is bounded.
const MOST_LOOKS: usize = 20_000_000;

type Granted = Fact<Arc<[Fact<Grant>]>>;

impl<'a> Grants<'a> {
    pub(super) fn new(roles: &'a [Role], bindings: &'a [Binding]) -> Grants<'a> {
        let mut grants = Grants {
            roles: HashMap::new(),
            cluster_roles: roles.iter().filter(|role| role.namespace.is_none()).collect(),
            by_account: HashMap::new(),
            by_namespace: HashMap::new(),
            everyone: Vec::new(),
            known: HashMap::new(),
            budget: MOST_LOOKS,
        };
        for role in roles {
            grants.roles.entry((role.namespace.as_deref(), &role.name)).or_default().push(role);
        }
        for binding in bindings {
            for member in &binding.members {
                match member {
                    Member::Account { namespace, name } => {
                        grants.by_account.entry((namespace, name)).or_default().push(binding);
                    }
                    Member::AccountsOf(namespace) => {
                        grants.by_namespace.entry(namespace).or_default().push(binding);
                    }
                    Member::AllAccounts => grants.everyone.push(binding),
                }
            }
        }
        grants
    }

    /// What an account may do. Unknown where no binding in view speaks of it: bindings live in other files, and their absence
    /// from this run says nothing. Within a known list, an unknown grant stands for what is bound but not in view.
    pub(super) fn of(&mut self, namespace: &Arc<str>, name: &Arc<str>) -> Granted {
        let key = (namespace.clone(), name.clone());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let own = self.by_account.get(&(&**namespace, &**name)).cloned().unwrap_or_default();
        let group = self.by_namespace.get(&**namespace).cloned().unwrap_or_default();
        let bindings: Vec<&Binding> = own.iter().chain(&group).chain(&self.everyone).copied().collect();
        let mut granted = Vec::new();
        for binding in &bindings {
            self.of_binding(binding, &mut granted);
            if granted.len() > MOST_GRANTS || self.budget == 0 {
                granted.truncate(MOST_GRANTS);
                granted.push(Fact::unknown(binding.role.origin.clone()));
                break;
            }
        }
        let result = match bindings.first() {
            None => Fact::unknown(Origin::Nowhere),
            Some(first) => {
                if own.is_empty() {
                    // Only its groups are spoken of; its own bindings are not in view.
                    granted.push(Fact::unknown(Origin::Nowhere));
                }
                Fact::known(granted.into(), first.role.origin.clone())
            }
        };
        self.known.insert(key, result.clone());
        result
    }

    fn of_binding(&mut self, binding: &Binding, granted: &mut Vec<Fact<Grant>>) {
        let Some(name) = binding.role.get() else {
            granted.push(Fact::unknown(binding.role.origin.clone()));
            return;
        };
        let namespace = if binding.to_cluster_role { None } else { binding.namespace.as_deref() };
        // Two objects of one name: the one in the binding's own file, else the last, as if they were applied in order.
        let role = self.roles.get(&(namespace, &**name)).and_then(|roles| {
            roles.iter().find(|role| role.path == binding.path).or_else(|| roles.last()).copied()
        });
        let mut found = Found { granted, binding, seen: HashSet::new() };
        if let Some(role) = role {
            self.rules_of(role, &mut found);
            return;
        }
        let builtin = if binding.to_cluster_role { builtin_roles::rules(name) } else { None };
        let Some(builtin) = builtin else {
            found.granted.push(Fact::unknown(binding.role.origin.clone()));
            return;
        };
        for rule in builtin {
            found.take(&Fact::known(rule_of_builtin(rule), binding.role.origin.clone()));
        }
        // The built-in roles for users take up every ClusterRole that is labelled for them.
        for label in builtin_roles::aggregated_labels(name) {
            self.aggregated(&mut found, |labels| {
                labels.iter().any(|(key, value)| &**key == *label && &**value == "true")
            });
        }
    }

    /// The rules of a role, those it aggregates included; a role met again adds nothing.
    fn rules_of(&mut self, role: &'a Role, found: &mut Found) {
        if !found.seen.insert(std::ptr::from_ref(role)) {
            return;
        }
        // The controller overwrites the rules of a role that aggregates.
        match &role.aggregates {
            None => role.rules.iter().for_each(|rule| found.take(rule)),
            Some(selectors) => {
                self.aggregated(found, |labels| selectors.iter().any(|selector| selector.matches(labels)))
            }
        }
    }

    fn aggregated(&mut self, found: &mut Found, selects: impl Fn(&Labels) -> bool) {
        for at in 0..self.cluster_roles.len() {
            self.budget = self.budget.saturating_sub(1);
            if self.budget == 0 || found.granted.len() > MOST_GRANTS {
                return;
            }
            match self.cluster_roles.get(at) {
                Some(role) if selects(&role.labels) => self.rules_of(role, found),
                _ => {}
            }
        }
    }
}

/// What one binding has been found to grant so far.
struct Found<'f> {
    granted: &'f mut Vec<Fact<Grant>>,
    binding: &'f Binding,
    seen: HashSet<*const Role>,
}

impl Found<'_> {
    fn take(&mut self, rule: &Fact<Rule>) {
        if self.granted.len() <= MOST_GRANTS {
            self.granted.push(rule.map(|rule| Grant {
                namespace: self.binding.namespace.clone(),
                verbs: rule.verbs.clone(),
                api_groups: rule.api_groups.clone(),
                resources: rule.resources.clone(),
                resource_names: rule.resource_names.clone(),
            }));
        }
    }
}

fn rule_of_builtin(rule: &BuiltinRule) -> Rule {
    let list = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect::<Arc<[_]>>();
    Rule {
        verbs: list(rule.verbs),
        api_groups: list(rule.api_groups),
        resources: list(rule.resources),
        resource_names: Arc::from([]),
    }
}
