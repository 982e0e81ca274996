//! Graphs as text, for Graphviz (DOT) and for Mermaid: the paths of a report across its subjects, and the fault tree of one technique
//! with the state of each condition.

use std::io::{self, Write};

use confinement::Truth;
use techniques::judge::{State, Verdict};
use techniques::severity::Severity;
use techniques::technique::{Catalogue, ConditionId, FormulaItem, FormulaLine, Technique};

use crate::Report;
use crate::escape::one_line;
use crate::path_graph::{Kind, path_graph};
use crate::words::origin;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Dot,
    Mermaid,
}

/// One technique as a fault tree.
#[derive(Clone, Copy, Debug)]
pub struct FaultTree<'a> {
    pub technique: &'a Technique,
    pub catalogue: &'a Catalogue,
    /// The subject that the states are of, by its name.
    pub subject: Option<&'a str>,
    /// As [`techniques::judge::states`] gives them; empty where the tree is shown by itself.
    pub states: &'a [State],
}

/// The paths of a report in Graphviz's language.
pub fn dot(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    paths(report).write(Language::Dot, out)
}

/// The paths of a report in Mermaid's language.
pub fn mermaid(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    paths(report).write(Language::Mermaid, out)
}

pub fn fault_tree(tree: &FaultTree<'_>, language: Language, out: &mut dyn Write) -> io::Result<()> {
    tree.drawing().write(language, out)
}

/// What a node stands for, which gives it its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Subjects,
    Technique,
    Gain,
    /// A gate: all of what stands below.
    All,
    Any,
    Condition,
}

impl Shape {
    fn dot(self) -> &'static str {
        match self {
            Shape::Subjects | Shape::Condition => "box",
            Shape::Technique => "ellipse",
            Shape::Gain => "octagon",
            Shape::All => "invhouse",
            Shape::Any => "trapezium",
        }
    }

    fn mermaid(self) -> (&'static str, &'static str) {
        match self {
            Shape::Subjects | Shape::Condition => ("[", "]"),
            Shape::Technique => ("([", "])"),
            Shape::Gain => ("{{", "}}"),
            Shape::All => ("[\\", "/]"),
            Shape::Any => ("[/", "\\]"),
        }
    }
}

/// What a node says of itself, which gives it its colours; the label says it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Bad,
    Good,
    Unknown,
    Plain,
}

impl Colour {
    /// Name of the class, fill, line.
    fn style(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Colour::Bad => ("bad", "#fde2e1", "#b42318"),
            Colour::Good => ("good", "#dcf5e7", "#1a7f4b"),
            Colour::Unknown => ("unknown", "#fdf0d5", "#a15c07"),
            Colour::Plain => ("plain", "#ffffff", "#475467"),
        }
    }
}

/// A condition or gate that is true is on the way out.
impl From<Option<Truth>> for Colour {
    fn from(truth: Option<Truth>) -> Colour {
        match truth {
            Some(Truth::True) => Colour::Bad,
            Some(Truth::False) => Colour::Good,
            Some(Truth::Unknown) => Colour::Unknown,
            None => Colour::Plain,
        }
    }
}

impl From<Verdict> for Colour {
    fn from(verdict: Verdict) -> Colour {
        match verdict {
            Verdict::Open => Colour::Bad,
            Verdict::Held => Colour::Good,
            Verdict::Undetermined => Colour::Unknown,
        }
    }
}

struct Drawn {
    shape: Shape,
    colour: Colour,
    lines: Vec<String>,
}

struct Line {
    from: usize,
    to: usize,
    colour: &'static str,
    dashed: bool,
}

/// Nodes and lines, ready for either language.
struct Drawing {
    title: String,
    /// From left to right, or from top to bottom.
    sideways: bool,
    nodes: Vec<Drawn>,
    lines: Vec<Line>,
    notes: Vec<String>,
}

impl Drawing {
    fn write(&self, language: Language, out: &mut dyn Write) -> io::Result<()> {
        let mut out = io::BufWriter::new(out);
        match language {
            Language::Dot => self.dot(&mut out)?,
            Language::Mermaid => self.mermaid(&mut out)?,
        }
        out.flush()
    }

