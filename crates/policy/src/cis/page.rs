//! `docs/cis-docker.md`: made of the table of checks and of the recorded comparison, so that it says what the code does.

use std::fmt::Write as _;

use super::{CHECKS, Check, SECTIONS};

/// The whole page; `generated` says where it comes from.
pub fn page(generated: &str) -> String {
    let mut page = format!("# CIS Docker Benchmark 1.6\n\n{generated}{INTRODUCTION}");
    for (section, title) in SECTIONS {
        let _ = writeln!(page, "\n### {section} {title}\n");
        page.push_str("| check | what is wanted | level | CIS | what is read | unknown, or by hand | techniques | ATT&CK | NIST SP 800-190 |\n");
        page.push_str("|---|---|---|---|---|---|---|---|---|\n");
        for check in CHECKS.iter().filter(|check| check.section() == *section) {
            row(&mut page, check);
        }
    }
    comparison(&mut page);
    page
}

const INTRODUCTION: &str = "\
`stockade audit --standard cis-docker@1.6` judges by every check that docker-bench-security 1.6.0 has, by its number. \
It judges facts, not the text of commands: the confinement of each container, the settings of the engine, and what the \
host's files are. Titles are in the words of this project; the benchmark itself is the CIS's.

| asked | judged |
|---|---|
| a Compose file, a `docker run` line | its containers: section 5 and 4.1 |
| a Dockerfile | section 4 |
| a daemon.json | section 2 |
| `docker:` | every running container, the engine's settings, its images and its swarm: 1.2.2, 2, 4, 5, 6, 7 |
| `host:` | files of the host: 1.1, 1.2.1, 3, 4.5 |
| nothing | all of this machine |

Nothing is executed and nothing is changed: files are looked at, and the engine is asked with GET. Much of it only root may see.

| result | means |
|---|---|
| `pass`, `fail` | facts decide |
| `unknown` | a fact that decides is not known; a run with one, and without a failure, exits with 2 |
| `manual` | no fact decides, a person must; it fails nothing |
| `not-applicable` | what the check is about is not there |

Text shows what fails, by section and check; `--all` shows the rest. JSON has each subject's results below the subject, and \
every check with its level, its remedy and its mapping in `standards`. SARIF rules are called `cis-docker-5.4`. A check is \
waived as `cis-docker/5.4` ([waivers](waivers.md)).

A policy may require it: `require: {standards: cis-docker@1.6}` ([policy](policy.md)). Rules, and so the gates, ask what is \
about containers, build files and settings of engines; what is unknown counts as the policy's `undetermined` says.

## Checks

Level 1 is for everyone, level 2 for where more security is worth some trouble. The column CIS says whether the benchmark \
calls the assessment automated. Techniques are those of [this catalogue](techniques.md) that name the check; sections of \
NIST SP 800-190 are those of its risks (chapter 3), whose countermeasures have the same numbers in chapter 4. Levels and \
statuses are given from memory of the benchmark's profiles where no public copy was at hand; no result depends on them.
";

/// A cell of a table: no bars.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(page: &mut String, check: &Check) {
    let techniques: Vec<&str> = check.techniques().collect();
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        check.id,
        cell(check.title),
        check.level,
        if check.automated { "automated" } else { "manual" },
        cell(check.reads),
        cell(check.unknown),
        techniques.join(", "),
        check.attack().join(", "),
        check.nist.join(", "),
    );
}

const DIFFERENCES: &str = include_str!("peer/differences.txt");

fn comparison(page: &mut String) {
    let lines = || DIFFERENCES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fields = |line: &'static str| line.split(" | ").collect::<Vec<_>>();
    let mut numbers: Vec<&str> = lines().filter_map(|line| fields(line).first().copied()).collect();
    numbers.dedup();
    let differ = numbers.len();
    let _ = writeln!(
        page,
        "\n## Beside docker-bench-security\n\n\
         On 2026-11-23 both looked at one host: Debian 12, dockerd 20.10.24, 28 containers, sound and unsound, each \
         different from the plain one by one option. The script is not packaged for Debian, PyPI or npm; what ran were \
         the conditions of its checks, taken over one by one from a public copy of its sources (tests/1 to 7 and \
         functions/helper_lib.sh, of 2021 to 2023) without its printing, under the numbers that 1.6.0 gives them. The \
         facts of the host, the containers and what the script said are kept beside the code \
         (`crates/policy/src/cis/peer`), and a test compares the two anew.\n\n\
         Of {} checks {} agree: WARN is `fail`, PASS is `pass` (or `not-applicable`: \"Swarm mode not enabled\"), INFO \
         and NOTE are `manual` or `not-applicable`; checks of section 5 agree for each container. These differ:\n\n\
         | check | containers | here | who is right, and why |\n|---|---|---|---|",
        CHECKS.len(),
        CHECKS.len() - differ,
    );
    for line in lines() {
        if let [number, containers, verdict, why] = fields(line)[..] {
            let containers = match containers {
                "*" => "several",
                "-" => "",
                names => names,
            };
            let _ = writeln!(page, "| {number} | {containers} | {verdict} | {why} |");
        }
    }
    page.push_str(
        "\nNot compared there, and different by design: the script takes modes for decimal numbers, so that 477 passes as \
         \"644 or more restrictive\" (3.x; here each bit counts); it takes any rule that holds a path's text for a rule \
         about the path, `/usr/bin/containerd-shim` for `/usr/bin/containerd` (1.1.x; here rules are read); it knows \
         `--config-file=X` and not `--config-file X` (2.x); it looks for sshd with `docker exec ps`, which runs a program \
         in every container and finds nothing where there is none (5.7; here names of processes in /proc are read). Audit \
         rules are read from /etc/audit; the script asks `auditctl` where it is installed, and so sees rules that were \
         loaded by hand and are written nowhere.\n",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_row_for_every_check_and_difference() {
        let page = page("");
        for check in CHECKS {
            assert!(page.contains(&format!("\n| {} | {} |", check.id, cell(check.title))), "{check:?}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| ")).count();
        let differences = DIFFERENCES.lines().filter(|line| !line.starts_with('#')).count();
        let headers = 2 + SECTIONS.len() + 1;
        let introduction = 6 + 4;
        assert_eq!(rows, CHECKS.len() + differences + headers + introduction);
    }
}
