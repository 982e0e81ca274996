//! What mounts show, in CEL: the paths of the host that make a condition true, as regular expressions.
//!
//! Which paths these are is asked of the condition itself: of each path that the tables of objects and devices name, of
//! each folder above it and of what lies below, mounted writable, read-only, and read-only all the way down. In CEL a path
//! is normalised as far as CEL can; the links that every host has are in the expressions.

use std::collections::{BTreeMap, BTreeSet};

use confinement::{Confinement, Fact, HostPath, Mount, MountSource, Origin, Propagation, Truth};
use techniques::condition::{Condition, Filter, KERNEL_INTERFACES, MASKABLE};
use techniques::objects;
use techniques::objects::SEPARATE_MOUNTS;

use super::field::{camel, user};
use super::text::{all, any, escape, not, pattern};

/// What a mount may show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    /// For the name of its variable.
    name: String,
    /// Over a mount `m` of a container `c`.
    of_mount: String,
    /// What else makes it true of a container.
    besides: Vec<String>,
    /// What must be so of the container beside it.
    and: String,
}

impl Shown {
    pub(super) fn variable(&self) -> String {
        self.name.clone()
    }

    /// The names of the containers that it is true of.
    pub(super) fn containers(&self) -> String {
        if self.besides.is_empty() && self.and == "true" {
            return format!(
                "variables.hostMounts.filter(h, h.mounts.exists(m,\n{}\n)).map(h, h.name)",
                self.of_mount
            );
        }
        let mounted = format!(
            "variables.hostMounts.exists(h, h.name == c.name && h.mounts.exists(m, {}))",
            self.of_mount
        );
        let mut parts = vec![mounted];
        parts.extend(self.besides.iter().cloned());
        let holds = all(vec![self.and.clone(), any(parts)]);
        format!("variables.containers.filter(c, {holds}).map(c, c.name)")
    }
}

/// The variables that the others are made of: the volumes that are folders of the host, and who mounts them where.
pub(super) fn variables() -> [(&'static str, String); 2] {
    let path = "variables.hostPaths.filter(v, v.name == m.name)[0].hostPath.path + '/' + \
                m.?subPath.orValue(m.?subPathExpr.orValue(''))";
    let mut normalised = format!("['/' + ({path}).split('/').filter(s, s != '' && s != '.').join('/')]");
    let mut step = |when: &str, then: &str| {
        normalised.push_str(&format!("\n      .map(p, p.matches({}) ? {then} : p)", pattern(when)));
    };
    for _ in 0..LINKS_FOLLOWED {
        step(
            ROOT_LINK,
            "p.substring(p.startsWith('/proc/self') ? 15 : p.startsWith('/proc/1/root') ? 12 : 11)",
        );
    }
    // Whoever writes more of them has something to hide.
    step(ROOT_LINK, "'/'");
    step("^/var/run(/|$)", "p.substring(4)");
    step("^/var/lock(/|$)", "'/run' + p.substring(4)");
    step("^/(bin|sbin|lib|lib64)(/|$)", "'/usr' + p");
    step("^/dev/fd(/|$)", "'/proc/self' + p.substring(4)");
    normalised.push_str("[0]");
    [
        (
            "hostPaths",
            // A claim template wins over a volume of its name.
            "variables.spec.?volumes.orValue([]).filter(v, has(v.hostPath) && !(object.kind == 'StatefulSet' && \
             dyn(object).spec.?volumeClaimTemplates.orValue([]).exists(t, t.metadata.name == v.name)))"
                .to_owned(),
        ),
        (
            "hostMounts",
            format!(
                "variables.containers.map(c, {{\n  'name': dyn(c.name),\n  'mounts': \
                 dyn(c.?volumeMounts.orValue([]).filter(m, variables.hostPaths.exists(v, v.name == m.name))\
                 .map(m, {{\n    'path': dyn({normalised}),\n    'target': dyn(m.mountPath),\n    'readOnly': \
                 dyn(m.?readOnly.orValue(false)),\n    'recursive': dyn(m.?recursiveReadOnly.orValue('') in \
                 ['Enabled', 'IfPossible']),\n    'shared': dyn(m.?mountPropagation.orValue('') == \
                 'Bidirectional')\n  }}))\n}})"
            ),
        ),
    ]
}

/// Asks conditions about mounts.
pub(super) struct Probe<'a> {
    /// A container that asks for nothing.
    pub(super) base: &'a Confinement,
    /// Whether an answer counts.
    pub(super) counts: fn(Truth) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Writable,
    ReadOnly,
    ReadOnlyBelow,
}

const ACCESS: [Access; 3] = [Access::Writable, Access::ReadOnly, Access::ReadOnlyBelow];

