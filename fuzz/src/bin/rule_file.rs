//! A rule file of any bytes is loaded, perhaps with problems, each of which has its place in the file; what was loaded
//! can be asked about every type of event, and a strict judgement never contradicts the plain one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rules::{Event, EventType, Field, Judgement, Loader, Matcher, Matching, Selection, Value};
use rules::fields::Kind;

/// Has a value for some fields, by the kind of each.
struct Made(EventType, usize);

impl Event for Made {
    fn event_type(&self) -> EventType {
        self.0
    }

    fn field<'a>(&'a self, field: &Field) -> Option<Value<'a>> {
        if (field.id as usize + self.1) % 3 == 0 {
            return None;
        }
        Some(match field.kind() {
            Kind::Text | Kind::Bytes => Value::bytes(b"/etc/shadow bash \xff"),
            Kind::Bool => Value::Bool(self.1 % 2 == 0),
            Kind::Float => Value::Float(0.5),
            Kind::Signed => Value::Signed(-1),
            Kind::Address | Kind::Network => Value::Address([10, 0, 0, 1].into()),
            Kind::TextList => Value::List([Value::text("file"), Value::text("pipe")].into()),
            _ => Value::Unsigned(22),
        })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut loader = Loader::new(Default::default());
    loader.bytes("fuzz.yaml", bytes);
    let loaded = loader.finish();
    let lines = bytes.iter().filter(|b| **b == b'\n').count() + 1;
    for problem in &loaded.problems {
        assert!(!problem.message.is_empty() && problem.line <= lines);
        let _ = (problem.to_string(), problem.excerpt());
    }
    let matcher = Matcher::new(&loaded, &Selection { matching: Matching::All, ..Selection::default() });
    let mut scratch = matcher.scratch();
    for (number, event_type) in EventType::all().enumerate().step_by(7) {
        let event = Made(event_type, number);
        let matched: Vec<&str> = matcher.matches(&event, &mut scratch).map(|rule| rule.name.as_str()).collect();
        let judged = matcher.judge(&event);
        for (rule, judgement) in &judged {
            assert!(*judgement != Judgement::Matches || matched.contains(&rule.name.as_str()));
            let _ = rule.output.format(&event);
        }
        assert!(matched.iter().all(|name| judged.iter().any(|(rule, _)| rule.name == *name)));
    }
    let _ = (matcher.required_event_types(), matcher.required_fields());
});
