use std::sync::Arc;

use confinement::World;
use harden::dockerfile::{can, edit, suggest};
use harden::draft::{Drafts, Task};
use sources::{Context, dockerfile};

use crate::support::{checked, edited, remedies};

fn read(text: &str, context: &Context) -> World {
    dockerfile::read(text.as_bytes(), &"Dockerfile".into(), context)
}

#[rustfmt::skip]
const USERS: &[(&str, &str)] = &[
    ("FROM x\n", "FROM x\nUSER 65532:65532\n"),
    ("FROM x", "FROM x\nUSER 65532:65532"),
    ("from x\nrun a\n\n\n", "from x\nrun a\nuser 65532:65532\n\n\n"),
    ("FROM x\nRUN a\n\nCMD [\"a\"]\n", "FROM x\nRUN a\n\nUSER 65532:65532\nCMD [\"a\"]\n"),
    ("FROM x\nRUN a\n# starts it\n# for good\nENTRYPOINT [\"a\"]\nCMD [\"b\"]\n", "FROM x\nRUN a\nUSER 65532:65532\n# starts it\n# for good\nENTRYPOINT [\"a\"]\nCMD [\"b\"]\n"),
    ("FROM x\nUSER root\nCMD a\n", "FROM x\nUSER 65532:65532\nCMD a\n"),
    ("FROM x\nUSER 0\nCOPY a b\nCMD a\n", "FROM x\nUSER 65532:65532\nCOPY a b\nCMD a\n"),
    ("FROM x\nUSER root\nRUN apt-get update\nCMD a\n", "FROM x\nUSER root\nRUN apt-get update\nUSER 65532:65532\nCMD a\n"),
    ("FROM x\nUSER app\nUSER root\n", "FROM x\nUSER app\nUSER 65532:65532\n"),
    ("FROM x\nCMD a\nRUN b\n# end\n", "FROM x\nCMD a\nRUN b\n# end\nUSER 65532:65532\n"),
    ("FROM x AS build\nCMD a\nUSER root\nFROM scratch\nCOPY --from=build a b\n", "FROM x AS build\nCMD a\nUSER root\nFROM scratch\nCOPY --from=build a b\nUSER 65532:65532\n"),
    ("FROM x AS base\nUSER root\nFROM base\nRUN b\n", "FROM x AS base\nUSER root\nFROM base\nRUN b\nUSER 65532:65532\n"),
    ("FROM x\nRUN <<EOF\nCMD a\nEOF\n", "FROM x\nRUN <<EOF\nCMD a\nEOF\nUSER 65532:65532\n"),
    ("# escape=`\nFROM x\nRUN a `\n  b\nCMD c\n", "# escape=`\nFROM x\nRUN a `\n  b\nUSER 65532:65532\nCMD c\n"),
    ("FROM x\nUSER app\n", "FROM x\nUSER app\n"),
];

#[test]
fn a_user_is_set_before_the_first_command_that_nothing_is_run_behind() {
    for (text, wanted) in USERS {
        let result = checked(text, 0, "non-root", &read, &Context::assumed(), edit).unwrap();
        assert_eq!(result, *wanted);
        // A file of one line has no line ends to keep to.
        let crlf = |text: &str| text.replace('\n', "\r\n");
        if !text.contains('\n') {
            continue;
        }
        let result = checked(&crlf(text), 0, "non-root", &read, &Context::assumed(), edit).unwrap();
        assert_eq!(result, crlf(wanted));
    }
}

fn suggested(text: &str) -> String {
    suggested_or(text).unwrap()
}

fn suggested_or(text: &str) -> Result<String, String> {
    let world = read(text, &Context::assumed());
    assert_eq!(world.problems, [], "{text}");
    let source: Arc<str> = text.into();
    let texts = |_: &str| Ok::<Arc<str>, String>(source.clone());
    let mut drafts = Drafts::new(&texts);
    // The user first: the order of the lines does not depend on it.
    let remedies = remedies("non-root");
    edit(&Task::alone(&world.subjects[0], &remedies), &mut drafts).unwrap();
    suggest(&world.subjects[0], &mut drafts).map_err(|refusal| refusal.to_string())?;
    Ok(drafts.finish().unwrap().first().map_or(text.to_owned(), |edited| edited.after.to_string()))
}

