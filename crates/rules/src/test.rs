//! What a comparison asks of one value, with its constants made ready. The values on the right of an operator are read
//! here, by the kind of the field on its left.

use std::cmp::Ordering;
use std::net::IpAddr;

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;
use regex::Regex;
use rustc_hash::FxHashSet;

use crate::ast::Operator;
use crate::event::{Network, Value};
use crate::fields::Kind;
use crate::pattern::{Glob, PathTrie};

/// A number of any field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    pub(crate) fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => Number::compare_floats(a, b),
        }
    }

    #[cold]
    fn compare_floats(a: Number, b: Number) -> Option<Ordering> {
        a.float().partial_cmp(&b.float())
    }

    fn float(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Float(float) => float,
        }
    }

    pub(crate) fn of(value: &Value<'_>) -> Option<Number> {
        Some(match value {
            Value::Unsigned(number) => Number::Whole(i128::from(*number)),
            Value::Signed(number) => Number::Whole(i128::from(*number)),
            Value::Float(number) => Number::Float(*number),
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(crate) fn of(operator: Operator) -> Option<Order> {
        Some(match operator {
            Operator::Less => Order::Less,
            Operator::LessOrEqual => Order::LessOrEqual,
            Operator::Greater => Order::Greater,
            Operator::GreaterOrEqual => Order::GreaterOrEqual,
            _ => return None,
        })
    }

    pub(crate) fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    Exists,
    Text(TextTest),
    Order(Order, Number),
    Numbers(Box<[Number]>),
    /// Whether `false` and `true` are accepted.
    Bool([bool; 2]),
    Addresses(Box<[IpAddr]>),
    Networks(Box<[Network]>),
    /// Every element of a list is one of these.
    AllOf(FxHashSet<Box<[u8]>>),
    /// Some element of a list is one of these.
    SomeOf(FxHashSet<Box<[u8]>>),
    /// By the kind that the value turns out to have.
    ByKind(Box<[Test]>),
}

#[derive(Clone, Debug)]
pub(crate) enum TextTest {
    Equal(Box<[u8]>),
    In(FxHashSet<Box<[u8]>>),
    Order(Order, Box<[u8]>),
    Contains(Box<Finder<'static>>),
    ContainsIgnoringCase(AhoCorasick),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Glob(Glob),
    Regex(Box<Regex>),
    PathPrefix(PathTrie),
}

impl Test {
    /// Whether a value passes. One of another kind does not.
    pub(crate) fn accepts(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Test::Exists, _) => true,
            (Test::ByKind(tests), value) => {
                let is_text = matches!(value, Value::Text(_));
                tests.iter().any(|test| matches!(test, Test::Text(_)) == is_text && test.accepts(value))
            }
            (Test::AllOf(set), Value::List(values)) => {
                !values.is_empty() && values.iter().all(|value| in_set(set, value))
            }
            (Test::SomeOf(set), Value::List(values)) => values.iter().any(|value| in_set(set, value)),
            (Test::AllOf(set) | Test::SomeOf(set), value) => in_set(set, value),
            (Test::Text(test), Value::Text(text)) => test.accepts(text),
            (Test::Text(test), other) => test.accepts(&crate::output::compared(other)),
            (Test::Bool(accepted), Value::Bool(value)) => accepted[usize::from(*value)],
            (Test::Addresses(addresses), Value::Address(address)) => addresses.contains(address),
            (Test::Networks(networks), Value::Address(address)) => networks.iter().any(|n| n.holds(*address)),
            (Test::Networks(networks), Value::Network(network)) => {
                networks.iter().any(|n| n.holds(network.address))
            }
            (Test::Order(order, number), value) => {
                Number::of(value).and_then(|v| v.compare(*number)).is_some_and(|o| order.accepts(o))
            }
            (Test::Numbers(numbers), value) => Number::of(value)
                .is_some_and(|v| numbers.iter().any(|n| v.compare(*n) == Some(Ordering::Equal))),
            _ => false,
        }
    }

    /// What it costs to ask, in no unit; the cheaper of two is asked first.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Test::Exists | Test::Bool(_) | Test::Order(..) => 0,
            Test::Numbers(_) | Test::Addresses(_) => 1,
            Test::Text(text) => text.cost(),
            Test::Networks(_) | Test::AllOf(_) | Test::SomeOf(_) | Test::ByKind(_) => 6,
        }
    }
}

fn in_set(set: &FxHashSet<Box<[u8]>>, value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => set.contains(text.as_ref()),
        other => set.contains(crate::output::plain(other).as_slice()),
    }
}

