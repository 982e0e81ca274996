//! Dockerfiles: a user other than root for the image, and set-user-ID programs taken out of it. Both are suggestions:
//! whether the program in the image can live with them is not in the file.
//!
//! Positions are those of parse-dockerfile; the rules are of the Dockerfile reference
//! (docs.docker.com/reference/dockerfile, USER and RUN).

use std::ops::Range;

use confinement::{Fact, Form, Place, Subject};
use parse_dockerfile::{Command, Instruction};
use techniques::needs;
use techniques::remedy::Remedy;

use crate::draft::{Drafts, Edit, Refusal, Task};

/// Takes the set-user-ID and set-group-ID bits from every program: find(1), chmod(1).
const REMOVE_SETUID: &str = "find / -xdev -perm /6000 -type f -exec chmod a-s {} +";

/// Whether a Dockerfile can say the change.
pub fn can(subject: &Subject, remedy: &Remedy) -> bool {
    subject.form == Form::Dockerfile
        && *remedy == Remedy::RunAsNonRoot
        && subject.confinement.identity.root.value != Some(false)
}

/// Writes the remedies into the last stage.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let subject = task.subject;
    let place = place_of(subject)?;
    if let Some(other) = task.remedies.iter().find(|remedy| **remedy != Remedy::RunAsNonRoot) {
        let id = other.id(&subject.confinement);
        return Err(Refusal::at(place, format!("no instruction says this change ({id})")));
    }
    if task.remedies.is_empty() || subject.confinement.identity.root.value == Some(false) {
        return Ok(());
    }
    let text = drafts.text(&place.path)?;
    let stage = Stage::last(&text, place)?;
    let (user, group) = needs::user(&subject.confinement);
    match stage.users.last().filter(|user| stage.runs.last().is_none_or(|run| run < &user.keyword)) {
        Some(last) => drafts.replace(&place.path, last.value.clone(), format!("{user}:{group}")),
        None => {
            let line = format!("{} {user}:{group}", stage.keyword("USER"));
            let (at, line) = stage.line(&text, stage.end(), &line, place)?;
            drafts.insert_once(&place.path, at, 0, line)
        }
    }
}

/// Takes set-user-ID programs out of the image: the modes that the file itself sets, and with a `RUN` what the base
/// image and its packages bring. Gives whether anything is suggested.
pub fn suggest(subject: &Subject, drafts: &mut Drafts<'_>) -> Result<bool, Refusal> {
    let place = place_of(subject)?;
    let text = drafts.text(&place.path)?;
    let stage = Stage::last(&text, place)?;
    let mut any = false;
    let own = |hint: &&Fact<_>| hint.origin.place().is_some_and(|at| at.path == place.path);
    for hint in subject.confinement.image.setuid_hints.iter().filter(own) {
        let Some(at) = hint.origin.place() else { continue };
        let from = drafts.range_of(at)?;
        match mode_at(&text, from.clone()) {
            Some(edit) => {
                drafts.replace(&place.path, edit.range, edit.text)?;
                any = true;
            }
            None => {
                let message = "which mode is set here cannot be told: take the set-user-ID bit away by hand";
                return Err(Refusal::at(at, message));
            }
        }
    }
    if let Some(at) = stage.root_end(&text) {
        let line = format!("{} {REMOVE_SETUID}", stage.keyword("RUN"));
        let (at, line) = stage.line(&text, at, &line, place)?;
        // Before a user other than root, where both are inserted at one place.
        drafts.insert_once(&place.path, at, 1, line)?;
        any = true;
    }
    Ok(any)
}

fn place_of(subject: &Subject) -> Result<&Place, Refusal> {
    subject.place.as_ref().filter(|_| subject.form == Form::Dockerfile).ok_or_else(|| {
        Refusal::file(subject.name.clone(), "where this image's last stage stands is not known")
    })
}

struct User {
    keyword: usize,
    value: Range<usize>,
    is_root: bool,
}

/// The last stage, by the offsets of its instructions.
struct Stage {
    from: usize,
    is_lowercase: bool,
    is_scratch: bool,
    users: Vec<User>,
    /// `RUN` instructions that a shell runs, and all of them.
    shells: Vec<usize>,
    runs: Vec<usize>,
    /// `CMD` and `ENTRYPOINT`.
    starts: Vec<usize>,
}

