//! The document tree: positions, meaning of scalars, merge keys, errors and limits.

use std::sync::Arc;

use sources::document::{
    Document, DocumentError, Limits, Node, Step, Value, parse_bytes, parse_json, parse_yaml,
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

fn error(text: &str) -> String {
    let mut documents = yaml(text);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0).unwrap_err().to_string()
}

fn at(node: &Node, keys: &[&str]) -> Node {
    keys.iter()
        .fold(node.clone(), |node, key| node.get(key).unwrap_or_else(|| panic!("no {key} in {node:?}")))
}

fn position(node: &Node) -> (u32, u32, u32) {
    let place = node.place();
    (place.line, place.column, place.length)
}

#[test]
fn a_node_knows_its_place_in_characters_and_its_bytes() {
    let text = "services:\n  wéb:\n    image: \"nginx\"  # comment\n    ports:\n    - 80:80\n    - '81'\n";
    let root = root(text);
    let web = at(&root, &["services", "wéb"]);
    assert_eq!(position(&web), (3, 5, 14));
    let image = at(&web, &["image"]);
    assert_eq!(position(&image), (3, 12, 7));
    assert_eq!(image.source(), "\"nginx\"");
    let (key, _) = root.get("services").unwrap().get_key("wéb").unwrap();
    assert_eq!(position(&key), (2, 3, 3));
    let ports = at(&web, &["ports"]);
    assert_eq!(ports.source(), "- 80:80\n    - '81'");
    assert_eq!(position(&ports), (5, 5, 7));
    assert_eq!(position(&ports.item(1).unwrap()), (6, 7, 4));
    assert_eq!(root.bytes(), 0..text.len() - 1);
}

#[test]
fn a_block_scalar_and_an_absent_value_have_places_too() {
    let root = root("a:\nb: |\n  one\n  two\n# c\nc:   # here\nd: >-\n  x\n  y\n");
    let print = |key: &str| {
        let n = at(&root, &[key]);
        (position(&n), n.source().to_owned(), n.as_str().map(str::to_owned))
    };
    for key in ["a", "b", "c", "d"] {
        println!("{key}: {:?}", print(key));
    }
    let flow = self::root(
        "x: [a, {b: c}, ]\ny: !reset null\nz: &q !!str 12\nw: *q\nv:\n  - - 1\n    - 2\n  -\n  - !x\n    k: 1\n",
    );
    for (k, v) in flow.entries() {
        println!("{:?} {:?} {:?} {:?} {:?} {:?}", k, v, position(&v), v.source(), v.tag(), v.alias_place());
    }
    for i in at(&flow, &["v"]).items() {
        println!("{:?} {:?} {:?} {:?}", i, position(&i), i.source(), i.route());
    }
}

#[test]
fn errors_print() {
    for text in [
        "a: 1\nb: 2\na: 3\n",
        "a: {{ .Values.x }}\n",
        "{{- if .x }}\na: 1\n{{- end }}\n",
        "a: b: c\n",
        "a: [1, 2\n---\nb: 1\n",
        "a: *x\n",
        "&a [*a]",
        "\ta: 1",
        "a: \"x\ny: 1\n",
        "a: 'x\n---\nb: 1\n---\nc: 1",
        "a:\n  - b\n c: 1",
        "x: @foo",
        "%FOO bar\n---\na: 1",
        "a: 1\n--- \nb: }\n--- c\n...\nd",
        "",
    ] {
        println!("{text:?}");
        for d in yaml(text) {
            match d {
                Ok(d) => println!("   {} {:?}", d.index, d.root),
                Err(e) => println!("   {e}"),
            }
        }
    }
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\n // x\n1}",
        "[1 2]",
        "\"a\nb\"",
        "nul",
        "{\"a\":1}x",
        "01",
        "[\"\\ud800\"]",
        "'a'",
        "{a:1}",
        "[NaN]",
        "-",
        "[",
        "]",
        "}",
        ":",
        "[1}",
        "\"abc",
        "[1.]",
        "\"\\q\"",
        "\"\\u12\"",
    ] {
        println!(
            "{text:?}  => {:?}",
            parse_json(text, &path(), &Limits::default()).map(|d| d.root).map_err(|e| e.to_string())
        );
    }
}
