//! Which subjects a rule or a waiver is about. What is not known about a subject may match: a rule that may be meant
//! applies, an exception that may be meant does not.

use confinement::{Form, Subject, SubjectKind, Truth};

use crate::pattern::Pattern;
use crate::published::Reference;

/// Every part that is given must match; of a part's patterns one is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    pub namespaces: Vec<Pattern>,
    /// Label and a pattern of its value; all must match.
    pub labels: Vec<(Box<str>, Pattern)>,
    /// Compared with the reference as written and with the completed one.
    pub images: Vec<Pattern>,
    pub names: Vec<Pattern>,
    /// Files, as the user named them.
    pub paths: Vec<Pattern>,
    pub forms: Vec<Form>,
    pub kinds: Vec<SubjectKind>,
}

impl Selector {
    pub fn is_empty(&self) -> bool {
        *self == Selector::default()
    }

    pub fn matches(&self, subject: &Subject) -> Truth {
        let any = |patterns: &[Pattern], name: &str| patterns.iter().any(|p| p.matches(name));
        let part = |patterns: &[Pattern], name: Option<&str>| {
            Truth::from(patterns.is_empty() || name.is_some_and(|name| any(patterns, name)))
        };
        let place = subject.place.as_ref();
        part(&self.namespaces, subject.namespace.as_deref())
            .and(Truth::from(
                self.names.is_empty() || any(&self.names, &subject.name) || self.is_pod(subject),
            ))
            .and(part(&self.paths, place.map(|p| &*p.path)))
            .and(Truth::from(self.forms.is_empty() || self.forms.contains(&subject.form)))
            .and(Truth::from(self.kinds.is_empty() || self.kinds.contains(&subject.kind)))
            .and(Truth::from(
                self.labels
                    .iter()
                    .all(|(key, value)| subject.labels.get(&**key).is_some_and(|found| value.matches(found))),
            ))
            .and(self.image(subject))
    }

    /// Whether it selects the containers of an image that an engine is asked for: all, none, or some that the image does
    /// not tell.
    pub(crate) fn is_of_image(&self, image: &str) -> Truth {
        let live = self.forms.is_empty() || self.forms.contains(&Form::DockerLive);
        let kind = self.kinds.is_empty() || self.kinds.contains(&SubjectKind::Container);
        let complete = Reference::parse(image).complete();
        let named =
            self.images.is_empty() || self.images.iter().any(|p| p.matches(image) || p.matches(&complete));
        let in_file = !self.namespaces.is_empty() || !self.paths.is_empty();
        let of_all = self.labels.is_empty() && self.names.is_empty();
        Truth::from(live && kind && named && !in_file).and(if of_all { Truth::True } else { Truth::Unknown })
    }

    /// A container of a pod is called `namespace/pod/container`; the pod's own name means all its containers.
    fn is_pod(&self, subject: &Subject) -> bool {
        subject.pod.as_ref().is_some_and(|pod| self.names.iter().any(|p| p.matches(&pod.name)))
    }

    fn image(&self, subject: &Subject) -> Truth {
        if self.images.is_empty() {
            return Truth::True;
        }
        let Some(reference) = subject.confinement.image.reference.get() else { return Truth::Unknown };
        let complete = Reference::parse(reference).complete();
        Truth::from(self.images.iter().any(|p| p.matches(reference) || p.matches(&complete)))
    }

    /// Whether all that `other` selects is selected here, as far as that can be told from the words alone.
    pub(crate) fn covers(&self, other: &Selector) -> bool {
        let patterns = |mine: &[Pattern], its: &[Pattern]| {
            mine.is_empty() || !its.is_empty() && its.iter().all(|i| mine.iter().any(|m| m.covers(i)))
        };
        patterns(&self.namespaces, &other.namespaces)
            && patterns(&self.images, &other.images)
            && patterns(&self.names, &other.names)
            && patterns(&self.paths, &other.paths)
            && (self.forms.is_empty()
                || !other.forms.is_empty() && other.forms.iter().all(|f| self.forms.contains(f)))
            && (self.kinds.is_empty()
                || !other.kinds.is_empty() && other.kinds.iter().all(|k| self.kinds.contains(k)))
            && self.labels.iter().all(|label| other.labels.contains(label))
    }

    /// Why no subject can ever match, where none can.
    pub(crate) fn never(&self) -> Option<String> {
        let form_kinds = |form: Form| -> &'static [SubjectKind] {
            use SubjectKind::{Container, Engine, Host, Image, Workload};
            match form {
                Form::Kubernetes => &[Workload],
                Form::Dockerfile => &[Image],
                Form::Daemon => &[Engine],
                Form::DockerLive | Form::PodmanLive => &[Container, Engine],
                Form::Measured => &[Container, Host],
                Form::Compose | Form::DockerRun | Form::PodmanRun | Form::Quadlet | Form::Oci => &[Container],
            }
        };
        if !self.forms.is_empty()
            && !self.kinds.is_empty()
            && !self.forms.iter().any(|f| form_kinds(*f).iter().any(|k| self.kinds.contains(k)))
        {
            return Some("no subject of these `forms` is of these `kinds`".into());
        }
        if !self.namespaces.is_empty() && !self.forms.is_empty() && !self.forms.contains(&Form::Kubernetes) {
            return Some("only subjects of the form kubernetes have a namespace".into());
        }
        if !self.paths.is_empty()
            && !self.forms.is_empty()
            && self.forms.iter().all(|f| matches!(f, Form::DockerLive | Form::PodmanLive | Form::Measured))
        {
            return Some("live subjects stand in no file".into());
        }
        None
    }
}
