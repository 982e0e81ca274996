//! The formats over what is really read and judged, by the catalogue that is built in. What is said of it may change with the
//! catalogue; that it can be written and follows the schemas may not.

use sources::Context;
use sources::compose::{self, Environment, Files};
use techniques::judge::{Judgement, Options, judge};
use techniques::technique::Catalogue;

use crate::fixture::written;
use crate::{json, sarif};

const PROJECT: &str = "
services:
  bot:
    image: docker:cli
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
      - work:/work
  builder:
    image: alpine
    volumes: [work:/work]
  root:
    image: alpine
    privileged: true
    pid: host
  web:
    image: nginx
    user: '1000'
    cap_drop: [ALL]
    security_opt: [no-new-privileges:true]
  broken: 7
volumes:
  work: {}
";

struct Memory(Environment);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "compose.yaml" => Ok(PROJECT.into()),
            _ => Err("there is no such file".into()),
        }
    }
    fn environment(&self) -> &Environment {
        &self.0
    }
    fn home(&self) -> &str {
        "/root"
    }
}

pub(crate) fn with_report<T>(depth: u8, take: impl FnOnce(&report::Report<'_>) -> T) -> T {
    let world = compose::read(&["compose.yaml"], &Memory(Environment::new()), &Context::assumed());
    assert_eq!((world.subjects.len(), world.problems.len()), (4, 1), "{:?}", world.problems);
    let judgement: Judgement = judge(&world, Options { depth });
    take(&report::Report {
        world: &world,
        judgement: &judgement,
        catalogue: Catalogue::get(),
        standards: &[],
        waived: &Default::default(),
        decisions: &[],
        targets: &["compose.yaml".to_owned()],
        version: "0.0.0-test",
        threshold: depth,
        all: true,
    })
}

#[test]
fn what_is_really_judged_follows_the_schemas() {
    for depth in [1, 3, u8::MAX] {
        with_report(depth, |report| {
            json::assert_valid(&serde_json::from_str(&written(report, report::json::write)).expect("JSON"));
            sarif::assert_valid(&serde_json::from_str(&written(report, report::sarif::write)).expect("JSON"));
            let xml = written(report, report::junit::write);
            roxmltree::Document::parse(&xml).expect("well-formed");
        });
    }
}

#[test]
fn an_open_service_is_open_in_every_format() {
    with_report(1, |report| {
        let text = |write| written(report, write);
        assert!(text(report::json::write).contains(r#""techniques":["engine-api"]"#));
        assert!(text(report::sarif::write).contains(r#""ruleId":"engine-api""#));
        assert!(text(report::junit::write).contains(r#"<failure message="bot can become root on the host""#));
        assert!(text(report::github::write).contains("::error file=compose.yaml,line=6,"));
        assert!(text(report::graph::dot).contains("engine-api"));
        assert!(text(report::graph::mermaid).contains("engine-api"));
        assert!(text(report::html::write).contains(r#"<details class="subject open""#));
    });
}
