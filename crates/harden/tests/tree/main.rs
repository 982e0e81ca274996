//! Edits of YAML and JSON by the node, each beside the text that it makes.

mod random;

use std::sync::Arc;

use harden::draft::{Drafts, Refusal};
use harden::tree::{self, Items, Value};
use sources::document::Node;

type Change = dyn Fn(&mut Drafts<'_>, &Node) -> Result<(), Refusal>;

/// The text after changes to the document's root.
fn edit(name: &str, text: &str, change: &Change) -> Result<String, Refusal> {
    let text: Arc<str> = text.into();
    let read = |_: &str| Ok::<Arc<str>, String>(text.clone());
    let mut drafts = Drafts::new(&read);
    let root = drafts.documents(name)?.first().expect("a document").root.clone();
    change(&mut drafts, &root)?;
    Ok(drafts.finish()?.first().map_or(text.to_string(), |edited| edited.after.to_string()))
}

fn yaml(text: &str, change: &Change) -> String {
    edit("a.yaml", text, change).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn json(text: &str, change: &Change) -> String {
    edit("a.json", text, change).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn refused(text: &str, change: &Change) -> String {
    edit("a.yaml", text, change).expect_err("refused").to_string()
}

fn get(node: &Node, path: &str) -> Node {
    path.split('.').filter(|step| !step.is_empty()).fold(node.clone(), |node, step| match step.parse() {
        Ok(position) => node.item(position).expect("an item"),
        Err(_) => node.get(step).expect("an entry"),
    })
}

fn insert(at: &'static str, key: &'static str, value: Value) -> Box<Change> {
    Box::new(move |drafts, root| tree::insert_entry(drafts, &get(root, at), key, &value))
}

fn remove(at: &'static str, key: &'static str) -> Box<Change> {
    Box::new(move |drafts, root| tree::remove_entry(drafts, &get(root, at), key))
}

fn change(at: &'static str, items: Items) -> Box<Change> {
    Box::new(move |drafts, root| tree::change_items(drafts, &get(root, at), &items))
}

fn append(at: &'static str, value: Value) -> Box<Change> {
    change(at, Items { append: vec![value], ..Items::default() })
}

fn drop_items(at: &'static str, positions: &[usize]) -> Box<Change> {
    change(at, Items { remove: positions.to_vec(), ..Items::default() })
}

fn set(at: &'static str, text: &'static str) -> Box<Change> {
    Box::new(move |drafts, root| tree::set_scalar(drafts, &get(root, at), text))
}

fn put(at: &'static str, key: &'static str, value: Value) -> Box<Change> {
    Box::new(move |drafts, root| tree::set_entry(drafts, &get(root, at), key, &value))
}

#[test]
fn a_scalar_keeps_its_quotes_and_its_comment() {
    assert_eq!(yaml("a: true  # c\nb: 1\n", &set("a", "false")), "a: false  # c\nb: 1\n");
    assert_eq!(yaml("a: 'x' # c\n", &set("a", "it's")), "a: 'it''s' # c\n");
    assert_eq!(yaml("a: \"x\"", &set("a", "y\"z")), "a: \"y\\\"z\"");
    assert_eq!(yaml("a: &n x\n", &set("a", "y")), "a: &n y\n");
    assert_eq!(yaml("a: x\n", &set("a", "y: z")), "a: \"y: z\"\n");
    assert_eq!(yaml("- x\n- y # c\n", &set("1", "z")), "- x\n- z # c\n");
    assert_eq!(json("{\"a\": true}", &set("a", "false")), "{\"a\": false}");
}

#[test]
fn an_absent_value_is_filled_in() {
    assert_eq!(yaml("a:\nb: 1\n", &set("a", "2")), "a: 2\nb: 1\n");
    assert_eq!(yaml("a: # c\nb: 1\n", &set("a", "2")), "a: 2 # c\nb: 1\n");
    assert_eq!(yaml("a:", &set("a", "2")), "a: 2");
    assert_eq!(yaml("{a: , b: 1}\n", &set("a", "2")), "{a: 2 , b: 1}\n");
    assert_eq!(yaml("a: ~\n", &set("a", "2")), "a: 2\n");
}

#[test]
fn an_entry_goes_behind_the_last_line_of_its_mapping() {
    let value = || Value::bool(false);
    assert_eq!(
        yaml("a:\n  b: 1 # c\nd: 2\n", &insert("a", "x", value())),
        "a:\n  b: 1 # c\n  x: false\nd: 2\n"
    );
    assert_eq!(yaml("a:\n  b: 1", &insert("a", "x", value())), "a:\n  b: 1\n  x: false");
    assert_eq!(
        yaml("a:\r\n  b: 1\r\nc: 1\r\n", &insert("a", "x", value())),
        "a:\r\n  b: 1\r\n  x: false\r\nc: 1\r\n"
    );
    let text = "a:\n  b: |\n    text # no comment\n    more\n\n# about c\nc: 1\n";
    let after = "a:\n  b: |\n    text # no comment\n    more\n  x: false\n\n# about c\nc: 1\n";
    assert_eq!(yaml(text, &insert("a", "x", value())), after);
    let text = "a:\n  b: |+\n    text\n\n# about c\nc: 1\n";
    assert_eq!(
        yaml(text, &insert("a", "x", value())),
        "a:\n  b: |+\n    text\n\n  x: false\n# about c\nc: 1\n"
    );
    let text = "a:\n- n: 1\n  m: # c\n  - 2 # d\n- n: 3\n";
    assert_eq!(
        yaml(text, &insert("a.0", "x", value())),
        "a:\n- n: 1\n  m: # c\n  - 2 # d\n  x: false\n- n: 3\n"
    );
    assert_eq!(yaml("a: 1\nb:\n", &insert("", "x", value())), "a: 1\nb:\nx: false\n");
    assert_eq!(yaml("a: 1\nb: # c\n", &insert("", "x", value())), "a: 1\nb: # c\nx: false\n");
    assert_eq!(yaml("a: [1,\n  2] # c\n", &insert("", "x", value())), "a: [1,\n  2] # c\nx: false\n");
    assert_eq!(yaml("- - a: 1\n", &insert("0.0", "x", value())), "- - a: 1\n    x: false\n");
    assert_eq!(
        yaml("a: &n\n  b: 1\nc: *n # c\n", &insert("", "x", value())),
        "a: &n\n  b: 1\nc: *n # c\nx: false\n"
    );
    assert_eq!(yaml("---\na: 1\n---\nb: 1\n", &insert("", "x", value())), "---\na: 1\nx: false\n---\nb: 1\n");
    assert_eq!(yaml("a: 1\n...\n", &insert("", "x", value())), "a: 1\nx: false\n...\n");
}

#[test]
fn what_is_inserted_takes_the_indentation_of_the_file() {
    let value =
        || Value::map([("l", Value::texts(["p", "q: r"])), ("m", Value::map([("k", Value::number(1))]))]);
    assert_eq!(
        yaml("a:\n    b:\n    - 1\n", &insert("a", "x", value())),
        "a:\n    b:\n    - 1\n    x:\n        l:\n        - p\n        - \"q: r\"\n        m:\n            k: 1\n"
    );
    assert_eq!(
        yaml("a:\n  b:\n    - 1\n", &insert("a", "x", value())),
        "a:\n  b:\n    - 1\n  x:\n    l:\n      - p\n      - \"q: r\"\n    m:\n      k: 1\n"
    );
    let text = "{\"b\": [1]}\n";
    let after = "{\"b\": [1], \"x\": {\"l\": [\"p\", \"q: r\"], \"m\": {\"k\": 1}}}\n";
    assert_eq!(yaml(text, &insert("", "x", value())), after);
    assert_eq!(
        yaml("a:\n- n: 1\n", &append("a", value())),
        "a:\n- n: 1\n- l:\n  - p\n  - \"q: r\"\n  m:\n    k: 1\n"
    );
    assert_eq!(
        yaml("a: {b: 1}\n", &insert("a", "x", value())),
        "a: {b: 1, x: {l: [p, \"q: r\"], m: {k: 1}}}\n"
    );
    assert_eq!(
        json("{\n\t\"b\": [\n\t\t1\n\t]\n}\n", &insert("", "x", value())),
        "{\n\t\"b\": [\n\t\t1\n\t],\n\t\"x\": {\n\t\t\"l\": [\n\t\t\t\"p\",\n\t\t\t\"q: r\"\n\t\t],\n\t\t\"m\": {\n\t\t\t\"k\": 1\n\t\t}\n\t}\n}\n"
    );
    assert_eq!(
        json("{\n  \"b\": [1]\n}\n", &insert("", "x", Value::texts(["a", "b"]))),
        "{\n  \"b\": [1],\n  \"x\": [\"a\", \"b\"]\n}\n"
    );
    assert_eq!(
        json("{\"b\":1}", &insert("", "x", Value::texts(["a", "b"]))),
        "{\"b\":1,\"x\":[\"a\",\"b\"]}"
    );
}

#[test]
fn what_is_empty_is_filled() {
    let value = || Value::bool(false);
    assert_eq!(yaml("a: {} # c\nb: 1\n", &insert("a", "x", value())), "a: # c\n  x: false\nb: 1\n");
    assert_eq!(yaml("a:\nb: 1\n", &insert("a", "x", value())), "a:\n  x: false\nb: 1\n");
    assert_eq!(yaml("a: null", &insert("a", "x", value())), "a:\n  x: false");
    assert_eq!(yaml("a: # c\n", &insert("a", "x", value())), "a: # c\n  x: false\n");
    assert_eq!(yaml("a: {b: {}}\n", &insert("a.b", "x", value())), "a: {b: {x: false}}\n");
    assert_eq!(yaml("a: []\n", &append("a", value())), "a: [false]\n");
    assert_eq!(json("{}", &insert("", "x", value())), "{\n  \"x\": false\n}");
    assert_eq!(
        json("{\n  \"a\": {}\n}\n", &insert("a", "x", value())),
        "{\n  \"a\": {\n    \"x\": false\n  }\n}\n"
    );
    assert_eq!(json("{\n}\n", &insert("", "x", value())), "{\n  \"x\": false\n}\n");
    assert_eq!(json("{\"a\": null}", &insert("a", "x", value())), "{\"a\": {\"x\": false}}");
}

#[test]
fn several_insertions_at_one_place_keep_their_order_and_their_depth() {
    let both = |drafts: &mut Drafts<'_>, root: &Node| {
        tree::insert_entry(drafts, root, "outer", &Value::number(1))?;
        tree::insert_entry(drafts, &get(root, "a"), "inner", &Value::number(2))?;
        tree::append_item(drafts, &get(root, "a.b"), &Value::text("d"))?;
        tree::insert_entry(drafts, root, "outer", &Value::number(1))?;
        tree::append_item(drafts, &get(root, "a.b"), &Value::text("e"))
    };
    assert_eq!(yaml("a:\n  b:\n  - c", &both), "a:\n  b:\n  - c\n  - d\n  - e\n  inner: 2\nouter: 1");
    assert_eq!(yaml("a: {b: [c]}\n", &both), "a: {b: [c, d, e], inner: 2}\nouter: 1\n");
    assert_eq!(
        json("{\n  \"a\": {\n    \"b\": []\n  }\n}", &both),
        "{\n  \"a\": {\n    \"b\": [\n      \"d\",\n      \"e\"\n    ],\n    \"inner\": 2\n  },\n  \"outer\": 1\n}"
    );
}

#[test]
fn the_comments_of_what_is_removed_stay() {
    assert_eq!(
        yaml("# above\na: 1 # beside\n# below\nb: 2\n", &remove("", "a")),
        "# above\n# beside\n# below\nb: 2\n"
    );
    assert_eq!(
        yaml("a:\n  b: # one\n    # two\n    - c # three\n    - '# no'\n  d: 1\n", &remove("a", "b")),
        "a:\n  # one\n  # two\n  # three\n  d: 1\n"
    );
    assert_eq!(yaml("a: 1\nb: 2", &remove("", "b")), "a: 1");
    assert_eq!(yaml("a: 1\nb: 2 # c", &remove("", "b")), "a: 1\n# c");
    assert_eq!(yaml("a: 1\r\nb: 2 # c\r\n", &remove("", "b")), "a: 1\r\n# c\r\n");
    assert_eq!(yaml("- n: 1\n  m: 2\n", &remove("0", "n")), "- m: 2\n");
    assert_eq!(yaml("- n: 1 # c\n  m: 2\n", &remove("0", "n")), "- # c\n  m: 2\n");
    assert_eq!(yaml("- n: 1\n  # c\n  m: 2\n", &remove("0", "n")), "- # c\n  m: 2\n");
    assert_eq!(yaml("a: | # c\n  text\n  # text\nb: 1\n", &remove("", "a")), "# c\nb: 1\n");
    assert_eq!(yaml("a:\n  b: 1 # c\nd: 1\n", &remove("a", "b")), "a:\n  {} # c\nd: 1\n");
    assert_eq!(yaml("a:\n- 1 # c\n- 2 # d\n", &drop_items("a", &[0, 1])), "a:\n  []\n# c\n# d\n");
}

#[test]
fn items_are_removed_from_block_lists() {
    assert_eq!(yaml("a:\n- 1\n- 2 # c\n- 3\n", &drop_items("a", &[1])), "a:\n- 1\n# c\n- 3\n");
    assert_eq!(
        yaml("a:\n  - n: 1 # c\n    m: 2\n  - n: 3\n", &drop_items("a", &[0])),
        "a:\n  # c\n  - n: 3\n"
    );
    assert_eq!(yaml("- - a\n  - b\n- c\n", &drop_items("0", &[0])), "- - b\n- c\n");
    assert_eq!(yaml("- - a\n  - b\n- c\n", &drop_items("0", &[1])), "- - a\n- c\n");
    assert_eq!(yaml("-\n  n: 1\n-\n  n: 2\n", &drop_items("", &[0])), "-\n  n: 2\n");
    assert_eq!(yaml("a:\n- 1\n- 2", &drop_items("a", &[1])), "a:\n- 1");
    let all = |drafts: &mut Drafts<'_>, root: &Node| tree::remove_items_or_entry(drafts, root, "a", &[0, 1]);
    assert_eq!(yaml("a:\n- 1 # c\n- 2\nb: 1\n", &all), "# c\nb: 1\n");
    assert_eq!(yaml("a:\n- 1 # c\n- 2\n- 3\n", &all), "a:\n# c\n- 3\n");
}

#[test]
fn items_are_removed_from_flow_lists() {
    assert_eq!(yaml("a: [1, 2, 3] # c\n", &drop_items("a", &[0])), "a: [2, 3] # c\n");
    assert_eq!(yaml("a: [1, 2, 3]\n", &drop_items("a", &[1])), "a: [1, 3]\n");
    assert_eq!(yaml("a: [1, 2, 3]\n", &drop_items("a", &[2])), "a: [1, 2]\n");
    assert_eq!(yaml("a: [1, 2, 3]\n", &drop_items("a", &[1, 2])), "a: [1]\n");
    assert_eq!(yaml("a: [ 1, 2, 3 ]\n", &drop_items("a", &[0, 2])), "a: [ 2 ]\n");
    assert_eq!(yaml("a: [1, 2,]\n", &drop_items("a", &[1])), "a: [1,]\n");
    let text = "a: [\n  1, # one\n  2, # two\n  3 # three\n]\n";
    assert_eq!(yaml(text, &drop_items("a", &[1])), "a: [\n  1, # one\n  # two\n  3 # three\n]\n");
    assert_eq!(yaml(text, &drop_items("a", &[2])), "a: [\n  1, # one\n  2 # two\n  # three\n]\n");
    let text = "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": 1\n}\n";
    assert_eq!(json(text, &drop_items("a", &[1])), "{\n  \"a\": [\n    1\n  ],\n  \"b\": 1\n}\n");
    assert_eq!(json(text, &drop_items("a", &[0])), "{\n  \"a\": [\n    2\n  ],\n  \"b\": 1\n}\n");
    assert_eq!(json(text, &remove("", "a")), "{\n  \"b\": 1\n}\n");
    assert_eq!(json(text, &remove("", "b")), "{\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
    assert_eq!(json("{\"a\":1,\"b\":2}", &remove("", "b")), "{\"a\":1}");
}

#[test]
fn items_are_added_to_flow_lists() {
    assert_eq!(yaml("a: [1]\n", &append("a", Value::text("x"))), "a: [1, x]\n");
    assert_eq!(yaml("a: [1,]\n", &append("a", Value::text("x, y"))), "a: [1, \"x, y\",]\n");
    let text = "a: [\n  1, # one\n  2 # two\n]\n";
    let items = || Items { append: vec![Value::number(3), Value::number(4)], ..Items::default() };
    assert_eq!(yaml(text, &change("a", items())), "a: [\n  1, # one\n  2, # two\n  3,\n  4\n]\n");
    let items = Items { remove: vec![1], ..items() };
    assert_eq!(yaml(text, &change("a", items)), "a: [\n  1, # one\n  3,\n  4\n  # two\n]\n");
    let items =
        Items { remove: vec![0], replace: vec![(1, Value::text("v"))], append: vec![Value::number(3)] };
    assert_eq!(yaml("[1, 2]", &change("", items.clone())), "[v, 3]");
    assert_eq!(yaml("- 1\n- 2 # c", &change("", items)), "- v # c\n- 3");
    let items =
        Items { remove: vec![0], append: vec![Value::number(2), Value::number(3)], ..Items::default() };
    assert_eq!(yaml("[1]", &change("", items.clone())), "[2, 3]");
    assert_eq!(yaml("a:\n- 1 # c\n", &change("a", items)), "a:\n# c\n- 2\n- 3\n");
}

#[test]
fn a_value_of_another_kind_takes_the_place_of_the_old() {
    assert_eq!(yaml("a: host # c\nb: 1\n", &put("", "a", Value::texts(["x"]))), "a:\n  - x # c\nb: 1\n");
    assert_eq!(yaml("a: {b: 1}\n", &put("a", "b", Value::texts(["x"]))), "a: {b: [x]}\n");
    assert_eq!(yaml("a:\n  b: 1\nc: 1\n", &put("", "a", Value::number(3))), "a: 3\nc: 1\n");
    assert_eq!(yaml("b: &n 1\na: *n\n", &put("", "a", Value::number(3))), "b: &n 1\na: 3\n");
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let value = || Value::bool(false);
    assert!(refused("? a\n: 1\n", &insert("", "x", value())).contains("a.yaml:1"));
    assert!(refused("a: |\n  text\n", &set("a", "x")).contains("block of text"));
    assert!(refused("a: x{{ .y }}\n", &set("a", "x")).contains("template"));
    assert!(refused("b: &n {c: 1}\na: *n\n", &insert("a", "x", value())).contains("alias"));
    assert!(refused("a: 1\n", &insert("", "a", value())).contains("already"));
    assert!(refused("a: [1\n  , 2]\n", &append("a", value())).contains("commas"));
    assert!(refused("a: [&n 1, 2]\n", &append("a", value())).contains("safely"));
    assert!(refused("a: 1\rb: 2\r", &insert("", "x", value())).contains("carriage return"));
}

#[test]
fn a_node_that_others_use_is_known() {
    let text = "x: &n\n  b: {c: 1}\na:\n  <<: *n\nd: {e: 1}\n";
    let read = |_: &str| Ok::<Arc<str>, String>(text.into());
    let mut drafts = Drafts::new(&read);
    let root = drafts.documents("a.yaml").unwrap()[0].root.clone();
    let within = get(&root, "a");
    let merged = get(&root, "a.b.c");
    assert!(!tree::in_own_text(&merged, &within));
    assert_eq!(tree::is_shared(&merged, &get(&root, "x")).unwrap().line, 4);
    assert!(tree::in_own_text(&get(&root, "d.e"), &get(&root, "d")));
    assert!(tree::is_shared(&get(&root, "d.e"), &root).is_none());
}
