//! What the documents show is what the binary prints: every `console` block of the README and of `docs/` is run,
//! and so are the cases under `tests/cases`.

#[test]
fn every_command_in_the_documents_prints_what_is_shown() {
    // The examples are named from the top of the project, where a reader stands.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    std::env::set_current_dir(root).expect("the top of the project is there");
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .default_bin_name("stockade")
        .register_bin("stockade", std::path::Path::new(env!("CARGO_BIN_EXE_stockade")))
        .case("README.md")
        .case("docs/*.md")
        .case("crates/stockade/tests/cases/*.md")
        .run();
}
