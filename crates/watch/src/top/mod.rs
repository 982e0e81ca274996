//! `stockade watch --top`: a live view of containers, alerts and the sensor, in the manner of top(1). Data comes from
//! the board that the pipeline fills, and goes to the terminal; keys come back.

mod draw;
mod view;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};

pub use view::{Key, Order, View};

use crate::outputs::Board;

/// How often the view is drawn anew while no key is pressed.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum TopError {
    #[error("--top draws on a terminal, and this is none; leave it out, or use --format json")]
    NoTerminal,
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Shows the board until `q` is pressed or `ended` says so; the terminal is then as it was.
pub fn run(board: &Board, ended: &dyn Fn() -> bool) -> Result<(), TopError> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(TopError::NoTerminal);
    }
    let mut view = View::new(colour());
    let mut terminal = ratatui::try_init()?;
    let result = (|| {
        loop {
            view.update(board.read());
            terminal.draw(|frame| draw::draw(&view, frame.area(), frame.buffer_mut()))?;
            let until = Instant::now() + EVERY;
            loop {
                if ended() {
                    return Ok(());
                }
                let left = until.saturating_duration_since(Instant::now()).min(EVERY / 5);
                if event::poll(left)? {
                    match event::read()? {
                        Event::Key(key) if key.kind != KeyEventKind::Release => {
                            if let Some(key) = Key::of(key) {
                                if view.press(key) {
                                    return Ok(());
                                }
                                break;
                            }
                        }
                        Event::Resize(..) => break,
                        _ => {}
                    }
                } else if Instant::now() >= until {
                    break;
                }
            }
        }
    })();
    ratatui::try_restore()?;
    result
}

/// <https://no-color.org>
fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
