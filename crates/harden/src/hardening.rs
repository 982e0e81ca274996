//! A plan made into edits, and the edits proven: what they make is read again, each confinement is compared with the
//! one before, and the depth is solved anew. Edits of a subject that do not hold are taken back, and said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use confinement::{Form, PodDeclaration, Problem, Subject, World};
use sources::gather::Overlay;
use techniques::judge::Solver;
use techniques::plan::{self, Plan, Stands};
use techniques::remedy::{Remedy, apply_all};
use techniques::solver::Depth;
use techniques::technique::Catalogue;

use crate::draft::{Drafts, Edit, Edited, Refusal, Task, Texts};
use crate::{dockerfile, editor, kubernetes, verify};

/// What an edit came to for one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The edits that say the subject's remedies; some may serve other subjects too.
    pub edits: Vec<(Arc<str>, Edit)>,
    /// Why nothing is written for a subject that has a plan.
    pub refusal: Option<Problem>,
}

/// Everything that is to be written, checked.
#[derive(Clone, Debug)]
pub struct Hardening {
    /// One for each subject of the world.
    pub subjects: Vec<Written>,
    pub files: Vec<Edited>,
    /// What is read from the edited texts.
    pub after: World,
    /// How deep each subject of the world is then, solved anew, and the one that the shortest way leads through.
    pub stands: Vec<Stands>,
}

impl Hardening {
    /// Whether a file's change is for a person to take over: what builds an image has to be built and tried.
    pub fn is_suggestion(&self, world: &World, path: &str) -> bool {
        let mut here = world.subjects.iter().filter(|s| s.place.as_ref().is_some_and(|p| *p.path == *path));
        here.next().is_some_and(|s| s.form == Form::Dockerfile)
    }
}

/// Edits and checks until all that stands in the drafts holds. `reread` reads the same targets again with other
/// texts in some files.
///
/// With `beyond` a Dockerfile gets what good practice adds to the image itself: no set-user-ID programs.
pub fn harden(
    world: &World,
    plan: &Plan,
    texts: &dyn Texts,
    reread: &dyn Fn(Overlay) -> World,
    beyond: bool,
) -> Hardening {
    let remedies: Vec<Vec<Remedy>> = plan.subjects.iter().map(|planned| planned.remedies()).collect();
    let mut refused: BTreeMap<usize, Problem> = BTreeMap::new();
    // Each round refuses at least one subject more, or ends.
    loop {
        let (written, drafts) = edit_all(world, &remedies, &mut refused, texts, beyond);
        let files = match drafts.finish() {
            Ok(files) => files,
            Err(refusal) => {
                refuse_in(world, &written, &refusal.problem.path, &refusal.problem, &mut refused);
                continue;
            }
        };
        let after = if files.is_empty() {
            world.clone()
        } else {
            reread(files.iter().map(|file| (file.path.clone(), file.after.clone())).collect())
        };
        let wrong = check(world, plan, &remedies, &refused, &after, beyond);
        let fresh: Vec<(usize, Problem)> =
            wrong.into_iter().filter(|(i, _)| !refused.contains_key(i)).collect();
        if fresh.is_empty() {
            let subjects = written
                .into_iter()
                .enumerate()
                .map(|(i, edits)| Written { edits, refusal: refused.get(&i).cloned() })
                .collect();
            let stands = stands_of(world, &after);
            return Hardening { subjects, files, after, stands };
        }
        for (i, problem) in fresh {
            if remedies.get(i).is_some_and(|list| !list.is_empty()) {
                refused.insert(i, problem);
            } else {
                // Somebody else's edit changed it: nothing in that file can be trusted.
                let path = world.subjects.get(i).and_then(path_of).unwrap_or_default();
                refuse_in(world, &written, &path, &problem, &mut refused);
            }
        }
    }
}

type Edits = Vec<(Arc<str>, Edit)>;

