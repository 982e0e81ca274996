//! A layered drawing of a small directed graph, from left to right: Sugiyama's method. Cycles are opened, nodes are put into
//! columns by their longest way from a source, long edges get a point in each column they cross, columns are ordered by
//! the means of their neighbours, and each column's heights are the nearest to those means that do not overlap (least squares, by
//! pooling neighbours that would). The same graph is always drawn the same.

use std::cmp::Ordering;

/// Room between columns, and between nodes of one.
const COLUMN_GAP: f32 = 64.0;
const ROW_GAP: f32 = 16.0;
/// The height of a point that an edge passes a column through.
const BEND: f32 = 10.0;
const MARGIN: f32 = 12.0;
const SWEEPS: usize = 16;

/// What is to be placed: the size of each node, its edges, and whether it belongs into the last column.
pub(crate) struct Graph {
    pub(crate) sizes: Vec<(f32, f32)>,
    pub(crate) edges: Vec<(usize, usize)>,
    pub(crate) last: Vec<bool>,
}

pub(crate) struct Layout {
    /// The upper left corner of each node.
    pub(crate) corners: Vec<(f32, f32)>,
    /// The points of each edge, from its beginning to its end.
    pub(crate) lines: Vec<Vec<(f32, f32)>>,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

pub(crate) fn layered(graph: &Graph) -> Layout {
    let forward = without_cycles(graph);
    let ranks = ranks(graph, &forward);
    let mut net = Net::new(graph, &forward, &ranks);
    net.order();
    net.place(graph, &forward)
}

/// For each edge whether it runs forward; one that closes a cycle is taken as running back.
fn without_cycles(graph: &Graph) -> Vec<bool> {
    let mut out: Vec<Vec<(usize, usize)>> = vec![Vec::new(); graph.sizes.len()];
    for (e, (from, to)) in graph.edges.iter().enumerate() {
        if let Some(list) = out.get_mut(*from) {
            list.push((e, *to));
        }
    }
    let mut forward = vec![true; graph.edges.len()];
    // 0: not seen, 1: on the way that is being followed, 2: done.
    let mut state = vec![0u8; graph.sizes.len()];
    for start in 0..graph.sizes.len() {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut way = vec![(start, 0)];
        while let Some((node, next)) = way.last_mut() {
            let Some((edge, to)) = out[*node].get(*next).copied() else {
                state[*node] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    way.push((to, 0));
                }
                1 => forward[edge] = false,
                _ => {}
            }
        }
    }
    forward
}

/// An edge in the direction in which it is laid out.
fn directed(edge: (usize, usize), forward: bool) -> (usize, usize) {
    if forward { edge } else { (edge.1, edge.0) }
}

