//! The compiled matcher agrees with an evaluator that walks the condition as it is written, over random conditions and
//! events; and a condition survives being printed and parsed.

mod support;

use std::net::IpAddr;

use proptest::prelude::*;
use rules::ast::{
    Argument, Check, Expression, Literal, Modifier, Operand, Operator, Right, Span, Transformer,
};
use rules::{Event, EventType, Field, Judgement, Matcher, Matching, Network, Selection, Value, load, parse};
use support::TestEvent;

const TEXTS: [&str; 6] = ["a", "ab", "abc", "b", "/a/b", "Ab"];
const NUMBERS: [&str; 5] = ["0", "1", "22", "80", "-1"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.1.2.3", "192.168.0.1", "fd00::1"];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8", "10.0.0.1"];
const TYPES: [&str; 4] = ["open", "openat", "execve", "connect"];

/// Fields of every kind.
const TEXT_FIELDS: [&str; 5] = ["proc.name", "fd.name", "proc.pname", "proc.aname[2]", "evt.arg[flags]"];
const ANCESTORS: &str = "proc.aname";
const NUMBER_FIELDS: [&str; 3] = ["evt.rawres", "proc.duration", "fd.num"];
const PORT_FIELDS: [&str; 2] = ["fd.sport", "fd.port"];
const BOOL_FIELD: &str = "evt.is_open_read";
const ADDRESS_FIELDS: [&str; 2] = ["fd.sip", "fd.ip"];
const NETWORK_FIELDS: [&str; 2] = ["fd.snet", "fd.net"];
const LIST_FIELD: &str = "fd.types";

fn field(name: &str) -> Operand {
    let (name, argument) = match name.split_once('[') {
        None => (name, None),
        Some((name, rest)) => (name, Some(rest.trim_end_matches(']').to_owned())),
    };
    Operand::Field { name: name.to_owned(), argument, span: Span::default() }
}

fn literal(text: &str) -> Literal {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/.:-".contains(&b));
    Literal { bytes: text.as_bytes().to_vec(), quoted: !plain, span: Span::default() }
}

fn check(left: Operand, operator: Operator, modifier: Option<Modifier>, right: Right) -> Expression {
    Expression::Check(Check { left, operator, modifier, right, span: Span::default() })
}

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names)
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Vec<Literal>> {
    prop::collection::vec(one_of(values).prop_map(literal), 0..4)
}

fn text_subject() -> impl Strategy<Value = Operand> {
    let plain = one_of(&TEXT_FIELDS).prop_map(field);
    let transformed = (
        one_of(&TEXT_FIELDS),
        prop::sample::select(vec![Transformer::ToLower, Transformer::ToUpper, Transformer::Basename]),
    )
        .prop_map(|(name, transformer)| Operand::Transformed {
            transformer,
            arguments: vec![Argument::Operand(field(name))],
            selector: None,
            span: Span::default(),
        });
    prop_oneof![4 => plain, 1 => transformed, 1 => Just(field(ANCESTORS))]
}

fn text_check() -> impl Strategy<Value = Expression> {
    use Operator::*;
    let single = prop::sample::select(vec![
        Equal,
        NotEqual,
        Contains,
        ContainsIgnoringCase,
        StartsWith,
        EndsWith,
        Glob,
        GlobIgnoringCase,
        Regex,
    ]);
    let list = prop::sample::select(vec![In, Intersects, PathPrefix]);
    let modifier = prop::option::weighted(0.3, prop::sample::select(Modifier::ALL));
    prop_oneof![
        3 => (text_subject(), single, modifier, one_of(&TEXTS), some_of(&TEXTS)).prop_map(|(l, o, m, v, vs)| {
            check(l, o, m, if m.is_some() { Right::List(vs) } else { Right::Value(literal(v)) })
        }),
        2 => (text_subject(), list, some_of(&TEXTS)).prop_map(|(l, o, vs)| check(l, o, None, Right::List(vs))),
        1 => (one_of(&TEXT_FIELDS), prop::sample::select(vec![Equal, NotEqual, StartsWith]), one_of(&TEXT_FIELDS))
            .prop_map(|(l, o, r)| check(field(l), o, None, Right::Operand(field(r)))),
    ]
}

