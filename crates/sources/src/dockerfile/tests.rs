use confinement::Confinement;

use super::*;

fn world(text: &str) -> World {
    read(text.as_bytes(), &"Dockerfile".into(), &Context::assumed())
}

fn judged(text: &str) -> Confinement {
    let mut world = world(text);
    assert_eq!(world.problems, [], "{text}");
    assert_eq!(world.subjects.len(), 1, "{text}");
    (*world.subjects.remove(0).confinement).clone()
}

fn root(text: &str) -> Option<bool> {
    judged(text).identity.root.value
}

fn secrets(text: &str) -> Vec<String> {
    judged(text).image.secrets.iter().filter_map(|s| s.get().map(|t| t.to_string())).collect()
}

fn hints(text: &str) -> usize {
    judged(text).image.setuid_hints.len()
}

#[test]
fn the_last_user_of_the_last_stage_decides_stages_before_it_pass_theirs_on() {
    for (text, expected) in [
        ("FROM a\nUSER 1000", Some(false)),
        ("FROM a\nUSER app:app", Some(false)),
        ("FROM a\nUSER root", Some(true)),
        ("FROM a\nUSER 0:0", Some(true)),
        ("FROM a", Some(true)),
        ("FROM scratch\nCOPY x /x", Some(true)),
        ("FROM a\nUSER 1000\nUSER root\nRUN x\nUSER 1001", Some(false)),
        ("FROM a AS base\nUSER 1000\nFROM base", Some(false)),
        ("FROM a AS base\nUSER 1000\nFROM BASE AS next\nFROM next", Some(false)),
        ("FROM a AS build\nUSER 1000\nFROM b\nCOPY --from=build /x /x", Some(true)),
        ("FROM a\nARG UID=1000\nUSER $UID", Some(false)),
        ("ARG UID=1000\nFROM a\nARG UID\nUSER ${UID}:${UID}", Some(false)),
        ("FROM a\nENV APP_USER=app\nUSER ${APP_USER}", Some(false)),
        ("FROM a\nUSER ${UID:-0}", Some(true)),
        ("FROM a\nUSER ${UID:-1000}", Some(false)),
        ("FROM a\nUSER \"1000\"", Some(false)),
        // A global argument is not known in a stage that does not ask for it; one without a default is given later.
        ("ARG UID=1000\nFROM a\nUSER $UID", None),
        ("FROM a\nARG UID\nUSER $UID", None),
        ("FROM a\nONBUILD USER 1000", Some(true)),
        ("from a\nuser 1000", Some(false)),
    ] {
        assert_eq!(root(text), expected, "{text}");
    }
}

#[test]
fn the_place_of_the_user_is_the_word_that_names_it() {
    let confinement = judged("# syntax=docker/dockerfile:1\nFROM a:1\n\nUSER  app\n");
    let place = confinement.identity.root.origin.place().unwrap();
    assert_eq!((place.line, place.column, place.length), (4, 7, 3));
    let world = world("FROM a AS x\nFROM b:1\n");
    let place = world.subjects[0].place.as_ref().unwrap();
    assert_eq!((place.line, place.column), (2, 6));
    assert_eq!((&*world.subjects[0].id, world.subjects[0].kind), ("Dockerfile#image", SubjectKind::Image));
}

#[test]
fn the_base_image_and_whether_it_is_pinned() {
    let base = |text: &str| judged(text).image;
    assert_eq!(base("ARG V=1\nFROM a:$V").reference.get().map(|t| &**t), Some("a:1"));
    assert_eq!(base("FROM --platform=$P a:1").reference.get().map(|t| &**t), Some("a:1"));
    assert_eq!(base("FROM $B").reference.value, None);
    assert_eq!(base("FROM scratch").reference.value, None);
    assert_eq!(base("FROM a:1").pinned.value, Some(false));
    let digest = format!("FROM a@sha256:{}", "0".repeat(64));
    assert_eq!(base(&digest).pinned.value, Some(true));
    assert_eq!(base(&format!("{digest} AS b\nFROM b")).pinned.value, Some(true));
}

#[test]
fn the_users_of_base_images_known_from_elsewhere_are_used() {
    let mut context = Context::assumed();
    let mut users = BTreeMap::new();
    users.insert(Arc::from("a:1"), Fact::known("65532".into(), Origin::measured("a test")));
    context.image_users = Arc::new(users);
    let world = read(b"FROM a:1\n", &"Dockerfile".into(), &context);
    assert_eq!(world.subjects[0].confinement.identity.uid.value, Some(65532));
}

