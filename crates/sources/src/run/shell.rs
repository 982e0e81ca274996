//! Shell text, cut into the commands it would run, each word with its value and the place where it stands.
//!
//! This is no shell: nothing is run and no file is read. Words are expanded by quoting rules and by the variables
//! that the text itself assigns literally (POSIX.1-2017, Shell Command Language, and bash(1) for arrays and
//! `$'…'`). What only a running shell could know becomes [`UNKNOWN`] in the word's value. The bodies of
//! functions, branches and loops are walked once, in order; a variable that a branch or loop may have changed is
//! unknown after it. Here-documents are input, not commands, and are passed over.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use confinement::{Origin, Place};

use crate::options::UNKNOWN;

/// A value longer than this becomes unknown, so that variables cannot be doubled without bound.
const LONGEST_VALUE: usize = 8 << 10;
/// Substitutions and strings of commands inside each other.
const DEEPEST: usize = 16;
/// Words that one variable may be split into.
const MOST_FIELDS: usize = 256;

/// One word as a command would get it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub(crate) value: String,
    pub(crate) place: Place,
    /// The names of the variables (or `$(…)`) in it that are not known.
    pub(crate) unknown: Vec<String>,
    /// No quotes hold it together, so that a variable in it may stand for any number of words.
    pub(crate) splits: bool,
    /// The bytes of the text that it is written in.
    pub(crate) span: Range<usize>,
    /// What is written there stands for this word and no other.
    pub(crate) alone: bool,
}

impl Word {
    pub(crate) fn origin(&self) -> Origin {
        Origin::File(self.place.clone())
    }
    pub(crate) fn is_unknown(&self) -> bool {
        self.value.contains(UNKNOWN)
    }
    /// All of it is one variable that is not known.
    pub(crate) fn is_wholly_unknown(&self) -> bool {
        self.is_unknown() && self.value.chars().all(|c| c == UNKNOWN)
    }
}

/// One simple command: assignments before it, and its words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Command {
    pub(crate) assignments: Vec<(String, Word)>,
    pub(crate) words: Vec<Word>,
    /// The working folder, where it is known.
    pub(crate) folder: Option<Arc<str>>,
}

/// Where the text stands and what is known before its first word.
#[derive(Clone, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) path: &'a Arc<str>,
    /// Of the text's first line, from 1.
    pub(crate) line: u32,
    pub(crate) folder: &'a str,
    pub(crate) home: &'a str,
}

/// Hands every command of `text` to `take`, in the order of the text.
pub(crate) fn commands(text: &str, start: &Start<'_>, take: &mut dyn FnMut(Command)) {
    commands_within(text, 0..text.len(), start, take);
}

/// As [`commands`], for those between two offsets of a text; places are those of the whole text.
pub(crate) fn commands_within(
    text: &str,
    range: Range<usize>,
    start: &Start<'_>,
    take: &mut dyn FnMut(Command),
) {
    let mut variables = BTreeMap::new();
    variables.insert("PWD".to_owned(), Value::Text(start.folder.to_owned()));
    variables.insert("HOME".to_owned(), Value::Text(start.home.to_owned()));
    let mut shell = Shell {
        start,
        variables,
        folder: Some(start.folder.into()),
        blocks: Vec::new(),
        positions: Positions::new(text, start.line),
        text,
    };
    shell.run(range.start, range.end, 0, take);
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    List(Vec<String>),
    Unknown,
}

/// A branch or loop, with what the variables assigned in it were before, and the values they were given.
#[derive(Default)]
struct Block {
    changed: BTreeMap<String, (Option<Value>, Vec<Value>)>,
}

struct Shell<'a> {
    start: &'a Start<'a>,
    text: &'a str,
    variables: BTreeMap<String, Value>,
    folder: Option<Arc<str>>,
    blocks: Vec<Block>,
    positions: Positions,
}

/// A piece of a word before expansion.
enum Piece {
    Text {
        text: String,
        quoted: bool,
    },
    Variable {
        name: String,
        operator: Operator,
        quoted: bool,
    },
    /// `$(…)` or backquotes: bytes `from..to` of the text.
    Commands {
        from: usize,
        to: usize,
        quoted: bool,
    },
    Unknown {
        name: String,
        quoted: bool,
    },
}

enum Operator {
    None,
    /// `:-`, `-`, `:=`, `=`
    Default(Vec<Piece>),
    /// `[@]`, `[*]`
    All,
    First,
    Other,
}

struct RawWord {
    pieces: Vec<Piece>,
    from: usize,
    to: usize,
    /// An array assignment's items, `NAME=(…)`.
    list: Option<Vec<RawWord>>,
}

