//! The document tree: places, what scalars mean, merge keys, errors and limits.

use std::sync::Arc;

use sources::document::{
    Document, DocumentError, Limits, Node, Step, Style, Value, looks_templated, parse_bytes, parse_json,
    parse_yaml,
};

fn path() -> Arc<str> {
    "compose.yaml".into()
}

fn yaml(text: &str) -> Vec<Result<Document, DocumentError>> {
    parse_yaml(text, &path(), &Limits::default())
}

fn root(text: &str) -> Node {
    let mut documents = yaml(text);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0).unwrap().root
}

fn error(text: &str) -> DocumentError {
    let mut documents = yaml(text);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0).unwrap_err()
}

fn json(text: &str) -> Result<Node, String> {
    let document = parse_json(text, &"config.json".into(), &Limits::default());
    document.map(|document| document.root).map_err(|error| error.to_string())
}

fn at(node: &Node, keys: &[&str]) -> Node {
    keys.iter()
        .fold(node.clone(), |node, key| node.get(key).unwrap_or_else(|| panic!("no {key} in {node:?}")))
}

/// Line, column and length.
fn position(node: &Node) -> (u32, u32, u32) {
    let place = node.place();
    (place.line, place.column, place.length)
}

#[test]
fn a_node_knows_its_place_in_characters_and_its_bytes() {
    let text =
        "services:\n  wéb:\n    image: \"nginx\"  # comment\n    ports:\n    - 80:80\n    - '81'\n\n# end\n";
    let root = root(text);
    let web = at(&root, &["services", "wéb"]);
    assert_eq!(position(&web), (3, 5, 14), "a block mapping is shown by its first entry");
    let image = at(&web, &["image"]);
    assert_eq!(position(&image), (3, 12, 7));
    assert_eq!(image.source(), "\"nginx\"");
    let (key, _) = root.get("services").unwrap().get_key("wéb").unwrap();
    assert_eq!(position(&key), (2, 3, 3));
    let ports = at(&web, &["ports"]);
    assert_eq!(ports.source(), "- 80:80\n    - '81'");
    assert_eq!(position(&ports), (5, 5, 7));
    assert_eq!(position(&ports.item(1).unwrap()), (6, 7, 4));
    assert_eq!(root.source(), &text[..text.find("\n\n").unwrap()], "comments behind it are not its own");
    assert_eq!(image.origin().place(), Some(&image.place()));
}

#[test]
fn a_block_scalar_is_placed_at_its_header_and_ends_with_its_content() {
    let root = root("b: |2- # note\n\n  | one\n  two\n# c\nd: >+\n  x\n  y\n\n\ne: |\nf: !t\n  >\n  z\ng: |");
    let block = |key: &str| {
        let node = at(&root, &[key]);
        let place = node.place();
        (place.line, place.column, node.source().to_owned(), node.as_str().unwrap_or("").to_owned())
    };
    assert_eq!(block("b"), (1, 4, "|2- # note\n\n  | one\n  two".into(), "\n| one\ntwo".into()));
    assert_eq!(block("d"), (6, 4, ">+\n  x\n  y".into(), "x y\n\n\n".into()));
    assert_eq!(block("e"), (11, 4, "|".into(), String::new()));
    assert_eq!(block("f"), (13, 3, ">\n  z".into(), "z\n".into()));
    assert_eq!(block("g"), (15, 4, "|".into(), String::new()));
    assert_eq!(at(&root, &["b"]).style(), Some(Style::Literal));
    for text in ["a:\r\n  - |\r\n\r\n    x\r\n", "a:\r  - |\r\r    x\r"] {
        let item = at(&self::root(text), &["a"]).item(0).unwrap();
        assert_eq!(position(&item), (2, 5, 1), "{text:?}");
    }
}