fn edit_all<'t>(
    world: &World,
    remedies: &[Vec<Remedy>],
    refused: &mut BTreeMap<usize, Problem>,
    texts: &'t dyn Texts,
    beyond: bool,
) -> (Vec<Edits>, Drafts<'t>) {
    let mut drafts = Drafts::new(texts);
    let all: Vec<(&Subject, &[Remedy])> = world
        .subjects
        .iter()
        .zip(remedies)
        .enumerate()
        .filter(|(i, (_, list))| !list.is_empty() && !refused.contains_key(i))
        .map(|(_, (subject, list))| (subject, list.as_slice()))
        .collect();
    let mut written: Vec<Edits> = vec![Vec::new(); world.subjects.len()];
    for (i, (subject, list)) in world.subjects.iter().zip(remedies).enumerate() {
        let suggests = beyond && subject.form == Form::Dockerfile;
        if (list.is_empty() && !suggests) || refused.contains_key(&i) {
            continue;
        }
        let mark = drafts.mark();
        let mut edited = match list.as_slice() {
            [] => Ok(()),
            list => editor::edit(&Task { subject, remedies: list, all: &all }, &mut drafts),
        };
        if suggests && edited.is_ok() {
            edited = dockerfile::suggest(subject, &mut drafts).map(|_| ());
        }
        match edited {
            Ok(()) => {
                if let Some(edits) = written.get_mut(i) {
                    *edits = drafts.since(&mark);
                }
            }
            Err(Refusal { problem }) => {
                drafts.roll_back(&mark);
                refused.insert(i, problem);
            }
        }
    }
    (written, drafts)
}

/// How the subjects of a world stand in another one.
fn stands_of(world: &World, after: &World) -> Vec<Stands> {
    let here: HashMap<&str, usize> = world.subjects.iter().enumerate().map(|(i, s)| (&*s.id, i)).collect();
    let found: HashMap<&str, Stands> =
        after.subjects.iter().map(|s| &*s.id).zip(plan::stands(after)).collect();
    let gone = Stands { depth: Depth { min: 0, max: 0 }, through: None };
    let one = |subject: &Subject| {
        let stands = found.get(&*subject.id).copied().unwrap_or(gone);
        let through = stands.through.and_then(|i| after.subjects.get(i));
        Stands { through: through.and_then(|other| here.get(&*other.id).copied()), ..stands }
    };
    world.subjects.iter().map(one).collect()
}

fn path_of(subject: &Subject) -> Option<Arc<str>> {
    subject.place.as_ref().map(|place| place.path.clone())
}

/// Refuses every subject that edits a file; all of them where none does.
fn refuse_in(
    world: &World,
    written: &[Edits],
    path: &str,
    problem: &Problem,
    refused: &mut BTreeMap<usize, Problem>,
) {
    let edits_it = |edits: &Edits| edits.iter().any(|(p, _)| **p == *path);
    let some = written.iter().any(edits_it);
    for (i, edits) in written.iter().enumerate() {
        if !edits.is_empty() && (edits_it(edits) || !some) {
            let mut problem = problem.clone();
            if let Some(place) = world.subjects.get(i).and_then(|s| s.place.as_ref()) {
                problem = Problem::at(place, problem.message);
            }
            refused.insert(i, problem);
        }
    }
}

/// What is said for subjects in places that they share with others.
struct Shared<'a> {
    /// By engines, for their containers.
    engine: Vec<(&'a Subject, &'a Remedy)>,
    /// By pods, for their containers: by the address of the declaration, which the world keeps alive.
    pods: HashMap<*const PodDeclaration, Vec<&'a Remedy>>,
}