impl TextTest {
    pub(crate) fn accepts(&self, text: &[u8]) -> bool {
        match self {
            TextTest::Equal(wanted) => text == &**wanted,
            TextTest::In(set) => set.contains(text),
            TextTest::Order(order, bound) => order.accepts(text.cmp(bound)),
            TextTest::Contains(finder) => finder.find(text).is_some(),
            TextTest::ContainsIgnoringCase(searcher) => searcher.is_match(text),
            TextTest::StartsWith(prefix) => text.starts_with(prefix),
            TextTest::EndsWith(suffix) => text.ends_with(suffix),
            TextTest::Glob(glob) => glob.matches(text),
            // Bytes that are no UTF-8 stand as U+FFFD, as Falco has it for this operator alone.
            TextTest::Regex(regex) => regex.is_match(&String::from_utf8_lossy(text)),
            TextTest::PathPrefix(trie) => trie.matches(text),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            TextTest::Equal(_) | TextTest::Order(..) => 1,
            TextTest::In(_) | TextTest::StartsWith(_) | TextTest::EndsWith(_) => 2,
            TextTest::Contains(_) | TextTest::PathPrefix(_) => 6,
            TextTest::ContainsIgnoringCase(_) | TextTest::Glob(_) => 12,
            TextTest::Regex(_) => 40,
        }
    }
}

/// Bytes of one text that a field is compared with.
const MAXIMUM_TEXT: usize = 64 << 10;
/// Of a path: the kernel's PATH_MAX.
const MAXIMUM_PATH: usize = 4096;
const MAXIMUM_REGEX: usize = 1 << 20;

/// Why the values on the right cannot be compared so; with the number of the value, where it is one.
pub(crate) struct Misfit {
    pub(crate) value: Option<usize>,
    pub(crate) message: String,
}

fn misfit<T>(value: impl Into<Option<usize>>, message: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit { value: value.into(), message: message.into() })
}

impl Test {
    /// Makes the test of an operator with these values for a field of this kind. Whether the result is turned round
    /// (`!=`) is for the caller.
    pub(crate) fn new(kind: Kind, operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
        if operator == Operator::Exists {
            return Ok(Test::Exists);
        }
        if let Some(long) = values.iter().position(|value| value.len() > MAXIMUM_TEXT) {
            return misfit(long, format!("longer than {MAXIMUM_TEXT} bytes"));
        }
        match kind {
            Kind::Text => text(operator, values, false).map(Test::Text),
            Kind::Bytes => text(operator, values, true).map(Test::Text),
            Kind::TextList => list(operator, values),
            Kind::Bool => bools(operator, values),
            Kind::Unsigned | Kind::Signed | Kind::Float | Kind::Time | Kind::Duration | Kind::Port => {
                numbers(kind, operator, values)
            }
            Kind::Address => addresses(operator, values),
            Kind::Network => networks(operator, values),
            Kind::Dynamic => by_kind(operator, values),
        }
    }
}

fn text(operator: Operator, values: &[Vec<u8>], bytes: bool) -> Result<TextTest, Misfit> {
    use Operator::*;
    let only_text = matches!(
        operator,
        ContainsIgnoringCase
            | Glob
            | GlobIgnoringCase
            | Regex
            | PathPrefix
            | Less
            | LessOrEqual
            | Greater
            | GreaterOrEqual
    );
    let only_bytes = matches!(operator, ContainsBytes | StartsWithBytes);
    if bytes && only_text {
        return misfit(None, format!("`{}` does not fit a field of bytes", operator.word()));
    }
    if !bytes && only_bytes {
        let plain = if operator == ContainsBytes { "contains" } else { "startswith" };
        return misfit(None, format!("`{}` fits a field of bytes only; use `{plain}`", operator.word()));
    }
    if !bytes && let Some(at) = values.iter().position(|value| value.contains(&0)) {
        return misfit(at, "no text holds a zero byte");
    }
    let set = || values.iter().map(|value| value.clone().into_boxed_slice()).collect();
    if operator == PathPrefix {
        if let Some(at) = values.iter().position(|value| value.len() > MAXIMUM_PATH) {
            return misfit(at, format!("no path is longer than {MAXIMUM_PATH} bytes"));
        }
        return Ok(TextTest::PathPrefix(PathTrie::new(values.iter().map(Vec::as_slice))));
    }
    if matches!(operator, In | Intersects) {
        return Ok(TextTest::In(set()));
    }
    let [value] = values else { return misfit(None, "one value is expected") };
    let boxed = || value.clone().into_boxed_slice();
    Ok(match operator {
        Equal | NotEqual => TextTest::Equal(boxed()),
        Contains => TextTest::Contains(Box::new(Finder::new(value).into_owned())),
        ContainsBytes => TextTest::Contains(Box::new(Finder::new(&hexadecimal(value)?).into_owned())),
        StartsWith => TextTest::StartsWith(boxed()),
        StartsWithBytes => TextTest::StartsWith(hexadecimal(value)?.into()),
        EndsWith => TextTest::EndsWith(boxed()),
        ContainsIgnoringCase => {
            let searcher = AhoCorasick::builder().ascii_case_insensitive(true).build([value]);
            TextTest::ContainsIgnoringCase(searcher.or_else(|error| misfit(0, error.to_string()))?)
        }
        Glob | GlobIgnoringCase => {
            TextTest::Glob(crate::pattern::Glob::new(value, operator == GlobIgnoringCase))
        }
        Regex => TextTest::Regex(Box::new(regular_expression(value)?)),
        Less | LessOrEqual | Greater | GreaterOrEqual => match Order::of(operator) {
            Some(order) => TextTest::Order(order, boxed()),
            None => return misfit(None, "no such operator"),
        },
        Exists | In | Intersects | PathPrefix => return misfit(None, "no such operator"),
    })
}