#[test]
fn set_user_id_programs_are_taken_out_while_the_build_is_still_root() {
    const RUN: &str = "RUN find / -xdev -perm /6000 -type f -exec chmod a-s {} +";
    for (text, wanted) in [
        ("FROM x\nRUN a\nCMD b\n", format!("FROM x\nRUN a\n{RUN}\nUSER 65532:65532\nCMD b\n")),
        ("FROM x\nRUN a\n", format!("FROM x\nRUN a\n{RUN}\nUSER 65532:65532\n")),
        ("FROM x\nRUN a\nUSER app\nRUN b\n", format!("FROM x\nRUN a\n{RUN}\nUSER app\nRUN b\n")),
        (
            "FROM x\nRUN a && chmod 4755 /a && \\\n  chmod u+s '/b' /c\nUSER app\n",
            format!("FROM x\nRUN a && chmod 0755 /a && \\\n  chmod u-s '/b' /c\n{RUN}\nUSER app\n"),
        ),
        (
            "FROM x\nRUN install -m4711 a /b\nUSER app\n",
            format!("FROM x\nRUN install -m0711 a /b\n{RUN}\nUSER app\n"),
        ),
        (
            "FROM scratch\nCOPY --chmod=4755 a /a\nUSER 5\n",
            "FROM scratch\nCOPY --chmod=0755 a /a\nUSER 5\n".to_owned(),
        ),
        ("FROM x\nCOPY a /a\nUSER 5\n", "FROM x\nCOPY a /a\nUSER 5\n".to_owned()),
    ] {
        let result = suggested(text);
        assert_eq!(result, wanted);
        assert_eq!(read(&result, &Context::assumed()).subjects[0].confinement.image.setuid_hints, []);
        assert_eq!(suggested(&result), result, "a second time");
    }
}

#[test]
fn what_no_instruction_says_is_refused() {
    let text = "FROM x\nRUN setcap cap_net_raw+ep /a\n";
    let world = read(text, &Context::assumed());
    let subject = &world.subjects[0];
    assert!(can(subject, &remedies("non-root")[0]) && !can(subject, &remedies("nnp")[0]));
    let refusal = edited(text, subject, &remedies("nnp"), edit).unwrap_err().to_string();
    assert!(refusal.starts_with("Dockerfile:1:6: no instruction"), "{refusal}");
    let source: Arc<str> = text.into();
    let texts = |_: &str| Ok::<Arc<str>, String>(source.clone());
    let refusal = suggest(subject, &mut Drafts::new(&texts)).unwrap_err().to_string();
    assert!(refusal.starts_with("Dockerfile:2:5: which mode"), "{refusal}");
}

#[test]
fn dockerfiles_of_official_images_take_a_user_and_are_read_again() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora");
    let root = std::env::var("STOCKADE_CORPORA").unwrap_or_else(|_| beside.to_owned());
    let Ok(folder) = std::fs::read_dir(format!("{root}/dockerfiles")) else {
        eprintln!("skipped: the corpora are absent (STOCKADE_CORPORA)");
        return;
    };
    let context = Context::assumed();
    let (mut users, mut refused) = (0, Vec::new());
    for file in folder {
        let path = file.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let world = read(&text, &context);
        if !world.problems.is_empty() || world.subjects.is_empty() {
            continue;
        }
        let name = path.display();
        let result = checked(&text, 0, "non-root", &read, &context, edit);
        match result {
            Ok(result) => {
                users += usize::from(result != text);
                assert_eq!(
                    read(&result, &context).subjects[0].confinement.identity.root.value,
                    Some(false),
                    "{name}"
                );
                let once = suggested_or(&result);
                match once {
                    Ok(once) => assert_eq!(suggested(&once), once, "{name}"),
                    Err(refusal) => refused.push(refusal),
                }
            }
            Err(refusal) => refused.push(refusal.to_string()),
        }
    }
    assert!(users > 200, "{users}: {refused:?}");
    assert!(refused.len() < 8, "{refused:?}");
}