#[test]
fn an_absent_value_is_placed_behind_its_colon_or_dash() {
    let root = root("a:\nb:   # note\nc:\n  -\n  - {d: , e}\n");
    assert_eq!(position(&at(&root, &["a"])), (1, 3, 0));
    assert_eq!(at(&root, &["b"]).bytes(), 5..5);
    let items: Vec<Node> = at(&root, &["c"]).items().collect();
    assert_eq!(position(&items[0]), (4, 4, 0));
    assert_eq!(position(&at(&items[1], &["d"])), (5, 8, 0));
    assert!(at(&items[1], &["e"]).is_null());
}

#[test]
fn a_route_leads_from_the_root_to_where_the_value_is_written() {
    let root = root("x: &d {k: [1, {m: 2}]}\ny:\n- - *d\nz:\n  <<: *d\n");
    let key = |key: &str| Step::Key(key.into());
    let through = at(&root, &["y"]).item(0).unwrap().item(0).unwrap();
    let deep = at(&at(&through, &["k"]).item(1).unwrap(), &["m"]);
    assert_eq!(deep.route(), [key("x"), key("k"), Step::Index(1), key("m")]);
    assert_eq!(at(&root, &["z", "k"]).route(), [key("x"), key("k")]);
    assert_eq!(at(&root, &["y"]).item(0).unwrap().route(), [key("y"), Step::Index(0)]);
    assert!(root.route().is_empty());
}

#[test]
fn an_alias_is_its_anchors_node_and_knows_where_it_was_used() {
    let root = root("a: &x !!str 1\nb: *x\n*x : key\n");
    let b = at(&root, &["b"]);
    assert_eq!(position(&b), (1, 13, 1));
    let used = b.alias_place().unwrap();
    assert_eq!((used.line, used.column, used.length), (2, 4, 2));
    assert!(b.is_same(&at(&root, &["a"])));
    assert_eq!(at(&root, &["1"]).as_str(), Some("key"));
    assert_eq!(at(&root, &["a"]).alias_place(), None);
}

#[test]
fn plain_scalars_mean_what_they_mean_to_go_yaml() {
    let cases = [
        ("", Value::Null),
        ("~", Value::Null),
        ("NULL", Value::Null),
        ("nULL", Value::String),
        ("true", Value::Bool(true)),
        ("FALSE", Value::Bool(false)),
        ("tRUE", Value::String),
        ("yes", Value::String),
        ("0", Value::Integer(0)),
        ("-7", Value::Integer(-7)),
        ("+7", Value::Integer(7)),
        ("0644", Value::Integer(0o644)),
        ("0o644", Value::Integer(0o644)),
        ("0888", Value::Float(888.0)),
        ("0x1F", Value::Integer(31)),
        ("-0b101", Value::Integer(-5)),
        ("1_000", Value::Integer(1000)),
        ("9223372036854775807", Value::Integer(i64::MAX)),
        ("-9223372036854775808", Value::Integer(i64::MIN)),
        ("18446744073709551615", Value::Float(18_446_744_073_709_551_615.0)),
        ("1.5", Value::Float(1.5)),
        (".5e3", Value::Float(500.0)),
        ("1e3", Value::Float(1000.0)),
        (".inf", Value::Float(f64::INFINITY)),
        ("-.INF", Value::Float(f64::NEG_INFINITY)),
        ("inf", Value::String),
        ("nan", Value::String),
        ("1.2.3", Value::String),
        ("10.0.0.0/8", Value::String),
        ("12:30", Value::String),
        ("2026-01-02", Value::String),
        ("500m", Value::String),
        ("+", Value::String),
        (".", Value::String),
        ("0x", Value::String),
        ("--1", Value::String),
        ("1e", Value::String),
        ("\"1\"", Value::String),
        ("'true'", Value::String),
        ("!!str 1", Value::String),
        ("! 1", Value::String),
        ("!!int \"1\"", Value::Integer(1)),
        ("!!float 1", Value::Float(1.0)),
        ("!!bool yes", Value::Bool(true)),
        ("!!null x", Value::Null),
        ("!reset null", Value::Null),
        ("[]", Value::Sequence),
        ("{}", Value::Mapping),
    ];
    for (text, value) in cases {
        let node = at(&root(&format!("k: {text}\n")), &["k"]);
        assert_eq!(node.value(), value, "{text}");
    }
    assert!(at(&root("k: .nan"), &["k"]).as_f64().is_some_and(f64::is_nan));
}