enum Token {
    Word(RawWord),
    /// `;`, `&`, `|`, newline, parentheses.
    Separator,
    /// `&&`, `||`
    Conditional,
    /// `;;`
    NextCase,
    End,
}

impl<'a> Shell<'a> {
    /// Walks the commands between two offsets.
    fn run(&mut self, from: usize, to: usize, depth: usize, take: &mut dyn FnMut(Command)) {
        let mut lexer = Lexer::new(self.text.get(..to).unwrap_or(""), from);
        let mut words: Vec<RawWord> = Vec::new();
        let mut conditional = false;
        let blocks = self.blocks.len();
        loop {
            let token = lexer.next();
            if let Token::Word(word) = token {
                words.push(word);
                continue;
            }
            self.command(std::mem::take(&mut words), conditional, depth, take);
            match token {
                Token::Conditional => conditional = true,
                Token::NextCase => self.next_branch(),
                Token::End => break,
                _ => conditional = false,
            }
        }
        // Unclosed blocks end with the text.
        while self.blocks.len() > blocks {
            self.leave_block();
        }
    }

    fn command(
        &mut self,
        mut raw: Vec<RawWord>,
        conditional: bool,
        depth: usize,
        take: &mut dyn FnMut(Command),
    ) {
        // Reserved words stand before the command that they govern.
        let mut first = 0;
        while let Some(word) = raw.get(first) {
            match word.literal().as_deref() {
                Some("if" | "while" | "until" | "case" | "for" | "select") => {
                    let word = word.literal();
                    self.blocks.push(Block::default());
                    if matches!(word.as_deref(), Some("for" | "select")) {
                        if let Some(name) = raw.get(first + 1).and_then(RawWord::literal) {
                            self.assign(name, Value::Unknown, false);
                        }
                        return;
                    }
                    if word.as_deref() == Some("case") {
                        // `case WORD in PATTERN)`: the separator behind the pattern comes next.
                        return;
                    }
                }
                Some("elif" | "else") => self.next_branch(),
                Some("fi" | "done" | "esac") => self.leave_block(),
                Some("then" | "do" | "!" | "{" | "}" | "time" | "coproc") => {}
                Some("function") => first += 1,
                _ => break,
            }
            first += 1;
        }
        raw.drain(..first.min(raw.len()));
        if raw.is_empty() {
            return;
        }
        for word in &raw {
            self.nested(word, depth, take);
        }
        let mut command = Command { folder: self.folder.clone(), ..Command::default() };
        let mut rest = raw.into_iter().peekable();
        let mut assigned: Vec<(String, Value)> = Vec::new();
        while let Some((name, word)) = rest.peek().and_then(|word| self.assignment(word)) {
            assigned.push((name.clone(), self.assigned_value(rest.peek())));
            command.assignments.push((name, word));
            rest.next();
        }
        let declares = rest.peek().and_then(|word| word.literal()).is_some_and(|word| {
            matches!(word.as_str(), "export" | "local" | "declare" | "readonly" | "typeset")
        });
        let mut raw_words = Vec::new();
        for word in rest {
            if declares && let Some((name, _)) = self.assignment(&word) {
                let value = self.assigned_value(Some(&word));
                self.assign(name, value, conditional);
                continue;
            }
            self.expand(&word, &mut command.words);
            raw_words.push(word);
        }
        if command.words.is_empty() {
            for (name, value) in assigned {
                self.assign(name, value, conditional);
            }
        }
        self.builtin(&command, conditional);
        self.commands_in_strings(&command, &raw_words, depth, take);
        if !command.words.is_empty() {
            take(command);
        }
    }

    /// `cd`, `read`, `unset` and the like, which change what is known.
    fn builtin(&mut self, command: &Command, conditional: bool) {
        let words: Vec<&Word> = command.words.iter().collect();
        match words.first().map(|word| word.value.as_str()) {
            Some("cd" | "pushd") => {
                let target = words.iter().skip(1).find(|word| !word.value.starts_with('-'));
                let folder = match target {
                    None => Some(Arc::from(self.start.home)),
                    Some(word) if word.is_unknown() => None,
                    Some(word) => self.join(&word.value),
                };
                // A folder that is only entered on some condition leaves it open which one it is.
                self.folder = if conditional && folder != self.folder { None } else { folder };
                let value = self.folder.as_deref().map_or(Value::Unknown, |f| Value::Text(f.to_owned()));
                self.variables.insert("PWD".to_owned(), value);
            }
            Some("popd") => {
                self.folder = None;
                self.variables.insert("PWD".to_owned(), Value::Unknown);
            }
            Some("read" | "unset" | "mapfile" | "readarray" | "getopts") => {
                for word in words.iter().skip(1).filter(|word| is_name(&word.value)) {
                    self.assign(word.value.clone(), Value::Unknown, false);
                }
            }
            // `.` and `source` may assign anything that nothing assigned before; what is known may be changed too,
            // but scripts source defaults before they set their own.
            _ => {}
        }
    }

