//! Dockerfiles: one subject for the image that a file builds, judged as a container of it with nothing asked for.
//!
//! The last stage decides, with what it inherits from the stages and the base image before it: the user, programs
//! that the build marks set-user-ID or gives capabilities, credentials written into the file. What an image has of
//! its base is the base's (`--image-user` says its user).
//!
//! Source: the Dockerfile reference (docs.docker.com/reference/dockerfile) and moby/buildkit
//! frontend/dockerfile; parsing is parse-dockerfile's.

pub mod credentials;
mod expand;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use confinement::{
    EngineKind, Fact, Form, Mount, MountSource, Operation, Origin, Place, Problem, Request, Subject,
    SubjectKind, World, confine,
};
use parse_dockerfile::{
    ArgInstruction, Command, EnvInstruction, Flag, FromInstruction, HealthcheckArguments, Instruction,
    JsonOrStringArray, RunInstruction, Source, UnescapedString,
};

use crate::Context;
use crate::options::{self, UNKNOWN};
use crate::run::shell::{self, Positions};
use expand::{Pair, expand, pairs};

/// The largest file that is read.
const LARGEST: usize = 4 << 20;
/// Instructions beyond this are an error: a build of so many does not exist.
const MOST_INSTRUCTIONS: usize = 20_000;

/// Whether bytes are a Dockerfile: the name says so (`Dockerfile`, `api.Dockerfile`, `Dockerfile.dev`,
/// `Containerfile`), or the first line that is no comment is a `FROM` or `ARG` instruction.
pub fn recognise(bytes: &[u8], path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    for kind in ["dockerfile", "containerfile"] {
        let named = name == kind
            || name.strip_suffix(kind).is_some_and(|rest| rest.ends_with('.'))
            || name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'));
        let other = [".dockerignore", ".md", ".txt", ".html", ".py", ".go", ".rs"];
        if named && !other.iter().any(|extension| name.ends_with(extension)) {
            return true;
        }
    }
    if name.contains('.') {
        return false;
    }
    let head = String::from_utf8_lossy(bytes.get(..4096).unwrap_or(bytes));
    let first = head.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = first else { return false };
    let mut words = first.split_ascii_whitespace();
    let image = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@${}=".contains(c));
    match (words.next(), words.next()) {
        (Some("FROM"), Some(base)) => image(base) && matches!(words.next(), None | Some("AS" | "as")),
        (Some("ARG"), Some(argument)) => image(argument) && words.next().is_none(),
        _ => false,
    }
}

/// The image that a Dockerfile builds.
pub fn read(bytes: &[u8], path: &Arc<str>, context: &Context) -> World {
    let mut world = World::default();
    match text_of(bytes, path) {
        Ok(text) => Build::new(text, path, context).read(&mut world),
        Err(problem) => world.problems.push(problem),
    }
    world
}

fn text_of<'b>(bytes: &'b [u8], path: &Arc<str>) -> Result<&'b str, Problem> {
    if bytes.len() > LARGEST {
        let message = format!("the file is larger than the limit of {LARGEST} bytes");
        return Err(Problem::new(path.clone(), message));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let bad = |at: usize, message: &str| {
        let before = bytes.get(..at).unwrap_or(bytes);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem {
            path: path.clone(),
            line: u32::try_from(line).ok(),
            column: None,
            message: message.to_owned(),
        }
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(bad(at, "a NUL byte: this is not a text file"));
    }
    std::str::from_utf8(bytes).map_err(|error| bad(error.valid_up_to(), "this line is not valid UTF-8"))
}

/// What a stage starts from.
#[derive(Clone, Debug)]
enum Base {
    Image(Fact<Arc<str>>),
    Scratch(Origin),
}

