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
