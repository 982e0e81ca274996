//! What the live view shows: the last snapshot, the one before for the rates, and what the keys chose.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use sensor::event::{ContainerKey, Lane};

use crate::alert::Alert;
use crate::outputs::{ContainerLine, Snapshot};

pub struct View {
    pub(super) snapshot: Arc<Snapshot>,
    before: Arc<Snapshot>,
    pub(super) order: Order,
    /// By its key, so that it stays chosen while lines move.
    chosen: Option<ContainerKey>,
    pub(super) colour: bool,
    pub(super) help: bool,
}

/// What containers are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Open ones first, then by the number of walls.
    #[default]
    Exposure,
    Alerts,
    Events,
    Name,
}

impl Order {
    pub fn name(self) -> &'static str {
        match self {
            Order::Exposure => "exposure",
            Order::Alerts => "alerts",
            Order::Events => "events",
            Order::Name => "name",
        }
    }

    fn next(self) -> Order {
        match self {
            Order::Exposure => Order::Alerts,
            Order::Alerts => Order::Events,
            Order::Events => Order::Name,
            Order::Name => Order::Exposure,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Quit,
    Up,
    Down,
    First,
    Last,
    /// The next order, or this one.
    Sort(Option<Order>),
    Help,
}

impl Key {
    pub fn of(key: KeyEvent) -> Option<Key> {
        Some(match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Up | KeyCode::Char('k') => Key::Up,
            KeyCode::Down | KeyCode::Char('j') => Key::Down,
            KeyCode::Home | KeyCode::Char('g') => Key::First,
            KeyCode::End | KeyCode::Char('G') => Key::Last,
            KeyCode::Char('s') => Key::Sort(None),
            KeyCode::Char('x') => Key::Sort(Some(Order::Exposure)),
            KeyCode::Char('a') => Key::Sort(Some(Order::Alerts)),
            KeyCode::Char('e') => Key::Sort(Some(Order::Events)),
            KeyCode::Char('n') => Key::Sort(Some(Order::Name)),
            KeyCode::Char('h' | '?') => Key::Help,
            _ => return None,
        })
    }
}

/// Events a second, by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) rare: f64,
    pub(super) bulk: f64,
    pub(super) lost: f64,
}

impl View {
    pub fn new(colour: bool) -> View {
        let nothing = Arc::<Snapshot>::default();
        View {
            snapshot: nothing.clone(),
            before: nothing,
            order: Order::default(),
            chosen: None,
            colour,
            help: false,
        }
    }

    /// Takes the next snapshot; the same one again changes nothing.
    pub fn update(&mut self, snapshot: Arc<Snapshot>) {
        if !Arc::ptr_eq(&self.snapshot, &snapshot) {
            self.before = std::mem::replace(&mut self.snapshot, snapshot);
        }
        let lines = self.lines();
        if !lines.iter().any(|line| Some(line.container.key) == self.chosen) {
            self.chosen = lines.first().map(|line| line.container.key);
        }
    }

