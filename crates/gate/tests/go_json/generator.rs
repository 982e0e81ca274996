//! Bodies by a grammar that knows the type they are decoded into: mostly right, and odd in every way that matters to Go's
//! decoder: keys in odd case and with letters that fold, keys again, nulls, wrong types, numbers at the edges, escapes,
//! bytes that are no UTF-8, what follows the value, what is cut off.

use gate::docker::go_json::Shape;

use crate::choices::Choices;

/// Deeper values of unknown keys are not made.
const DEEP: usize = 4;

/// Texts that mean something to the daemon somewhere, so that what is generated is often taken by it.
const TEXTS: [&str; 16] = [
    "",
    "host",
    "/",
    "a",
    "none",
    "/srv",
    "private",
    "ALL",
    "NET_ADMIN",
    "/srv:/s",
    "bind",
    "volume",
    "1000",
    "x=y",
    "container:other",
    "default",
];

const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "-0",
    "512",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1.0",
    "1e2",
    "1e999",
    "-0.0",
    "01",
    "1E+2",
];

/// A body to be decoded into `shape`.
pub(crate) fn body(choices: &mut Choices<'_>, shape: &Shape) -> Vec<u8> {
    let mut out = Vec::new();
    space(choices, &mut out);
    value(choices, shape, 0, &mut out);
    if choices.one_in(12) {
        out.extend_from_slice(choices.of(&[
            &b" "[..],
            b"\n{\"Image\":\"second\"}",
            b"]",
            b"}",
            b"\x00",
            b",",
            b"null",
            b"\xff",
            b"1",
        ]));
    }
    if choices.one_in(40) {
        let keep = choices.below(out.len().max(1));
        out.truncate(keep);
    }
    if choices.one_in(60) && !out.is_empty() {
        let at = choices.below(out.len());
        out[at] = choices.byte();
    }
    out
}

fn space(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    if choices.one_in(16) {
        out.extend_from_slice(choices.of(&[" ", "\n", "\t\r ", "\u{a0}"]).as_bytes());
    }
}

fn value(choices: &mut Choices<'_>, shape: &Shape, depth: usize, out: &mut Vec<u8>) {
    match choices.below(24) {
        22 => return out.extend_from_slice(b"null"),
        23 if choices.one_in(3) => return anything(choices, depth, out),
        _ => {}
    }
    match shape {
        Shape::Struct(fields) => members(choices, depth, out, |choices, out, depth, earlier| {
            let (name, inner) = match earlier {
                // The same key again, which is merged or replaces.
                Some(index) => fields[index],
                None if fields.is_empty() || choices.one_in(20) => {
                    text(choices, out);
                    out.push(b':');
                    anything(choices, depth, out);
                    return None;
                }
                None => fields[choices.below(fields.len())],
            };
            key(choices, name, out);
            out.push(b':');
            space(choices, out);
            value(choices, &inner, depth, out);
            fields.iter().position(|(n, _)| *n == name)
        }),
        Shape::Pointer(inner) => value(choices, inner, depth, out),
        Shape::Map(inner) => members(choices, depth, out, |choices, out, depth, _| {
            text(choices, out);
            out.push(b':');
            value(choices, inner, depth, out);
            None
        }),
        Shape::Slice(inner) => {
            list(choices, depth, out, |choices, out, depth| value(choices, inner, depth, out))
        }
        Shape::Text => text(choices, out),
        Shape::Number => out.extend_from_slice(choices.of(&NUMBERS).as_bytes()),
        Shape::Bool => out.extend_from_slice(choices.of(&["true", "false"]).as_bytes()),
        Shape::TextOrList if choices.one_in(3) => text(choices, out),
        Shape::TextOrList => {
            list(choices, depth, out, |choices, out, depth| value(choices, &Shape::Text, depth, out));
        }
        Shape::Any => anything(choices, depth, out),
    }
}

fn anything(choices: &mut Choices<'_>, depth: usize, out: &mut Vec<u8>) {
    match choices.below(if depth < DEEP { 8 } else { 6 }) {
        0 => out.extend_from_slice(b"true"),
        1 => out.extend_from_slice(choices.of(&NUMBERS).as_bytes()),
        2 => text(choices, out),
        3 => out.extend_from_slice(b"null"),
        4 => out.extend_from_slice(b"{}"),
        5 => out.extend_from_slice(b"[]"),
        6 => list(choices, depth, out, |choices, out, depth| anything(choices, depth, out)),
        _ => members(choices, depth, out, |choices, out, depth, _| {
            text(choices, out);
            out.push(b':');
            anything(choices, depth, out);
            None
        }),
    }
}