/// A stage as far as it has been read; a stage made from another starts as its copy.
#[derive(Clone, Debug)]
struct Stage {
    name: Option<String>,
    base: Base,
    place: Place,
    user: Option<Fact<Arc<str>>>,
    setuid_hints: Vec<Fact<Arc<str>>>,
    volumes: Vec<(String, Origin)>,
    health_check: Option<Fact<bool>>,
    /// `ENV`, which stages made from this one inherit.
    environment: BTreeMap<String, Option<String>>,
    /// `ARG`, which they do not.
    arguments: BTreeMap<String, Option<String>>,
}

struct Build<'a> {
    text: &'a str,
    path: &'a Arc<str>,
    context: &'a Context,
    positions: Positions,
    /// `ARG` before the first `FROM`.
    global: BTreeMap<String, Option<String>>,
    stages: Vec<Stage>,
    secrets: Vec<Fact<Arc<str>>>,
    /// `ADD` instructions, and updates of a package index that install nothing.
    added: Vec<Fact<Arc<str>>>,
    lone_updates: Vec<Fact<Arc<str>>>,
    notes: Vec<Problem>,
}

impl<'a> Build<'a> {
    fn new(text: &'a str, path: &'a Arc<str>, context: &'a Context) -> Build<'a> {
        Build {
            text,
            path,
            context,
            positions: Positions::new(text, 1),
            global: BTreeMap::new(),
            stages: Vec::new(),
            secrets: Vec::new(),
            added: Vec::new(),
            lone_updates: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn read(mut self, world: &mut World) {
        if let Err(problem) = self.instructions() {
            world.problems.push(problem);
            return;
        }
        self.frontend();
        let Some(last) = self.stages.pop() else { return };
        world.notes.append(&mut self.notes);
        let mut request = Request {
            setuid_hints: last.setuid_hints,
            secrets: self.secrets,
            mounts: last
                .volumes
                .into_iter()
                .map(|(target, origin)| anonymous_volume(target, origin))
                .collect(),
            operation: Operation {
                // Nothing is in it, so it has no check either.
                health_check: last.health_check.or_else(|| match &last.base {
                    Base::Scratch(origin) => Some(Fact::known(false, origin.clone())),
                    Base::Image(_) => None,
                }),
                added: self.added,
                lone_updates: self.lone_updates,
                ..Operation::default()
            },
            ..Request::default()
        };
        request.image_user = match &last.base {
            _ if last.user.is_some() => last.user,
            // Nothing is in it, so it names no user either.
            Base::Scratch(origin) => Some(Fact::known("".into(), origin.clone())),
            Base::Image(base) => base.get().and_then(|base| self.context.image_user(base)),
        };
        if let Base::Image(base) = last.base {
            request.image = Some(base);
        }
        world.subjects.push(Subject {
            id: format!("{}#image", self.path).into(),
            name: self.path.clone(),
            kind: SubjectKind::Image,
            form: Form::Dockerfile,
            place: Some(last.place),
            declared: Vec::new(),
            realm: options::local_realm(EngineKind::Docker),
            namespace: None,
            confinement: Arc::new(confine(&request, &self.context.docker, &self.context.host)),
            pod: None,
            labels: Default::default(),
            made: None,
        });
    }

    fn instructions(&mut self) -> Result<(), Problem> {
        let text = self.text;
        let failed = |error: parse_dockerfile::Error| {
            let number = |n: usize| u32::try_from(n).ok().filter(|n| *n > 0);
            let mut message = error.to_string();
            // The library puts the place into its message as well.
            if let Some(at) = message.find(" at line ") {
                message.truncate(at);
            }
            if crate::document::looks_templated(text).is_some() {
                message.push_str("; the text holds template markers: render it first");
            }
            Problem {
                path: self.path.clone(),
                line: number(error.line()),
                column: number(error.column()),
                message,
            }
        };
        let instructions = parse_dockerfile::parse_iter(text).map_err(failed)?;
        let mut read = Vec::new();
        for instruction in instructions {
            if read.len() >= MOST_INSTRUCTIONS {
                let message = format!("the file has more than {MOST_INSTRUCTIONS} instructions");
                return Err(Problem::new(self.path.clone(), message));
            }
            read.push(instruction.map_err(failed)?);
        }
        for instruction in &read {
            self.instruction(instruction);
        }
        Ok(())
    }

    fn instruction(&mut self, instruction: &Instruction<'a>) {
        match instruction {
            Instruction::From(from) => self.from(from),
            Instruction::Arg(argument) => self.argument(argument),
            Instruction::Env(environment) => self.environment(environment),
            Instruction::User(user) => {
                let value = self.expanded(&user.arguments.value);
                let fact = options::text(value.trim(), self.origin(&user.arguments.span));
                if let Some(stage) = self.stages.last_mut() {
                    stage.user = Some(fact);
                }
            }
            Instruction::Run(run) => self.run(run),
            Instruction::Copy(copy) => self.copied(&copy.options, &copy.src, &copy.dest),
            Instruction::Add(add) => {
                self.copied(&add.options, &add.src, &add.dest);
                self.fetched(&add.options, &add.src);
                let sources: Vec<&str> = add.src.iter().filter_map(path_of).collect();
                let what = format!("ADD {}", short(&sources.join(" ")));
                self.added.push(Fact::known(what.into(), self.origin(&add.add.span)));
            }
            Instruction::Healthcheck(check) => {
                let set = !matches!(check.arguments, HealthcheckArguments::None { .. });
                let fact = Fact::known(set, self.origin(&check.healthcheck.span));
                if let Some(stage) = self.stages.last_mut() {
                    stage.health_check = Some(fact);
                }
            }
            Instruction::Volume(volume) => {
                let targets: Vec<&UnescapedString<'_>> = match &volume.arguments {
                    JsonOrStringArray::Json(list) => list.value.iter().collect(),
                    JsonOrStringArray::String(list) => list.iter().collect(),
                };
                for target in targets {
                    let value = (self.expanded(&target.value), self.origin(&target.span));
                    if let Some(stage) = self.stages.last_mut() {
                        stage.volumes.push(value);
                    }
                }
            }
            // The rest says how the image is used or described; ONBUILD acts on images built from this one.
            _ => {}
        }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let (line, column) = self.positions.of(self.text, span.start);
        let source = self.text.get(span.clone()).unwrap_or("");
        let length = source.chars().take(1000).take_while(|c| !matches!(c, '\n' | '\r')).count();
        Place::new(self.path, line, column, u32::try_from(length).unwrap_or(0))
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        Origin::File(self.place(span))
    }

    fn note(&mut self, span: &Range<usize>, message: String) {
        let place = self.place(span);
        self.notes.push(Problem::at(&place, message));
    }

    fn secret(&mut self, span: &Range<usize>, message: String) {
        let origin = self.origin(span);
        self.secrets.push(Fact::known(message.into(), origin));
    }

    /// Text with the variables of the stage put in; what no `ARG` or `ENV` sets is unknown.
    fn expanded(&self, text: &str) -> String {
        let stage = self.stages.last();
        expand(text, &|name| {
            let stage = stage?;
            // ENV wins over ARG of the same name.
            stage.environment.get(name).or_else(|| stage.arguments.get(name)).cloned()
        })
    }

    fn from(&mut self, from: &FromInstruction<'a>) {
        let value = expand(&from.image.value, &|name| self.global.get(name).cloned());
        let origin = self.origin(&from.image.span);
        let name = from.as_.as_ref().map(|(_, name)| name.value.to_ascii_lowercase());
        let place = self.place(&from.image.span);
        let earlier = self
            .stages
            .iter()
            .rev()
            .find(|stage| stage.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&value)));
        let stage = match earlier {
            Some(earlier) => Stage { name, place, arguments: BTreeMap::new(), ..earlier.clone() },
            None => Stage {
                name,
                base: if value == "scratch" {
                    Base::Scratch(origin)
                } else {
                    Base::Image(options::text(&value, origin))
                },
                place,
                user: None,
                setuid_hints: Vec::new(),
                volumes: Vec::new(),
                health_check: None,
                environment: BTreeMap::new(),
                arguments: BTreeMap::new(),
            },
        };
        self.stages.push(stage);
    }

