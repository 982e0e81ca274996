//! Rules over live events, and captures around alerts: both see events as [`crate::live`] words them.

use std::collections::HashMap;
use std::sync::Arc;

use rules::types::TypeSet;
use rules::{Matcher, Scratch};
use sensor::event::{ContainerKey, Event, What};
use techniques::needs::reference;

use crate::alert::{self, Alert};
use crate::clock::Offset;
use crate::live::Live;
use crate::matched::rule_match;
use crate::pipeline::{RuleMatch, Rules};
use crate::recorder::Recorder;
use crate::state::Container;

pub struct LiveRules {
    live: Live,
    matcher: Option<(Matcher, Scratch, TypeSet)>,
    recorder: Option<Recorder>,
    /// What was last told of each container.
    told: HashMap<ContainerKey, Arc<alert::Container>>,
}

impl LiveRules {
    pub fn new(matcher: Option<Matcher>, recorder: Option<Recorder>) -> LiveRules {
        let matcher = matcher.map(|matcher| {
            let (scratch, wanted) = (matcher.scratch(), matcher.required_event_types());
            (matcher, scratch, wanted)
        });
        LiveRules { live: Live::new(Offset::now()), matcher, recorder, told: HashMap::new() }
    }

    fn tell(&mut self, key: ContainerKey, container: &Arc<alert::Container>) {
        if self.told.get(&key).is_some_and(|told| Arc::ptr_eq(told, container)) {
            return;
        }
        if let Some(container) = of_alert(container) {
            self.live.set_container(key, container);
        }
        self.told.insert(key, container.clone());
    }
}

impl Rules for LiveRules {
    fn see(
        &mut self,
        event: &Event,
        container: Option<&Arc<alert::Container>>,
        matched: &mut dyn FnMut(RuleMatch),
    ) {
        if let (Some(key), Some(container)) = (event.actor.container, container) {
            self.tell(key, container);
        }
        if let What::ContainerEnded { key } = &event.what {
            self.told.remove(key);
        }
        let Some(view) = self.live.view(event) else { return };
        if let (Some(recorder), Some(key)) = (&mut self.recorder, event.actor.container) {
            recorder.see(key, &view);
        }
        if let Some((matcher, scratch, wanted)) = &mut self.matcher
            && view.is_matched()
            && wanted.contains(rules::Event::event_type(&view))
        {
            for rule in matcher.matches(&view, scratch) {
                matched(rule_match(rule, &view));
            }
        }
    }

    fn alerted(&mut self, alert: &Alert) {
        if let Some(recorder) = &mut self.recorder {
            recorder.alert(alert, self.live.state());
        }
    }

    fn clock(&mut self, offset: Offset) {
        self.live.set_clock(offset);
    }

    fn take_problems(&mut self) -> Vec<String> {
        self.recorder.as_mut().map(Recorder::take_problems).unwrap_or_default()
    }

    fn close(self: Box<Self>) -> Vec<String> {
        self.recorder.map(Recorder::close).unwrap_or_default()
    }
}

/// What rules know of a container; nothing where its engine's identifier is not known.
fn of_alert(container: &alert::Container) -> Option<Container> {
    let full = container.id.as_deref()?;
    let reference = container.image.as_deref().map(reference::split);
    Some(Container {
        id: full.chars().take(12).collect(),
        full_id: Some(full.to_owned()),
        name: container.name.clone(),
        image: container.image.clone(),
        repository: reference.map(|(name, ..)| name.to_owned()),
        tag: reference.and_then(|(_, tag, _)| tag.map(str::to_owned)),
        digest: container.image_digest.clone(),
        engine: container.engine.clone(),
        privileged: container.privileged,
        labels: container.labels.clone(),
        started: container.started.and_then(|time| u64::try_from(time).ok()),
        ..Container::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_taken_apart_into_repository_and_tag() {
        let of = |image: &str| {
            let mut container = crate::containers::nothing_known(ContainerKey(1));
            container.id = Some("0123456789abcdef".into());
            container.image = Some(image.into());
            let found = of_alert(&container).expect("its identifier is known");
            (found.id, found.repository, found.tag)
        };
        let id = || "0123456789ab".to_owned();
        assert_eq!(of("nginx"), (id(), Some("nginx".into()), None));
        assert_eq!(of("host:5000/a/b"), (id(), Some("host:5000/a/b".into()), None));
        assert_eq!(
            of("host:5000/a/b:1.2@sha256:00"),
            (id(), Some("host:5000/a/b".into()), Some("1.2".into()))
        );
    }
}
