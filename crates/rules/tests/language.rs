//! Every feature of the language does what its example says.

mod support;

use rules::fields::Kind;
use rules::language::{Example, FEATURES, Feature, Fields, NEVER};
use rules::{Event, Field, Loaded, Matcher, Matching, Selection, Value, load};
use support::TestEvent;

/// `\xHH` stands for a byte.
fn bytes(text: &'static str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    bytes
}

fn value(field: &Field, text: &'static str) -> Value<'static> {
    match field.kind() {
        Kind::Text | Kind::Bytes => Value::Text(bytes(text).into()),
        Kind::Bool => Value::Bool(text == "true"),
        Kind::Address | Kind::Network => Value::Address(text.parse().unwrap()),
        Kind::TextList => Value::List(text.split(',').map(Value::text).collect()),
        Kind::Signed => Value::Signed(text.parse().unwrap()),
        _ => Value::Unsigned(text.parse().unwrap()),
    }
}

fn event(fields: Fields) -> TestEvent {
    let event_type = fields.iter().find(|(name, _)| *name == "evt.type").map_or("read", |(_, name)| name);
    fields.iter().filter(|(name, _)| *name != "evt.type").fold(
        TestEvent::new(event_type),
        |event, (name, text)| {
            let field = Field::parse(name).unwrap();
            event.with(name, value(&field, text))
        },
    )
}

fn matches(loaded: &Loaded, fields: Fields) -> bool {
    let matcher = Matcher::new(loaded, &Selection { matching: Matching::All, ..Selection::default() });
    let mut scratch = matcher.scratch();
    matcher.matches(&event(fields), &mut scratch).next().is_some()
}

fn said(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

fn holds(feature: &Feature) {
    let name = feature.name;
    match &feature.example {
        Example::Condition { condition, matches: yes, differs } => {
            let file = support::rule(condition);
            let loaded = load(&[("rules.yaml", &file)]);
            assert!(said(&loaded).is_empty(), "{name}: {:?}", said(&loaded));
            assert!(matches(&loaded, yes), "{name}: does not match");
            assert!(
                *differs == NEVER || !matches(&loaded, differs),
                "{name}: matches the event that differs"
            );
        }
        Example::File { file, matches: yes, differs, says } => {
            let loaded = load(&[("rules.yaml", file)]);
            assert_eq!(said(&loaded).len(), says.len(), "{name}: {:?}", said(&loaded));
            for (found, expected) in said(&loaded).iter().zip(*says) {
                assert!(found.starts_with(expected), "{name}: {found}");
            }
            assert!(matches(&loaded, yes), "{name}: does not match");
            assert!(!matches(&loaded, differs), "{name}: matches the event that differs");
        }
        Example::Error { file, says } => {
            let loaded = load(&[("rules.yaml", file)]);
            assert!(said(&loaded).iter().any(|found| found.starts_with(says)), "{name}: {:?}", said(&loaded));
        }
        Example::Output { output, event: fields, text } => {
            let file =
                support::rule("evt.type = read").replace("output: o\n", &format!("output: '{output}'\n"));
            let loaded = load(&[("rules.yaml", &file)]);
            assert_eq!(said(&loaded), Vec::<String>::new(), "{name}");
            let output = &loaded.rules[0].output;
            assert_eq!(output.format(&event(fields)), *text, "{name}");
            let event = event(fields);
            for (field, shown) in output.values(&event) {
                if let Ok(field) = Field::parse(field) {
                    assert_eq!(shown.is_some(), event.field(&field).is_some(), "{name}: {field}");
                }
            }
        }
    }
}

#[test]
fn every_feature_of_the_language_does_what_its_example_says() {
    let mut failed = Vec::new();
    for feature in FEATURES {
        if let Err(panic) = std::panic::catch_unwind(|| holds(feature)) {
            failed.push(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| feature.name.to_owned()));
        }
    }
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), FEATURES.len(), failed.join("\n"));
}