impl Access {
    fn expression(self) -> &'static str {
        match self {
            Access::Writable => "!m.readOnly",
            Access::ReadOnly => "m.readOnly && !m.recursive",
            Access::ReadOnlyBelow => "m.readOnly && m.recursive",
        }
    }
}

/// A folder that no table names, several levels deep: a pattern of one level does not stand for it.
const ELSEWHERE: &str = "not-known/not-known/not-known/not-known";
/// A place in the container that nothing of its own lies at.
const TARGET: &str = "/not-known";

impl Probe<'_> {
    fn asks(&self, condition: &Condition, source: &str, target: &str, access: Access) -> bool {
        let mut mount =
            Mount::bind(HostPath::new(source), target, access != Access::Writable, Origin::Nowhere);
        mount.recursive_read_only = Fact::known(access == Access::ReadOnlyBelow, Origin::Nowhere);
        self.asks_of(condition, mount)
    }

    fn asks_of(&self, condition: &Condition, mount: Mount) -> bool {
        let mut confinement = self.base.clone();
        confinement.mounts.push(mount);
        (self.counts)(condition.check(&confinement, &Filter::unasked(), &mut ()))
    }

    /// A condition that hangs on the path and on how it is mounted.
    pub(super) fn by_path(&self, condition: &Condition, name: &str) -> Shown {
        let nodes = Nodes::all();
        let mut parts: Vec<(Access, String)> = Vec::new();
        for access in ACCESS {
            let found = nodes.find(|path| self.asks(condition, path, TARGET, access));
            if let Some(expression) = found.expression("m.path") {
                parts.push((access, expression));
            }
        }
        shown(name, by_access(parts))
    }

    /// A kernel interface or another file of /proc or /sys: where it is seen decides too, as masks and read-only paths are
    /// laid over what is mounted at the places of the container's own.
    pub(super) fn by_file(&self, condition: &Condition, file: &str, name: &str) -> Shown {
        let covers: Vec<&str> = [&self.base.readonly_paths, &self.base.masked_paths]
            .iter()
            .filter_map(|list| list.get())
            .flat_map(|list| list.iter().map(|path| &**path))
            .collect();
        let mut parts = Vec::new();
        for access in ACCESS {
            // By the places at which they are covered.
            let mut sources: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for source in prefixes(file) {
                if self.asks(condition, source, TARGET, access) {
                    let covered = self.covered(condition, source, file, &covers, access);
                    sources.entry(covered).or_default().push(source);
                }
            }
            for (covered, sources) in sources {
                let paths = Nodes::of(sources.iter().copied()).find(|path| sources.contains(&path));
                let Some(expression) = paths.expression("m.path") else { continue };
                parts.push((access, all(vec![expression, covered])));
            }
        }
        shown(name, by_access(parts))
    }

    /// That a mount's place in the container is none at which the file is covered.
    fn covered(
        &self,
        condition: &Condition,
        source: &str,
        file: &str,
        covers: &[&str],
        access: Access,
    ) -> String {
        let rest = file.strip_prefix(source.trim_end_matches('/')).unwrap_or(file);
        let mut places: BTreeSet<String> = BTreeSet::new();
        let mut ask = |target: &str, pattern: String| {
            if !self.asks(condition, source, target, access) {
                places.insert(pattern);
            }
        };
        for cover in covers {
            ask(cover, format!("{}(/.*)?", escape(cover)));
            for part in prefixes(rest) {
                if let Some(target) = cover.strip_suffix(part).filter(|_| part != "/") {
                    ask(if target.is_empty() { "/" } else { target }, escape(target));
                }
            }
        }
        if places.is_empty() {
            return "true".to_owned();
        }
        let places: Vec<String> = places.into_iter().collect();
        not(&format!("m.target.matches({})", pattern(&format!("^({})/*$", places.join("|")))))
    }

    /// A mount whose propagation is shared with the host.
    pub(super) fn propagation(&self, condition: &Condition) -> Shown {
        let mut mount = Mount::bind(HostPath::new("/srv"), TARGET, false, Origin::Nowhere);
        mount.propagation = Fact::known(Propagation::Shared, Origin::Nowhere);
        let counts = self.asks_of(condition, mount);
        shown("sharedPropagation", if counts { "m.shared".to_owned() } else { "false".to_owned() })
    }

    /// A file system of the host, which a volume is as well that outlives the container or that others have too.
    pub(super) fn backed(&self, condition: &Condition) -> Shown {
        let mut shown = self.by_path(condition, "hostFiles");
        let volume = MountSource::Volume("not-known".into());
        let mount = |read_only| Mount::from_source(volume.clone(), TARGET, read_only, Origin::Nowhere);
        let asks = [self.asks_of(condition, mount(false)), self.asks_of(condition, mount(true))];
        let access = match asks {
            [true, true] => "true",
            [true, false] => {
                "!m.?readOnly.orValue(false) && !v.?persistentVolumeClaim.?readOnly.orValue(false)"
            }
            _ => return shown,
        };
        let kept = "has(v.persistentVolumeClaim) || v.?ephemeral.?volumeClaimTemplate.hasValue()";
        let shared = "v.all(k, k == 'name' || k == 'emptyDir') && variables.containers.exists(o, o.name != c.name && \
                      o.?volumeMounts.orValue([]).exists(x, x.name == v.name))";
        let volumes = format!(
            "variables.spec.?volumes.orValue([]).exists(v, v.name == m.name && {access} && \
                               ({kept} || ({shared})))"
        );
        let template = "object.kind == 'StatefulSet' && !m.?readOnly.orValue(false) && \
                        dyn(object).spec.?volumeClaimTemplates.orValue([]).exists(t, t.metadata.name == m.name)";
        shown.besides.push(format!("c.?volumeMounts.orValue([]).exists(m, {volumes} || ({template}))"));
        shown
    }

    /// The host's root, /proc or /sys at a place that AppArmor's rules do not name.
    pub(super) fn elsewhere() -> Shown {
        shown(
            "kernelFilesElsewhere",
            "m.path.matches('^(/?|/(proc|sys)(/.*)?)$') && !m.target.matches('^/(proc|sys)(/|$)')".to_owned(),
        )
    }

    /// Objects that belong to whoever the container runs as, where that is not root.
    pub(super) fn owned(&self, condition: &Condition, class: &str, not_root: &Confinement) -> Shown {
        let with = |uid: u32| {
            let mut base = not_root.clone();
            base.identity.uid = Fact::known(uid, Origin::Nowhere);
            base
        };
        let nodes = Nodes::all();
        // Of a person who is not the one whose folder it is: what the host alone knows.
        let (stranger, owner) = (with(1234), with(LOGGED_IN));
        let asks = |base: &Confinement, path: &str| {
            Probe { base, counts: self.counts }.asks(condition, path, TARGET, Access::Writable)
        };
        let theirs = nodes.find(|path| asks(&stranger, path)).expression("m.path");
        let own = nodes.find(|path| asks(&owner, path) && !asks(&stranger, path)).expression("m.path");
        let user = user();
        let mut parts = Vec::new();
        if let Some(theirs) = theirs {
            parts.push(all(vec![
                theirs,
                any(vec![format!("{user} == -1"), format!("({user} >= 1000 && {user} <= 60000)")]),
            ]));
        }
        if let Some(own) = own {
            // The folder is named after its owner.
            let same = format!("m.path.contains('/run/user/' + string({user}) + '/')");
            let same = format!("{same} || m.path.endsWith('/run/user/' + string({user}))");
            let unknown = if (self.counts)(Truth::Unknown) {
                format!("({user} == -1 && m.path.matches('^/run/user/[0-9]+(/|$)'))")
            } else {
                "false".to_owned()
            };
            parts.push(all(vec![own, any(vec![same, unknown])]));
        }
        let mut found = shown(&format!("owns{}", camel(class)), any(parts));
        found.and = format!("{user} != 0");
        found
    }
}

