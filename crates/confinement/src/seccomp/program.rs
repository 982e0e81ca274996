//! The program that libseccomp makes of a [`Chain`]: blocks that compare what is in the accumulator.
//!
//! The chain says what was meant; the kernel runs the program, and the two can differ. libseccomp leaves out
//! the load of an argument where it believes it in the accumulator already, and where several blocks jump to
//! one it looks at the first of them only. Rules that look at several arguments of one call are sometimes
//! compiled wrongly by that, so what they permit can only be told from the program. This follows
//! `_gen_bpf_node`, `_gen_bpf_chain` and the block placement of `_gen_bpf_build_bpf` in libseccomp's
//! `src/gen_bpf.c` (2.5.4, the same in 2.6.0), as far as one call on one architecture decides it; blocks
//! shared with another call are not modelled.

use super::Action;
use super::chain::{Chain, Edge, LevelId, Node, State, Test, Word};

pub(super) type BlockId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Return(Action),
    Block(BlockId),
}

/// Which word the accumulator holds, and which of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accumulator {
    pub word: Word,
    pub mask: u32,
}

/// Loads, masks, compares, jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What is loaded; `None` leaves the accumulator as the last block left it.
    pub load: Option<Accumulator>,
    /// What the loaded value is masked with.
    pub and: Option<u32>,
    pub test: Test,
    pub datum: u32,
    pub on_true: Target,
    pub on_false: Target,
    /// What the block relies on, if it does not load.
    relies_on: Option<Accumulator>,
    /// What it leaves.
    leaves: Accumulator,
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    blocks: Vec<Block>,
    start: Target,
}

impl Program {
    pub(super) fn new(chain: &Chain, default: Action) -> Program {
        let mut program = Program { blocks: Vec::new(), start: Target::Return(default) };
        match chain.state() {
            State::Empty => {}
            State::Always(action) => program.start = Target::Return(action),
            State::Tree(root) => {
                program.blocks.reserve(16);
                program.start = program.compile(chain, root, Target::Return(default), None);
                program.place();
            }
        }
        program
    }

    pub(super) fn start(&self) -> Target {
        self.start
    }
    pub(super) fn block(&self, block: BlockId) -> &Block {
        &self.blocks[block]
    }

    /// The blocks of a level, which goes on at `next` when it ends.
    fn compile(
        &mut self,
        chain: &Chain,
        level: LevelId,
        next: Target,
        mut accumulator: Option<Accumulator>,
    ) -> Target {
        let prepared: Vec<(&Node, Block)> = chain
            .level(level)
            .iter()
            .map(|id| chain.node(*id))
            .map(|node| {
                let block = prepare(node, accumulator);
                accumulator = Some(block.leaves);
                (node, block)
            })
            .collect();
        prepared.into_iter().rev().fold(next, |next, (node, mut block)| {
            let mut target = |edge| match edge {
                Edge::Next => next,
                Edge::Act(action) => Target::Return(action),
                Edge::Down(below) => self.compile(chain, below, next, Some(block.leaves)),
            };
            (block.on_true, block.on_false) = (target(node.on_true), target(node.on_false));
            Target::Block(self.share(block))
        })
    }

    /// Blocks that are equal are one.
    fn share(&mut self, block: Block) -> BlockId {
        self.blocks.iter().position(|b| *b == block).unwrap_or_else(|| {
            self.blocks.push(block);
            self.blocks.len() - 1
        })
    }

    /// Decides which blocks load after all: the first jump that places a block tells.
    fn place(&mut self) {
        let Target::Block(first) = self.start else { return };
        let mut placed = vec![false; self.blocks.len()];
        placed[first] = true;
        // Deep before wide, and the jump that is taken when the comparison holds before the other.
        let mut pending = vec![(first, self.blocks[first].on_false), (first, self.blocks[first].on_true)];
        while let Some((from, target)) = pending.pop() {
            let Target::Block(to) = target else { continue };
            if std::mem::replace(&mut placed[to], true) {
                continue;
            }
            let leaves = self.blocks[from].leaves;
            let block = &mut self.blocks[to];
            if block.relies_on.is_some_and(|needed| needed != leaves) {
                block.load = block.relies_on.take();
            }
            pending.extend([(to, block.on_false), (to, block.on_true)]);
        }
    }
}

fn prepare(node: &Node, accumulator: Option<Accumulator>) -> Block {
    let usable = accumulator.filter(|a| a.word == node.word && a.mask & node.mask == node.mask);
    let before = usable.unwrap_or(Accumulator { word: node.word, mask: u32::MAX });
    let nowhere = Target::Return(Action::KillThread);
    Block {
        load: if usable.is_none() { Some(before) } else { None },
        and: (node.mask != before.mask).then_some(node.mask),
        test: node.test,
        datum: node.datum,
        on_true: nowhere,
        on_false: nowhere,
        relies_on: usable,
        leaves: Accumulator { word: node.word, mask: node.mask },
    }
}