impl Stage {
    fn last(text: &str, place: &Place) -> Result<Stage, Refusal> {
        let unreadable = || Refusal::at(place, "the Dockerfile is not as it was read");
        let mut last: Option<Stage> = None;
        for instruction in parse_dockerfile::parse_iter(text).map_err(|_| unreadable())? {
            match (instruction.map_err(|_| unreadable())?, &mut last) {
                (Instruction::From(from), stage) => {
                    let keyword = text.get(from.from.span.clone()).unwrap_or("");
                    *stage = Some(Stage {
                        from: from.from.span.start,
                        is_lowercase: keyword.starts_with(|c: char| c.is_ascii_lowercase()),
                        is_scratch: from.image.value == "scratch",
                        users: Vec::new(),
                        shells: Vec::new(),
                        runs: Vec::new(),
                        starts: Vec::new(),
                    });
                }
                (Instruction::User(user), Some(stage)) => {
                    let name = user.arguments.value.split(':').next().unwrap_or("").trim().to_owned();
                    stage.users.push(User {
                        keyword: user.user.span.start,
                        value: user.arguments.span.clone(),
                        is_root: name == "root" || name == "0",
                    });
                }
                (Instruction::Run(run), Some(stage)) => {
                    stage.runs.push(run.run.span.start);
                    if matches!(run.arguments, Command::Shell(_)) {
                        stage.shells.push(run.run.span.start);
                    }
                }
                (Instruction::Cmd(command), Some(stage)) => stage.starts.push(command.cmd.span.start),
                (Instruction::Entrypoint(entry), Some(stage)) => {
                    stage.starts.push(entry.entrypoint.span.start);
                }
                _ => {}
            }
        }
        last.ok_or_else(unreadable)
    }

    fn keyword(&self, name: &str) -> String {
        if self.is_lowercase { name.to_ascii_lowercase() } else { name.to_owned() }
    }

    /// The first `CMD` or `ENTRYPOINT` behind which nothing is run and no user is set; `None` for the end of the file.
    fn end(&self) -> Option<usize> {
        let last_run = self.runs.last().copied().unwrap_or(0);
        let last_user = self.users.last().map_or(0, |user| user.keyword);
        self.starts.iter().copied().find(|start| *start > last_run.max(last_user))
    }

    /// Where a `RUN` has every program of the image before it and is still root's, as far as the stage says it;
    /// `None` inside for the end of the file. Not where the stage has no shell to its knowledge, and not twice.
    fn root_end(&self, text: &str) -> Option<Option<usize>> {
        let shell = self.shells.last()?;
        if self.is_scratch || text.get(self.from..).is_some_and(|stage| stage.contains(REMOVE_SETUID)) {
            return None;
        }
        let user_at = |at: usize| self.users.iter().rev().find(|user| user.keyword < at);
        let last_root_run =
            self.runs.iter().rev().copied().find(|run| user_at(*run).is_none_or(|u| u.is_root));
        let after = last_root_run.unwrap_or(*shell);
        let next_user = self.users.iter().find(|user| user.keyword > after && !user.is_root);
        Some(next_user.map(|user| user.keyword).or_else(|| self.end()))
    }

    /// A line before the instruction at an offset and the comments above it, or at the end of the file.
    fn line(
        &self,
        text: &str,
        before: Option<usize>,
        line: &str,
        place: &Place,
    ) -> Result<(usize, String), Refusal> {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let Some(before) = before else {
            let end = text.trim_end().len();
            let line = format!("{newline}{line}");
            // A continued line or a here-document that nothing ends takes what is written behind it.
            let (head, tail) = text.split_at(end);
            if count(&format!("{head}{line}{tail}")) != count(text).map(|count| count + 1) {
                return Err(Refusal::at(
                    place,
                    "the last instruction of the file is not ended: end it first",
                ));
            }
            return Ok((end, line));
        };
        let start_of = |at: usize| text.get(..at).and_then(|head| head.rfind('\n')).map_or(0, |n| n + 1);
        let mut at = start_of(before);
        while at > 0 {
            let above = start_of(at - 1);
            if !text.get(above..at).is_some_and(|line| line.trim_start().starts_with('#')) {
                break;
            }
            at = above;
        }
        Ok((at, format!("{line}{newline}")))
    }
}