    fn argument(&mut self, instruction: &ArgInstruction<'a>) {
        for pair in pairs(&instruction.arguments.value, false) {
            let span = part_span(&instruction.arguments, pair.offset, pair.length);
            self.check_value("ARG", &pair, &span);
            let stage = self.stages.last_mut();
            // Without a default a stage's argument has the value that the global one of its name has.
            let value = match (pair.value, &stage) {
                (Some(value), _) => Some(value),
                (None, Some(_)) => self.global.get(&pair.name).cloned().flatten(),
                (None, None) => None,
            };
            let value = value.map(|value| match &stage {
                Some(stage) => expand(&value, &|name| {
                    stage.environment.get(name).or_else(|| stage.arguments.get(name)).cloned()
                }),
                None => expand(&value, &|name| self.global.get(name).cloned()),
            });
            match stage {
                Some(stage) => stage.arguments.insert(pair.name, value),
                None => self.global.insert(pair.name, value),
            };
        }
    }

    fn environment(&mut self, instruction: &EnvInstruction<'a>) {
        for pair in pairs(&instruction.arguments.value, true) {
            let span = part_span(&instruction.arguments, pair.offset, pair.length);
            self.check_value("ENV", &pair, &span);
            let value = pair.value.map(|value| self.expanded(&value));
            if let Some(stage) = self.stages.last_mut() {
                stage.environment.insert(pair.name, value);
            }
        }
    }