/// It must match the whole text, in time linear in it.
fn regular_expression(pattern: &[u8]) -> Result<Regex, Misfit> {
    let Ok(pattern) = std::str::from_utf8(pattern) else { return misfit(0, "a regular expression is UTF-8") };
    // By itself first: a parenthesis that is not closed must not close with the one added here.
    let build =
        |pattern: &str| regex::RegexBuilder::new(pattern).size_limit(MAXIMUM_REGEX).nest_limit(100).build();
    build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))).or_else(|error| {
        let text = error.to_string();
        let last = text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
        misfit(0, format!("no regular expression: {last}"))
    })
}

fn hexadecimal(digits: &[u8]) -> Result<Vec<u8>, Misfit> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    match digits.chunks(2).map(pair).collect() {
        Some(bytes) => Ok(bytes),
        None => misfit(0, "bytes are written as pairs of hexadecimal digits, such as CAFEBABE"),
    }
}

fn list(operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
    let set = values.iter().map(|value| value.clone().into_boxed_slice()).collect();
    match operator {
        Operator::In => Ok(Test::AllOf(set)),
        Operator::Intersects => Ok(Test::SomeOf(set)),
        _ => misfit(None, format!("`{}` does not fit a list; use in, intersects or exists", operator.word())),
    }
}

fn only_equality(operator: Operator, what: &str) -> Result<(), Misfit> {
    match operator {
        Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects => Ok(()),
        _ => misfit(None, format!("`{}` does not fit {what}; use =, !=, in or intersects", operator.word())),
    }
}

fn bools(operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
    only_equality(operator, "a field that is true or false")?;
    let mut accepted = [false; 2];
    for (at, value) in values.iter().enumerate() {
        match value.as_slice() {
            b"true" => accepted[1] = true,
            b"false" => accepted[0] = true,
            other => return misfit(at, format!("`{}` is neither `true` nor `false`", lossy(other))),
        }
    }
    Ok(Test::Bool(accepted))
}

