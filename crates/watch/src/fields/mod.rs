//! Answers the fields of the rule language for one event: from the event, from the one that began the same call, and
//! from the state behind it. What is absent is `None`, never an invented value.
//!
//! Meanings follow libsinsp (`sinsp_filtercheck_*.cpp`); where it changed its mind over the years, the newest holds,
//! and captures of older sensors are read as if a newer one had written them: an argument that only the enter event
//! has is found on the exit event too.

mod container;
mod descriptor;
mod event;
pub mod names;
mod process;
pub mod render;

use std::borrow::Cow;

use capture::event::Event;
use rules::{Field, FieldId, Value};

use crate::state::{Applied, Container, Descriptor, State, Thread};

/// One event, with all that answers for it.
pub struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) event: Event<'a>,
    pub(crate) applied: Applied,
    /// Counted from 1.
    pub(crate) ordinal: u64,
    pub(crate) clock: Clock,
    /// Of a live event: what it is about, and the event that would have begun the call.
    pub(crate) about: Option<&'a Descriptor>,
    pub(crate) begun: Option<Event<'a>>,
}

/// Times of other events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Of the first, and of the one before.
    pub first: u64,
    pub previous: u64,
}

impl<'a> View<'a> {
    pub fn new(state: &'a State, event: Event<'a>, applied: Applied, ordinal: u64, clock: Clock) -> Self {
        View { state, event, applied, ordinal, clock, about: None, begun: None }
    }

    pub fn event(&self) -> &Event<'a> {
        &self.event
    }

    pub fn state(&self) -> &'a State {
        self.state
    }

    /// Whether rules are asked about it: a call that returned, or what has no return.
    pub fn is_matched(&self) -> bool {
        self.applied.plan.matched
    }

    pub fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub fn thread(&self) -> Option<&'a Thread> {
        self.applied.thread.and_then(|index| self.state.at(index))
    }

    /// The descriptor that the event is about.
    pub fn descriptor(&self) -> Option<&'a Descriptor> {
        if self.about.is_some() {
            return self.about;
        }
        if self.applied.descriptor < 0 {
            return None;
        }
        self.state.descriptors(self.thread()?)?.get(self.applied.descriptor)
    }

    /// The container that the thread is in, or that the event tells of.
    pub fn container(&self) -> Option<&'a Container> {
        self.state.container(&self.container_id()?)
    }

    /// The first 12 digits; `None` on the host.
    pub fn container_id(&self) -> Option<Cow<'a, str>> {
        if self.event.kind.name == "container" {
            let told = self.event.kind.parameter("json").and_then(|place| self.event.text(place));
            return told.and_then(Container::from_json).map(|container| Cow::Owned(container.id));
        }
        self.thread()?.container.as_deref().map(Cow::Borrowed)
    }

    /// The event that began the call which this one ends.
    fn before(&self) -> Option<Event<'a>> {
        if self.begun.is_some() {
            return self.begun;
        }
        if !self.applied.paired {
            return None;
        }
        self.thread()?.entered.event()
    }

    fn context(&self) -> render::Context<'a> {
        render::Context { state: self.state, thread: self.applied.thread }
    }

    /// The named parameter: of this event or of the one that began the call.
    fn parameter(&self, name: &str) -> Option<(Event<'a>, usize)> {
        if let Some(place) = self.event.kind.parameter(name).filter(|place| *place < self.event.parameters())
        {
            return Some((self.event, place));
        }
        let before = self.before()?;
        let place = before.kind.parameter(name).filter(|place| *place < before.parameters())?;
        Some((before, place))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.parameter(name).and_then(|(event, place)| event.number(place))
    }

    fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.parameter(name).and_then(|(event, place)| event.text(place))
    }

    /// A parameter as text; `None` where the event does not have it.
    pub fn parameter_text(&self, place: usize) -> Option<render::Rendered> {
        render::parameter(self.context(), &self.event, place)
    }

    /// Writes the event into a capture; of a live event also the one that began the call. What the state knows must
    /// have been written before ([`State::write_lists`]).
    pub fn write<W: std::io::Write>(&self, writer: &mut capture::Writer<W>) -> Result<(), capture::Error> {
        if let Some(begun) = &self.begun {
            writer.event(begun)?;
        }
        writer.event(&self.event)
    }

    /// A field by its name, for people and tests.
    pub fn named(&self, name: &str) -> Option<Value<'_>> {
        rules::Event::field(self, &Field::parse(name).ok()?)
    }
}

impl rules::Event for View<'_> {
    #[inline]
    fn event_type(&self) -> rules::EventType {
        self.applied.plan.event_type
    }

    fn field<'b>(&'b self, field: &Field) -> Option<Value<'b>> {
        let id = field.id;
        match id {
            _ if id <= FieldId::EvtIsOpenCreate => self.event_field(field),
            _ if id <= FieldId::ThreadVmrss => self.process_field(field),
            _ if id <= FieldId::GroupName => self.account_field(id),
            _ if id <= FieldId::ContainerLabels => self.container_field(field),
            _ if id <= FieldId::FdIsLowerLayer => self.descriptor_field(id),
            _ if id <= FieldId::FdlistSports => self.path_field(id),
            _ if id <= FieldId::SyslogMessage => self.log_field(id),
            _ => self.pod_field(field),
        }
    }

    fn any(&self, field: &Field, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        if field.is_any() {
            return self.any_of(field, found);
        }
        match self.field(field) {
            None => false,
            Some(Value::List(values)) => values.iter().any(found),
            Some(value) => found(&value),
        }
    }
}

impl View<'_> {
    fn any_of(&self, field: &Field, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        match field.id {
            FieldId::FdIp | FieldId::FdPort | FieldId::FdNet | FieldId::FdProto => {
                self.either_end(field.id, found)
            }
            _ => self.any_ancestor(field.id, found),
        }
    }
}

/// Text that was made, not borrowed.
fn made<'a>(text: impl Into<Vec<u8>>) -> Option<Value<'a>> {
    Some(Value::Text(Cow::Owned(text.into())))
}

/// A flag that libsinsp gives as 0 or 1.
fn flag<'a>(flag: bool) -> Option<Value<'a>> {
    Some(Value::Bool(flag))
}
