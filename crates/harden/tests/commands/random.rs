//! Random command lines, of every way to write an option, a quote and a line: what the remedies do not name stays,
//! word by word, as a splitter of its own (the shlex crate) sees it.

use confinement::World;
use harden::run::edit;
use proptest::prelude::*;
use sources::{Context, run};

use crate::support::checked;

/// An option as its words, the remedy that changes it, and its words afterwards.
#[derive(Clone, Debug)]
struct Given {
    words: Vec<String>,
    told: Option<String>,
    after: Vec<String>,
}

/// The ways to write an option with a value: its words, and what is left of them when it goes.
fn spellings(long: &str, short: Option<char>, value: &str, way: usize) -> (Vec<String>, Vec<String>) {
    let Some(short) = short.filter(|_| way > 1) else {
        return match way % 2 {
            0 => (vec![format!("--{long}"), value.to_owned()], vec![]),
            _ => (vec![format!("--{long}={value}")], vec![]),
        };
    };
    let it = || vec!["-it".to_owned()];
    match way {
        2 => (vec![format!("-{short}"), value.to_owned()], vec![]),
        3 => (vec![format!("-{short}{value}")], vec![]),
        4 => (vec![format!("-{short}={value}")], vec![]),
        5 => (vec![format!("-it{short}"), value.to_owned()], it()),
        6 => (vec![format!("-it{short}{value}")], it()),
        _ => (vec![format!("-it{short}={value}")], it()),
    }
}

fn changed(words: &[String], from: &str, to: &str) -> Vec<String> {
    let change = |word: &String| match word.strip_suffix(from) {
        Some(head) => format!("{head}{to}"),
        None => word.clone(),
    };
    words.iter().map(change).collect()
}

fn volume(number: usize) -> impl Strategy<Value = Given> {
    let options = prop::sample::select(vec!["", ":rw", ":z", ":rw,Z", ":z,rw", ":rshared"]);
    let source = prop::sample::select(vec!["/h", "/a b", "/it's", "./x", "/q\"q", "vol"]);
    (0..3usize, 0..8usize, options, source).prop_map(move |(what, way, options, source)| {
        let value = format!("{source}:/t{number}{options}");
        let (words, left) = spellings("volume", Some('v'), &value, way);
        let read_only = match options {
            "" => format!("{value}:ro"),
            options if options.contains("rw") => value.replace("rw", "ro"),
            _ => format!("{value},ro"),
        };
        match what {
            0 => Given { after: words.clone(), words, told: None },
            1 => Given { words, told: Some(format!("remove /t{number}")), after: left },
            _ => {
                let after = changed(&words, &value, &read_only);
                Given { words, told: Some(format!("read-only /t{number}")), after }
            }
        }
    })
}

fn mount(number: usize) -> impl Strategy<Value = Given> {
    let options = prop::sample::select(vec!["", ",readonly=false", ",bind-propagation=rslave"]);
    (0..3usize, 0..2usize, options).prop_map(move |(what, way, options)| {
        let value = format!("type=bind,source=/h h,target=/t{number}{options}");
        let (words, left) = spellings("mount", None, &value, way);
        let read_only = match options {
            ",readonly=false" => value.replace("readonly=false", "readonly"),
            _ => format!("{value},readonly"),
        };
        match what {
            0 => Given { after: words.clone(), words, told: None },
            1 => Given { words, told: Some(format!("remove /t{number}")), after: left },
            _ => {
                let after = changed(&words, &value, &read_only);
                Given { words, told: Some(format!("read-only /t{number}")), after }
            }
        }
    })
}

/// An option that goes, or stays.
fn simple(long: &'static str, value: &'static str, told: &'static str) -> impl Strategy<Value = Given> {
    (any::<bool>(), 0..2usize).prop_map(move |(goes, way)| {
        let (words, left) = spellings(long, None, value, way);
        match goes {
            true => Given { words, told: Some(told.to_owned()), after: left },
            false => Given { after: words.clone(), words, told: None },
        }
    })
}

fn switch() -> impl Strategy<Value = Given> {
    prop::sample::select(vec!["--privileged", "--privileged=true", "--privileged=1"]).prop_map(|word| Given {
        words: vec![word.to_owned()],
        told: Some("unprivileged".to_owned()),
        after: vec![],
    })
}

fn user() -> impl Strategy<Value = Given> {
    let value = prop::sample::select(vec!["0", "root", "0:0"]);
    (0..8usize, value).prop_map(|(way, value)| {
        let (words, _) = spellings("user", Some('u'), value, way);
        let after = changed(&words, value, "65532:65532");
        Given { words, told: Some("non-root".to_owned()), after }
    })
}

fn other() -> impl Strategy<Value = Given> {
    let lists: Vec<&[&str]> = vec![
        &["--rm"],
        &["-d"],
        &["-it"],
        &["--name", "a-name"],
        &["-e", "A=b c"],
        &["--env=X=$Y"],
        &["-p80:80"],
        &["--label", "why=--privileged"],
        &["--health-cmd", "curl x || exit 1"],
        &["--log-opt=max-size=1m"],
        &["-w", "/a b"],
        &["--env", ""],
        &["--label", "é=ü"],
    ];
    prop::sample::select(lists).prop_map(|words| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Given { after: words.clone(), words, told: None }
    })
}

