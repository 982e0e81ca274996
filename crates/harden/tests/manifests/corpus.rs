//! The manifests of other projects, where they are there.

use super::{all_remedies, check, some_remedies};

#[test]
fn every_manifest_of_the_corpus_is_hardened_or_refused() {
    let folder = std::env::var("STOCKADE_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").to_owned());
    let Ok(files) = std::fs::read_dir(format!("{folder}/kubernetes")) else {
        eprintln!("skipped: no corpora under {folder}");
        return;
    };
    let (mut edited, mut refused) = (0, 0);
    for file in files.flatten() {
        let Ok(text) = std::fs::read_to_string(file.path()) else { continue };
        let name = file.file_name().to_string_lossy().into_owned();
        for choose in [all_remedies, some_remedies] {
            let done = check(&name, &text, &choose);
            edited += usize::from(done.after != text);
            refused += done.refusals.len();
            for refusal in done.refusals {
                println!("{refusal}");
            }
            let again = check(&name, &done.after, &choose);
            assert_eq!(again.after, done.after, "{name}");
        }
    }
    println!("{edited} texts edited, {refused} containers refused");
}