/// An id that the probe of an owner runs under.
const LOGGED_IN: u32 = 1000;

fn shown(name: &str, of_mount: String) -> Shown {
    Shown { name: name.to_owned(), of_mount, besides: Vec::new(), and: "true".to_owned() }
}

/// What is alike for all three is said once.
fn by_access(parts: Vec<(Access, String)>) -> String {
    let mut said: Vec<(Vec<Access>, String)> = Vec::new();
    for (access, expression) in parts {
        match said.iter_mut().find(|(_, e)| *e == expression) {
            Some((with, _)) => with.push(access),
            None => said.push((vec![access], expression)),
        }
    }
    let part = |(with, expression): (Vec<Access>, String)| {
        let access: Vec<String> = match with.as_slice() {
            [Access::Writable, Access::ReadOnly, Access::ReadOnlyBelow] => vec!["true".to_owned()],
            [Access::Writable, Access::ReadOnly] => vec!["!(m.readOnly && m.recursive)".to_owned()],
            _ => with.iter().map(|access| access.expression().to_owned()).collect(),
        };
        all(vec![any(access), expression])
    };
    any(said.into_iter().map(part).collect())
}

impl Shown {
    pub(super) fn is_never(&self) -> bool {
        self.of_mount == "false" && self.besides.iter().all(|part| part == "false")
    }
}

/// The root, each folder on the way, and the path.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let folders = path.match_indices('/').filter(|(at, _)| *at > 0).filter_map(|(at, _)| path.get(..at));
    std::iter::once("/").chain(folders).chain((path != "/").then_some(path))
}