    fn check_value(&mut self, instruction: &str, pair: &Pair, span: &Range<usize>) {
        let Some(value) = &pair.value else { return };
        let value = value.trim_matches(['"', '\'']);
        if let Some(what) = credentials::variable(&pair.name, value) {
            let name: String = pair.name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.secret(span, format!("{what} in {instruction} {name}"));
        }
    }

    fn run(&mut self, run: &RunInstruction<'a>) {
        match &run.arguments {
            Command::Exec(list) => {
                let words: Vec<&str> = list.value.iter().map(|word| &*word.value).collect();
                let hint = setuid(&words);
                self.hint(hint, self.origin(&list.span));
            }
            Command::Shell(text) => self.shell(&text.span),
            _ => {}
        }
        for document in &run.here_docs {
            self.shell(&document.span);
        }
    }

    fn hint(&mut self, hint: Option<String>, origin: Origin) {
        if let (Some(hint), Some(stage)) = (hint, self.stages.last_mut()) {
            stage.setuid_hints.push(Fact::known(hint.into(), origin));
        }
    }

    /// Looks through the commands of a `RUN` instruction.
    fn shell(&mut self, span: &Range<usize>) {
        let source = self.text.get(span.clone()).unwrap_or("");
        if let Some(what) = credentials::token(source) {
            self.secret(span, format!("{what} in a RUN instruction"));
        }
        if source.contains("NOPASSWD") {
            let hint = Some("sudo without a password".to_owned());
            self.hint(hint, self.origin(span));
        }
        let mut hints = Vec::new();
        let mut fetched: Option<Place> = None;
        let mut piped = None;
        let (mut updated, mut installed) = (None, false);
        let start = shell::Start { path: self.path, line: 1, folder: "/", home: "/root" };
        shell::commands_within(self.text, span.clone(), &start, &mut |command| {
            let words: Vec<&str> = command.words.iter().map(|word| word.value.as_str()).collect();
            let Some(first) = command.words.first() else { return };
            if let Some(hint) = setuid(&words) {
                hints.push((hint, first.origin()));
            }
            match packages(&words) {
                Some(Packages::Update) if updated.is_none() => {
                    updated = Some((words.join(" "), first.origin()))
                }
                Some(Packages::Install) => installed = true,
                _ => {}
            }
            let own = usize::from(words.first() == Some(&"sudo"));
            let program = words.get(own).map(|word| word.rsplit('/').next().unwrap_or(word));
            let mut arguments = words.iter().skip(own + 1);
            match program {
                Some("curl" | "wget") => fetched = Some(first.place.clone()),
                // Only a shell that reads its standard input runs what was fetched.
                Some("sh" | "bash" | "dash" | "ash") if arguments.all(|word| word.starts_with('-')) => {
                    if let Some(place) = fetched.take() {
                        piped = Some(place);
                    }
                }
                _ => {}
            }
        });
        for (hint, origin) in hints {
            self.hint(Some(hint), origin);
        }
        if let (Some((command, origin)), false) = (updated, installed) {
            self.lone_updates.push(Fact::known(short(&command).into(), origin));
        }
        let pipes = source.contains('|');
        if let (Some(place), true) = (piped, pipes) {
            let message = "the build runs a script from the network without checking what it is";
            self.notes.push(Problem::at(&place, message));
        }
    }