    fn dot(&self, out: &mut dyn Write) -> io::Result<()> {
        let direction = if self.sideways { "LR" } else { "TB" };
        writeln!(out, "digraph stockade {{")?;
        writeln!(
            out,
            "  graph [rankdir={direction}, label=\"{}\", labelloc=t, fontname=\"sans-serif\"];",
            dot_text(&self.title)
        )?;
        writeln!(out, "  node [style=filled, fontname=\"sans-serif\", fontsize=11, margin=\"0.15,0.08\"];")?;
        writeln!(out, "  edge [color=\"#475467\", arrowsize=0.7];")?;
        for (i, node) in self.nodes.iter().enumerate() {
            let ((class, fill, line), form) = (node.colour.style(), node.shape.dot());
            let label: Vec<String> = node.lines.iter().map(|l| dot_text(l)).collect();
            writeln!(
                out,
                "  n{i} [class=\"{class}\", shape={form}, fillcolor=\"{fill}\", color=\"{line}\", label=\"{}\"];",
                label.join("\\n")
            )?;
        }
        for line in &self.lines {
            let style = if line.dashed { ", style=dashed" } else { "" };
            writeln!(out, "  n{} -> n{} [color=\"{}\"{style}];", line.from, line.to, line.colour)?;
        }
        for note in &self.notes {
            writeln!(out, "  // {}", one_line(note))?;
        }
        writeln!(out, "}}")
    }

    fn mermaid(&self, out: &mut dyn Write) -> io::Result<()> {
        let direction = if self.sideways { "LR" } else { "TB" };
        writeln!(out, "flowchart {direction}")?;
        writeln!(out, "  %% {}", mermaid_comment(&self.title))?;
        for note in &self.notes {
            writeln!(out, "  %% {}", mermaid_comment(note))?;
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let (open, close) = node.shape.mermaid();
            let label: Vec<String> = node.lines.iter().map(|l| mermaid_text(l)).collect();
            writeln!(out, "  n{i}{open}\"{}\"{close}:::{}", label.join("<br/>"), node.colour.style().0)?;
        }
        for (i, line) in self.lines.iter().enumerate() {
            let arrow = if line.dashed { "-.->" } else { "-->" };
            writeln!(out, "  n{} {arrow} n{}", line.from, line.to)?;
            writeln!(out, "  linkStyle {i} stroke:{}", line.colour)?;
        }
        for colour in [Colour::Bad, Colour::Good, Colour::Unknown, Colour::Plain] {
            let (class, fill, line) = colour.style();
            writeln!(out, "  classDef {class} fill:{fill},stroke:{line},color:#101828")?;
        }
        Ok(())
    }
}

/// For a string in double quotes. A backslash would start an escape, `\N` and `\G` among them.
fn dot_text(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// For a label in double quotes: what Mermaid or the HTML that it makes could take for its own is written as its number.
fn mermaid_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '-' | '_' | '/' | ':' | '+' | '=') {
            out.push(c);
        } else {
            out.push_str(&format!("#{};", u32::from(c)));
        }
    }
    out
}

/// A comment ends with its line, and a brace in it starts a directive.
fn mermaid_comment(text: &str) -> String {
    one_line(text).replace(['{', '}'], "")
}

fn paths(report: &Report<'_>) -> Drawing {
    let graph = path_graph(report);
    let nodes = graph.nodes.iter().map(|node| {
        let (shape, colour) = match node.kind {
            Kind::Subjects { verdict, .. } => (Shape::Subjects, verdict.into()),
            Kind::Technique => (Shape::Technique, Colour::Plain),
            Kind::Gain => (Shape::Gain, Colour::Plain),
        };
        Drawn { shape, colour, lines: vec![node.label.clone(), node.detail.clone()] }
    });
    let lines = graph.edges.iter().map(|edge| Line {
        from: edge.from,
        to: edge.to,
        colour: severity_colour(edge.severity),
        dashed: !edge.certain,
    });
    Drawing {
        title: format!("Paths: {}", report.targets.join(" ")),
        sideways: true,
        nodes: nodes.collect(),
        lines: lines.collect(),
        notes: graph.left_out.iter().map(|what| format!("not drawn: {what}")).collect(),
    }
}

