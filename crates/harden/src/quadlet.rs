//! Quadlet `.container` units: remedies become keys of `[Container]`, each of which is an option of `podman run`
//! (podman-systemd.unit(5)). Values and their bytes come from [`sources::quadlet::written`].
//!
//! A key is changed where it stands; a new one comes behind its like, or at the end of the section. What has no key
//! in every Podman that has Quadlet is said with `PodmanArgs=`.

use std::ops::Range;

use confinement::{EngineKind, Form, Subject};
use sources::quadlet::written::{Assignment, UnitOption, Written, WrittenUnit, written};
use techniques::remedy::Remedy;

use crate::draft::{Drafts, Edit, Refusal, Task};
use crate::run::settings::{self, Added, Change, Setting, Settings};
use crate::run::words::{self, Syntax};

/// Whether a unit can say the change at all.
pub fn can(subject: &Subject, remedy: &Remedy) -> bool {
    subject.form == Form::Quadlet && settings::can(subject, EngineKind::Podman, remedy)
}

/// Writes the remedies into the unit that makes the subject.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let subject = task.subject;
    let Some(place) = &subject.place else {
        return Err(Refusal::file(subject.name.clone(), "where this container's unit stands is not known"));
    };
    let text = drafts.text(&place.path)?;
    let unit = written(&text, &place.path);
    let first = unit.assignments.iter().find(|assignment| assignment.section == "Container");
    if first.is_none_or(|first| first.place != *place) {
        return Err(Refusal::at(place, "there is no [Container] section here any more: read the file again"));
    }
    let setting = |option: &UnitOption| Setting {
        name: option.name,
        value: option.value.clone(),
        is_list: option.is_list,
        place: option.place.clone(),
        change: Change::Kept,
    };
    let hidden = unit.hidden.first().and_then(|words| unit.arguments.get(words.start));
    let mut settings = Settings {
        engine: EngineKind::Podman,
        list: unit.options.iter().map(setting).collect(),
        added: Vec::new(),
        hidden: hidden.map(|word| word.place.clone()),
        place: place.clone(),
        others: Vec::new(),
    };
    settings.make(&subject.confinement, task.remedies)?;
    let mut writer = Writer { text: &text, unit: &unit, edits: Vec::new(), gone: Vec::new() };
    writer.changes(&settings)?;
    writer.remove()?;
    writer.add(&settings.added);
    for edit in writer.edits {
        drafts.replace(&place.path, edit.range, edit.text)?;
    }
    Ok(())
}

struct Writer<'a> {
    text: &'a str,
    unit: &'a WrittenUnit,
    edits: Vec<Edit>,
    /// Words that go, with the assignment they are in.
    gone: Vec<(usize, Range<usize>)>,
}