    /// `COPY` and `ADD`: a mode that sets the set-user-ID bit, and files of credentials.
    fn copied(&mut self, flags: &[Flag<'a>], sources: &[Source<'a>], target: &UnescapedString<'a>) {
        for flag in flags {
            if flag.name.value == "chmod"
                && let Some(mode) = &flag.value
                && sets_user_id(&mode.value)
            {
                let hint = Some(format!("{} is set-user-ID", short(&target.value)));
                self.hint(hint, self.origin(&mode.span));
            }
        }
        for source in sources {
            let Source::Path(path) = source else { continue };
            let copied = credentials::file(&path.value).or_else(|| credentials::file(&target.value));
            if let Some(what) = copied {
                self.secret(&path.span, format!("{what} copied into the image"));
            }
        }
    }

    /// `ADD` of a URL without a digest, or of a git repository without a commit.
    fn fetched(&mut self, flags: &[Flag<'a>], sources: &[Source<'a>]) {
        let checked = flags.iter().any(|flag| flag.name.value == "checksum" && flag.value.is_some());
        for source in sources {
            let Source::Path(path) = source else { continue };
            let remote =
                ["http://", "https://", "git@", "ssh://", "git://"].iter().any(|s| path.value.starts_with(s));
            if remote && !checked {
                self.note(&path.span, "ADD fetches this without a checksum".to_owned());
            }
        }
    }

    /// `# syntax=`: the program that runs the build.
    fn frontend(&mut self) {
        let Ok(instructions) = parse_dockerfile::parse(self.text) else { return };
        let Some(syntax) = &instructions.parser_directives.syntax else { return };
        let value = syntax.value.value.trim();
        let official = value
            .strip_prefix("docker.io/")
            .unwrap_or(value)
            .strip_prefix("docker/dockerfile")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@', '-']));
        if !official && !value.contains("@sha256:") {
            let span = syntax.value.span.clone();
            self.note(
                &span,
                format!("the build is run by the frontend image {}, named by a tag", short(value)),
            );
        }
    }
}

/// A volume without a name, made anew for each container.
fn anonymous_volume(target: String, origin: Origin) -> Mount {
    let target = if target.contains(UNKNOWN) { String::new() } else { target };
    Mount::from_source(MountSource::Private, target, false, origin)
}

