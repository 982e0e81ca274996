//! The graph of paths as an SVG picture, for the HTML page. Colours come from the page's classes, so that it follows the theme
//! and no style is written into the picture, which the page's content security policy would refuse.

use std::fmt::{self, Write};

use crate::Report;
use crate::escape::{markup, one_line};
use crate::layout::{Graph, Layout, layered};
use crate::path_graph::{Edge, Kind, Node, PathGraph, path_graph};

const WIDTH: f32 = 224.0;
const LINE: f32 = 16.0;
const PADDING: f32 = 10.0;
/// Characters that fit on a line of a label and of the smaller one below, at the widths of common fonts.
const LABEL: usize = 30;
const DETAIL: usize = 34;

pub(crate) struct Picture {
    pub(crate) svg: String,
    /// What is not drawn, in words.
    pub(crate) left_out: Vec<String>,
}

/// The picture, or nothing where there is no path. `has_card` tells which subjects the page has a card for.
pub(crate) fn picture(report: &Report<'_>, has_card: &dyn Fn(usize) -> bool) -> Option<Picture> {
    let graph = path_graph(report);
    if graph.edges.is_empty() {
        return None;
    }
    let labels: Vec<Vec<String>> = graph.nodes.iter().map(|n| wrap(&n.label)).collect();
    let layout = layered(&Graph {
        sizes: labels.iter().map(|lines| (WIDTH, (lines.len() + 1) as f32 * LINE + 2.0 * PADDING)).collect(),
        edges: graph.edges.iter().map(|e| (e.from, e.to)).collect(),
        last: graph.nodes.iter().map(|n| n.kind == Kind::Gain).collect(),
    });
    let mut svg = String::new();
    // Writing to a String does not fail.
    let _ = draw(&graph, &labels, &layout, has_card, &mut svg);
    Some(Picture { svg, left_out: graph.left_out })
}

fn draw(
    graph: &PathGraph,
    labels: &[Vec<String>],
    layout: &Layout,
    has_card: &dyn Fn(usize) -> bool,
    out: &mut String,
) -> fmt::Result {
    let (width, height) = (layout.width.ceil(), layout.height.ceil());
    writeln!(
        out,
        r#"<svg class="picture" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="Paths from subjects through techniques to what they yield">"#
    )?;
    writeln!(out, "<defs>")?;
    for severity in ["critical", "high", "medium", "low", "info"] {
        writeln!(
            out,
            r#"<marker id="arrow-{severity}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="tip {severity}" d="M0 0L8 4L0 8z"/></marker>"#
        )?;
    }
    writeln!(out, "</defs>")?;
    for (edge, points) in graph.edges.iter().zip(&layout.lines) {
        line(edge, points, out)?;
    }
    for ((node, lines), corner) in graph.nodes.iter().zip(labels).zip(&layout.corners) {
        draw_node(node, lines, *corner, has_card, out)?;
    }
    writeln!(out, "</svg>")
}

fn line(edge: &Edge, points: &[(f32, f32)], out: &mut String) -> fmt::Result {
    let severity = edge.severity.name();
    let dashed = if edge.certain { "" } else { " unsure" };
    write!(out, r#"<path class="edge {severity}{dashed}" marker-end="url(#arrow-{severity})" d=""#)?;
    let mut before: Option<(f32, f32)> = None;
    for (x, y) in points {
        match before {
            None => write!(out, "M{x:.1} {y:.1}")?,
            Some((u, v)) => {
                let middle = (u + x) / 2.0;
                write!(out, "C{middle:.1} {v:.1} {middle:.1} {y:.1} {x:.1} {y:.1}")?;
            }
        }
        before = Some((*x, *y));
    }
    writeln!(out, r#""/>"#)
}

fn draw_node(
    node: &Node,
    lines: &[String],
    (x, y): (f32, f32),
    has_card: &dyn Fn(usize) -> bool,
    out: &mut String,
) -> fmt::Result {
    let height = (lines.len() + 1) as f32 * LINE + 2.0 * PADDING;
    let (class, target) = match node.kind {
        Kind::Subjects { first, verdict } => {
            (verdict.name(), Some(format!("s{first}")).filter(|_| has_card(first)))
        }
        Kind::Technique => {
            ("technique", Some(format!("t-{}", node.detail)).filter(|_| !node.detail.contains(' ')))
        }
        Kind::Gain => ("gain", None),
    };
    let severity = node.severity.name();
    if let Some(target) = &target {
        write!(out, r##"<a href="#{}">"##, markup(target))?;
    }
    write!(
        out,
        r#"<g class="node {class} {severity}"><title>{} ({})</title>"#,
        markup(&node.label),
        markup(&node.detail)
    )?;
    let radius = if node.kind == Kind::Technique { height / 2.0 } else { 6.0 };
    write!(out, r#"<rect x="{x:.1}" y="{y:.1}" width="{WIDTH}" height="{height}" rx="{radius}"/>"#)?;
    if matches!(node.kind, Kind::Subjects { .. }) {
        write!(out, r#"<rect class="bar" x="{x:.1}" y="{y:.1}" width="5" height="{height}" rx="2"/>"#)?;
    }
    let middle = x + WIDTH / 2.0;
    let mut base = y + PADDING + LINE - 4.0;
    for text in lines {
        write!(out, r#"<text x="{middle:.1}" y="{base:.1}">{}</text>"#, markup(text))?;
        base += LINE;
    }
    write!(
        out,
        r#"<text class="detail" x="{middle:.1}" y="{base:.1}">{}</text></g>"#,
        markup(&detail(node))
    )?;
    writeln!(out, "{}", if target.is_some() { "</a>" } else { "" })
}

/// A label on at most two lines, cut where it is longer still.
fn wrap(label: &str) -> Vec<String> {
    let label = one_line(label);
    if label.chars().count() <= LABEL {
        return vec![label.into_owned()];
    }
    let mut first = String::new();
    let mut rest = label.as_ref();
    for (at, _) in label.match_indices(' ') {
        let (head, tail) = label.split_at(at);
        if head.chars().count() > LABEL {
            break;
        }
        (first, rest) = (head.to_owned(), tail.trim_start());
    }
    if first.is_empty() {
        return vec![cut(&label, LABEL)];
    }
    vec![first, cut(rest, LABEL)]
}

fn detail(node: &Node) -> String {
    let text = one_line(&node.detail);
    match node.kind {
        // Of a path the end tells where it is.
        Kind::Subjects { .. } if text.chars().count() > DETAIL => {
            let skipped = text.chars().count() - DETAIL + 1;
            format!("…{}", text.chars().skip(skipped).collect::<String>())
        }
        _ => cut(&text, DETAIL),
    }
}

/// The end of a name says more than its middle: `registry…/web`.
fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let tail = most / 3;
    let head: String = text.chars().take(most - tail - 1).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{head}…{end}")
}

#[cfg(test)]
mod tests {
    use super::{LABEL, cut, wrap};

    #[test]
    fn labels_fit_on_two_lines() {
        assert_eq!(wrap("web"), ["web"]);
        assert_eq!(
            wrap("The API of a container engine is in reach"),
            ["The API of a container engine", "is in reach"]
        );
        let long = wrap(&"very ".repeat(40));
        assert!(long.len() == 2 && long.iter().all(|l| l.chars().count() <= LABEL), "{long:?}");
        assert!(wrap(&"é".repeat(200)).iter().all(|l| l.chars().count() <= LABEL));
        assert_eq!(cut("abcdefghij", 7), "abcd…ij");
    }
}