/// A way to the host's root through a process (`confinement::HostPath`), and how many in a row are followed.
const ROOT_LINK: &str = "^/proc/(1/(root|cwd)|self/root)(/|$)";
const LINKS_FOLLOWED: usize = 3;

/// Paths that the tables name, as a tree.
#[derive(Debug, Default)]
struct Nodes {
    children: BTreeMap<String, Nodes>,
    /// Of this path, and of what lies below it that is not in the tree.
    here: bool,
    below: bool,
}

impl Nodes {
    fn of<'p>(paths: impl Iterator<Item = &'p str>) -> Nodes {
        let mut root = Nodes::default();
        for path in paths {
            let mut node = &mut root;
            for name in path.split('/').filter(|name| !name.is_empty()) {
                node = node.children.entry(name.to_owned()).or_default();
            }
        }
        root
    }

    /// Of every table.
    fn all() -> Nodes {
        let classes = objects::object_classes().flat_map(|(_, class)| {
            [&class.object, &class.tree, &class.named, &class.except].into_iter().flatten()
        });
        let devices =
            objects::device_classes().flat_map(|(_, class)| class.paths.iter().chain(&class.except));
        let files = KERNEL_INTERFACES.iter().chain(MASKABLE).map(|(_, path)| *path);
        Nodes::of(
            classes.chain(devices).map(String::as_str).chain(files).chain(SEPARATE_MOUNTS.iter().copied()),
        )
    }

    /// Asks of each path, and of something below it that no table names.
    fn find(&self, mut asks: impl FnMut(&str) -> bool) -> Nodes {
        self.find_below("", &mut asks)
    }

    fn find_below(&self, path: &str, asks: &mut dyn FnMut(&str) -> bool) -> Nodes {
        let here = asks(if path.is_empty() { "/" } else { path });
        let below = asks(&format!("{path}/{ELSEWHERE}"));
        let children = self.children.iter().map(|(name, node)| {
            let sample = match (path, name.as_str()) {
                ("/run/user", "*") => LOGGED_IN.to_string(),
                _ => name.replace('*', "x"),
            };
            (name.clone(), node.find_below(&format!("{path}/{sample}"), asks))
        });
        Nodes { children: children.collect(), here, below }
    }

    /// Whether a text is one of the paths for which the answer was yes; `None` where it is of none.
    fn expression(&self, text: &str) -> Option<String> {
        let found = format!("{text}.matches({})", pattern(&self.pattern()?));
        // What is said no to below a folder whose unknown rest is said yes to.
        let mut lost = Nodes::default();
        self.exceptions(false, &mut lost);
        Some(match lost.pattern() {
            Some(lost) => all(vec![found, not(&format!("{text}.matches({})", pattern(&lost)))]),
            None => found,
        })
    }

    fn exceptions(&self, covered: bool, lost: &mut Nodes) {
        lost.here = covered && !self.here;
        lost.below = covered && !self.below;
        for (name, node) in &self.children {
            let mut of_child = Nodes::default();
            node.exceptions(self.below || (covered && !lost.below), &mut of_child);
            if of_child.is_something() {
                lost.children.insert(name.clone(), of_child);
            }
        }
    }

    fn is_something(&self) -> bool {
        self.here || self.below || self.children.values().any(Nodes::is_something)
    }

    /// The whole expression, the root included.
    fn pattern(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        if self.here {
            parts.push("/?".to_owned());
        }
        if self.below {
            parts.push("/.+".to_owned());
        } else {
            parts.extend(self.alternatives());
        }
        (!parts.is_empty()).then(|| format!("^({})$", parts.join("|")))
    }

    /// What follows a folder.
    fn alternatives(&self) -> Vec<String> {
        let parts = self.children.iter();
        parts.filter_map(|(name, node)| Some(format!("/{}{}", component(name), node.rest()?))).collect()
    }

    /// What may follow a node's own name; `None` where nothing of it is meant.
    fn rest(&self) -> Option<String> {
        if self.below {
            return Some(if self.here { "(/.*)?" } else { "/.*" }.to_owned());
        }
        let parts = self.alternatives();
        match (self.here, parts.len()) {
            (true, 0) => Some(String::new()),
            (false, 0) => None,
            (true, _) => Some(format!("({})?", parts.join("|"))),
            (false, 1) => parts.into_iter().next(),
            (false, _) => Some(format!("({})", parts.join("|"))),
        }
    }
}

/// One name of a path; the first `*` stands for the rest of it.
fn component(name: &str) -> String {
    match name.split_once('*') {
        Some(("", "")) => "[^/]+".to_owned(),
        Some((start, end)) => format!("{}[^/]*{}", escape(start), escape(end)),
        None => escape(name),
    }
}