#[test]
fn a_scalar_answers_for_each_type_it_can_be() {
    let root = root("n: 8080\nq: \"8080\"\nt: true\ny: yes\nz: 'yes'\nf: 1.5\nnull: ~\ns: web\nl: []\n");
    let k = |key: &str| at(&root, &[key]);
    assert_eq!((k("n").as_str(), k("n").as_string_strict()), (Some("8080"), None));
    assert_eq!((k("q").as_str(), k("q").as_string_strict()), (Some("8080"), Some("8080")));
    assert_eq!((k("n").as_i64(), k("q").as_i64(), k("n").as_f64()), (Some(8080), None, Some(8080.0)));
    assert_eq!((k("t").as_bool(), k("y").as_bool()), (Some(true), None));
    assert_eq!((k("t").as_bool_yaml11(), k("y").as_bool_yaml11()), (Some(true), Some(true)));
    assert_eq!((k("z").as_bool_yaml11(), k("z").is_quoted()), (None, true));
    assert_eq!((k("null").as_str(), k("l").as_str(), k("s").as_str()), (None, None, Some("web")));
    assert!(k("null").is_null() && k("l").is_sequence() && k("l").is_empty() && k("s").is_scalar());
}

#[test]
fn tags_of_an_application_are_kept() {
    let root = root(
        "%TAG !e! tag:example.com,2000:\n---\na: !reset null\nb: !override [x]\nc: !!str 1\nd: !e!t {}\n",
    );
    let tag = |key: &str| at(&root, &[key]).tag().map(str::to_owned);
    assert_eq!(tag("a").as_deref(), Some("!reset"));
    assert_eq!(tag("b").as_deref(), Some("!override"));
    assert_eq!(tag("c").as_deref(), Some("!!str"));
    assert_eq!(tag("d").as_deref(), Some("tag:example.com,2000:t"));
    assert_eq!(root.tag(), None);
}

#[test]
fn merged_keys_yield_to_own_keys_and_earlier_merges_win() {
    let text = "\
a: &a {image: a, user: a, cap: a}
b: &b {<<: *a, image: b}
own: {image: own, <<: *a}
one: {<<: *b}
both: {<<: [*b, *a], x: 1}
reversed: {<<: [*a, *b]}
quoted: {\"<<\": *a}
wrong: {<<: text}
";
    let root = root(text);
    let get = |mapping: &str, key: &str| {
        at(&root, &[mapping]).get(key).and_then(|node| node.as_str().map(str::to_owned))
    };
    let keys = |mapping: &str| -> Vec<String> {
        let entries = at(&root, &[mapping]);
        entries
            .entries()
            .map(|(k, v)| format!("{}={}", k.as_str().unwrap(), v.as_str().unwrap_or("…")))
            .collect()
    };
    assert_eq!(get("own", "image").as_deref(), Some("own"));
    assert_eq!(get("own", "user").as_deref(), Some("a"));
    assert_eq!(keys("own"), ["image=own", "user=a", "cap=a"]);
    assert_eq!(keys("one"), ["image=b", "user=a", "cap=a"]);
    assert_eq!(keys("both"), ["x=1", "image=b", "user=a", "cap=a"]);
    assert_eq!(get("reversed", "image").as_deref(), Some("a"));
    assert_eq!(keys("quoted"), ["<<=…"]);
    assert_eq!(get("quoted", "image"), None);
    assert_eq!(get("one", "<<"), None);
    assert_eq!(keys("wrong"), Vec::<String>::new());
    assert_eq!(at(&root, &["both"]).own_entries().count(), 2);
    let image = at(&root, &["one", "image"]);
    assert_eq!(image.place().line, 2, "a merged value stands where it is written");
}

#[test]
fn get_and_entries_agree() {
    let root = root("a: &a {k: 1, j: 2, <<: &c {i: 3, k: 4}}\nb: {<<: [*a, {h: 5, i: 6}], j: 7}\n");
    for (key, value) in at(&root, &["b"]).entries() {
        let found = at(&root, &["b"]).get(key.as_str().unwrap()).unwrap();
        assert!(found.is_same(&value), "{key:?}");
    }
    assert_eq!(at(&root, &["b"]).entries().count(), 4);
}

#[test]
fn an_error_names_file_line_and_column() {
    let cases = [
        ("a: 1\nb: 2\na: 3\n", "compose.yaml:3:1: duplicate key `a` (first at line 1)"),
        ("a: 1\n\"a\": 3\n", "compose.yaml:2:1: duplicate key `a` (first at line 1)"),
        ("<<: {a: 1}\n<<: {b: 1}\n", "compose.yaml:2:1: duplicate key `<<` (first at line 1)"),
        ("a: b: c\n", "compose.yaml:1:5: mapping values are not allowed in this context"),
        ("a: *x\n", "compose.yaml:1:4: while parsing node, found unknown anchor"),
        ("&a [*a]", "compose.yaml:1:5: the anchor that this alias names contains the alias"),
        ("k: &a\n  <<: *a\n", "compose.yaml:2:7: the anchor that this alias names contains the alias"),
        ("a: \"x\ny: 1\n", "compose.yaml:1:4: unclosed quote"),
        ("a: [1, 2\n", "compose.yaml:1:4: unclosed bracket '['"),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text).to_string(), expected, "{text:?}");
        assert!(!error(text).templated);
    }
    let place = error("a: *x\n").place().unwrap();
    assert_eq!((place.line, place.column), (1, 4));
}

