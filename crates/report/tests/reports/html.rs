//! The page as a browser sees it, in headless Chromium; without one, what the text of the page can show.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Case, HOSTILE, case, many, written};

fn page(case: &Case) -> String {
    written(&case.report(), report::html::write)
}

/// A folder of this test's own, which is emptied and removed when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("html-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A page that is not there after this has hung; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// What Chromium made of a page, and what it wrote about it.
struct Seen {
    dom: String,
    console: Vec<String>,
    took: Duration,
}

/// Opens a page at a fragment; `None` where there is no Chromium.
fn browse(name: &str, page: &str, fragment: &str) -> Option<Seen> {
    let folder = Folder::new(name);
    let file = folder.0.join("report.html");
    std::fs::write(&file, page).expect("the page can be written");
    let url = format!("file://{}{fragment}", file.display());
    let profile = format!("--user-data-dir={}", folder.0.join("profile").display());
    let start = Instant::now();
    let (dom, log) = (folder.0.join("dom"), folder.0.join("log"));
    let to = |path: &Path| Stdio::from(std::fs::File::create(path).expect("a file"));
    let started = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|program| {
        Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--enable-logging=stderr", "--window-size=1280,900"])
            .args(["--virtual-time-budget=5000", "--dump-dom", &profile, &url])
            .stdin(Stdio::null())
            .stdout(to(&dom))
            .stderr(to(&log))
            .spawn()
            .ok()
    });
    let Some(mut child) = started else {
        eprintln!("skipped: no Chromium is installed");
        return None;
    };
    let status = loop {
        match child.try_wait().expect("Chromium can be waited for") {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                child.kill().expect("Chromium can be ended");
                break child.wait().expect("Chromium ends");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let took = start.elapsed();
    let text = String::from_utf8_lossy(&std::fs::read(&log).expect("the log")).into_owned();
    assert!(status.success(), "{status}: {text}");
    let console = text.lines().filter(|l| l.contains("CONSOLE")).map(str::to_owned).collect();
    let dom = String::from_utf8_lossy(&std::fs::read(&dom).expect("the page")).into_owned();
    Some(Seen { dom, console, took })
}

/// The names of the cards that are shown.
fn shown(dom: &str) -> Vec<String> {
    dom.split("<details class=\"subject ")
        .skip(1)
        .filter(|card| !card.split('>').next().is_some_and(|tag| tag.contains("hidden")))
        .filter_map(|card| {
            let (_, rest) = card.split_once("<h3><bdi>")?;
            Some(rest.split_once("</bdi>")?.0.to_owned())
        })
        .collect()
}

#[test]
fn the_page_loads_without_a_word_on_the_console_and_lists_the_worst_first() {
    let Some(seen) = browse("loads", &page(&case()), "") else { return };
    assert_eq!(seen.console, [""; 0]);
    let names = shown(&seen.dom);
    assert_eq!(names[..4], ["deploy-bot", "builder", "kube-system/agent/agent", "web"]);
    assert!(seen.dom.contains("5 of 5 subjects on this page shown"), "the script ran");
}

#[test]
fn the_console_is_watched() {
    // Otherwise the test above could not fail.
    let broken = page(&case()).replace("<footer>", "<img src='https://example.org/x.png'><footer>");
    let Some(seen) = browse("watched", &broken, "") else { return };
    assert!(seen.console.iter().any(|l| l.contains("Content Security Policy")), "{:?}", seen.console);
}

#[test]
fn the_fragment_filters_by_verdict_text_severity_and_kind() {
    let page = page(&case());
    let names = |name: &str, fragment: &str| {
        let seen = browse(name, &page, fragment)?;
        assert_eq!(seen.console, [""; 0]);
        Some(shown(&seen.dom))
    };
    let Some(open) = names("verdict", "#verdict=open") else { return };
    assert_eq!(open, ["deploy-bot", "builder"]);
    assert_eq!(names("text", "#text=SHARED-volume").expect("Chromium"), ["builder"]);
    assert_eq!(
        names("kind", "#kind=workload&severity=critical").expect("Chromium"),
        ["kube-system/agent/agent"]
    );
    assert_eq!(names("none", "#verdict=held&severity=low").expect("Chromium"), [""; 0]);
}

#[test]
fn a_link_opens_the_card_that_it_leads_to() {
    let Some(seen) = browse("anchor", &page(&case()), "#s2") else { return };
    let (_, card) = seen.dom.split_once("id=\"s2\"").expect("the card");
    assert!(card.split('>').next().is_some_and(|tag| tag.contains("open=\"\"")), "it is folded");
}

#[test]
fn hostile_names_stay_text_in_every_place_they_are_put() {
    let mut case = case();
    for (i, subject) in case.world.subjects.iter_mut().enumerate() {
        subject.name = format!("{i}{HOSTILE}").as_str().into();
        subject.id = format!("{i}#{HOSTILE}").as_str().into();
    }
    case.targets.push(HOSTILE.into());
    case.judgement.assumptions.push((HOSTILE.into(), 1));
    case.world.problems[0].message = HOSTILE.into();
    case.world.notes[0].message = HOSTILE.into();
    case.judgement.subjects[0].paths[0].evidence[0].fact = HOSTILE.into();
    case.judgement.subjects[0].paths[0].remedies[0].summary = HOSTILE.into();
    case.standards[0].1.controls[0].message = HOSTILE.into();
    let text = page(&case);
    assert_eq!(text.matches("<script>").count(), 1);
    assert_eq!(text.matches("</script>").count(), 1);
    assert!(!text.contains("<img") && !text.contains(['\u{1b}', '\u{202e}']));
    let Some(seen) = browse("hostile", &text, "") else { return };
    assert_eq!(seen.console, [""; 0]);
    assert!(!seen.dom.contains("<img"));
    assert_eq!(shown(&seen.dom).len(), 5);
}

#[test]
fn the_page_asks_for_nothing_and_carries_no_handler_or_style_of_its_own() {
    let text = page(&case());
    for forbidden in [" onclick=", " onload=", " style=", "src=\"", "@import", "url(http", "javascript:"] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
    // Of links only those within the page and the empty icon.
    for link in text.split("href=\"").skip(1) {
        assert!(link.starts_with('#') || link.starts_with("data:,\""), "{}", &link[..40.min(link.len())]);
    }
}

#[test]
fn ten_thousand_subjects_make_a_page_that_opens_and_says_what_it_leaves_out() {
    let case = many(10_000, 50);
    let text = page(&case);
    assert!(text.len() < 12 << 20, "{} bytes", text.len());
    assert!(text.contains("Left out: 9500 held."), "what is left out is not said");
    let Some(seen) = browse("many", &text, "#verdict=open") else { return };
    assert_eq!(seen.console, [""; 0]);
    assert_eq!(shown(&seen.dom).len(), 200);
    eprintln!("10,000 subjects: {} bytes, Chromium took {:?}", text.len(), seen.took);
}