impl Writer<'_> {
    fn assignment(&self, number: usize) -> Option<&Assignment> {
        self.unit.assignments.get(number)
    }

    fn changes(&mut self, settings: &Settings<'_>) -> Result<(), Refusal> {
        for (option, setting) in self.unit.options.iter().zip(&settings.list) {
            match &setting.change {
                Change::Kept => {}
                Change::Removed => self.option_goes(option)?,
                Change::Value(value) => self.option_changes(option, value)?,
            }
        }
        Ok(())
    }

    fn option_goes(&mut self, option: &UnitOption) -> Result<(), Refusal> {
        match &option.written {
            Written::Each => self.lines_go(option.assignment),
            Written::Last => {
                // Without the last the one before it would count.
                let key = self.assignment(option.assignment).map(|assignment| assignment.key.clone());
                let same = |a: &Assignment| a.section == "Container" && Some(&a.key) == key.as_ref();
                let all: Vec<usize> = (0..self.unit.assignments.len())
                    .filter(|n| self.assignment(*n).is_some_and(same))
                    .collect();
                all.into_iter().for_each(|number| self.lines_go(number));
            }
            Written::Switch => {
                let Some(span) = self.assignment(option.assignment).map(|a| a.span.clone()) else {
                    return Ok(());
                };
                self.edits.push(Edit { range: span, text: "false".to_owned() });
            }
            Written::Word(span) => self.gone.push((option.assignment, span.clone())),
            Written::Arguments(numbers, starts_at) => {
                let mut numbers = numbers.clone();
                // The short options before it stay.
                if let Some(first) = self.unit.arguments.get(numbers.start).filter(|_| *starts_at > 0) {
                    let others = first.value.get(..*starts_at).unwrap_or("");
                    let change =
                        words::change(self.text, &first.span, Syntax::UnitWord, &first.value, others);
                    self.edits.push(change.ok_or_else(|| self.not_written_out(option))?);
                    numbers.start += 1;
                }
                for number in numbers {
                    let assignment = self.unit.argument_assignments.get(number).copied();
                    if let (Some(word), Some(assignment)) = (self.unit.arguments.get(number), assignment) {
                        self.gone.push((assignment, word.span.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    fn not_written_out(&self, option: &UnitOption) -> Refusal {
        Refusal::at(&option.place, "what is to be changed is not written out here: change it by hand")
    }

    fn option_changes(&mut self, option: &UnitOption, value: &str) -> Result<(), Refusal> {
        let Some(assignment) = self.assignment(option.assignment) else { return Ok(()) };
        let old = option.value.as_deref().unwrap_or("");
        if option.name == "user" && option.written == Written::Last {
            let (user, group) = value.split_once(':').unwrap_or((value, ""));
            let (user, group) = (user.to_owned(), group.to_owned());
            self.set("User", &user);
            self.set("Group", &group);
            return Ok(());
        }
        let without_prefix = |text: &str| text.strip_prefix(option.prefix).unwrap_or(text).to_owned();
        let (old_value, new_value) = (without_prefix(old), without_prefix(value));
        let (span, syntax, old_value, new_value) = match &option.written {
            Written::Each | Written::Last => {
                (assignment.span.clone(), Syntax::UnitValue, old_value, new_value)
            }
            Written::Word(span) => (span.clone(), Syntax::UnitWord, old_value, new_value),
            Written::Arguments(numbers, _) => {
                let last = numbers.end.checked_sub(1).and_then(|last| self.unit.arguments.get(last));
                let Some(word) = last else { return Ok(()) };
                let head = word.value.len().saturating_sub(old.len());
                let head = word.value.get(..head).unwrap_or("");
                (word.span.clone(), Syntax::UnitWord, word.value.clone(), format!("{head}{value}"))
            }
            // It is true already.
            Written::Switch => return Ok(()),
        };
        let edit = words::change(self.text, &span, syntax, &old_value, &new_value);
        self.edits.push(edit.ok_or_else(|| self.not_written_out(option))?);
        Ok(())
    }

    /// Takes an assignment out; comments among its continued lines stay.
    fn lines_go(&mut self, number: usize) {
        let Some(lines) = self.assignment(number).map(|assignment| assignment.lines.clone()) else { return };
        let source = self.text.get(lines.clone()).unwrap_or("");
        let is_comment = |line: &&str| line.trim_start().starts_with(['#', ';']);
        let comments: String = source.split_inclusive('\n').skip(1).filter(is_comment).collect();
        let edit = Edit { range: lines, text: comments };
        if !self.edits.contains(&edit) {
            self.edits.push(edit);
        }
    }

    /// Takes the words out that go, and an assignment with its last.
    fn remove(&mut self) -> Result<(), Refusal> {
        let mut gone = std::mem::take(&mut self.gone);
        gone.sort_by_key(|(_, span)| span.start);
        gone.dedup();
        let numbers: Vec<usize> = gone.iter().map(|(number, _)| *number).collect();
        for number in (0..self.unit.assignments.len()).filter(|number| numbers.contains(number)) {
            let spans: Vec<Range<usize>> =
                gone.iter().filter(|(of, _)| *of == number).map(|(_, span)| span.clone()).collect();
            if spans.len() == self.count_words(number) {
                self.lines_go(number);
                continue;
            }
            let Some(edits) = words::removal(self.text, &spans) else {
                let place = self.assignment(number).map(|assignment| assignment.place.clone());
                let message = "a comment among continued lines stands in the way: change this by hand";
                return Err(match place {
                    Some(place) => Refusal::at(&place, message),
                    None => Refusal::file("", message),
                });
            };
            self.edits.extend(edits);
        }
        Ok(())
    }

    fn count_words(&self, number: usize) -> usize {
        let in_lists = self
            .unit
            .options
            .iter()
            .filter(|option| option.assignment == number && matches!(option.written, Written::Word(_)));
        let in_arguments = self.unit.argument_assignments.iter().filter(|of| **of == number);
        in_lists.count() + in_arguments.count()
    }

    /// Gives a key of which one counts a value, where it stands or as a new line.
    fn set(&mut self, key: &str, value: &str) {
        let last = self.unit.assignments.iter().rev().find(|a| a.section == "Container" && a.key == key);
        match last {
            Some(assignment) if assignment.value == value => {}
            Some(assignment) => {
                let edit = Edit { range: assignment.span.clone(), text: value.to_owned() };
                self.edits.push(edit);
            }
            None => self.new_line(key, value),
        }
    }

    fn add(&mut self, added: &[Added]) {
        for (option, key) in [("cap-drop", "DropCapability"), ("cap-add", "AddCapability")] {
            let names: Vec<&str> =
                added.iter().filter(|a| a.name == option).filter_map(|a| a.value.as_deref()).collect();
            if !names.is_empty() {
                self.new_line(key, &names.join(" "));
            }
        }
        for added in added {
            let value = added.value.as_deref().unwrap_or("true");
            match (added.name, value) {
                ("cap-drop" | "cap-add", _) => {}
                ("user", _) => {
                    let (user, group) = value.split_once(':').unwrap_or((value, ""));
                    self.set("User", user);
                    self.set("Group", group);
                }
                ("security-opt", "no-new-privileges") => self.set("NoNewPrivileges", "true"),
                ("read-only", _) => self.set("ReadOnly", "true"),
                ("userns", _) => self.set("UserNS", value),
                ("pids-limit", _) => self.set("PidsLimit", value),
                ("tmpfs", _) => self.new_line("Tmpfs", value),
                // Podman 5.4's generator refuses `Memory=`; it is a key since the release after it
                // (containers/podman#25346).
                (name, _) => self.new_line("PodmanArgs", &format!("--{name}={value}")),
            }
        }
    }

    /// A new assignment behind the last of its key, or behind the last of the section.
    fn new_line(&mut self, key: &str, value: &str) {
        let container = || self.unit.assignments.iter().filter(|a| a.section == "Container");
        let like = if key == "Group" { "User" } else { key };
        let Some(last) = container().rfind(|a| a.key == like).or(container().next_back()) else { return };
        let at = last.lines.end;
        let source = self.text.get(last.lines.clone()).unwrap_or("");
        let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        // As the section's first line writes it.
        let first = container().next().and_then(|first| self.text.get(first.lines.clone())).unwrap_or("");
        let is_wide =
            first.split_once('=').is_some_and(|(key, value)| key.ends_with(' ') && value.starts_with(' '));
        let line = if is_wide { format!("{key} = {value}") } else { format!("{key}={value}") };
        let text = if source.ends_with('\n') { line + newline } else { newline.to_owned() + &line };
        self.edits.push(Edit { range: at..at, text });
    }
}