/// On two fields, so that many stand in one group.
fn grouped_check() -> impl Strategy<Value = Expression> {
    use Operator::*;
    let single = prop::sample::select(vec![Equal, NotEqual, StartsWith, EndsWith, Contains]);
    let parts = ["a", "b", "c", "bc", "ab", "abc", "/a", "", "b/", "/b"];
    prop_oneof![
        4 => (one_of(&TEXT_FIELDS[..2]), single, prop::sample::select(parts.to_vec()))
            .prop_map(|(f, o, v)| check(field(f), o, None, Right::Value(literal(v)))),
        1 => (one_of(&TEXT_FIELDS[..2]), some_of(&TEXTS)).prop_map(|(f, vs)| check(field(f), In, None, Right::List(vs))),
    ]
}

fn other_check() -> impl Strategy<Value = Expression> {
    use Operator::*;
    let equality = || prop::sample::select(vec![Equal, NotEqual]);
    let order = || prop::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]);
    prop_oneof![
        (one_of(&NUMBER_FIELDS[..1]), order(), one_of(&NUMBERS)).prop_map(|(f, o, v)| check(
            field(f),
            o,
            None,
            Right::Value(literal(v))
        )),
        (one_of(&PORT_FIELDS), order(), one_of(&NUMBERS[..4])).prop_map(|(f, o, v)| check(
            field(f),
            o,
            None,
            Right::Value(literal(v))
        )),
        (one_of(&PORT_FIELDS), some_of(&NUMBERS[..4])).prop_map(|(f, vs)| check(
            field(f),
            In,
            None,
            Right::List(vs)
        )),
        (equality(), any::<bool>()).prop_map(|(o, v)| check(
            field(BOOL_FIELD),
            o,
            None,
            Right::Value(literal(&v.to_string()))
        )),
        (one_of(&ADDRESS_FIELDS), equality(), one_of(&ADDRESSES)).prop_map(|(f, o, v)| check(
            field(f),
            o,
            None,
            Right::Value(literal(v))
        )),
        (one_of(&NETWORK_FIELDS), some_of(&NETWORKS)).prop_map(|(f, vs)| check(
            field(f),
            In,
            None,
            Right::List(vs)
        )),
        (one_of(&NETWORK_FIELDS), equality(), one_of(&NETWORKS)).prop_map(|(f, o, v)| check(
            field(f),
            o,
            None,
            Right::Value(literal(v))
        )),
        (prop::sample::select(vec![In, Intersects]), some_of(&TEXTS)).prop_map(|(o, vs)| check(
            field(LIST_FIELD),
            o,
            None,
            Right::List(vs)
        )),
        (equality(), one_of(&TYPES)).prop_map(|(o, v)| check(
            field("evt.type"),
            o,
            None,
            Right::Value(literal(v))
        )),
        some_of(&TYPES).prop_map(|vs| check(field("evt.type"), In, None, Right::List(vs))),
        one_of(&["open", "exec"]).prop_map(|v| check(
            field("evt.type"),
            StartsWith,
            None,
            Right::Value(literal(v))
        )),
    ]
}

fn exists_check() -> impl Strategy<Value = Expression> {
    let fields = ["proc.name", "fd.name", ANCESTORS, "fd.port", LIST_FIELD, "evt.rawres"];
    prop::sample::select(fields.to_vec())
        .prop_map(|f| check(field(f), Operator::Exists, None, Right::Nothing))
}

fn expression(exists: bool) -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        4 => text_check(),
        3 => other_check(),
        (if exists { 1 } else { 0 }) => exists_check(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
            inner.prop_map(|e| Expression::Not(Box::new(e))),
        ]
    })
}

fn texts(
    names: &[&'static str],
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<Value<'static>>> + use<> {
    prop::collection::vec(prop::sample::select(names.to_vec()).prop_map(Value::text), count)
}

fn event() -> impl Strategy<Value = TestEvent> {
    let maybe = |values: Vec<Value<'static>>| prop::option::weighted(0.7, prop::sample::select(values));
    let text = || maybe(TEXTS.map(Value::text).to_vec());
    let number = || maybe(NUMBERS.iter().map(|n| Value::Signed(n.parse().unwrap())).collect());
    let ports =
        || prop::collection::vec(prop::sample::select(vec![0u64, 1, 22, 80]).prop_map(Value::Unsigned), 0..3);
    let addresses = || {
        let values = ADDRESSES.iter().map(|a| Value::Address(a.parse().unwrap())).collect::<Vec<_>>();
        prop::collection::vec(prop::sample::select(values), 0..3)
    };
    (
        one_of(&TYPES),
        prop::array::uniform5(text()),
        number(),
        prop::option::of(any::<bool>().prop_map(Value::Bool)),
        (ports(), ports()),
        (addresses(), addresses(), addresses(), addresses()),
        texts(&TEXTS, 0..3),
        prop::option::of(texts(&TEXTS, 0..3)),
    )
        .prop_map(|(event_type, text, number, boolean, ports, addresses, ancestors, list)| {
            let mut event = TestEvent::new(event_type);
            let mut add = |name: &str, values: Vec<Value<'static>>| {
                event.values.insert(Field::parse(name).unwrap(), values);
            };
            for (name, value) in TEXT_FIELDS.iter().zip(text) {
                add(name, value.into_iter().collect());
            }
            add("evt.rawres", number.into_iter().collect());
            add(BOOL_FIELD, boolean.into_iter().collect());
            add("fd.sport", ports.0.into_iter().take(1).collect());
            add("fd.port", ports.1);
            add("fd.sip", addresses.0.into_iter().take(1).collect());
            add("fd.ip", addresses.1);
            add("fd.snet", addresses.2.into_iter().take(1).collect());
            add("fd.net", addresses.3);
            add(ANCESTORS, ancestors);
            add(LIST_FIELD, list.map(|items| Value::List(items.into())).into_iter().collect());
            event
        })
}