/// Members written by `one`, which says which field it wrote; now and then it is told to write an earlier one again.
fn members(
    choices: &mut Choices<'_>,
    depth: usize,
    out: &mut Vec<u8>,
    mut one: impl FnMut(&mut Choices<'_>, &mut Vec<u8>, usize, Option<usize>) -> Option<usize>,
) {
    out.push(b'{');
    let mut written = Vec::new();
    let count = choices.below(if depth == 0 { 12 } else { 6 });
    for n in 0..count {
        if n > 0 {
            out.push(b',');
        }
        space(choices, out);
        let earlier =
            (!written.is_empty() && choices.one_in(3)).then(|| written[choices.below(written.len())]);
        written.extend(one(choices, out, depth + 1, earlier));
        space(choices, out);
    }
    out.push(b'}');
}

fn list(
    choices: &mut Choices<'_>,
    depth: usize,
    out: &mut Vec<u8>,
    mut one: impl FnMut(&mut Choices<'_>, &mut Vec<u8>, usize),
) {
    out.push(b'[');
    for n in 0..choices.below(4) {
        if n > 0 {
            out.push(b',');
        }
        space(choices, out);
        one(choices, out, depth + 1);
        space(choices, out);
    }
    out.push(b']');
}

/// Fields of HostConfig with values that the daemon takes, so that what it makes of them can be looked at.
const SOUND: [(&str, &[&str]); 28] = [
    ("Privileged", &["true", "false", "null"]),
    ("Binds", &[r#"["/srv:/s"]"#, r#"["/srv:/s:ro","/tmp:/t"]"#, "[]", "null"]),
    ("CapAdd", &[r#"["NET_ADMIN"]"#, r#""ALL""#, r#"["cap_sys_ptrace","SYS_ADMIN"]"#, "null", "[]"]),
    ("CapDrop", &[r#"["ALL"]"#, r#""CHOWN""#, "null"]),
    ("PidMode", &[r#""host""#, r#""""#, "null"]),
    ("IpcMode", &[r#""host""#, r#""private""#, r#""shareable""#, r#""none""#]),
    ("UTSMode", &[r#""host""#, r#""""#]),
    ("NetworkMode", &[r#""none""#, r#""host""#, r#""default""#, r#""bridge""#]),
    ("CgroupnsMode", &[r#""host""#, r#""private""#]),
    ("UsernsMode", &[r#""host""#, r#""""#]),
    (
        "Devices",
        &[
            r#"[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]"#,
            r#"[{"pathonhost":"/dev/zero"},{"CgroupPermi\u017f\u017fions":"r"}]"#,
            "[]",
            "[{}]",
        ],
    ),
    ("DeviceCgroupRules", &[r#"["a *:* rwm"]"#, r#"["c 1:3 mr"]"#, "null"]),
    ("SecurityOpt", &[r#"["seccomp=unconfined"]"#, r#"["no-new-privileges","label=disable"]"#, "[]"]),
    ("Sysctls", &[r#"{"net.ipv4.ip_forward":"1"}"#, r#"{"kernel.msgmax":"1"}"#, "{}", "null"]),
    ("GroupAdd", &[r#"["0"]"#, r#"["docker","1"]"#, "[]"]),
    ("ReadonlyRootfs", &["true", "false"]),
    ("Memory", &["0", "67108864", "134217728", "-0"]),
    ("PidsLimit", &["100", "null", "-1"]),
    ("CgroupParent", &[r#""/other""#, r#""""#]),
    ("OomScoreAdj", &["-500", "0", "10"]),
    ("MaskedPaths", &["[]", r#"["/proc/kcore"]"#, "null"]),
    ("ReadonlyPaths", &["[]", r#"["/proc/sys"]"#, "null"]),
    (
        "Mounts",
        &[
            r#"[{"Type":"bind","Source":"/srv","Target":"/m"}]"#,
            r#"[{"type":"tmpfs","Target":"/m"},{"Type":"bind","source":"/tmp","Target":"/n","ReadOnly":true}]"#,
            r#"[{"ReadOnly":true}]"#,
            r#"[{"Target":"/other"},{}]"#,
            r#"[{"BindOptions":{"Propagation":"rshared"}}]"#,
            r#"[{"BindOptions":{"NonRecursive":true}}]"#,
            r#"[{"Type":"volume","Target":"/v","VolumeOptions":{"NoCopy":true}}]"#,
            "[]",
            "null",
        ],
    ),
    ("Tmpfs", &[r#"{"/run":""}"#, r#"{"/x":"size=1m"}"#, "null"]),
    ("ShmSize", &["67108864", "0", "1048576"]),
    ("Runtime", &[r#""runc""#, r#""""#]),
    ("StorageOpt", &["null", "{}"]),
    ("VolumeDriver", &[r#""""#, r#""local""#]),
];

/// A create body that the daemon takes in most cases, written in odd ways. Fields of HostConfig stand where they belong or
/// at the top level, once or again.
pub(crate) fn sound_body(choices: &mut Choices<'_>, image: &str) -> Vec<u8> {
    let mut out = format!("{{\"Image\":\"{image}\"").into_bytes();
    let old = choices.one_in(4);
    for _ in 0..=choices.below(4) {
        out.extend_from_slice(b",");
        if choices.one_in(6) {
            let (name, text) =
                choices.of(&[("User", "\"1000\""), ("Labels", "{\"a\":\"b\"}"), ("Tty", "null")]);
            key(choices, name, &mut out);
            out.push(b':');
            out.extend_from_slice(text.as_bytes());
        } else if old {
            sound_field(choices, None, &mut out);
        } else {
            key(choices, "HostConfig", &mut out);
            out.push(b':');
            if choices.one_in(12) {
                out.extend_from_slice(b"null");
                continue;
            }
            let mut earlier = None;
            members(choices, 0, &mut out, |choices, out, _, again| {
                earlier = Some(sound_field(choices, again.and(earlier), out));
                earlier
            });
        }
    }
    out.push(b'}');
    if choices.one_in(4) {
        out.extend_from_slice(b"{\"HostConfig\":{\"Privileged\":true}}");
    }
    out
}

fn sound_field(choices: &mut Choices<'_>, again: Option<usize>, out: &mut Vec<u8>) -> usize {
    let field = again.unwrap_or_else(|| choices.below(SOUND.len()));
    let (name, values) = SOUND[field];
    key(choices, name, out);
    out.push(b':');
    out.extend_from_slice(choices.of(values).as_bytes());
    field
}

/// A field's name as it may be written.
fn key(choices: &mut Choices<'_>, name: &str, out: &mut Vec<u8>) {
    let how = choices.below(8);
    out.push(b'"');
    for letter in name.chars() {
        let letter = match (how, letter) {
            (4, _) => letter.to_ascii_lowercase(),
            (5, _) => letter.to_ascii_uppercase(),
            (6, 's' | 'S') => '\u{17f}',
            (6, 'k' | 'K') => '\u{212a}',
            (7, _) if choices.one_in(3) => {
                let unit = u32::from(letter) ^ if letter.is_ascii_alphabetic() { 0x20 } else { 0 };
                out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                continue;
            }
            (7, 'i' | 'I') if choices.one_in(2) => '\u{131}',
            _ => letter,
        };
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.push(b'"');
}

fn text(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    if choices.one_in(4) {
        for _ in 0..choices.below(6) {
            out.extend_from_slice(choices.of(&[
                &b"s"[..],
                b"/",
                b"\\/",
                b"\\n",
                b"\\u0041",
                b"\\uD83D",
                b"\\uDE00",
                b"\\ud83d\\ude00",
                b"\\u0000",
                b"\xff",
                b"\xe2\x82",
                b"\xf0\x9f\x98",
                b"\xed\xa0\x80",
                b"\xc0\xaf",
                "é".as_bytes(),
                b"\\\"",
                "\u{2028}".as_bytes(),
                b"<",
                b"\\uFFFD",
                b"\\u12",
                b"\\x",
                b"\x1f",
                b"\xf4\x90\x80\x80",
            ]));
        }
    } else {
        out.extend_from_slice(choices.of(&TEXTS).as_bytes());
    }
    out.push(b'"');
}