    /// True where it is to end.
    pub fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Quit => return true,
            Key::Help => self.help = !self.help,
            Key::Sort(None) => self.order = self.order.next(),
            Key::Sort(Some(order)) => self.order = order,
            Key::Up | Key::Down | Key::First | Key::Last => {
                let lines = self.lines();
                let last = lines.len().saturating_sub(1);
                let at = self.chosen_at().unwrap_or(0);
                let to = match key {
                    Key::Up => at.saturating_sub(1),
                    Key::Down => (at + 1).min(last),
                    Key::First => 0,
                    _ => last,
                };
                self.chosen = lines.get(to).map(|line| line.container.key);
            }
        }
        false
    }

    /// The containers in order.
    pub(super) fn lines(&self) -> Vec<&ContainerLine> {
        let mut lines: Vec<&ContainerLine> = self.snapshot.containers.iter().collect();
        let rates = self.container_rates();
        let events = |line: &ContainerLine| {
            let rate = rates.get(&line.container.key).copied().unwrap_or_default();
            // Whole events a second order well enough, and have an order.
            (rate.rare + rate.bulk) as u64
        };
        lines.sort_by_cached_key(|line| {
            let by = match self.order {
                Order::Exposure => Reverse((0, u64::MAX - exposure_rank(line))),
                Order::Alerts => {
                    // The gravest severity counts first.
                    let mut rank: u128 = 0;
                    for count in line.alerts.iter().rev() {
                        rank = (rank << 24) | u128::from(*count).min(0xff_ffff);
                    }
                    Reverse(((rank >> 64) as u64, rank as u64))
                }
                Order::Events => Reverse((0, events(line))),
                Order::Name => Reverse((0, 0)),
            };
            (by, name(line), line.container.key)
        });
        lines
    }

    pub(super) fn chosen_at(&self) -> Option<usize> {
        self.lines().iter().position(|line| Some(line.container.key) == self.chosen)
    }

    /// The last alerts of the chosen container, the newest first; of all where none is chosen.
    pub(super) fn alerts(&self) -> Vec<&Alert> {
        let of_chosen = |alert: &&Alert| match self.chosen {
            Some(key) => alert.container.as_ref().is_some_and(|c| c.key == key),
            None => true,
        };
        self.snapshot.recent.iter().rev().map(|alert| &**alert).filter(of_chosen).collect()
    }

    fn seconds(&self) -> f64 {
        self.snapshot.since_boot.saturating_sub(self.before.since_boot) as f64 / 1e9
    }

    fn rate(&self, now: u64, before: u64) -> f64 {
        let seconds = self.seconds();
        // The first snapshot has none before it.
        if self.before.since_boot == 0 || seconds <= 0.0 {
            0.0
        } else {
            now.saturating_sub(before) as f64 / seconds
        }
    }

    /// Of the sensor as a whole.
    pub(super) fn rates(&self) -> Rates {
        let sum = |snapshot: &Snapshot, lane: Lane| -> u64 {
            snapshot.events.iter().filter(|e| e.lane == lane).map(|e| e.seen).sum()
        };
        let lost = |snapshot: &Snapshot| -> u64 { snapshot.events.iter().map(|e| e.lost).sum() };
        Rates {
            rare: self.rate(sum(&self.snapshot, Lane::Rare), sum(&self.before, Lane::Rare)),
            bulk: self.rate(sum(&self.snapshot, Lane::Bulk), sum(&self.before, Lane::Bulk)),
            lost: self.rate(lost(&self.snapshot), lost(&self.before)),
        }
    }

    pub(super) fn container_rates(&self) -> BTreeMap<ContainerKey, Rates> {
        let before: BTreeMap<ContainerKey, &ContainerLine> =
            self.before.containers.iter().map(|line| (line.container.key, line)).collect();
        let rates = self.snapshot.containers.iter().map(|line| {
            let of = |get: fn(&ContainerLine) -> u64| {
                // A container that is new began at nothing.
                self.rate(get(line), before.get(&line.container.key).map_or(0, |b| get(b)))
            };
            (line.container.key, Rates { rare: of(|l| l.rare), bulk: of(|l| l.bulk), lost: of(|l| l.lost) })
        });
        rates.collect()
    }

    /// Share of one processor since the snapshot before.
    pub(super) fn processor(&self) -> f64 {
        self.rate(self.snapshot.processor, self.before.processor) / 1e9
    }
}

pub(super) fn name(line: &ContainerLine) -> String {
    let container = &line.container;
    container
        .name
        .clone()
        .or_else(|| container.id.as_ref().map(|id| id.chars().take(12).collect()))
        .unwrap_or_else(|| format!("(key {})", container.key.0))
}

/// Open, then not known, then by rising depth.
fn exposure_rank(line: &ContainerLine) -> u64 {
    match line.container.verdict.as_deref() {
        Some("open") => 0,
        Some(held) if held.starts_with("held") => {
            let depth = held.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
            2 + depth.unwrap_or(0)
        }
        _ => 1,
    }
}