/// How many instructions a Dockerfile has.
fn count(text: &str) -> Option<usize> {
    parse_dockerfile::parse_iter(text)
        .ok()?
        .try_fold(0, |count, instruction| instruction.ok().map(|_| count + 1))
}

/// The edit that takes the set-user-ID bit out of the mode that a command sets, or that stands at a place by itself.
fn mode_at(text: &str, at: Range<usize>) -> Option<Edit> {
    let whole = text.get(at.clone())?;
    if let Some(new) = without_setuid(whole) {
        return Some(Edit { range: at, text: new });
    }
    // A command: its words up to where it ends.
    let rest = text.get(at.start..)?;
    let end =
        ["\n", "&&", "||", ";", "|"].iter().filter_map(|end| position(rest, end)).min().unwrap_or(rest.len());
    let command = rest.get(..end)?;
    if !command
        .split_ascii_whitespace()
        .any(|word| matches!(word.rsplit('/').next(), Some("chmod" | "install")))
    {
        return None;
    }
    for word in command.split_ascii_whitespace() {
        let mode = word.strip_prefix("--mode=").or(word.strip_prefix("-m")).unwrap_or(word);
        let mode = mode.trim_matches(['"', '\'']);
        if let Some(new) = without_setuid(mode) {
            // A slice of the text itself.
            let start = at.start + (mode.as_ptr() as usize).checked_sub(rest.as_ptr() as usize)?;
            return Some(Edit { range: start..start + mode.len(), text: new });
        }
    }
    None
}

/// Where a command's end stands, but for a line end that is continued.
fn position(text: &str, end: &str) -> Option<usize> {
    text.match_indices(end).map(|(at, _)| at).find(|at| {
        end != "\n" || !text.get(..*at).is_some_and(|line| line.trim_end_matches('\r').ends_with(['\\', '`']))
    })
}

/// A mode of chmod(1) without the set-user-ID bit; `None` where it does not set it or is no mode.
fn without_setuid(mode: &str) -> Option<String> {
    if mode.len() >= 4 && mode.len() <= 5 && mode.chars().all(|c| ('0'..='7').contains(&c)) {
        let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| bits & 0o4000 != 0)?;
        return Some(format!("{:0width$o}", bits & !0o4000, width = mode.len()));
    }
    let mut found = false;
    let clause = |clause: &str| {
        let at = clause.find(['+', '-', '='])?;
        let (who, change) = clause.split_at(at);
        if !who.chars().all(|c| "ugoa".contains(c)) || !change.chars().all(|c| "+-=rwxXst".contains(c)) {
            return None;
        }
        // One operator for all that follows; more are rare, and left to a person.
        let (operator, bits) = change.split_at(1);
        if bits.contains(['+', '-', '=']) {
            return None;
        }
        if operator == "-" || !bits.contains('s') || !(who.is_empty() || who.contains(['u', 'a'])) {
            return Some(clause.to_owned());
        }
        found = true;
        let rest = bits.replace('s', "");
        Some(if rest.is_empty() && operator == "+" {
            format!("{who}-s")
        } else {
            format!("{who}{operator}{rest}")
        })
    };
    let clauses: Vec<String> = mode.split(',').map(clause).collect::<Option<_>>()?;
    found.then(|| clauses.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_loses_its_set_user_id_bit_and_nothing_else() {
        for (mode, wanted) in [
            ("4755", Some("0755")),
            ("06711", Some("02711")),
            ("4000", Some("0000")),
            ("u+s", Some("u-s")),
            ("+s", Some("-s")),
            ("u+xs", Some("u+x")),
            ("u=srwx,g=rx", Some("u=rwx,g=rx")),
            ("a+s", Some("a-s")),
            ("0755", None),
            ("755", None),
            ("g+s", None),
            ("u-s", None),
            ("/bin/x", None),
            ("x+s", None),
            ("u-x+s", None),
            ("", None),
        ] {
            assert_eq!(without_setuid(mode).as_deref(), wanted, "{mode}");
        }
    }
}