#[test]
fn duplicates_are_found_among_many_keys() {
    let many: String = (0..5000).map(|n| format!("k{n}: 1\n")).collect();
    assert_eq!(root(&many).len(), 5000);
    let message = error(&format!("{many}k17: 2\n")).message;
    assert_eq!(message, "duplicate key `k17` (first at line 18)");
}

#[test]
fn documents_around_a_broken_one_are_read() {
    let documents = yaml("a: 1\n---\nb: [1\n---\nc: 1\n---\nd: 1\nd: 2\n--- # e\n...\n---\nf: 1\n");
    let shown: Vec<String> = documents
        .iter()
        .map(|document| match document {
            Ok(document) => format!("{} {:?}", document.index, document.root),
            Err(error) => error.to_string(),
        })
        .collect();
    let expected = [
        "0 {\"a\": 1}",
        "compose.yaml:3:4: unclosed bracket '['",
        "2 {\"c\": 1}",
        "compose.yaml:8:1: duplicate key `d` (first at line 7)",
        "4 null",
        "5 {\"f\": 1}",
    ];
    assert_eq!(shown, expected);
    assert!(yaml("").is_empty());
    assert!(yaml("# only a comment\n").is_empty());
}

#[test]
fn an_unrendered_template_is_named_as_such() {
    let error = error("kind: Pod\nimage: {{ .Values.image }}\n");
    assert!(error.templated);
    let expected = "compose.yaml:2:8: a value that a template tool has not rendered; give the rendered file \
                    (for example the output of `helm template`)";
    assert_eq!(error.to_string(), expected);

    let documents = yaml("a: 1\n---\nb: 1\n{{- if .x }}\nc: 1\n{{- end }}\n---\nd: }\n");
    let error = documents[1].as_ref().unwrap_err();
    assert!(error.templated && error.message.contains("(line 4 holds a value"), "{error}");
    let error = documents[2].as_ref().unwrap_err();
    assert!(!error.templated, "another document's marker is not this one's reason: {error}");

    let quoted = root("a: \"{{ .x }}\"\nb: x/{{ .y }}\nc: |\n  {{ z }}\n");
    assert!(!at(&quoted, &["a"]).is_templated());
    assert!(at(&quoted, &["b"]).is_templated());
    assert!(!at(&quoted, &["c"]).is_templated());
}

