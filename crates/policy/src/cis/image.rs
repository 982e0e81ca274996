//! Section 4: images, as a Dockerfile builds them or as a live engine has them.

use confinement::{Fact, Origin, Subject};
use sources::inventory::{EngineInventory, ImageInventory};
use std::sync::Arc;

use super::{Ruling, Told, declared};

/// 4.1, of a container and of a build file.
pub(super) fn user(subject: &Subject) -> Ruling {
    let root = &subject.confinement.identity.root;
    if let Origin::Assumption { .. } = root.origin {
        return Ruling::unknown("no user is set, and the image's is not known", &declared(subject));
    }
    Ruling::by(root, "the user", |root| !root, || "it runs as root".to_owned())
}

/// 4.6
pub(super) fn health_check(subject: &Subject) -> Ruling {
    match &subject.confinement.operation.health_check {
        Some(check) => {
            Ruling::by(check, "the health check", |set| *set, || "it has no HEALTHCHECK".to_owned())
        }
        None => {
            Ruling::unknown("it sets no HEALTHCHECK, and what its base sets is not known", &declared(subject))
        }
    }
}

fn told(facts: &[Fact<Arc<str>>]) -> Vec<Told> {
    let text = |fact: &Fact<Arc<str>>| fact.get().map_or("one that cannot be read".into(), |t| t.to_string());
    facts.iter().map(|fact| Told::new(text(fact), &fact.origin)).collect()
}

/// 4.7
pub(super) fn lone_updates(subject: &Subject) -> Ruling {
    Ruling::all(told(&subject.confinement.operation.lone_updates))
}

/// 4.8
pub(super) fn setuid(subject: &Subject) -> Ruling {
    let hints = told(&subject.confinement.image.setuid_hints);
    if hints.is_empty() {
        return Ruling::manual("the build sets no such bits; those of the base image are to be checked");
    }
    Ruling::all(hints)
}

/// 4.9
pub(super) fn added(subject: &Subject) -> Ruling {
    Ruling::all(told(&subject.confinement.operation.added))
}

/// 4.10
pub(super) fn secrets(subject: &Subject) -> Ruling {
    let found = told(&subject.confinement.image.secrets);
    if found.is_empty() {
        return Ruling::manual("no secret of a known form stands in it");
    }
    Ruling::all(found)
}

fn of_each(
    engine: &EngineInventory,
    judge: impl Fn(&ImageInventory) -> Result<Option<String>, &'static str>,
) -> Ruling {
    let Some(images) = &engine.images else {
        return Ruling::unknown("the images could not be listed", &Origin::Nowhere);
    };
    if images.is_empty() {
        return Ruling::not_applicable("there are no images");
    }
    let (mut against, mut unknown) = (Vec::new(), None);
    for image in images {
        match judge(image) {
            Ok(Some(message)) => {
                against.push(Told::new(format!("{}: {message}", image.name), &super::read("docker images")));
            }
            Ok(None) => {}
            Err(what) => {
                let message = format!("{}: {what} could not be read", image.name);
                unknown = unknown.or(Some(Ruling::unknown(message, &Origin::Nowhere)));
            }
        }
    }
    match unknown {
        Some(unknown) if against.is_empty() => unknown,
        _ => Ruling::all(against),
    }
}

/// 4.6 of every image of an engine.
pub(super) fn health_checks(engine: &EngineInventory) -> Ruling {
    of_each(engine, |image| match image.health_check {
        Some(true) => Ok(None),
        Some(false) => Ok(Some("it has no HEALTHCHECK".to_owned())),
        None => Err("its configuration"),
    })
}

fn steps(steps: Option<&Vec<String>>) -> Result<Option<String>, &'static str> {
    let steps = steps.ok_or("its history")?;
    Ok((!steps.is_empty()).then(|| steps.join(", ")))
}

pub(super) fn histories_of_updates(engine: &EngineInventory) -> Ruling {
    of_each(engine, |image| steps(image.lone_updates.as_ref()))
}

pub(super) fn histories_of_adds(engine: &EngineInventory) -> Ruling {
    of_each(engine, |image| steps(image.added.as_ref()))
}

/// 4.8 and 4.10 of images of an engine.
pub(super) fn setuid_live(_: &EngineInventory) -> Ruling {
    Ruling::manual("files of images are not looked through")
}
pub(super) fn secrets_live(_: &EngineInventory) -> Ruling {
    Ruling::manual("layers of images are not looked through; give the Dockerfile")
}

macro_rules! by_hand {
    ($($name:ident, $live:ident: $message:literal;)*) => {$(
        pub(super) fn $name(_: &Subject) -> Ruling { Ruling::manual($message) }
        pub(super) fn $live(_: &EngineInventory) -> Ruling { Ruling::manual($message) }
    )*};
}

by_hand! {
    base, base_live: "whose images are trusted is for you to say";
    packages, packages_live: "which packages are needed is for you to say";
    scanned, scanned_live: "whether images are scanned and built anew is not seen here";
    verified, verified_live: "whether packages are verified is not seen here";
    signed, signed_live: "whether artefacts are verified is not seen here";
}