fn severity_colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "#b42318",
        Severity::High => "#c4320a",
        Severity::Medium => "#a15c07",
        Severity::Low | Severity::Info => "#475467",
    }
}

/// A node of the tree, with the one above it.
struct Branch {
    above: usize,
    shape: Shape,
    truth: Option<Truth>,
    lines: Vec<String>,
}

impl FaultTree<'_> {
    fn drawing(&self) -> Drawing {
        let title = match self.subject {
            Some(subject) => format!("{} for {subject}", self.technique.id),
            None => self.technique.id.to_owned(),
        };
        let mut tree = self.branches();
        self.settle(&mut tree);
        let lines = (0..).zip(&tree).skip(1).map(|(to, branch)| Line {
            from: branch.above,
            to,
            colour: Colour::from(branch.truth).style().2,
            dashed: false,
        });
        let lines = lines.collect();
        let nodes = tree
            .into_iter()
            .map(|b| Drawn { shape: b.shape, colour: b.truth.into(), lines: b.lines })
            .collect();
        Drawing { title, sideways: false, nodes, lines, notes: Vec::new() }
    }

    /// The tree from the top event down, each node behind the one above it.
    fn branches(&self) -> Vec<Branch> {
        let top = format!("{}: {}", self.technique.gain.name(), self.technique.title);
        let mut tree = vec![Branch { above: 0, shape: Shape::Gain, truth: None, lines: vec![top] }];
        let gate =
            |above, shape, text: &str| Branch { above, shape, truth: None, lines: vec![text.to_owned()] };
        if !self.technique.premise.is_empty() {
            let premise = tree.len();
            tree.push(gate(0, Shape::All, "premise: all of"));
            tree.extend(self.technique.premise.iter().map(|id| self.condition(premise, *id)));
        }
        // The nodes that the next line may stand below, by its indent.
        let mut above = vec![0];
        for FormulaLine { indent, what } in &self.technique.formula {
            above.truncate(usize::from(*indent) + 1);
            let holder = above.last().copied().unwrap_or_default();
            above.push(tree.len());
            tree.push(match what {
                FormulaItem::All => gate(holder, Shape::All, "all of"),
                FormulaItem::Any => gate(holder, Shape::Any, "any of"),
                FormulaItem::Condition(id) => self.condition(holder, *id),
            });
        }
        tree
    }

    /// Gives gates and the top event the truth that follows from what stands below them.
    fn settle(&self, tree: &mut [Branch]) {
        if self.states.is_empty() {
            return;
        }
        for i in (0..tree.len()).rev() {
            let Some(branch) = tree.get(i) else { continue };
            if branch.shape == Shape::Condition {
                continue;
            }
            let below =
                tree.iter().skip(1).filter(|b| b.above == i).map(|b| b.truth.unwrap_or(Truth::Unknown));
            let truth = match branch.shape {
                Shape::Any => below.fold(Truth::False, Truth::or),
                _ => below.fold(Truth::True, Truth::and),
            };
            if let Some(branch) = tree.get_mut(i) {
                branch.truth = Some(truth);
                if let Some(line) = branch.lines.first_mut() {
                    line.push_str(&format!(": {}", truth_name(truth)));
                }
            }
        }
    }

    fn condition(&self, above: usize, id: ConditionId) -> Branch {
        let index = usize::from(id);
        let name = self.catalogue.conditions.get(index).map(ToString::to_string).unwrap_or_default();
        let Some(State { truth, facts, .. }) = self.states.iter().find(|s| s.condition == id) else {
            return Branch { above, shape: Shape::Condition, truth: None, lines: vec![name] };
        };
        let mut lines = vec![format!("{name}: {}", truth_name(*truth))];
        if let (Truth::False, Some(barrier)) = (truth, self.catalogue.barriers.get(index)) {
            lines.push(format!("held by: {barrier}"));
        }
        // One fact is enough to say why.
        if let Some((fact, from)) = facts.first() {
            lines.push(fact.clone());
            lines.push(origin(from));
        }
        Branch { above, shape: Shape::Condition, truth: Some(*truth), lines }
    }
}

fn truth_name(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "true",
        Truth::False => "false",
        Truth::Unknown => "unknown",
    }
}