#[test]
fn markers_count_only_where_they_stand_as_yaml() {
    assert_eq!(looks_templated("a: 1\nb: {{ .x }}\n"), Some((2, 4)));
    assert_eq!(looks_templated("é: {% if x %}\n"), Some((1, 4)));
    assert_eq!(looks_templated("{{- with .Values.x }}\n"), Some((1, 1)));
    assert_eq!(looks_templated("a: {{ default \"x\" .y }}\n"), Some((1, 4)));
    for sound in
        ["a: \"{{ x }}\"\n", "# {{ x }}\n", "a: 1 # {{ x }}\n", "a: |\n  {{ x }}\n\n  {{ y }}\n", "a: {{}\n"]
    {
        assert_eq!(looks_templated(sound), None, "{sound:?}");
    }
    assert_eq!(looks_templated("a: |-\n  {{ x }}\nb: {{ y }}\n"), Some((3, 4)));
}

#[test]
fn json_is_read_with_places_and_its_own_types() {
    let root = json("{\n  \"a\": [1, -2.5e1, true, null, \"x\\n\\u00e9\"],\n  \"é\": {\"b\": \"yes\"}\n}\n")
        .unwrap();
    let values: Vec<Value> = at(&root, &["a"]).items().map(|node| node.value()).collect();
    let expected = [Value::Integer(1), Value::Float(-25.0), Value::Bool(true), Value::Null, Value::String];
    assert_eq!(values, expected);
    let text = at(&root, &["a"]).item(4).unwrap();
    assert_eq!(text.as_str(), Some("x\né"));
    assert_eq!(position(&text), (2, 32, 11));
    let b = at(&root, &["é", "b"]);
    assert_eq!((position(&b), b.source(), b.as_str()), ((3, 14, 5), "\"yes\"", Some("yes")));
    assert_eq!(b.as_bool_yaml11(), None);
    assert_eq!(position(&at(&root, &["é"])), (3, 8, 12));
    assert_eq!(root.bytes(), 0..root.file_text().len() - 1);
    assert_eq!(json("{\"<<\": {\"a\": 1}}").unwrap().get("a").map(|node| node.is_null()), None);
    assert_eq!(json("18446744073709551615").unwrap().value(), Value::Float(18_446_744_073_709_551_615.0));
}

