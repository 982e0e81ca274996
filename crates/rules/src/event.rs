//! What an event must answer, so that rules can be matched against it. Implemented by `watch`, for captured and for
//! live events; the matcher asks for no field twice in one event and for no field that no rule needs.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::fields::Field;
use crate::types::EventType;

/// One event. Answers are borrowed from it where they can be.
pub trait Event {
    fn event_type(&self) -> EventType;

    /// The field's value; None where the event has none (a comparison with it is false) or it is not known.
    fn field<'a>(&'a self, field: &Field) -> Option<Value<'a>>;

    /// Tells each value of a field that stands for several ([`Field::is_any`]: all ancestors, either end of a
    /// socket; or a list), until `found` says true; whether it did.
    fn any(&self, field: &Field, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        match self.field(field) {
            None => false,
            Some(Value::List(values)) => values.iter().any(found),
            Some(value) => found(&value),
        }
    }
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text, or any bytes: what a process chose need not be UTF-8.
    Text(Cow<'a, [u8]>),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    /// An address of a field that is an address or is compared with networks.
    Address(IpAddr),
    Network(Network),
    List(Box<[Value<'a>]>),
}

impl<'a> Value<'a> {
    pub fn text(text: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(text.as_bytes()))
    }

    pub fn bytes(bytes: &'a [u8]) -> Value<'a> {
        Value::Text(Cow::Borrowed(bytes))
    }
}

/// A network: an address and how many leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}
