//! Values that are made from fields: `tolower(proc.name)`, `join(",", (proc.name, proc.pid))`, and the fields
//! themselves. Every transformer gives nothing where one of its fields has no value.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::event::{Event, Value};
use crate::fields::{Argument, Field, FieldId, Kind};
use crate::output::plain;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Computed {
    Field(Field),
    Constant(Box<[u8]>),
    List(Box<[Computed]>),
    ToLower(Box<Computed>),
    ToUpper(Box<Computed>),
    Base64(Box<Computed>),
    Basename(Box<Computed>),
    Length(Box<Computed>),
    Join(Box<(Computed, Computed)>),
    Concat(Box<[Computed]>),
    Getopt { arguments: Box<Computed>, options: Box<Computed>, selector: Option<u8> },
}

impl Computed {
    /// The kind of what comes out.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Computed::Field(field) => field.kind(),
            Computed::List(_) | Computed::Getopt { selector: None, .. } => Kind::TextList,
            Computed::Length(_) => Kind::Unsigned,
            Computed::ToLower(inner) | Computed::ToUpper(inner) | Computed::Basename(inner)
                if inner.kind() == Kind::TextList =>
            {
                Kind::TextList
            }
            _ => Kind::Text,
        }
    }

    pub(crate) fn fields<'c>(&'c self, visit: &mut dyn FnMut(&'c Field)) {
        match self {
            Computed::Field(field) => visit(field),
            Computed::Constant(_) => {}
            Computed::List(items) | Computed::Concat(items) => {
                items.iter().for_each(|item| item.fields(visit))
            }
            Computed::ToLower(inner)
            | Computed::ToUpper(inner)
            | Computed::Base64(inner)
            | Computed::Basename(inner)
            | Computed::Length(inner) => inner.fields(visit),
            Computed::Join(both) => {
                both.0.fields(visit);
                both.1.fields(visit);
            }
            Computed::Getopt { arguments, options, .. } => {
                arguments.fields(visit);
                options.fields(visit);
            }
        }
    }

    pub(crate) fn value<'e, E: Event + ?Sized>(&'e self, event: &'e E) -> Option<Value<'e>> {
        match self {
            Computed::Field(field) => event.field(field),
            Computed::Constant(bytes) => Some(Value::bytes(bytes)),
            Computed::List(items) => items
                .iter()
                .map(|item| item.value(event))
                .collect::<Option<Vec<_>>>()
                .map(|v| Value::List(v.into())),
            Computed::ToLower(inner) => {
                each_text(inner.value(event)?, |text| Some(text.to_ascii_lowercase()))
            }
            Computed::ToUpper(inner) => {
                each_text(inner.value(event)?, |text| Some(text.to_ascii_uppercase()))
            }
            Computed::Base64(inner) => each_text(inner.value(event)?, |text| BASE64.decode(text).ok()),
            Computed::Basename(inner) => each_text(inner.value(event)?, |text| Some(basename(text).to_vec())),
            Computed::Length(inner) => Some(Value::Unsigned(length(&inner.value(event)?))),
            Computed::Join(both) => {
                let separator = plain(&both.0.value(event)?);
                let joined = match both.1.value(event)? {
                    Value::List(items) => {
                        items.iter().map(plain).collect::<Vec<_>>().join(separator.as_slice())
                    }
                    single => plain(&single),
                };
                Some(owned(joined))
            }
            Computed::Concat(items) => {
                let mut text = Vec::new();
                for item in items {
                    text.extend(plain(&item.value(event)?));
                }
                Some(owned(text))
            }
            Computed::Getopt { arguments, options, selector } => {
                let arguments = self.arguments(arguments, event)?;
                let options = plain(&options.value(event)?);
                getopt(&arguments, &options, *selector)
            }
        }
    }

    /// The arguments one by one: those of a process by their index, since an argument may hold blanks.
    fn arguments<E: Event + ?Sized>(&self, arguments: &Computed, event: &E) -> Option<Vec<Vec<u8>>> {
        if let Computed::Field(Field { id: FieldId::ProcArgs, argument: Argument::None }) = arguments {
            let numbered = |index| Field { id: FieldId::ProcArgs, argument: Argument::Index(index) };
            let listed: Vec<_> =
                (0..MAXIMUM_ARGUMENTS).map_while(|i| event.field(&numbered(i)).map(|v| plain(&v))).collect();
            if !listed.is_empty() {
                return Some(listed);
            }
        }
        Some(match arguments.value(event)? {
            Value::List(items) => items.iter().map(plain).collect(),
            single => {
                let text = plain(&single);
                text.split(|b| *b == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
            }
        })
    }
}