/// What the condition says of the event, read off as it is written.
fn naive(expression: &Expression, event: &TestEvent) -> bool {
    match expression {
        Expression::And(children) => children.iter().all(|c| naive(c, event)),
        Expression::Or(children) => children.iter().any(|c| naive(c, event)),
        Expression::Not(child) => !naive(child, event),
        Expression::Macro(..) => unreachable!("none is generated"),
        Expression::Check(check) => naive_check(check, event),
    }
}

fn values(operand: &Operand, event: &TestEvent) -> Vec<Value<'static>> {
    match operand {
        Operand::Field { name, .. } if name == "evt.type" => vec![Value::text(event.event_type.name())],
        Operand::Field { .. } => event.values[&Field::parse(&operand.to_string()).unwrap()].clone(),
        Operand::Transformed { transformer, arguments, .. } => {
            let Argument::Operand(inner) = &arguments[0] else { unreachable!("only fields are generated") };
            let change = |text: &str| match transformer {
                Transformer::ToLower => text.to_lowercase(),
                Transformer::ToUpper => text.to_uppercase(),
                _ => text.rsplit('/').next().unwrap().to_owned(),
            };
            let changed = values(inner, event).into_iter().map(|v| change(&text(&v)));
            changed.map(|t| Value::Text(t.into_bytes().into())).collect()
        }
    }
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("{other:?} is no text"),
    }
}

fn naive_check(check: &Check, event: &TestEvent) -> bool {
    let left = values(&check.left, event);
    if check.operator == Operator::Exists {
        return !left.is_empty();
    }
    if left.is_empty() {
        return false;
    }
    let literals: Vec<String> = match &check.right {
        Right::Operand(operand) => match values(operand, event).first() {
            None => return false,
            Some(value) => vec![text(value)],
        },
        Right::Value(literal) => vec![String::from_utf8(literal.bytes.clone()).unwrap()],
        Right::List(literals) => {
            literals.iter().map(|l| String::from_utf8(l.bytes.clone()).unwrap()).collect()
        }
        Right::Nothing => Vec::new(),
    };
    let either_end = matches!(check.left.to_string().as_str(), "fd.ip" | "fd.port" | "fd.net");
    let holds = |literals: &[String]| match check.operator {
        Operator::NotEqual if either_end => left.iter().all(|v| !passes(v, Operator::Equal, literals)),
        Operator::NotEqual => left.iter().any(|v| !passes(v, Operator::Equal, literals)),
        operator => left.iter().any(|v| passes(v, operator, literals)),
    };
    let each = || literals.iter().filter(|l| holds(std::slice::from_ref(*l))).count();
    match check.modifier {
        None => holds(&literals),
        Some(Modifier::OneOf) => each() == 1,
        Some(Modifier::AnyOf) => each() > 0,
        Some(Modifier::AllOf) => !literals.is_empty() && each() == literals.len(),
    }
}