/// The column of each node.
fn ranks(graph: &Graph, forward: &[bool]) -> Vec<usize> {
    let edges: Vec<(usize, usize)> =
        graph.edges.iter().zip(forward).map(|(e, f)| directed(*e, *f)).filter(|(a, b)| a != b).collect();
    let count = graph.sizes.len();
    let mut ranks = vec![0usize; count];
    // Without cycles the longest way has fewer edges than there are nodes.
    for _ in 0..count {
        let mut moved = false;
        for (from, to) in &edges {
            if ranks[*to] <= ranks[*from] {
                ranks[*to] = ranks[*from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let deepest = ranks.iter().copied().max().unwrap_or(0);
    for (rank, last) in ranks.iter_mut().zip(&graph.last) {
        if *last {
            *rank = deepest;
        }
    }
    // What nothing leads to stands just before what it leads to.
    for node in 0..count {
        if !edges.iter().any(|(_, to)| *to == node) {
            let nearest = edges.iter().filter(|(from, _)| *from == node).map(|(_, to)| ranks[*to]).min();
            ranks[node] = nearest.map_or(ranks[node], |r| r.saturating_sub(1));
        }
    }
    ranks
}

/// Nodes and the points of long edges, in columns.
struct Net {
    /// Height of each, nodes first.
    heights: Vec<f32>,
    columns: Vec<Vec<usize>>,
    /// Neighbours in the column before and the one behind.
    before: Vec<Vec<usize>>,
    behind: Vec<Vec<usize>>,
    /// The points of each edge, with both ends.
    chains: Vec<Vec<usize>>,
}

impl Net {
    fn new(graph: &Graph, forward: &[bool], ranks: &[usize]) -> Net {
        let nodes = graph.sizes.len();
        let width = ranks.iter().copied().max().map_or(0, |r| r + 1);
        let mut net = Net {
            heights: graph.sizes.iter().map(|(_, height)| *height).collect(),
            columns: vec![Vec::new(); width],
            before: vec![Vec::new(); nodes],
            behind: vec![Vec::new(); nodes],
            chains: Vec::new(),
        };
        for (node, rank) in ranks.iter().enumerate() {
            net.columns[*rank].push(node);
        }
        for (edge, forward) in graph.edges.iter().zip(forward) {
            let (from, to) = directed(*edge, *forward);
            let mut chain = vec![from];
            for rank in ranks[from] + 1..ranks[to] {
                let bend = net.heights.len();
                net.heights.push(BEND);
                net.before.push(Vec::new());
                net.behind.push(Vec::new());
                net.columns[rank].push(bend);
                chain.push(bend);
            }
            chain.push(to);
            for (a, b) in chain.iter().zip(chain.iter().skip(1)) {
                net.behind[*a].push(*b);
                net.before[*b].push(*a);
            }
            net.chains.push(chain);
        }
        net
    }

    /// Orders each column so that few edges cross.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.columns.clone());
        for sweep in 0..SWEEPS {
            let rightwards = sweep % 2 == 0;
            let columns: Vec<usize> = if rightwards {
                (1..self.columns.len()).collect()
            } else {
                (0..self.columns.len()).rev().skip(1).collect()
            };
            for column in columns {
                let positions = self.positions();
                let near = if rightwards { &self.before } else { &self.behind };
                let mut keyed: Vec<(f32, usize)> = self.columns[column]
                    .iter()
                    .map(|node| {
                        (mean(near[*node].iter().map(|n| positions[*n])).unwrap_or(positions[*node]), *node)
                    })
                    .collect();
                // Stable: equals stay as they were.
                keyed.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
                self.columns[column] = keyed.into_iter().map(|(_, node)| node).collect();
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.columns.clone());
            }
        }
        self.columns = best.1;
    }

    /// The place of each in its column, from 0.
    fn positions(&self) -> Vec<f32> {
        let mut positions = vec![0.0; self.heights.len()];
        for column in &self.columns {
            for (i, node) in column.iter().enumerate() {
                positions[*node] = i as f32;
            }
        }
        positions
    }

    fn crossings(&self) -> usize {
        let positions = self.positions();
        let mut crossings = 0;
        for column in &self.columns {
            let lines: Vec<(f32, f32)> = column
                .iter()
                .flat_map(|n| self.behind[*n].iter().map(|to| (positions[*n], positions[*to])))
                .collect();
            for (i, a) in lines.iter().enumerate() {
                crossings += lines.iter().skip(i + 1).filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0).count();
            }
        }
        crossings
    }

    fn place(&self, graph: &Graph, forward: &[bool]) -> Layout {
        let centres = self.centres();
        let size = |node: usize| graph.sizes.get(node).copied().unwrap_or((0.0, BEND));
        let mut lefts = Vec::with_capacity(self.columns.len());
        let mut x = MARGIN;
        let mut columns_of = vec![0; self.heights.len()];
        for (c, column) in self.columns.iter().enumerate() {
            let width = column.iter().map(|n| size(*n).0).fold(0.0, f32::max);
            lefts.push((x, width));
            x += width + COLUMN_GAP;
            for node in column {
                columns_of[*node] = c;
            }
        }
        let corners: Vec<(f32, f32)> = (0..graph.sizes.len())
            .map(|node| {
                let (left, width) = lefts[columns_of[node]];
                (left + (width - size(node).0) / 2.0, centres[node] - size(node).1 / 2.0)
            })
            .collect();
        let lines = self.chains.iter().zip(forward).map(|(chain, forward)| {
            let mut points: Vec<(f32, f32)> = Vec::with_capacity(chain.len() * 2);
            for (i, node) in chain.iter().enumerate() {
                let (left, width) = lefts[columns_of[*node]];
                match corners.get(*node) {
                    Some(corner) if i == 0 => points.push((corner.0 + size(*node).0, centres[*node])),
                    Some(corner) => points.push((corner.0, centres[*node])),
                    // Straight through a column that it only passes.
                    None => points.extend([(left, centres[*node]), (left + width, centres[*node])]),
                }
            }
            if !forward {
                points.reverse();
            }
            points
        });
        let lines = lines.collect();
        let bottom = |node: usize| centres[node] + self.heights[node] / 2.0;
        let height = (0..self.heights.len()).map(bottom).fold(0.0, f32::max) + MARGIN;
        Layout { corners, lines, width: (x - COLUMN_GAP + MARGIN).max(0.0), height }
    }

    /// The height of each node's middle.
    fn centres(&self) -> Vec<f32> {
        let mut centres = vec![0.0; self.heights.len()];
        for column in &self.columns {
            let mut y = MARGIN;
            for node in column {
                centres[*node] = y + self.heights[*node] / 2.0;
                y += self.heights[*node] + ROW_GAP;
            }
        }
        for sweep in 0..SWEEPS {
            let rightwards = sweep % 2 == 0;
            for step in 0..self.columns.len() {
                let c = if rightwards { step } else { self.columns.len() - 1 - step };
                let wanted: Vec<f32> = self.columns[c]
                    .iter()
                    .map(|node| {
                        let near = if rightwards { &self.before[*node] } else { &self.behind[*node] };
                        mean(near.iter().map(|n| centres[*n])).unwrap_or(centres[*node])
                    })
                    .collect();
                for (node, y) in self.columns[c].iter().zip(self.apart(&self.columns[c], &wanted)) {
                    centres[*node] = y;
                }
            }
        }
        let top = (0..centres.len()).map(|n| centres[n] - self.heights[n] / 2.0).fold(f32::MAX, f32::min);
        centres.iter().map(|y| y - top + MARGIN).collect()
    }

    /// Heights nearest to those wanted at which nothing overlaps, in the order given.
    fn apart(&self, column: &[usize], wanted: &[f32]) -> Vec<f32> {
        let mut offsets = Vec::with_capacity(column.len());
        let mut offset = 0.0;
        for (i, node) in column.iter().enumerate() {
            if let Some(above) = i.checked_sub(1).and_then(|i| column.get(i)) {
                offset += (self.heights[*above] + self.heights[*node]) / 2.0 + ROW_GAP;
            }
            offsets.push(offset);
        }
        // Pools of neighbours at one common height, less their offsets: sum and count.
        let mut pools: Vec<(f32, usize)> = Vec::new();
        for (y, offset) in wanted.iter().zip(&offsets) {
            let mut pool = (y - offset, 1);
            while let Some(above) = pools.last().copied() {
                if above.0 / above.1 as f32 <= pool.0 / pool.1 as f32 {
                    break;
                }
                pools.pop();
                pool = (pool.0 + above.0, pool.1 + above.1);
            }
            pools.push(pool);
        }
        let levels = pools.iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / *count as f32, *count));
        levels.zip(offsets).map(|(level, offset)| level + offset).collect()
    }
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f32)
}