const MAXIMUM_ARGUMENTS: u32 = 4096;

/// Padding may be there or not, as in Falco.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn owned<'a>(text: Vec<u8>) -> Value<'a> {
    Value::Text(Cow::Owned(text))
}

fn each_text<'a>(value: Value<'a>, change: impl Fn(&[u8]) -> Option<Vec<u8>> + Copy) -> Option<Value<'a>> {
    match value {
        Value::Text(text) => change(&text).map(owned),
        Value::List(items) => {
            let changed = items
                .into_vec()
                .into_iter()
                .map(|item| each_text(item, change))
                .collect::<Option<Vec<_>>>()?;
            Some(Value::List(changed.into()))
        }
        other => change(&plain(&other)).map(owned),
    }
}

/// What follows the last `/`: nothing, where the path ends in one. basename(1) differs.
fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

fn length(value: &Value<'_>) -> u64 {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        other => plain(other).len(),
    };
    length as u64
}

/// As getopt(3) without long options, which are stepped over: the options and their values one after the other, `?` for
/// an unknown one and an empty text for a value that is missing; with a selector, the last value of that option (the
/// option itself, if it takes none).
fn getopt<'a>(arguments: &[Vec<u8>], options: &[u8], selector: Option<u8>) -> Option<Value<'a>> {
    let options = options.strip_prefix(b":").unwrap_or(options);
    let takes_value = |option: u8| {
        let at = options.iter().position(|o| *o == option && option != b':')?;
        Some(options.get(at + 1) == Some(&b':'))
    };
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut selected = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == b"--" {
            break;
        }
        if argument.starts_with(b"--") {
            continue;
        }
        let Some(cluster) = argument.strip_prefix(b"-").filter(|cluster| !cluster.is_empty()) else { break };
        for (at, option) in cluster.iter().copied().enumerate() {
            let Some(takes_value) = takes_value(option) else {
                found.push(b"?".to_vec());
                continue;
            };
            if !takes_value {
                found.push(vec![option]);
                if selector == Some(option) {
                    selected = Some(vec![option]);
                }
                continue;
            }
            let attached = cluster.get(at + 1..).filter(|value| !value.is_empty()).map(<[u8]>::to_vec);
            let value = attached.or_else(|| rest.next().cloned());
            if selector == Some(option) {
                selected = Some(value.clone().unwrap_or_default());
            }
            match value {
                Some(value) => found.extend([vec![option], value]),
                None => found.push(Vec::new()),
            }
            break;
        }
    }
    match selector {
        Some(_) => selected.map(owned),
        None => Some(Value::List(found.into_iter().map(owned).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str, options: &str, selector: Option<u8>) -> Option<Vec<String>> {
        let arguments: Vec<Vec<u8>> = line.split(' ').map(|a| a.as_bytes().to_vec()).collect();
        getopt(&arguments, options.as_bytes(), selector).map(|value| match value {
            Value::List(items) => items.iter().map(|i| String::from_utf8(plain(i)).unwrap()).collect(),
            single => vec![String::from_utf8(plain(&single)).unwrap()],
        })
    }

    #[test]
    fn getopt_takes_options_apart_as_the_c_library_does() {
        let words = |text: &str| Some(text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(options("-n -t 5 host -x", "nt:", None), words("n t 5"));
        assert_eq!(options("-nt5 -q", "nt:", None), words("n t 5 ?"));
        assert_eq!(options("--exec -n -- -t", "nt:", None), words("n"));
        assert_eq!(options("-t 5 -t 6", "nt:", Some(b't')), words("6"));
        assert_eq!(options("-n", "nt:", Some(b't')), None);
        assert_eq!(options("-t", "nt:", Some(b't')), Some(vec![String::new()]));
    }
}
