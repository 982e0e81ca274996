//! An event as a line of JSON, schema `stockade.event/1`: what a person or a program needs to know of it without the
//! capture. Absent things are left out.

use std::io::{self, Write};

use rules::{Event, Field, FieldId, Value};
use serde_json::{Map, Value as Json};

use crate::fields::{View, render};

/// The fields that are told beside the arguments, and their names in JSON.
const FIELDS: &[(FieldId, &str)] = &[
    (FieldId::EvtNum, "number"),
    (FieldId::EvtRawtime, "time"),
    (FieldId::EvtType, "type"),
    (FieldId::EvtDir, "direction"),
    (FieldId::EvtCategory, "category"),
    (FieldId::EvtCpu, "cpu"),
    (FieldId::EvtRes, "result"),
    (FieldId::EvtRawres, "returned"),
    (FieldId::ThreadTid, "thread"),
    (FieldId::ProcPid, "process"),
    (FieldId::ProcPpid, "parent"),
    (FieldId::ProcName, "name"),
    (FieldId::ProcExepath, "executable"),
    (FieldId::ProcCmdline, "command_line"),
    (FieldId::UserUid, "uid"),
    (FieldId::UserName, "user"),
    (FieldId::ContainerId, "container"),
    (FieldId::ContainerName, "container_name"),
    (FieldId::FdNum, "descriptor"),
    (FieldId::FdType, "descriptor_type"),
    (FieldId::FdName, "descriptor_name"),
];

/// Writes the event and a line feed.
pub fn write_line(out: &mut impl Write, view: &View<'_>) -> io::Result<()> {
    let mut line = Map::new();
    line.insert("schema".into(), "stockade.event/1".into());
    for (id, name) in FIELDS {
        if let Some(value) = view.field(&Field::plain(*id)) {
            line.insert((*name).into(), json(&value));
        }
    }
    let mut arguments = Map::new();
    for (place, parameter) in view.event().kind.parameters.iter().enumerate() {
        if let Some(rendered) = view.parameter_text(place) {
            arguments.insert(parameter.name.into(), argument(rendered));
        }
    }
    if !arguments.is_empty() {
        line.insert("arguments".into(), Json::Object(arguments));
    }
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// The value; where it stands for something, `{"value": …, "meaning": …}`.
fn argument(rendered: render::Rendered) -> Json {
    let plain = text(&rendered.plain);
    if rendered.resolved.is_empty() {
        return plain;
    }
    Json::Object(Map::from_iter([("value".into(), plain), ("meaning".into(), text(&rendered.resolved))]))
}

fn text(bytes: &[u8]) -> Json {
    String::from_utf8_lossy(bytes).into()
}

/// A field's value as JSON.
fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Text(bytes) => text(bytes),
        Value::Unsigned(number) => (*number).into(),
        Value::Signed(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Address(address) => address.to_string().into(),
        Value::Network(network) => format!("{}/{}", network.address, network.prefix).into(),
        Value::List(values) => values.iter().map(json).collect(),
    }
}