fn passes(value: &Value<'_>, operator: Operator, literals: &[String]) -> bool {
    use Operator::*;
    if let Value::List(items) = value {
        let has = |item: &Value<'_>| literals.contains(&text(item));
        return if operator == In {
            !items.is_empty() && items.iter().all(has)
        } else {
            items.iter().any(has)
        };
    }
    let one = |literal: &String| match value {
        Value::Text(_) => {
            let value = text(value);
            match operator {
                Equal | In | Intersects => value == *literal,
                Contains => value.contains(literal),
                ContainsIgnoringCase => value.to_lowercase().contains(&literal.to_lowercase()),
                StartsWith => value.starts_with(literal),
                EndsWith => value.ends_with(literal),
                Glob | Regex => value == *literal,
                GlobIgnoringCase => value.to_lowercase() == literal.to_lowercase(),
                PathPrefix => {
                    let value: Vec<&str> = value.split('/').filter(|c| !c.is_empty()).collect();
                    let literal: Vec<&str> = literal.split('/').filter(|c| !c.is_empty()).collect();
                    value.starts_with(&literal)
                }
                other => panic!("{other:?} is not generated for texts"),
            }
        }
        Value::Bool(value) => *value == (literal == "true"),
        Value::Address(address) => match literal.parse::<IpAddr>() {
            Ok(wanted) => wanted == *address,
            Err(_) => Network::parse(literal).unwrap().holds(*address),
        },
        Value::Unsigned(_) | Value::Signed(_) => {
            let number: i64 = match value {
                Value::Unsigned(n) => (*n).try_into().unwrap(),
                Value::Signed(n) => *n,
                _ => unreachable!(),
            };
            let wanted: i64 = literal.parse().unwrap();
            match operator {
                Equal | In => number == wanted,
                Less => number < wanted,
                LessOrEqual => number <= wanted,
                Greater => number > wanted,
                GreaterOrEqual => number >= wanted,
                other => panic!("{other:?} is not generated for numbers"),
            }
        }
        other => panic!("{other:?} is not generated"),
    };
    literals.iter().any(one)
}

fn agree(conditions: &[Expression], events: &[TestEvent]) -> Result<(), TestCaseError> {
    let matcher = matcher(conditions);
    let mut scratch = matcher.scratch();
    for event in events {
        let expected: Vec<String> = (0..conditions.len())
            .filter(|i| naive(&conditions[*i], event))
            .map(|i| format!("r{i}"))
            .collect();
        let found: Vec<String> = matcher.matches(event, &mut scratch).map(|r| r.name.clone()).collect();
        prop_assert_eq!(&found, &expected, "{:?}", event);
    }
    Ok(())
}

fn matcher(conditions: &[Expression]) -> Matcher {
    let files: Vec<String> = conditions
        .iter()
        .enumerate()
        .map(|(i, c)| support::rule(&c.to_string()).replace("rule: r\n", &format!("rule: r{i}\n")))
        .collect();
    let file = files.concat();
    let loaded = load(&[("test.yaml", &file)]);
    assert_eq!(loaded.errors(), 0, "{:#?}\n{file}", loaded.problems);
    Matcher::new(&loaded, &Selection { matching: Matching::All, ..Selection::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_condition_survives_being_printed_and_parsed(expression in expression(true)) {
        let printed = expression.to_string();
        prop_assert_eq!(parse::parse(&printed), Ok(expression), "{}", printed);
    }

    #[test]
    fn the_compiled_matcher_agrees_with_the_condition_as_written(
        conditions in prop::collection::vec(expression(true), 1..6),
        events in prop::collection::vec(event(), 1..12),
    ) {
        agree(&conditions, &events)?;
    }

    #[test]
    fn comparisons_of_one_field_that_are_decided_together_agree_with_each_alone(
        conditions in prop::collection::vec(grouped_check(), 8..24),
        events in prop::collection::vec(event(), 8..16),
    ) {
        agree(&conditions, &events)?;
    }

    #[test]
    fn what_a_strict_judgement_decides_no_absent_field_can_change(
        condition in expression(false),
        event in event(),
        completion in event(),
    ) {
        let matcher = matcher(std::slice::from_ref(&condition));
        let judged = matcher.judge(&event);
        let mut complete = event.clone();
        for (field, values) in &completion.values {
            let known = complete.values.entry(field.clone()).or_default();
            if known.is_empty() {
                known.clone_from(values);
            }
        }
        match judged.first() {
            Some((_, Judgement::Unknown(absent))) => {
                prop_assert!(!absent.is_empty());
                for field in absent {
                    prop_assert!(event.field(field).is_none());
                }
            }
            decided => prop_assert_eq!(naive(&condition, &complete), decided.is_some()),
        }
    }
}

#[test]
fn every_type_of_event_is_asked_only_the_rules_that_can_match_it() {
    let condition = parse::parse("not (evt.type = open and proc.name = a)").unwrap();
    let matcher = matcher(std::slice::from_ref(&condition));
    // Unlike Falco, which takes this rule away from `open` altogether.
    assert_eq!(matcher.required_event_types().len(), EventType::COUNT);
}