#[test]
fn programs_that_the_build_marks_are_hints() {
    for line in [
        "RUN chmod u+s /x",
        "RUN chmod 4755 /x",
        "RUN chmod -R 06755 /x",
        "RUN a && chmod a+s /x && b",
        "RUN [\"chmod\", \"+s\", \"/x\"]",
        "RUN find / -name x -exec chmod u+s {} +",
        "RUN setcap cap_net_raw+ep /x",
        "RUN setcap 'cap_net_bind_service=+ep' /x",
        "RUN install -m 4755 x /x",
        "COPY --chmod=4755 x /x",
        "RUN <<TEXT\nchmod u+s /x\nTEXT",
        "RUN echo 'app ALL=(ALL) NOPASSWD:ALL' >> /etc/sudoers",
    ] {
        assert_eq!(hints(&format!("FROM a\n{line}\n")), 1, "{line}");
        // In a stage that is not part of the image they are not in it.
        assert_eq!(hints(&format!("FROM a AS b\n{line}\nFROM c\n")), 0, "{line}");
        assert_eq!(hints(&format!("FROM a AS b\n{line}\nFROM b\n")), 1, "{line}");
    }
    for line in [
        "RUN chmod 755 /x",
        "RUN chmod g+s /x",
        "RUN chmod u-s /x",
        "RUN chmod -s /x",
        "RUN chmod a-s,g+s /x",
        "RUN chmod 2755 /x",
        "RUN chmod 0755 /4755",
        "RUN echo chmod 4755 /x",
        "RUN setcap -r /x",
        "RUN find / -perm /6000 -exec chmod a-s {} ;",
        "RUN install -m 755 x /x",
        "COPY --chmod=755 x /x",
    ] {
        assert_eq!(hints(&format!("FROM a\n{line}\n")), 0, "{line}");
    }
    let place =
        judged("FROM a\nRUN x && \\\n    chmod u+s /x\n").image.setuid_hints[0].origin.place().cloned();
    assert_eq!(place.map(|p| (p.line, p.column)), Some((3, 5)));
}

#[test]
fn credentials_are_found_and_never_shown() {
    for line in [
        "ENV DB_PASSWORD=hunter22",
        "ENV DB_PASSWORD hunter22",
        "ENV A=b \\\n  DB_PASSWORD=\"hunter22\"",
        "ARG API_KEY=hunter22",
        "ENV URL=postgres://u:hunter22@h/d",
        "RUN curl https://u:hunter22@h/d",
        "COPY .ssh/id_rsa /root/.ssh/id_rsa",
        "COPY --from=x /root/.netrc /root/.netrc",
    ] {
        let found = secrets(&format!("FROM a\n{line}\n"));
        assert_eq!(found.len(), 1, "{line}");
        assert!(!found[0].contains("hunter22"), "{found:?}");
    }
    for line in
        ["ENV DB_PASSWORD=", "ARG API_KEY", "ENV DB_PASSWORD=$X", "ENV A=b", "LABEL password=hunter22"]
    {
        assert_eq!(secrets(&format!("FROM a\n{line}\n")).len(), 0, "{line}");
    }
    let world = world("FROM a\nENV A=1 TOKEN=hunter22\n");
    let place = world.subjects[0].confinement.image.secrets[0].origin.place().cloned().unwrap();
    assert_eq!((place.line, place.column, place.length), (2, 15, 8));
    assert!(!format!("{:?} {:?}", world.notes, world.problems).contains("hunter22"));
}

#[test]
fn what_the_build_takes_unchecked_is_noted() {
    for line in [
        "RUN curl -fsSL https://x/install.sh | sh",
        "RUN wget -qO- https://x | sudo bash -",
        "ADD https://x/a.tar.gz /a",
        "ADD git@example.com:a/b.git /a",
    ] {
        assert_eq!(world(&format!("FROM a\n{line}\n")).notes.len(), 1, "{line}");
    }
    let digest = "0".repeat(64);
    for line in [
        "RUN curl -fsSLo x https://x && sh x".to_owned(),
        "RUN curl https://x | tar xz".to_owned(),
        format!("ADD --checksum=sha256:{digest} https://x/a /a"),
        "ADD a /a".to_owned(),
    ] {
        assert_eq!(world(&format!("FROM a\n{line}\n")).notes, [], "{line}");
    }
    assert_eq!(world("# syntax=evil/front:1\nFROM a\n").notes.len(), 1);
    for syntax in
        ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs", "docker/dockerfile-upstream"]
    {
        assert_eq!(world(&format!("# syntax={syntax}\nFROM a\n")).notes, [], "{syntax}");
    }
}

#[test]
fn every_instruction_is_taken() {
    let text = "# escape=\\\nARG V=1\nFROM a:$V AS b\nMAINTAINER me\nLABEL a=b\nEXPOSE 80/tcp\nWORKDIR /x\n\
        SHELL [\"/bin/bash\", \"-c\"]\nSTOPSIGNAL 9\nHEALTHCHECK --interval=1s CMD curl x || exit 1\nHEALTHCHECK NONE\n\
        VOLUME /data\nVOLUME [\"/a\", \"/b\"]\nCMD [\"x\"]\nENTRYPOINT x y\nONBUILD RUN chmod u+s /x\n\
        COPY <<TEXT /etc/x\nUSER root\nTEXT\nRUN --mount=type=cache,target=/x true\n";
    let confinement = judged(text);
    let volumes: Vec<&str> = confinement
        .mounts
        .iter()
        .filter(|mount| mount.source.get() == Some(&MountSource::Private))
        .map(|mount| &*mount.target)
        .collect();
    assert_eq!(volumes, ["/data", "/a", "/b"]);
    assert_eq!(confinement.image.setuid_hints.len(), 0);
}