fn options() -> impl Strategy<Value = Vec<Given>> {
    let fixed = (
        prop::collection::vec(other(), 0..5),
        prop::option::of(volume(1)),
        prop::option::of(volume(2)),
        prop::option::of(mount(3)),
        prop::option::of(switch()),
        prop::option::of(user()),
        prop::option::of(simple("pid", "host", "own pid")),
        prop::option::of(simple("cap-add", "SYS_ADMIN", "drop SYS_ADMIN")),
        prop::option::of(simple("device", "/dev/kvm", "device /dev/kvm")),
        prop::option::of(simple("security-opt", "seccomp=unconfined", "seccomp")),
    );
    let all = fixed.prop_map(|(mut list, a, b, c, d, e, f, g, h, i)| {
        list.extend([a, b, c, d, e, f, g, h, i].into_iter().flatten());
        list
    });
    all.prop_shuffle()
}

/// A word in one of the ways to quote it; ways that cannot write it fall back to one that can.
fn quoted(word: &str, way: u8) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=:/.,+".contains(c);
    let escaped = |text: &str| -> String {
        text.chars().flat_map(|c| if plain(c) { vec![c] } else { vec!['\\', c] }).collect()
    };
    let in_double = |text: &str| {
        let inner: String =
            text.chars().flat_map(|c| if "\"\\$`".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
        format!("\"{inner}\"")
    };
    match way % 5 {
        0 if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        1 if !word.contains('\'') => format!("'{word}'"),
        2 => in_double(word),
        3 if !word.is_empty() => escaped(word),
        // The first half in one way, the rest in another.
        4 if word.is_ascii() && word.len() > 3 => {
            let (head, tail) = word.split_at(word.len() / 2);
            format!("{}{}", escaped(head), in_double(tail))
        }
        _ => in_double(word),
    }
}

const SEPARATORS: [&str; 6] = [" ", " ", "  ", "\t", " \\\n  ", " \\\n\t"];

fn read(text: &str, context: &Context) -> World {
    run::read_line(text, &"--run".into(), 1, context)
}

/// The words as shlex sees them, once the lines are joined, which it does not do.
fn split(text: &str) -> Option<Vec<String>> {
    shlex::split(&text.replace("\\\n", ""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_that_no_remedy_names_stay_as_they_are_and_in_order(
        options in options(),
        podman in any::<bool>(),
        more in any::<bool>(),
        ways in prop::collection::vec((any::<u8>(), 0..SEPARATORS.len()), 64),
        own_lines in any::<bool>(),
    ) {
        let engine = if podman { "podman" } else { "docker" };
        // Podman hands added capabilities to another user than root, which a remedy of the user does not say.
        let user_goes = options.iter().any(|given| given.told.as_deref() == Some("non-root"));
        let adds = options.iter().any(|given| given.told.is_none() && given.words.iter().any(|w| w.contains("SYS_ADMIN")));
        prop_assume!(!(podman && user_goes && adds));
        let mut ways = ways.into_iter().cycle();
        let mut text = format!("{engine} run");
        for given in &options {
            for (number, word) in given.words.iter().enumerate() {
                let Some((way, separator)) = ways.next() else { break };
                let separator = match own_lines {
                    true if number == 0 => " \\\n    ",
                    true => " ",
                    false => SEPARATORS[separator],
                };
                // Options themselves are mostly written plainly.
                let way = if word.starts_with('-') && way > 60 { 0 } else { way };
                text.push_str(separator);
                text.push_str(&quoted(word, way));
            }
        }
        text.push_str(if own_lines { " \\\n    " } else { " " });
        text.push_str("'an/image:1' --privileged -v '/:/host'\n");
        let mut told: Vec<&str> = options.iter().filter_map(|given| given.told.as_deref()).collect();
        if more {
            told.push("nnp");
        }
        let before = split(&text).expect("a text of our own");
        let all: Vec<&String> = options.iter().flat_map(|given| &given.words).collect();
        prop_assert_eq!(before.len(), 2 + all.len() + 4, "{}", text);
        let result = checked(&text, 0, &told.join(";"), &read, &Context::assumed(), edit);
        let result = result.map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
        let after = split(&result).expect("a text that splits");
        let mut wanted: Vec<String> = vec![engine.to_owned(), "run".to_owned()];
        wanted.extend(options.iter().flat_map(|given| given.after.clone()));
        wanted.extend(["an/image:1", "--privileged", "-v", "/:/host"].map(str::to_owned));
        // New options stand together, somewhere before the image.
        let new = after.len().saturating_sub(wanted.len());
        let rest = |at: usize| after[..at].iter().chain(&after[at + new..]).cloned().collect::<Vec<String>>();
        let at = (2..=after.len() - new).find(|at| rest(*at) == wanted);
        prop_assert!(at.is_some(), "{text}\n{result}\n{wanted:?}");
        let new_words = &after[at.unwrap_or(0)..][..new];
        let expected: &[&[&str]] =
            if more { &[&["--security-opt", "no-new-privileges"], &["--security-opt=no-new-privileges"]] } else { &[&[]] };
        prop_assert!(expected.iter().any(|words| new_words == *words), "{text}\n{result}");
    }
}