impl<'a> Shared<'a> {
    fn of(
        world: &'a World,
        plan: &'a Plan,
        remedies: &'a [Vec<Remedy>],
        refused: &BTreeMap<usize, Problem>,
    ) -> Shared<'a> {
        let mut pods: HashMap<*const PodDeclaration, Vec<&Remedy>> = HashMap::new();
        for (i, (subject, list)) in world.subjects.iter().zip(remedies).enumerate() {
            if let Some(pod) = subject.pod.as_ref().filter(|_| !refused.contains_key(&i)) {
                pods.entry(Arc::as_ptr(pod))
                    .or_default()
                    .extend(list.iter().filter(|remedy| kubernetes::is_of_pod(remedy)));
            }
        }
        Shared { engine: plan.engine_settings(world), pods }
    }

    fn reaching(&self, subject: &Subject) -> Vec<Remedy> {
        let engine = self.engine.iter().filter(|(e, remedy)| plan::is_reached(subject, e, remedy));
        let pod = subject.pod.as_ref().and_then(|pod| self.pods.get(&Arc::as_ptr(pod)));
        let pod = pod.into_iter().flatten().map(|remedy| (*remedy).clone());
        engine.map(|(_, remedy)| (*remedy).clone()).chain(pod).collect()
    }
}

/// What does not hold of the world that was read again, by subject.
fn check(
    world: &World,
    plan: &Plan,
    remedies: &[Vec<Remedy>],
    refused: &BTreeMap<usize, Problem>,
    after: &World,
    beyond: bool,
) -> Vec<(usize, Problem)> {
    let by_id: HashMap<&str, &Subject> = after.subjects.iter().map(|s| (&*s.id, s)).collect();
    let known: BTreeSet<&str> = world.problems.iter().map(|p| p.message.as_str()).collect();
    let leaves_network = remedies
        .iter()
        .flatten()
        .any(|r| matches!(r, Remedy::PrivateNamespace(confinement::NamespaceKind::Net) | Remedy::OwnNetwork));
    let shared = Shared::of(world, plan, remedies, refused);
    let mut solver = Solver::new(Catalogue::get());
    let mut wrong = Vec::new();
    for (i, subject) in world.subjects.iter().enumerate() {
        let list = match remedies.get(i) {
            Some(list) if !refused.contains_key(&i) => list.as_slice(),
            _ => &[],
        };
        let at = |message: String| match &subject.place {
            Some(place) => Problem::at(place, message),
            None => Problem::new(subject.id.clone(), message),
        };
        let Some(now) = by_id.get(&*subject.id) else {
            wrong.push((i, at("after the change it could not be found again; change it by hand".into())));
            continue;
        };
        let problem = path_of(subject).and_then(|path| {
            after.problems.iter().find(|p| p.path == path && !known.contains(p.message.as_str()))
        });
        if let Some(problem) = problem {
            let message =
                format!("the change would make the file wrong ({}); change it by hand", problem.message);
            wrong.push((i, at(message)));
            continue;
        }
        // What is said for the engine, or for the pod by another of its containers, reaches this subject too.
        let given = shared.reaching(subject);
        let planned: Vec<Remedy> = list.iter().chain(&given).cloned().collect();
        // What is changed about a service is changed for those that extend it, where they do not say otherwise.
        let below = plan::extended(subject, world).filter(|below| !refused.contains_key(below));
        let inherited = below.filter_map(|below| remedies.get(below)).flatten();
        let may: Vec<Remedy> = planned.iter().chain(inherited).cloned().collect();
        let mut more = verify::unplanned(&subject.confinement, &now.confinement, &may);
        // Who leaves the host's network joins that of its neighbours.
        more.retain(|part| !(leaves_network && *part == verify::Part::Network));
        // Set-user-ID programs that were taken out.
        let image = |part: &verify::Part| matches!(part, verify::Part::Identity | verify::Part::Image);
        more.retain(|part| !(beyond && subject.form == Form::Dockerfile && image(part)));
        if let Some(part) = more.first() {
            let message =
                format!("the change would change {part} too, which is not planned; change it by hand");
            wrong.push((i, at(message)));
            continue;
        }
        let base = apply_all(&given, &subject.confinement);
        if let Some(part) = verify::undone(&base, &now.confinement, list).first() {
            let message = format!("the change would leave {part} as before; change it by hand");
            wrong.push((i, at(message)));
            continue;
        }
        let meant = apply_all(&planned, &subject.confinement);
        if !list.is_empty() && solver.depth(&now.confinement).min < solver.depth(&meant).min {
            let message = "the change would not close what it is to close; change it by hand".to_owned();
            wrong.push((i, at(message)));
        }
    }
    wrong
}