#[test]
fn bad_files_are_one_error_with_its_place() {
    for (text, line) in [
        ("", None),
        ("RUN x\n", Some(1)),
        ("FROM a\nWAT x\n", Some(2)),
        ("FROM a\nRUN <<TEXT\nx\n", Some(3)),
        ("FROM\n", Some(1)),
        ("FROM a\n\0\n", Some(2)),
        ("FROM {{ .Image }}\nUSER {{ if }}\n", Some(1)),
    ] {
        let world = world(text);
        assert_eq!(world.subjects.len(), 0, "{text:?}");
        assert_eq!(world.problems.len(), 1, "{text:?}: {:?}", world.problems);
        if line.is_some() {
            assert_eq!(world.problems[0].line, line, "{text:?}: {:?}", world.problems);
        }
    }
    let bytes = read(b"FROM a\nUSER \xff\n", &"Dockerfile".into(), &Context::assumed());
    assert_eq!(bytes.problems[0].line, Some(2));
}

#[test]
fn dockerfiles_are_recognised_by_name_or_first_line() {
    for path in
        ["Dockerfile", "a/Dockerfile", "Dockerfile.dev", "api.Dockerfile", "Containerfile", "dockerfile"]
    {
        assert!(recognise(b"", path), "{path}");
    }
    for path in [".dockerignore", "Dockerfile.dockerignore", "Dockerfile.md", "dockerfile_lint.py", "x"] {
        assert!(!recognise(b"", path), "{path}");
    }
    assert!(recognise(b"# build\n\nARG V=1\nFROM a:$V\n", "build"));
    assert!(recognise(b"FROM golang:1.22 AS build\n", "build"));
    assert!(!recognise(b"From me@example.com Mon\n", "mail") && !recognise(b"FROM a, b\n", "query"));
    assert!(!recognise(b"SELECT 1\n", "q") && !recognise(b"FROM a\n", "x.sql"));
}

#[test]
fn the_corpus_reads_without_a_crash() {
    let folder = std::env::var("STOCKADE_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").to_owned());
    let Ok(entries) = std::fs::read_dir(format!("{folder}/dockerfiles")) else {
        eprintln!("skipped: no corpora at {folder}");
        return;
    };
    let mut counts = BTreeMap::new();
    for entry in entries.flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        let path: Arc<str> = entry.path().to_string_lossy().into();
        let world = read(&bytes, &path, &Context::assumed());
        let mut count = |what: &'static str, n: usize| *counts.entry(what).or_insert(0) += n;
        count("files", 1);
        count("subjects", world.subjects.len());
        count("notes", world.notes.len());
        for problem in &world.problems {
            count("problems", 1);
            eprintln!("{problem}");
        }
        for subject in &world.subjects {
            let image = &subject.confinement.image;
            count("secrets", image.secrets.len());
            count("hints", image.setuid_hints.len());
            count("root", usize::from(subject.confinement.identity.root.value == Some(true)));
            for fact in image.secrets.iter().chain(&image.setuid_hints) {
                eprintln!("{:?} {:?}", fact.get(), fact.origin.place().map(|p| (&*p.path, p.line)));
            }
        }
    }
    eprintln!("{counts:?}");
    assert_eq!(counts.get("files"), Some(&317));
    // Every file of the corpus builds an official image, so every one can be read.
    assert_eq!(counts.get("problems"), None);
}

#[test]
fn no_text_panics() {
    let pieces = [
        "FROM ",
        "a",
        "\n",
        "USER ",
        "RUN ",
        "ENV ",
        "ARG ",
        "COPY ",
        "ADD ",
        "ONBUILD ",
        "SHELL ",
        "[\"",
        "\"]",
        "'",
        "\"",
        "\\",
        "\\\n",
        "$",
        "${",
        "}",
        ":-",
        "<<E",
        "\nE\n",
        "--chmod=",
        "4755",
        " ",
        "=",
        "#",
        "# syntax=",
        "# escape=`\n",
        "HEALTHCHECK ",
        "CMD ",
        "VOLUME ",
        "\u{e9}",
        "\r\n",
        "\t",
        "AS ",
        ",",
        "`",
        "\u{FEFF}",
    ];
    let mut state: u64 = 11;
    for _ in 0..40_000 {
        let mut text = if state & 1 == 0 { "FROM a\n".to_owned() } else { String::new() };
        for _ in 0..(state >> 33) % 20 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        world(&text);
    }
}
