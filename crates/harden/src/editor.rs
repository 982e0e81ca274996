//! Which editor a form of file has.

use confinement::{Form, Subject};
use techniques::remedy::Remedy;

use crate::draft::{Drafts, Refusal, Task};
use crate::{compose, daemon, dockerfile, kubernetes, oci, quadlet, run};

/// Whether what the subject was read from can say the remedy, so that a plan may hold it.
pub fn can(subject: &Subject, remedy: &Remedy) -> bool {
    match subject.form {
        Form::Compose => compose::can(subject, remedy),
        Form::DockerRun | Form::PodmanRun => run::can(subject, remedy),
        Form::Dockerfile => dockerfile::can(subject, remedy),
        Form::Quadlet => quadlet::can(subject, remedy),
        Form::Kubernetes => kubernetes::can(subject, remedy),
        Form::Oci => oci::can(subject, remedy),
        Form::Daemon => daemon::can(subject, remedy),
        _ => false,
    }
}

/// Writes a task's remedies into the drafts. After an error the caller rolls back.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    refuse_generated(task.subject, drafts)?;
    match task.subject.form {
        Form::Compose => compose::edit(task, drafts),
        Form::DockerRun | Form::PodmanRun => run::edit(task, drafts),
        Form::Dockerfile => dockerfile::edit(task, drafts),
        Form::Quadlet => quadlet::edit(task, drafts),
        Form::Kubernetes => kubernetes::edit(task, drafts),
        Form::Oci => oci::edit(task, drafts),
        Form::Daemon => daemon::edit(task, drafts),
        _ => Err(Refusal::file(task.subject.id.clone(), "this is not written in a file that can be edited")),
    }
}

/// What a program writes again would lose the change. The words are those of Go's convention (cmd/go, "Generate Go files
/// by processing source") and of review tools (`@generated`), looked for in the comments that a file begins with.
fn refuse_generated(subject: &Subject, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let Some(place) = &subject.place else { return Ok(()) };
    let text = drafts.text(&place.path)?;
    let head =
        text.lines().take(20).take_while(|line| line.trim().is_empty() || line.starts_with(['#', ';']));
    let says = |line: &str| {
        let line = line.to_ascii_lowercase();
        line.contains("do not edit") || line.contains("@generated")
    };
    if head.into_iter().any(says) {
        let message = "the file says that it is generated; change what it is made from";
        return Err(Refusal::at(place, message));
    }
    Ok(())
}