/// A part of an instruction's arguments; the whole where line continuations stand in between.
fn part_span(arguments: &UnescapedString<'_>, offset: usize, length: usize) -> Range<usize> {
    match arguments.value {
        std::borrow::Cow::Borrowed(_) => {
            let start = arguments.span.start + offset;
            start..(start + length).min(arguments.span.end)
        }
        std::borrow::Cow::Owned(_) => arguments.span.clone(),
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// What a command does to programs of the image: sets the set-user-ID bit or gives file capabilities.
fn setuid(words: &[&str]) -> Option<String> {
    let start = words.iter().position(|word| {
        matches!(word.rsplit('/').next(), Some("chmod" | "setcap" | "install")) && !word.starts_with('-')
    })?;
    // Behind `xargs`, `-exec` and sudo too, but not as an argument of a program that only names it.
    let first = words.first()?.rsplit('/').next().unwrap_or("");
    if start > 0 && !matches!(first, "sudo" | "xargs" | "find" | "env" | "exec" | "time") {
        return None;
    }
    let arguments = words.get(start + 1..)?;
    let target = || short(arguments.last().copied().unwrap_or("a file"));
    match words.get(start)?.rsplit('/').next()? {
        "chmod" => {
            // `-s` takes the bit away and is no option.
            let mode = arguments.iter().find(|word| !word.starts_with('-') || is_symbolic(word))?;
            sets_user_id(mode).then(|| format!("{} is set-user-ID", target()))
        }
        "setcap" => {
            let removes = arguments.contains(&"-r");
            let gives = arguments.iter().any(|word| word.contains('=') || word.contains("+"));
            (!removes && gives).then(|| format!("{} has file capabilities", target()))
        }
        "install" => {
            let mut options = arguments.iter();
            while let Some(option) = options.next() {
                let mode = match *option {
                    "-m" | "--mode" => options.next().copied(),
                    other => other.strip_prefix("-m").or(other.strip_prefix("--mode=")),
                };
                if mode.is_some_and(sets_user_id) {
                    return Some(format!("{} is set-user-ID", target()));
                }
            }
            None
        }
        _ => None,
    }
}

fn path_of<'s>(source: &'s Source<'_>) -> Option<&'s str> {
    match source {
        Source::Path(path) => Some(&path.value),
        _ => None,
    }
}

pub(crate) enum Packages {
    Update,
    Install,
}

/// What a command asks of a package manager. `apk add --no-cache` and dnf refresh the index as they install.
pub(crate) fn packages(words: &[&str]) -> Option<Packages> {
    let mut words = words.iter().map(|word| word.rsplit('/').next().unwrap_or(word));
    let manager = words.by_ref().find(|word| *word != "sudo" && !word.contains('='))?;
    if !matches!(manager, "apt-get" | "apt" | "aptitude" | "apk" | "yum" | "dnf" | "microdnf" | "zypper") {
        return None;
    }
    let verb = words.find(|word| !word.starts_with('-'))?;
    match (manager, verb) {
        // Of these `update` installs.
        ("yum" | "dnf" | "microdnf" | "zypper", "update" | "up") => Some(Packages::Install),
        (_, "update" | "makecache" | "refresh" | "ref") => Some(Packages::Update),
        (_, "install" | "add" | "upgrade" | "dist-upgrade" | "full-upgrade" | "in" | "build-dep") => {
            Some(Packages::Install)
        }
        _ => None,
    }
}

/// `-s`, `-rwx`: a symbolic mode that begins with a minus.
fn is_symbolic(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| "rwxXst,".contains(c)))
}

/// Whether a mode of chmod(1) sets the set-user-ID bit: `4755`, `06711`, `u+s`, `a+s`, `+s`, `u=srwx`.
fn sets_user_id(mode: &str) -> bool {
    if !mode.is_empty() && mode.chars().all(|c| ('0'..='7').contains(&c)) {
        return u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o4000 != 0);
    }
    mode.split(',').any(|clause| {
        let Some(at) = clause.find(['+', '-', '=']) else { return false };
        let (who, change) = clause.split_at(at);
        let whose = who.is_empty() || who.contains(['u', 'a']);
        // A clause may change its operator: `u-x+s`.
        let mut adds = false;
        whose
            && change.chars().any(|c| {
                match c {
                    '+' | '=' => adds = true,
                    '-' => adds = false,
                    _ => {}
                }
                adds && c == 's'
            })
    })
}

#[cfg(test)]
mod tests;
