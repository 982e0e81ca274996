//! `docker run`, `docker create`, `podman run` and `podman create` lines: remedies become options of the command.
//! The words and their bytes come from [`sources::run::written`]; the edits go to the drafts.
//!
//! Options that are there are changed where they stand; new ones come behind the verb, or on lines of their own in a
//! command of several lines. A word that stands for more than one (a variable that holds options) is changed only as a
//! whole; what a variable was given elsewhere is never touched.

mod capabilities;
pub(crate) mod settings;
pub(crate) mod words;

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use confinement::{EngineKind, Form, Subject};
use sources::options::UNKNOWN;
use sources::run::written::{CommandLine, CommandOption, CommandWord, command_lines};
use techniques::remedy::Remedy;

use crate::draft::{Drafts, Edit, Refusal, Task};
use settings::{Added, Change, Setting, Settings};
use words::{Syntax, is_plain};

/// Whether a command line can say the change at all.
pub fn can(subject: &Subject, remedy: &Remedy) -> bool {
    match subject.form {
        Form::DockerRun => settings::can(subject, EngineKind::Docker, remedy),
        Form::PodmanRun => settings::can(subject, EngineKind::Podman, remedy),
        _ => false,
    }
}

/// Writes the remedies into the command that makes the subject.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let subject = task.subject;
    let Some(place) = &subject.place else {
        return Err(Refusal::file(
            subject.name.clone(),
            "where this container's command stands is not known",
        ));
    };
    let text = drafts.text(&place.path)?;
    let lines = commands_of(&text, &place.path);
    let Some(line) = lines.iter().find(|line| line.place == *place) else {
        return Err(Refusal::at(place, "there is no command here any more: read the file again"));
    };
    let mut settings = settings_of(line);
    let beside = |other: &Subject| other.place.as_ref().is_some_and(|other| other.path == place.path);
    let others = task.all.iter().filter(|(other, _)| other.id != subject.id && beside(other));
    settings.others = others.map(|(other, remedies)| (&*other.name, *remedies)).collect();
    settings.make(&subject.confinement, task.remedies)?;
    for edit in edits(&text, line, &settings)? {
        drafts.replace(&place.path, edit.range, edit.text)?;
    }
    Ok(())
}

/// The commands of a text. Those of the last one are kept, for a script makes many containers.
fn commands_of(text: &Arc<str>, path: &Arc<str>) -> Rc<Vec<CommandLine>> {
    type Last = Option<(Arc<str>, Arc<str>, Rc<Vec<CommandLine>>)>;
    thread_local! {
        static LAST: RefCell<Last> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((of, at, lines)) if Arc::ptr_eq(of, text) && at == path => lines.clone(),
        _ => {
            let lines = Rc::new(command_lines(text, path));
            *last = Some((text.clone(), path.clone(), lines.clone()));
            lines
        }
    })
}

fn settings_of(line: &CommandLine) -> Settings<'static> {
    let place_of = |at: usize| line.words.get(at).map_or(&line.place, |word| &word.place).clone();
    let setting = |option: &CommandOption| Setting {
        name: option.name,
        value: option.value.clone(),
        is_list: option.is_list,
        place: place_of(option.words.end.saturating_sub(1)),
        change: Change::Kept,
    };
    Settings {
        engine: line.engine,
        list: line.options.iter().map(setting).collect(),
        added: Vec::new(),
        hidden: line.hidden.first().map(|words| place_of(words.start)),
        place: line.place.clone(),
        others: Vec::new(),
    }
}

/// What becomes of one word.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Kept,
    Removed,
    /// The new value, and whether nothing of the old one is in it.
    Changed(String, bool),
}

fn edits(text: &str, line: &CommandLine, settings: &Settings<'_>) -> Result<Vec<Edit>, Refusal> {
    let fates = fates(line, settings);
    let mut edits = Vec::new();
    let mut gone: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(word) = line.words.get(at) {
        // Words of one variable share its bytes.
        let same = line.words.iter().skip(at).take_while(|other| other.span == word.span).count().max(1);
        let of_span = fates.get(at..at + same).unwrap_or_default();
        at += same;
        if of_span.iter().all(|fate| *fate == Fate::Kept) {
            continue;
        }
        if of_span.iter().all(|fate| *fate == Fate::Removed) {
            gone.push(word.span.clone());
            continue;
        }
        match of_span {
            [Fate::Changed(new, is_new)] if word.alone => {
                edits.push(changed(text, word, new, *is_new)?);
            }
            _ => {
                let source = text.get(word.span.clone()).unwrap_or("");
                let message = format!("`{source}` holds other options too: change them where it is set");
                return Err(Refusal::at(&word.place, message));
            }
        }
    }
    let stands_in_the_way = || Refusal::at(&line.place, "a comment stands between the words of this command");
    edits.extend(words::removal(text, &gone).ok_or_else(stands_in_the_way)?);
    if !settings.added.is_empty() {
        edits.push(insertion(text, line, &settings.added)?);
    }
    Ok(edits)
}