#[test]
fn what_is_not_json_is_an_error_with_its_place() {
    let cases = [
        ("", "1:1: the file is empty; a JSON value was expected"),
        ("{\"a\": [", "1:8: the file ends within a value"),
        ("[1,]", "1:4: expected a value"),
        ("{\"a\":1,}", "1:8: expected a key in double quotes"),
        ("{\"a\":1,\n\"a\":2}", "2:1: duplicate key `a` (first at line 1)"),
        ("{\n // x\n}", "2:2: a comment: JSON has none, and the engines refuse it"),
        ("[1 2]", "1:4: expected `,` or the end of the collection"),
        ("[1}", "1:3: expected `,` or the end of the collection"),
        ("\"a\nb\"", "1:3: a control character within a string; write it as an escape"),
        ("{\"a\":1} x", "1:9: expected the end of the file after the value"),
        ("{a:1}", "1:2: expected a key in double quotes or `}`"),
        ("{\"a\" 1}", "1:6: expected `:` after the key"),
        ("]", "1:1: expected a value"),
        ("[1,\u{b}2]", "1:4: this character may not stand between values"),
        ("01", "1:2: expected the end of the file after the value"),
    ];
    for (text, expected) in cases {
        assert_eq!(json(text).unwrap_err(), format!("config.json:{expected}"), "{text:?}");
    }
    for text in
        ["'a'", "[NaN]", "[+1]", "[.5]", "[1.]", "0x10", "\"\\q\"", "\"\\ud800\"", "\"abc", "tru", "-"]
    {
        assert!(json(text).is_err(), "{text:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let message = |bytes: &[u8]| {
        let mut documents = parse_bytes(bytes, &path(), &Limits::default());
        documents.remove(0).unwrap_err().to_string()
    };
    assert_eq!(message(b"a: 1\nb: \xFF\n"), "compose.yaml:2:4: this byte is not valid UTF-8");
    assert_eq!(message(b"a: 1\nb: x\0\n"), "compose.yaml:2:5: a NUL byte: this is not a text file");
    let utf16 = "compose.yaml: the text is UTF-16; save it as UTF-8";
    assert!(message(b"\xFF\xFEa\0").starts_with(utf16));
    assert!(message(b"a\0:\0 \x001\0").starts_with(utf16));
    let marked = parse_bytes(b"\xEF\xBB\xBFa: 1\n", &path(), &Limits::default()).remove(0).unwrap();
    assert_eq!(position(&marked.root), (1, 1, 4));
}

#[test]
fn the_format_is_taken_from_the_name_and_else_from_the_content() {
    let parse = |name: &str, text: &str| parse_bytes(text.as_bytes(), &name.into(), &Limits::default());
    assert!(parse("x.json", "a: 1")[0].is_err());
    assert!(parse("x.yaml", "{a: 1}")[0].is_ok());
    let octal = |name: &str| parse(name, "{\"a\": 1e2}")[0].as_ref().unwrap().root.get("a").unwrap().value();
    assert_eq!(octal("-"), Value::Float(100.0));
    assert_eq!(parse("-", "{\"a\": 1}\n---\n{\"b\": 1}\n").len(), 2);
    assert!(parse("-", "{a: 1}")[0].is_ok());
}

#[test]
fn each_limit_is_held() {
    let parse = |text: &str, limits: Limits| -> Vec<String> {
        let documents = parse_yaml(text, &path(), &limits);
        documents.iter().map(|d| d.as_ref().map_or_else(ToString::to_string, |_| "ok".into())).collect()
    };
    let default = Limits::default;
    assert_eq!(
        parse("a: 1", Limits { bytes: 3, ..default() }),
        ["compose.yaml: the file is larger than the limit of 3 bytes"]
    );
    assert_eq!(
        parse("[[[1]]]\n---\na: 1", Limits { depth: 2, ..default() }),
        ["compose.yaml:1:3: nested deeper than the limit of 2 levels", "ok"]
    );
    assert_eq!(
        parse("a: 1\n---\n[1, 2]\n---\nb: 1", Limits { nodes: 5, ..default() }),
        ["ok", "compose.yaml:3:5: more nodes than the limit of 5"]
    );
    assert_eq!(
        parse("a\n---\nb\n---\nc", Limits { documents: 2, ..default() }),
        ["ok", "ok", "compose.yaml: more documents than the limit of 2"]
    );
    let depth_by_alias = "a: &a [[1]]\nb: &b [[*a]]\nc: [*b]\n";
    assert_eq!(
        parse(depth_by_alias, Limits { depth: 5, ..default() }),
        ["compose.yaml:3:5: nested deeper than the limit of 5 levels"]
    );
    assert_eq!(parse(depth_by_alias, Limits { depth: 6, ..default() }), ["ok"]);
    let json = parse_json("[[[1]]]", &path(), &Limits { depth: 2, ..default() });
    assert_eq!(json.unwrap_err().to_string(), "compose.yaml:1:3: nested deeper than the limit of 2 levels");
}

#[test]
fn anchors_that_expand_without_bound_are_an_error() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    let error = error(&text);
    assert!(error.message.starts_with("anchors expand without bound"), "{error}");
    assert_eq!(error.line, 8, "9^7 is below ten million, 9^8 above");
}

#[test]
fn merges_knotted_into_each_other_are_walked_once_each() {
    let mut text = String::from("m0: &m0 {k0: 0}\n");
    for n in 1..50 {
        text.push_str(&format!("m{n}: &m{n} {{k{n}: 0, <<: *m{}}}\n", n - 1));
    }
    let all: Vec<String> = (0..50).map(|n| format!("*m{n}")).collect();
    text.push_str(&format!("all: {{<<: [{}]}}\n", all.join(", ")));
    let root = root(&text);
    assert_eq!(at(&root, &["all"]).entries().count(), 50);
    assert_eq!(at(&root, &["all", "k0"]).as_i64(), Some(0));
}