    fn join(&self, path: &str) -> Option<Arc<str>> {
        let path = if path == "~" { self.start.home.to_owned() } else { path.to_owned() };
        if path.starts_with('/') {
            return Some(path.into());
        }
        if path == "." {
            return self.folder.clone();
        }
        self.folder.as_deref().map(|folder| Arc::from(format!("{folder}/{path}")))
    }

    /// `sh -c '…'` and `eval '…'`: a string that is itself commands, where it stands in the text as it is.
    fn commands_in_strings(
        &mut self,
        command: &Command,
        raw: &[RawWord],
        depth: usize,
        take: &mut dyn FnMut(Command),
    ) {
        if depth >= DEEPEST {
            return;
        }
        let names: Vec<&str> = command.words.iter().map(|word| word.value.as_str()).collect();
        let shell = names.iter().position(|word| {
            let base = word.rsplit('/').next().unwrap_or(word);
            matches!(base, "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "eval")
        });
        let Some(shell) = shell else { return };
        // The shell must be the command, or what sudo, env and their like start.
        if shell > 0 && !names.first().is_some_and(|first| super::is_wrapper(first)) {
            return;
        }
        let is_eval = names.get(shell) == Some(&"eval");
        // Options come before the string, `-c` among them (`-lc`, `-ec`).
        let mut at = shell + 1;
        let mut has_string = is_eval;
        while let Some(option) = names.get(at).filter(|word| word.starts_with('-') && word.len() > 1) {
            has_string |= !option.starts_with("--") && option.contains('c');
            at += 1;
        }
        // Variables that were split into words shift the numbers; then the raw word is not found and nothing is read.
        let Some(word) = raw.get(at).filter(|_| has_string && raw.len() == names.len()) else { return };
        let source = self.text.get(word.from..word.to).unwrap_or("");
        let (skip, inner) = match source.chars().next() {
            Some(quote @ ('\'' | '"')) if source.len() >= 2 && source.ends_with(quote) => {
                (1, source.get(1..source.len() - 1).unwrap_or(""))
            }
            _ => (0, source),
        };
        if source.starts_with('"') && inner.contains(['\\', '"']) {
            return;
        }
        let (from, to) = (word.from + skip, word.from + skip + inner.len());
        self.run(from, to, depth + 1, take);
    }

    /// The commands of the substitutions in a word run before the command that the word belongs to.
    fn nested(&mut self, word: &RawWord, depth: usize, take: &mut dyn FnMut(Command)) {
        if depth >= DEEPEST {
            return;
        }
        let mut spans = Vec::new();
        collect_commands(&word.pieces, &mut spans);
        for item in word.list.iter().flatten() {
            collect_commands(&item.pieces, &mut spans);
        }
        for (from, to) in spans {
            // A substitution is a shell of its own: what it assigns and where it goes stays in it.
            let (folder, working) = (self.folder.clone(), self.variables.get("PWD").cloned());
            self.blocks.push(Block::default());
            self.run(from, to, depth + 1, take);
            self.next_branch();
            self.blocks.pop();
            self.folder = folder;
            if let Some(working) = working {
                self.variables.insert("PWD".to_owned(), working);
            }
        }
    }

    fn assign(&mut self, name: String, value: Value, conditional: bool) {
        let before = self.variables.get(&name).cloned();
        if let Some(block) = self.blocks.last_mut() {
            let entry = block.changed.entry(name.clone()).or_insert_with(|| (before.clone(), Vec::new()));
            entry.1.push(value.clone());
        }
        // `[ -z "$X" ] && X=default` gives a variable that was not set its default.
        let value = match before {
            Some(before) if conditional && before != value => Value::Unknown,
            _ => value,
        };
        self.variables.insert(name, value);
    }

    fn next_branch(&mut self) {
        let Some(block) = self.blocks.last() else { return };
        for (name, (before, _)) in &block.changed {
            match before {
                Some(value) => self.variables.insert(name.clone(), value.clone()),
                None => self.variables.remove(name),
            };
        }
    }

    fn leave_block(&mut self) {
        let Some(block) = self.blocks.pop() else { return };
        for (name, (before, mut values)) in block.changed {
            values.dedup();
            let after = match (before.as_ref(), values.as_slice()) {
                // The only value it is ever given, where it was not set before: a default.
                (None, [only]) => only.clone(),
                (Some(before), [only]) if before == only => only.clone(),
                _ => Value::Unknown,
            };
            if let Some(outer) = self.blocks.last_mut() {
                let entry = outer.changed.entry(name.clone()).or_insert_with(|| (before, Vec::new()));
                entry.1.push(after.clone());
            }
            self.variables.insert(name, after);
        }
    }

    /// `NAME=VALUE`, with the value as a word.
    fn assignment(&mut self, word: &RawWord) -> Option<(String, Word)> {
        let Some(Piece::Text { text, quoted: false }) = word.pieces.first() else { return None };
        let (name, rest) = text.split_once('=')?;
        let name = name.strip_suffix('+').unwrap_or(name);
        if !is_name(name) {
            return None;
        }
        let mut value = String::new();
        let mut unknown = Vec::new();
        value.push_str(rest);
        for piece in word.pieces.iter().skip(1) {
            self.expand_piece(piece, &mut value, &mut unknown);
        }
        let from = word.from + text.find('=').map_or(0, |at| at + 1);
        let from = from.min(word.to);
        let place = self.place(from, word.to);
        let value = tilde(value, self.start.home);
        let word = Word { value, place, unknown, splits: false, span: from..word.to, alone: true };
        Some((name.to_owned(), word))
    }

    fn assigned_value(&mut self, word: Option<&RawWord>) -> Value {
        let Some(word) = word else { return Value::Unknown };
        let appended = match word.pieces.first() {
            Some(Piece::Text { text, .. }) => text
                .split_once('=')
                .and_then(|(name, _)| name.strip_suffix('+'))
                .map(|name| self.variables.get(name).cloned().unwrap_or(Value::Unknown)),
            _ => None,
        };
        if let Some(list) = &word.list {
            let mut words = Vec::new();
            for item in list {
                self.expand(item, &mut words);
            }
            let mut values: Vec<String> = match appended {
                Some(Value::List(values)) => values,
                Some(_) => return Value::Unknown,
                None => Vec::new(),
            };
            values.extend(words.into_iter().map(|word| word.value));
            let small = values.len() <= MOST_FIELDS && values.iter().all(|v| v.len() <= LONGEST_VALUE);
            return if small { Value::List(values) } else { Value::Unknown };
        }
        let value = self.assignment(word).map(|(_, word)| word.value).unwrap_or_default();
        let value = match appended {
            Some(Value::Text(before)) => before + &value,
            Some(_) => return Value::Unknown,
            None => value,
        };
        if value.len() > LONGEST_VALUE || value.chars().all(|c| c == UNKNOWN) && !value.is_empty() {
            return Value::Unknown;
        }
        Value::Text(value)
    }

    /// Expands one word into the words it stands for.
    fn expand(&mut self, raw: &RawWord, words: &mut Vec<Word>) {
        let place = self.place(raw.from, raw.to);
        let mut fields: Vec<String> = Vec::new();
        let mut current = String::new();
        let mut unknown = Vec::new();
        let mut present = false;
        let splits = raw.pieces.iter().any(|piece| !piece.quoted() && !matches!(piece, Piece::Text { .. }));
        for piece in &raw.pieces {
            match piece {
                Piece::Variable { name, operator, quoted } => {
                    let list = match (self.variables.get(name), operator) {
                        (Some(Value::List(list)), Operator::All) => Some(list.clone()),
                        (Some(Value::Text(text)), Operator::None) if !quoted => {
                            let fields: Vec<String> =
                                text.split_ascii_whitespace().map(str::to_owned).collect();
                            (fields.len() != 1 && fields.len() <= MOST_FIELDS).then_some(fields)
                        }
                        _ => None,
                    };
                    let Some(list) = list else {
                        present |= *quoted;
                        self.expand_piece(piece, &mut current, &mut unknown);
                        continue;
                    };
                    for (number, field) in list.iter().enumerate() {
                        if number > 0 {
                            fields.push(std::mem::take(&mut current));
                        }
                        current.push_str(field);
                    }
                }
                _ => {
                    present |= piece.quoted();
                    self.expand_piece(piece, &mut current, &mut unknown);
                }
            }
        }
        if present || !current.is_empty() {
            fields.push(current);
        }
        let alone = fields.len() == 1;
        // Words with the same variable may share the name of what is not known in them.
        for field in fields {
            let field = if raw.starts_plain() { tilde(field, self.start.home) } else { field };
            let unknown = if field.contains(UNKNOWN) && unknown.is_empty() {
                raw.variable_names()
            } else if field.contains(UNKNOWN) {
                unknown.clone()
            } else {
                Vec::new()
            };
            let span = raw.from..raw.to;
            words.push(Word { value: field, place: place.clone(), unknown, splits, span, alone });
        }
    }

    fn expand_piece(&mut self, piece: &Piece, value: &mut String, unknown: &mut Vec<String>) {
        match piece {
            Piece::Text { text, .. } => value.push_str(text),
            Piece::Unknown { name, .. } => {
                value.push(UNKNOWN);
                unknown.push(name.clone());
            }
            Piece::Commands { from, to, .. } => match self.substitution(*from, *to) {
                Some(text) => value.push_str(&text),
                None => {
                    value.push(UNKNOWN);
                    unknown.push("$(…)".to_owned());
                }
            },
            Piece::Variable { name, operator, .. } => {
                let known = match (self.variables.get(name), operator) {
                    (_, Operator::Other) => None,
                    (Some(Value::Text(text)), Operator::Default(_)) if text.is_empty() => None,
                    (Some(Value::Text(text)), _) => Some(text.clone()),
                    (Some(Value::List(list)), Operator::All) => Some(list.join(" ")),
                    (Some(Value::List(list)), _) => list.first().cloned(),
                    _ => None,
                };
                let reassigned = self.variables.get(name) == Some(&Value::Unknown);
                match (known, operator) {
                    (Some(text), _) => value.push_str(&text),
                    (None, Operator::Default(pieces)) if !reassigned => {
                        for piece in pieces {
                            self.expand_piece(piece, value, unknown);
                        }
                    }
                    _ => {
                        value.push(UNKNOWN);
                        unknown.push(name.clone());
                    }
                }
            }
        }
        if value.len() > LONGEST_VALUE {
            value.clear();
            value.push(UNKNOWN);
        }
    }

    /// The output of the few substitutions that scripts use to find their own folder.
    fn substitution(&self, from: usize, to: usize) -> Option<String> {
        let text = self.text.get(from..to)?.trim();
        if matches!(text, "pwd" | "pwd -P" | "pwd -L") {
            return self.folder.as_deref().map(str::to_owned);
        }
        let own = ["$0", "${0}", "BASH_SOURCE"].iter().any(|name| text.contains(name));
        if !own || !text.contains("dirname") {
            return None;
        }
        // `dirname "$0"`, `cd "$(dirname "$0")/.." && pwd`, `readlink -f` or `realpath` in between.
        let plain = text.split(|c: char| c.is_whitespace() || "\"'();&|".contains(c)).all(|word| {
            matches!(
                word,
                "" | "cd"
                    | "pwd"
                    | "-P"
                    | "-L"
                    | "-f"
                    | "--"
                    | "dirname"
                    | "readlink"
                    | "realpath"
                    | "$"
                    | "$0"
                    | "${0}"
                    | "${BASH_SOURCE[0]}"
                    | "$BASH_SOURCE"
                    | "${BASH_SOURCE}"
                    | ">/dev/null"
                    | ">"
                    | "/dev/null"
                    | "2>"
                    | "1"
                    | "/.."
                    | "/../.."
                    | "/../../.."
                    | "/."
                    | "."
            )
        });
        if !plain {
            return None;
        }
        let up = text.matches("..").count() + text.matches("dirname").count().saturating_sub(1);
        Some(self.start.folder.to_owned() + &"/..".repeat(up))
    }

    fn place(&self, from: usize, to: usize) -> Place {
        let (line, column) = self.positions.of(self.text, from);
        let source = self.text.get(from..to).unwrap_or("");
        let length = source.chars().take(1000).take_while(|c| *c != '\n').count();
        Place::new(self.start.path, line, column, u32::try_from(length).unwrap_or(0))
    }
}

/// Line and column of an offset, without walking a long line again for each word on it.
pub(crate) struct Positions {
    /// Offset, line and column at every line's start and every so many characters.
    marks: Vec<(usize, u32, u32)>,
}

impl Positions {
    const STRIDE: u32 = 256;

