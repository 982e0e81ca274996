//! Draws the live view into a buffer: the sensor at the top, the containers, the last alerts of the chosen one.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, StatefulWidget, Table, TableState, Widget};

use super::view::{Rates, View, name};
use crate::alert::Severity;
use crate::outputs::{ContainerLine, text};
use crate::store::{Condition, rfc3339};

/// Lines of alerts below the containers.
const ALERTS: u16 = 8;

pub(super) fn draw(view: &View, area: Rect, buffer: &mut Buffer) {
    let head = head(view);
    let height = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let [top, middle, bottom, foot] = Layout::vertical([
        Constraint::Length(height),
        Constraint::Min(3),
        Constraint::Max(ALERTS + 1),
        Constraint::Length(1),
    ])
    .areas(area);
    Paragraph::new(head).render(top, buffer);
    containers(view, middle, buffer);
    alerts(view, bottom, buffer);
    let keys = if view.help {
        "q quit  arrows choose  s next order  x exposure  a alerts  e events  n name  h fewer keys".to_owned()
    } else {
        format!("q quit  arrows choose  s order ({})  h keys", view.order.name())
    };
    Line::styled(keys, dim(view)).render(foot, buffer);
}

/// How the sensor fares; a line more for each thing that does not work.
fn head(view: &View) -> Vec<Line<'static>> {
    let snapshot = &view.snapshot;
    let rates = view.rates();
    let up = snapshot.since_boot.saturating_sub(snapshot.began) / 1_000_000_000;
    let lost: u64 = snapshot.events.iter().map(|e| e.lost).sum();
    let mut lines = vec![Line::from(format!(
        "stockade watch  {}  up {}  {} containers  {} alerts",
        rfc3339(snapshot.time),
        duration(up),
        snapshot.containers.len(),
        snapshot.alerts.iter().map(|a| a.count).sum::<u64>()
    ))];
    lines.push(Line::from(vec![
        Span::raw(format!("sensor  rare {}/s  bulk {}/s  ", short(rates.rare), short(rates.bulk))),
        Span::styled(
            format!("lost {lost} ({}/s)", short(rates.lost)),
            if lost > 0 { paint(view, Color::Red) } else { Style::new() },
        ),
        Span::raw(format!(
            "  memory {}  processor {:.1} %",
            bytes(snapshot.memory),
            view.processor() * 100.0
        )),
    ]));
    let mut queues: Vec<String> =
        snapshot.queues.iter().map(|q| format!("{} {}/{}", q.name, q.length, q.capacity)).collect();
    if let Some(store) = &snapshot.store {
        queues.push(format!("store {}/{}", store.waiting, store.capacity));
    }
    queues.extend(snapshot.outputs.iter().map(|o| format!("{} {}/{}", o.name, o.waiting, o.capacity)));
    lines.push(Line::from(printable(format!("queues  {}", queues.join("  ")))));
    let mut problems: Vec<String> = snapshot.problems.clone();
    if let Some(store) = &snapshot.store {
        let lost: u64 = store.lost.iter().sum();
        if let Condition::CannotWrite { since, why } = &store.condition {
            problems.push(format!("the store cannot write since {}: {why}", rfc3339(*since)));
        }
        if lost > 0 {
            problems.push(format!("the store lost {lost} records"));
        }
    }
    for output in &snapshot.outputs {
        if let Some(why) = &output.failing {
            problems.push(format!(
                "{}: {why}; {} dropped, {} retries",
                output.name, output.dropped, output.retries
            ));
        }
    }
    // So many that the containers still have room.
    let more = problems.len().saturating_sub(3);
    for problem in problems.into_iter().take(3) {
        lines.push(Line::styled(printable(format!("problem: {problem}")), paint(view, Color::Red)));
    }
    if more > 0 {
        lines.push(Line::styled(format!("and {more} more problems"), paint(view, Color::Red)));
    }
    lines.push(Line::default());
    lines
}