fn numbers(kind: Kind, operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
    let numbers = values
        .iter()
        .enumerate()
        .map(|(at, value)| match number(kind, value) {
            Some(number) => Ok(number),
            None => misfit(at, format!("`{}` is no {}", lossy(value), number_name(kind))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let (Some(order), [number]) = (Order::of(operator), numbers.as_slice()) {
        return Ok(Test::Order(order, *number));
    }
    match operator {
        Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects => {
            Ok(Test::Numbers(numbers.into()))
        }
        _ => misfit(None, format!("`{}` does not fit a number", operator.word())),
    }
}

fn number_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "number",
        Kind::Port => "port, which is a number from 0 to 65535",
        Kind::Unsigned | Kind::Time | Kind::Duration => "whole number of 0 or above",
        _ => "whole number",
    }
}

fn number(kind: Kind, text: &[u8]) -> Option<Number> {
    let text = std::str::from_utf8(text).ok()?;
    if kind == Kind::Float {
        return text.parse().ok().filter(|n: &f64| n.is_finite()).map(Number::Float);
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    let whole = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => i128::from(u64::from_str_radix(digits, 16).ok()?),
        None => digits.parse().ok()?,
    };
    let range = match kind {
        Kind::Port => 0..=i128::from(u16::MAX),
        Kind::Signed => i128::from(i64::MIN)..=i128::from(u64::MAX),
        _ => 0..=i128::from(u64::MAX),
    };
    range.contains(&whole).then_some(Number::Whole(whole))
}

fn addresses(operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
    only_equality(operator, "an address")?;
    let read = |(at, value): (usize, &Vec<u8>)| match lossy(value).parse::<IpAddr>() {
        Ok(address) => Ok(address),
        Err(_) if value.contains(&b'/') => misfit(
            at,
            format!("`{}` is a network; compare the field that ends in `net` with it", lossy(value)),
        ),
        Err(_) => misfit(at, format!("`{}` is no IP address", lossy(value))),
    };
    values.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>().map(|a| Test::Addresses(a.into()))
}

fn networks(operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
    only_equality(operator, "a network")?;
    let read = |(at, value): (usize, &Vec<u8>)| match Network::parse(&lossy(value)) {
        Some(network) => Ok(network),
        None => misfit(at, format!("`{}` is no network, such as 10.0.0.0/8", lossy(value))),
    };
    values.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>().map(|n| Test::Networks(n.into()))
}

/// Every reading of the values that makes sense.
fn by_kind(operator: Operator, values: &[Vec<u8>]) -> Result<Test, Misfit> {
    let kinds = [Kind::Text, Kind::Signed, Kind::Float, Kind::Bool, Kind::Address];
    let mut tests: Vec<Test> =
        kinds.iter().filter_map(|kind| Test::new(*kind, operator, values).ok()).collect();
    if tests.len() > 1 && matches!(tests.get(1), Some(Test::Numbers(_) | Test::Order(..))) {
        // A whole number is a float as well; once is enough.
        tests.retain({
            let mut seen = false;
            move |test| {
                !matches!(test, Test::Numbers(_) | Test::Order(..)) || !std::mem::replace(&mut seen, true)
            }
        });
    }
    match tests.is_empty() {
        true => misfit(None, format!("`{}` does not fit these values", operator.word())),
        false => Ok(Test::ByKind(tests.into())),
    }
}

impl Network {
    /// `10.0.0.0/8`; without a prefix the address alone.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits)?,
        };
        Some(Network { address, prefix })
    }

    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                a.to_bits() & mask == b.to_bits() & mask
            }
            _ => false,
        }
    }
}

pub(crate) fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(kind: Kind, operator: Operator, values: &[&str], value: &Value<'_>) -> bool {
        let values: Vec<Vec<u8>> = values.iter().map(|v| v.as_bytes().to_vec()).collect();
        Test::new(kind, operator, &values).unwrap_or_else(|m| panic!("{}", m.message)).accepts(value)
    }

    #[test]
    fn networks_hold_their_addresses_of_either_version() {
        for (network, address, holds) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "::1", true),
        ] {
            let value = Value::Address(address.parse().unwrap());
            assert_eq!(
                accepts(Kind::Network, Operator::In, &[network], &value),
                holds,
                "{network} {address}"
            );
        }
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }

    #[test]
    fn a_regular_expression_matches_the_whole_text() {
        let text = |t| Value::text(t);
        assert!(accepts(
            Kind::Text,
            Operator::Regex,
            &["[a-z]*/proc/[0-9]+/cmdline"],
            &text("/proc/7/cmdline")
        ));
        assert!(!accepts(Kind::Text, Operator::Regex, &["proc"], &text("/proc/7")));
        assert!(!accepts(Kind::Text, Operator::Regex, &["a|b"], &text("ab")));
        assert!(accepts(Kind::Text, Operator::Regex, &["/tmp/bad."], &Value::bytes(b"/tmp/bad\xff")));
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_a_reason() {
        for (kind, operator, value, message) in [
            (Kind::Unsigned, Operator::Equal, "-1", "`-1` is no whole number of 0 or above"),
            (Kind::Port, Operator::Equal, "http", "`http` is no port, which is a number from 0 to 65535"),
            (Kind::Bool, Operator::Equal, "yes", "`yes` is neither `true` nor `false`"),
            (Kind::Address, Operator::Equal, "1.2.3", "`1.2.3` is no IP address"),
            (Kind::Network, Operator::In, "10.0.0.0/99", "`10.0.0.0/99` is no network, such as 10.0.0.0/8"),
            (
                Kind::Text,
                Operator::ContainsBytes,
                "CAFE",
                "`bcontains` fits a field of bytes only; use `contains`",
            ),
            (Kind::Bytes, Operator::Glob, "x", "`glob` does not fit a field of bytes"),
            (Kind::TextList, Operator::Equal, "x", "`=` does not fit a list; use in, intersects or exists"),
            (Kind::Text, Operator::Regex, "(", "no regular expression: unclosed group"),
            (Kind::Text, Operator::Regex, ")(", "no regular expression: unopened group"),
        ] {
            let error = Test::new(kind, operator, &[value.as_bytes().to_vec()]).err().map(|m| m.message);
            assert_eq!(error.as_deref(), Some(message));
        }
    }
}