    pub(crate) fn new(text: &str, first_line: u32) -> Positions {
        let (mut line, mut column) = (first_line, 1u32);
        let mut marks = vec![(0, line, column)];
        for (offset, c) in text.char_indices() {
            if c == '\n' {
                (line, column) = (line.saturating_add(1), 1);
                marks.push((offset + 1, line, column));
            } else {
                column = column.saturating_add(1);
                if column % Positions::STRIDE == 0 {
                    marks.push((offset + c.len_utf8(), line, column));
                }
            }
        }
        Positions { marks }
    }

    pub(crate) fn of(&self, text: &str, offset: usize) -> (u32, u32) {
        let after = self.marks.partition_point(|mark| mark.0 <= offset);
        let Some((from, line, column)) = after.checked_sub(1).and_then(|at| self.marks.get(at)) else {
            return (1, 1);
        };
        let walked = text.get(*from..offset).map_or(0, |part| part.chars().count());
        (*line, column.saturating_add(u32::try_from(walked).unwrap_or(0)))
    }
}

fn collect_commands(pieces: &[Piece], spans: &mut Vec<(usize, usize)>) {
    for piece in pieces {
        match piece {
            Piece::Commands { from, to, .. } => spans.push((*from, *to)),
            Piece::Variable { operator: Operator::Default(pieces), .. } => collect_commands(pieces, spans),
            _ => {}
        }
    }
}

fn tilde(value: String, home: &str) -> String {
    match value.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
        _ => value,
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Piece {
    fn quoted(&self) -> bool {
        match self {
            Piece::Text { quoted, .. }
            | Piece::Variable { quoted, .. }
            | Piece::Commands { quoted, .. }
            | Piece::Unknown { quoted, .. } => *quoted,
        }
    }
}

impl RawWord {
    /// The word where it is written without quotes and variables, as reserved words must be.
    fn literal(&self) -> Option<String> {
        match self.pieces.as_slice() {
            [Piece::Text { text, quoted: false }] => Some(text.clone()),
            _ => None,
        }
    }

    fn starts_plain(&self) -> bool {
        matches!(self.pieces.first(), Some(Piece::Text { quoted: false, .. }))
    }

    fn variable_names(&self) -> Vec<String> {
        self.pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Variable { name, .. } | Piece::Unknown { name, .. } => Some(name.clone()),
                _ => None,
            })
            .collect()
    }
}