fn containers(view: &View, area: Rect, buffer: &mut Buffer) {
    let rates = view.container_rates();
    let rows = view.lines().into_iter().map(|line| {
        let rate = rates.get(&line.container.key).copied().unwrap_or_default();
        row(view, line, rate)
    });
    let widths = [
        Constraint::Min(12),
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(13),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(8),
    ];
    let titles = [
        "CONTAINER",
        "IMAGE",
        "ENGINE",
        "EXPOSURE",
        "RARE/S",
        "BULK/S",
        "LOST",
        "CRIT",
        "HIGH",
        "MED",
        "OTHER",
        "LAST",
    ];
    let header = Row::new(titles).style(if view.colour {
        Style::new().add_modifier(Modifier::REVERSED)
    } else {
        Style::new()
    });
    // Without colour, the chosen line is marked by its sign alone.
    let chosen = if view.colour { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let table = Table::new(rows, widths)
        .header(header)
        .column_spacing(1)
        .highlight_symbol("> ")
        .row_highlight_style(chosen);
    let mut state = TableState::new().with_selected(view.chosen_at());
    StatefulWidget::render(table, area, buffer, &mut state);
}

fn row(view: &View, line: &ContainerLine, rate: Rates) -> Row<'static> {
    let known = |text: &Option<String>| printable(text.clone().unwrap_or_else(|| "not known".into()));
    let verdict = line.container.verdict.clone().unwrap_or_else(|| "not judged".into());
    let verdict_style = match verdict.as_str() {
        "open" => paint(view, Color::Red),
        "undetermined" | "not judged" => paint(view, Color::Yellow),
        _ => paint(view, Color::Green),
    };
    let [info, low, medium, high, critical] = line.alerts;
    let counted = |count: u64, style: Style| {
        Cell::new(count.to_string()).style(if count > 0 { style } else { Style::new() })
    };
    let last = line.last_alert.map_or_else(
        || "-".to_owned(),
        |at| {
            let ago = view.snapshot.time.saturating_sub(at) / 1_000_000_000;
            duration(u64::try_from(ago).unwrap_or(0))
        },
    );
    Row::new([
        Cell::new(printable(name(line))),
        Cell::new(known(&line.container.image)),
        Cell::new(known(&line.container.engine)),
        Cell::new(printable(verdict)).style(verdict_style),
        Cell::new(short(rate.rare)),
        Cell::new(short(rate.bulk)),
        counted(line.lost, paint(view, Color::Red)),
        counted(critical, severity_style(view, Severity::Critical)),
        counted(high, severity_style(view, Severity::High)),
        counted(medium, severity_style(view, Severity::Medium)),
        Cell::new((low + info).to_string()),
        Cell::new(last),
    ])
}

fn alerts(view: &View, area: Rect, buffer: &mut Buffer) {
    let of = view.chosen_at().and_then(|at| view.lines().get(at).map(|line| name(line)));
    let title = of.map_or_else(|| "last alerts".to_owned(), |name| format!("last alerts of {name}"));
    let mut lines = vec![Line::styled(printable(title), dim(view))];
    let alerts = view.alerts();
    if alerts.is_empty() {
        lines.push(Line::from("none"));
    }
    for alert in alerts.into_iter().take(usize::from(ALERTS)) {
        let time = rfc3339(alert.time);
        // The time of day is enough here.
        let time = time.get(11..19).unwrap_or(&time).to_owned();
        lines.push(Line::from(vec![
            Span::raw(format!("{time} ")),
            Span::styled(text::line(alert), severity_style(view, alert.severity)),
        ]));
    }
    Paragraph::new(lines).render(area, buffer);
}

fn severity_style(view: &View, severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => paint(view, Color::Red),
        Severity::Medium => paint(view, Color::Yellow),
        Severity::Low | Severity::Info => Style::new(),
    }
}

fn paint(view: &View, colour: Color) -> Style {
    if view.colour { Style::new().fg(colour) } else { Style::new() }
}

fn dim(view: &View) -> Style {
    paint(view, Color::Blue)
}

fn printable(text: String) -> String {
    report::printable(&text).into_owned()
}

/// Four characters or so: 0, 7.3, 812, 14k, 2.1M.
fn short(number: f64) -> String {
    match number {
        n if n < 0.05 => "0".into(),
        n if n < 9.95 => format!("{n:.1}"),
        n if n < 999.5 => format!("{n:.0}"),
        n if n < 9_950.0 => format!("{:.1}k", n / 1e3),
        n if n < 999_500.0 => format!("{:.0}k", n / 1e3),
        n => format!("{:.1}M", n / 1e6),
    }
}