fn changed(text: &str, word: &CommandWord, new: &str, is_new: bool) -> Result<Edit, Refusal> {
    if let Some(edit) = words::change(text, &word.span, Syntax::Shell, &word.value, new) {
        return Ok(edit);
    }
    if is_new && is_plain(new) {
        return Ok(Edit { range: word.span.clone(), text: new.to_owned() });
    }
    let source = text.get(word.span.clone()).unwrap_or("");
    let message = format!("what is to be changed is not written out in `{source}`: change it by hand");
    Err(Refusal::at(&word.place, message))
}

/// What the changes of options make of the words that they are in.
fn fates(line: &CommandLine, settings: &Settings<'_>) -> Vec<Fate> {
    let mut fates = vec![Fate::Kept; line.words.len()];
    for (option, setting) in line.options.iter().zip(&settings.list) {
        let last = option.words.end.saturating_sub(1);
        let Some(word) = line.words.get(last) else { continue };
        match &setting.change {
            Change::Kept => {}
            Change::Removed => {
                for at in option.words.clone() {
                    if let Some(fate) = fates.get_mut(at) {
                        *fate = Fate::Removed;
                    }
                }
                // The short options before it stay.
                if option.starts_at > 0
                    && let Some(first) = line.words.get(option.words.start)
                    && let Some(fate) = fates.get_mut(option.words.start)
                {
                    let others = first.value.get(..option.starts_at).unwrap_or("").to_owned();
                    *fate = Fate::Changed(others, false);
                }
            }
            Change::Value(value) => {
                // A switch that says nothing else is on as it stands.
                let Some(old) = &option.value else { continue };
                let head = word.value.get(..word.value.len().saturating_sub(old.len())).unwrap_or("");
                let is_new =
                    !value.contains(UNKNOWN) && !value.contains(old.as_str()) && is_scalar(option.name);
                if let Some(fate) = fates.get_mut(last) {
                    *fate = Fate::Changed(format!("{head}{value}"), is_new);
                }
            }
        }
    }
    fates
}

/// Options whose value is set as a whole.
fn is_scalar(name: &str) -> bool {
    matches!(
        name,
        "user" | "memory" | "cpus" | "cpu-quota" | "pids-limit" | "userns" | "cgroupns" | "read-only"
    )
}

/// New options: on lines of their own before the image's where the command has several lines, otherwise behind the
/// verb.
fn insertion(text: &str, line: &CommandLine, added: &[Added]) -> Result<Edit, Refusal> {
    let joined = line
        .options
        .iter()
        .any(|option| is_long(line, option) && option.words.len() == 1 && option.value.is_some())
        && !line.options.iter().any(|option| is_long(line, option) && option.words.len() == 2);
    let words = |added: &Added| match &added.value {
        Some(value) if joined => format!("--{}={value}", added.name),
        Some(value) => format!("--{} {value}", added.name),
        None => format!("--{}", added.name),
    };
    if let Some(at) = line_before_image(text, line) {
        let start = text.get(..at).and_then(|head| head.rfind('\n')).map_or(0, |newline| newline + 1);
        let indentation = text.get(start..at).unwrap_or("");
        let newline =
            if text.get(..start).is_some_and(|head| head.ends_with("\r\n")) { "\r\n" } else { "\n" };
        let lines = added.iter().map(|added| format!("{} \\{newline}{indentation}", words(added)));
        return Ok(Edit { range: at..at, text: lines.collect() });
    }
    let verb = line.first.checked_sub(1).and_then(|at| line.words.get(at)).filter(|verb| verb.alone);
    let Some(verb) = verb else {
        return Err(Refusal::at(&line.place, "the command's verb is not written out: add options by hand"));
    };
    let text = added.iter().map(|added| format!(" {}", words(added))).collect();
    Ok(Edit { range: verb.span.end..verb.span.end, text })
}

fn is_long(line: &CommandLine, option: &CommandOption) -> bool {
    line.words.get(option.words.start).is_some_and(|word| word.value.starts_with("--"))
}

/// The first word of the last line of options, where that line is a continued one and begins with an option or the
/// image.
fn line_before_image(text: &str, line: &CommandLine) -> Option<usize> {
    let end = line.words.get(line.end)?;
    let start = text.get(..end.span.start)?.rfind('\n')? + 1;
    if !words::is_continuation(text.get(..start)?) {
        return None;
    }
    let at = (line.first..=line.end).find(|at| line.words.get(*at).is_some_and(|w| w.span.start >= start))?;
    let word = line.words.get(at)?;
    let begins = at == line.end
        || line.options.iter().any(|option| option.words.start == at)
        || line.hidden.iter().any(|words| words.start == at);
    // A word that a variable gives together with those before it is no place to stand before.
    let shared =
        at.checked_sub(1).and_then(|before| line.words.get(before)).is_some_and(|w| w.span == word.span);
    let is_first = text.get(start..word.span.start)?.trim().is_empty();
    (begins && is_first && !shared).then_some(word.span.start)
}