/// Cuts text into words and separators.
struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Here-documents whose bodies begin after this line: the delimiter, and whether tabs are stripped.
    heredocs: Vec<(String, bool)>,
    /// How many `${…:-` are open.
    depth: usize,
}

impl<'t> Lexer<'t> {
    fn new(text: &'t str, at: usize) -> Lexer<'t> {
        Lexer { text, at, heredocs: Vec::new(), depth: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn next(&mut self) -> Token {
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return Token::End };
            if rest.starts_with("\\\n") {
                self.at += 2;
            } else if rest.starts_with("\\\r\n") {
                self.at += 3;
            } else if c == '\n' {
                self.at += 1;
                self.skip_heredocs();
                return Token::Separator;
            } else if c.is_whitespace() {
                self.at += c.len_utf8();
            } else if c == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("&&") || rest.starts_with("||") {
                self.at += 2;
                return Token::Conditional;
            } else if rest.starts_with(";;") {
                self.at += 2;
                return Token::NextCase;
            } else if rest.starts_with("&>") || self.at_redirection() {
                self.redirection();
            } else if matches!(c, ';' | '&' | '|' | '(' | ')') {
                self.at += 1;
                return Token::Separator;
            } else {
                let before = self.at;
                let word = self.word();
                // A lone character that ends no word and starts none must not hold the walk up.
                if self.at == before {
                    self.bump();
                    continue;
                }
                return Token::Word(word);
            }
        }
    }

    /// `<`, `>`, or a number directly before one.
    fn at_redirection(&self) -> bool {
        let rest = self.rest().trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with(['<', '>']) && !rest.starts_with("<(") && !rest.starts_with(">(")
    }

    fn redirection(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_digit() || c == '&') {
            self.bump();
        }
        let rest = self.rest();
        let (heredoc, skip) = match rest {
            _ if rest.starts_with("<<<") => (None, 3),
            _ if rest.starts_with("<<-") => (Some(true), 3),
            _ if rest.starts_with("<<") => (Some(false), 2),
            _ if [">>", ">|", ">&", "<&", "<>"].iter().any(|op| rest.starts_with(op)) => (None, 2),
            _ => (None, 1),
        };
        self.at += skip;
        while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
            self.bump();
        }
        let target = self.word();
        if let Some(strip_tabs) = heredoc {
            let mut delimiter = String::new();
            for piece in &target.pieces {
                match piece {
                    Piece::Text { text, .. } => delimiter.push_str(text),
                    Piece::Variable { name, .. } | Piece::Unknown { name, .. } => delimiter.push_str(name),
                    Piece::Commands { .. } => {}
                }
            }
            self.heredocs.push((delimiter, strip_tabs));
        }
    }

    fn skip_heredocs(&mut self) {
        for (delimiter, strip_tabs) in std::mem::take(&mut self.heredocs) {
            loop {
                let rest = self.rest();
                if rest.is_empty() {
                    return;
                }
                let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
                let line = rest.get(..end).unwrap_or("").trim_end_matches(['\n', '\r']);
                let line = if strip_tabs { line.trim_start_matches('\t') } else { line };
                let found = line == delimiter;
                self.at += end;
                if found {
                    break;
                }
            }
        }
    }

    fn word(&mut self) -> RawWord {
        let from = self.at;
        let mut pieces = Vec::new();
        let mut list = None;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                _ if c.is_whitespace() => break,
                ';' | '&' | '|' | ')' => break,
                // `<(…)` and `>(…)` are words; other angle brackets redirect.
                '<' | '>' if !self.rest().get(1..).is_some_and(|rest| rest.starts_with('(')) => break,
                '<' | '>' => {
                    self.at += 2;
                    self.balanced();
                    push_text(&mut pieces, &mut text, false);
                    pieces.push(Piece::Unknown { name: "<(…)".into(), quoted: false });
                }
                '(' => {
                    // An array assignment; otherwise a parenthesis ends the word (`name()`).
                    if text.ends_with('=') && pieces.is_empty() {
                        self.at += 1;
                        push_text(&mut pieces, &mut text, false);
                        list = Some(self.items());
                    }
                    break;
                }
                '\'' => {
                    self.at += 1;
                    push_text(&mut pieces, &mut text, false);
                    let rest = self.rest();
                    let end = rest.find('\'').unwrap_or(rest.len());
                    let inner = rest.get(..end).unwrap_or("").to_owned();
                    self.at += (end + 1).min(rest.len());
                    pieces.push(Piece::Text { text: inner, quoted: true });
                }
                '"' => {
                    self.at += 1;
                    push_text(&mut pieces, &mut text, false);
                    self.double_quoted(&mut pieces);
                }
                '\\' => {
                    self.at += 1;
                    match self.bump() {
                        Some('\n') => {}
                        Some('\r') if self.peek() == Some('\n') => {
                            self.at += 1;
                        }
                        Some(c) => {
                            push_text(&mut pieces, &mut text, false);
                            pieces.push(Piece::Text { text: c.into(), quoted: true });
                        }
                        None => {}
                    }
                }
                '$' | '`' => {
                    push_text(&mut pieces, &mut text, false);
                    self.dollar(false, &mut pieces);
                }
                _ => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        push_text(&mut pieces, &mut text, false);
        RawWord { pieces, from, to: self.at, list }
    }

    fn items(&mut self) -> Vec<RawWord> {
        let mut items = Vec::new();
        loop {
            match self.peek() {
                None => break,
                Some(')') => {
                    self.at += 1;
                    break;
                }
                Some('#') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                Some('\\') if self.rest().starts_with("\\\n") => self.at += 2,
                Some(_) => {
                    let before = self.at;
                    let item = self.word();
                    if self.at == before {
                        self.bump();
                    } else {
                        items.push(item);
                    }
                }
            }
        }
        items
    }

    fn double_quoted(&mut self, pieces: &mut Vec<Piece>) {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => break,
                Some('"') => {
                    self.at += 1;
                    break;
                }
                Some('\\') => {
                    self.at += 1;
                    match self.bump() {
                        Some('\n') | None => {}
                        Some(c @ ('"' | '\\' | '$' | '`')) => text.push(c),
                        Some(c) => {
                            text.push('\\');
                            text.push(c);
                        }
                    }
                }
                Some('$' | '`') => {
                    push_text(pieces, &mut text, true);
                    self.dollar(true, pieces);
                }
                Some(c) => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        pieces.push(Piece::Text { text, quoted: true });
    }

    /// What `$` or a backquote starts.
    fn dollar(&mut self, quoted: bool, pieces: &mut Vec<Piece>) {
        let rest = self.rest();
        if rest.starts_with('`') {
            self.at += 1;
            let from = self.at;
            let end = self.rest().find('`');
            let to = end.map_or(self.text.len(), |end| from + end);
            self.at = end.map_or(self.text.len(), |_| to + 1);
            pieces.push(Piece::Commands { from, to, quoted });
        } else if rest.starts_with("$((") {
            self.at += 2;
            self.balanced();
            pieces.push(Piece::Unknown { name: "$((…))".into(), quoted });
        } else if rest.starts_with("$(") {
            self.at += 2;
            let from = self.at;
            self.balanced();
            // Without the closing parenthesis, which the text may end before.
            let closed = self.text.get(from..self.at).is_some_and(|inner| inner.ends_with(')'));
            let to = if closed { self.at - 1 } else { self.at };
            pieces.push(Piece::Commands { from, to, quoted });
        } else if rest.starts_with("${") {
            self.at += 2;
            self.parameter(quoted, pieces);
        } else if rest.starts_with("$'") && !quoted {
            self.at += 2;
            self.ansi_quoted(pieces);
        } else if rest.starts_with("$\"") && !quoted {
            self.at += 1;
        } else {
            self.at += 1;
            let rest = self.rest();
            let name_end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            match rest.chars().next() {
                Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                    let name = rest.get(..name_end).unwrap_or("").to_owned();
                    self.at += name_end;
                    pieces.push(Piece::Variable { name, operator: Operator::None, quoted });
                }
                Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => {
                    self.at += 1;
                    pieces.push(Piece::Unknown { name: c.into(), quoted });
                }
                _ => pieces.push(Piece::Text { text: "$".into(), quoted }),
            }
        }
    }

    /// `${…}`, behind the brace.
    fn parameter(&mut self, quoted: bool, pieces: &mut Vec<Piece>) {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or("").to_owned();
        self.at += end;
        let rest = self.rest();
        let (skip, mut operator) = match rest {
            _ if rest.starts_with('}') => (1, Operator::None),
            _ if rest.starts_with("[@]}") || rest.starts_with("[*]}") => (4, Operator::All),
            _ if rest.starts_with("[0]}") => (4, Operator::First),
            _ if rest.starts_with(":-") || rest.starts_with(":=") => (2, Operator::Default(Vec::new())),
            _ if rest.starts_with('-') || rest.starts_with('=') => (1, Operator::Default(Vec::new())),
            _ if rest.starts_with(":?") || rest.starts_with('?') => (0, Operator::First),
            _ => (0, Operator::Other),
        };
        let closed = !matches!(operator, Operator::Default(_)) && skip > 0;
        self.at += skip;
        if let Operator::Default(default) = &mut operator {
            self.depth += 1;
            self.default_word(quoted, default);
            self.depth -= 1;
        } else if !closed {
            self.braces();
        }
        if is_name(&name) {
            pieces.push(Piece::Variable { name, operator, quoted });
        } else if let Operator::Default(default) = operator {
            // `${1:-default}`: a positional parameter is not known, but its default is.
            pieces.extend(default);
        } else {
            pieces.push(Piece::Unknown { name, quoted });
        }
    }

    /// The word of `${NAME:-word}`, to the brace that closes it.
    fn default_word(&mut self, quoted: bool, pieces: &mut Vec<Piece>) {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => break,
                Some('}') => {
                    self.at += 1;
                    break;
                }
                Some('\'') if !quoted => {
                    self.at += 1;
                    let rest = self.rest();
                    let end = rest.find('\'').unwrap_or(rest.len());
                    text.push_str(rest.get(..end).unwrap_or(""));
                    self.at += (end + 1).min(rest.len());
                }
                Some('"') => {
                    self.at += 1;
                    push_text(pieces, &mut text, quoted);
                    self.double_quoted(pieces);
                }
                Some('\\') => {
                    self.at += 1;
                    text.extend(self.bump());
                }
                Some('$' | '`') => {
                    push_text(pieces, &mut text, quoted);
                    if self.depth > DEEPEST {
                        self.at = self.text.len();
                        break;
                    }
                    self.dollar(quoted, pieces);
                }
                Some(c) => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        push_text(pieces, &mut text, quoted);
    }

    /// Passes the rest of `${…}`.
    fn braces(&mut self) {
        let mut depth = 1;
        while let Some(c) = self.bump() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                '\\' => {
                    self.bump();
                }
                _ => {}
            }
        }
    }

    /// Passes everything to the parenthesis that closes the one before, quotes respected.
    fn balanced(&mut self) {
        let mut depth = 1;
        while let Some(c) = self.bump() {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                '\\' => {
                    self.bump();
                }
                '\'' => {
                    let rest = self.rest();
                    self.at += rest.find('\'').map_or(rest.len(), |end| end + 1);
                }
                '#' if self.text.get(..self.at - 1).is_some_and(|t| t.ends_with([' ', '\n', '\t'])) => {
                    let rest = self.rest();
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => {}
            }
        }
    }

    fn ansi_quoted(&mut self, pieces: &mut Vec<Piece>) {
        let mut text = String::new();
        while let Some(c) = self.bump() {
            match c {
                '\'' => break,
                '\\' => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('\'' | '"' | '\\')) => text.push(c),
                    Some(c) => {
                        text.push('\\');
                        text.push(c);
                    }
                    None => {}
                },
                c => text.push(c),
            }
        }
        pieces.push(Piece::Text { text, quoted: true });
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &mut String, quoted: bool) {
    if !text.is_empty() {
        pieces.push(Piece::Text { text: std::mem::take(text), quoted });
    }
}