#[cfg(test)]
mod tests {
    use super::{Graph, Layout, layered};

    fn draw(count: usize, edges: &[(usize, usize)], last: &[usize]) -> Layout {
        layered(&Graph {
            sizes: (0..count).map(|i| (100.0, 30.0 + (i % 3) as f32 * 10.0)).collect(),
            edges: edges.to_vec(),
            last: (0..count).map(|i| last.contains(&i)).collect(),
        })
    }

    fn assert_apart(layout: &Layout, count: usize) {
        let size = |i: usize| (100.0, 30.0 + (i % 3) as f32 * 10.0);
        for a in 0..count {
            let (x, y) = layout.corners[a];
            assert!(x >= 0.0 && y >= 0.0 && x + size(a).0 <= layout.width && y + size(a).1 <= layout.height);
            for b in a + 1..count {
                let (u, v) = layout.corners[b];
                let beside = x + size(a).0 <= u + 0.01 || u + size(b).0 <= x + 0.01;
                let above = y + size(a).1 <= v + 0.01 || v + size(b).1 <= y + 0.01;
                assert!(
                    beside || above,
                    "{a} and {b} overlap: {:?} {:?}",
                    layout.corners[a],
                    layout.corners[b]
                );
            }
        }
    }

    #[test]
    fn every_graph_is_drawn_without_overlap_and_cycles_end() {
        // A small generator of pseudo-random graphs, cycles and loops included (Numerical Recipes' constants).
        let mut seed = 7u32;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        for round in 0..200 {
            let count = 1 + round % 30;
            let edges: Vec<(usize, usize)> = (0..next(60)).map(|_| (next(count), next(count))).collect();
            let layout = draw(count, &edges, &[]);
            assert_apart(&layout, count);
            assert_eq!(layout.lines.len(), edges.len());
            assert!(layout.lines.iter().all(|l| l.len() >= 2));
        }
        assert_apart(&draw(0, &[], &[]), 0);
    }

    #[test]
    fn edges_lead_rightwards_and_the_last_column_is_the_last() {
        let layout = draw(5, &[(0, 1), (1, 2), (0, 3), (3, 4)], &[2, 4]);
        for (from, to) in [(0, 1), (1, 2), (0, 3), (3, 4)] {
            assert!(layout.corners[from].0 < layout.corners[to].0);
        }
        assert_eq!(layout.corners[2].0, layout.corners[4].0);
    }

    #[test]
    fn an_edge_begins_and_ends_at_its_nodes() {
        let layout = draw(3, &[(0, 1), (1, 2), (2, 0)], &[]);
        let closing = &layout.lines[2];
        let (first, last) = (closing[0], closing[closing.len() - 1]);
        assert_eq!((first.0, last.0), (layout.corners[2].0, layout.corners[0].0 + 100.0));
    }

    #[test]
    fn crossings_that_need_not_be_are_not() {
        // Drawn in the order given, the edges cross.
        let layout = draw(4, &[(0, 3), (1, 2)], &[]);
        assert_eq!(layout.corners[0].1 < layout.corners[1].1, layout.corners[3].1 < layout.corners[2].1);
    }
}