fn bytes(count: u64) -> String {
    match count {
        n if n < 10 << 20 => format!("{} KiB", n >> 10),
        n => format!("{} MiB", n >> 20),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
        s if s < 86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        s => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sensor::event::{ContainerKey, Lane};

    use super::*;
    use crate::alert::{Alert, Container};
    use crate::outputs::{AlertCount, EventCount, OutputStatus, QueueLine, Snapshot};
    use crate::store::{Status, samples};
    use crate::top::{Key, Order};

    fn line(
        key: u64,
        name: Option<&str>,
        verdict: Option<&str>,
        events: u64,
        alerts: [u64; 5],
    ) -> ContainerLine {
        ContainerLine {
            container: Container {
                key: ContainerKey(key),
                name: name.map(str::to_owned),
                id: None,
                verdict: verdict.map(str::to_owned),
                image: name.map(|_| "nginx:1.29".into()),
                engine: name.map(|_| "docker".into()),
                ..samples::container("")
            },
            rare: events,
            bulk: events * 100,
            lost: 0,
            alerts,
            last_alert: (alerts != [0; 5]).then_some(samples::TIME - 75_000_000_000),
        }
    }

    fn snapshot(seconds: u64) -> Arc<Snapshot> {
        let alert = |key: u64, alert: Alert| {
            let container = Container { key: ContainerKey(key), ..samples::container("web") };
            Arc::new(Alert { container: Some(container), ..alert })
        };
        Arc::new(Snapshot {
            time: samples::TIME,
            since_boot: 100_000_000_000 + seconds * 1_000_000_000,
            began: 0,
            events: vec![
                EventCount { lane: Lane::Rare, kind: "execve".into(), seen: 50 * seconds, lost: 0 },
                EventCount {
                    lane: Lane::Bulk,
                    kind: "open".into(),
                    seen: 14_000 * seconds,
                    lost: 3 * seconds,
                },
            ],
            alerts: vec![AlertCount {
                cause: "technique",
                name: "x".into(),
                severity: Severity::High,
                count: 4,
            }],
            containers: vec![
                line(1, Some("sound"), Some("held by 3"), 2 * seconds, [0, 1, 0, 0, 0]),
                line(2, Some("web"), Some("open"), 5 * seconds, [0, 0, 1, 0, 2]),
                line(3, None, None, 0, [0; 5]),
                line(4, Some("db"), Some("held by 1"), 30 * seconds, [0; 5]),
            ],
            recent: vec![
                alert(2, samples::not_known()),
                alert(2, samples::attempt()),
                alert(1, samples::held()),
            ],
            memory: 42 << 20,
            processor: seconds * 15_000_000,
            store: Some(Status { waiting: 1, capacity: 8192, ..Status::default() }),
            outputs: vec![OutputStatus {
                name: "webhook http://127.0.0.1:9".into(),
                capacity: 1000,
                waiting: 7,
                retries: 2,
                failing: Some("Connection refused".into()),
                ..OutputStatus::default()
            }],
            queues: vec![QueueLine { name: "events".into(), length: 3, capacity: 9 }],
            problems: Vec::new(),
        })
    }

    fn view() -> View {
        let mut view = View::new(false);
        view.update(snapshot(10));
        view.update(snapshot(12));
        view
    }

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        draw(view, buffer.area, &mut buffer);
        let rows = (0..height).map(|y| {
            let row: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            row.trim_end().to_owned() + "\n"
        });
        rows.collect()
    }

    #[test]
    fn the_view_shows_the_sensor_the_containers_and_the_chosen_ones_alerts() {
        let golden = include_str!("golden.txt");
        let drawn = drawn(&view(), 140, 20);
        assert_eq!(drawn, golden, "\n{drawn}");
    }

    fn names(view: &View) -> Vec<String> {
        view.lines().into_iter().map(name).collect()
    }

    #[test]
    fn keys_choose_sort_and_end() {
        let mut view = view();
        assert_eq!(names(&view), ["web", "(key 3)", "db", "sound"], "the most exposed first");
        assert_eq!(view.chosen_at(), Some(0));
        view.press(Key::Up);
        assert_eq!(view.chosen_at(), Some(0));
        view.press(Key::Last);
        view.press(Key::Down);
        assert_eq!(view.chosen_at(), Some(3));
        assert_eq!(view.alerts().len(), 1, "alerts of the chosen one");
        view.press(Key::Sort(Some(Order::Alerts)));
        assert_eq!(names(&view), ["web", "sound", "(key 3)", "db"]);
        assert_eq!(view.chosen_at(), Some(1), "the chosen one stays chosen");
        view.press(Key::Sort(None));
        assert_eq!((view.order, names(&view)[0].as_str()), (Order::Events, "db"));
        view.press(Key::Sort(None));
        assert_eq!(names(&view), ["(key 3)", "db", "sound", "web"]);
        assert!(!view.press(Key::Help) && view.press(Key::Quit));
    }

    #[test]
    fn a_container_that_ends_leaves_the_choice_to_another() {
        let mut view = view();
        let mut next = (*snapshot(14)).clone();
        next.containers.retain(|line| line.container.key != ContainerKey(2));
        view.update(Arc::new(next));
        assert_eq!(view.chosen_at(), Some(0));
        view.update(Arc::new(Snapshot::default()));
        assert_eq!(view.chosen_at(), None);
        for key in [Key::Up, Key::Down, Key::First, Key::Last] {
            view.press(key);
        }
        assert!(drawn(&view, 80, 24).contains("0 containers"));
    }

    #[test]
    fn any_size_is_drawn() {
        for view in [&view(), &View::new(true)] {
            for width in [0, 1, 7, 40, 80, 400] {
                for height in [0, 1, 2, 5, 9, 100] {
                    drawn(view, width, height);
                }
            }
        }
    }

    #[test]
    fn without_colour_nothing_is_styled_and_with_it_what_is_open_is_red() {
        let mut view = view();
        let styled = |view: &View| {
            let mut buffer = Buffer::empty(Rect::new(0, 0, 140, 20));
            draw(view, buffer.area, &mut buffer);
            let plain = ratatui::buffer::Cell::EMPTY.style();
            let open = buffer.content.iter().filter(|cell| cell.fg == Color::Red).count();
            (buffer.content.iter().all(|cell| cell.style() == plain), open)
        };
        assert_eq!(styled(&view), (true, 0));
        view.colour = true;
        let (plain, red) = styled(&view);
        assert!(!plain && red > 0);
    }

    #[test]
    fn what_others_named_cannot_steer_the_terminal() {
        let mut snapshot = (*snapshot(10)).clone();
        let bad = "x\u{1b}[2J\u{202e}\ny";
        for line in &mut snapshot.containers {
            line.container.name = Some(bad.into());
            line.container.image = Some(bad.into());
            line.container.verdict = Some(bad.into());
        }
        snapshot.problems = vec![bad.into()];
        let mut view = View::new(false);
        view.update(Arc::new(snapshot));
        assert!(!drawn(&view, 200, 30).contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> =
            [0.0, 7.25, 812.4, 1234.0, 14_000.0, 2_100_000.0].into_iter().map(short).collect();
        assert_eq!(shown, ["0", "7.2", "812", "1.2k", "14k", "2.1M"]);
        assert_eq!(
            [duration(5), duration(75), duration(7_500), duration(200_000)],
            ["5s", "1m15s", "2h05m", "2d07h"]
        );
    }

    #[test]
    fn without_a_terminal_the_view_says_so() {
        use std::io::IsTerminal as _;
        if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
            println!("skipped: this is a terminal");
            return;
        }
        let result = crate::top::run(&crate::outputs::Board::default(), &|| true);
        assert!(matches!(result, Err(crate::top::TopError::NoTerminal)));
    }

    /// Not a test of its own: the view in a terminal, which script(1) makes.
    #[test]
    fn child_in_a_terminal() {
        if std::env::var_os("STOCKADE_TOP_TEST_CHILD").is_none() {
            return;
        }
        let board = crate::outputs::Board::default();
        board.publish((*snapshot(10)).clone());
        crate::top::run(&board, &|| false).unwrap();
        println!("the view has ended");
    }

    #[test]
    fn in_a_terminal_the_view_is_drawn_and_q_ends_it_and_gives_the_terminal_back() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let this = std::env::current_exe().unwrap();
        let line = format!(
            "stty rows 30 cols 150; exec '{}' --exact top::draw::tests::child_in_a_terminal --nocapture",
            this.display()
        );
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("STOCKADE_TOP_TEST_CHILD", "1")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: script(1) is not here");
            return;
        };
        let mut keys = child.stdin.take().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        keys.write_all(b"q").unwrap();
        let output = child.wait_with_output().unwrap();
        let screen = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{screen}");
        for part in ["\u{1b}[?1049h", "EXPOSURE", "last alerts of", "\u{1b}[?1049l", "the view has ended"] {
            assert!(screen.contains(part), "{part:?} in {screen:?}");
        }
    }
}
