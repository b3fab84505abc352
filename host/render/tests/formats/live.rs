//! The live view on an emulated terminal.

use hm_plugin_protocol::{BuildEvent, BuildStatus, Level, Plan, StepStatus};
use hm_render::{Human, Options, Renderer, Size};

use crate::script::*;

/// A person's terminal, with a scrollback long enough for a test.
struct Terminal {
    written: Written,
    screen: vt100::Parser,
    human: Option<Human<Written>>,
    size: Size,
}

impl Terminal {
    fn new(plan: &Plan, columns: u16, rows: u16) -> Self {
        let size = Size { columns, rows };
        let written = Written::default();
        let options = Options {
            interactive: true,
            color: true,
            size,
            command: "hm run ci".into(),
            ..Options::default()
        };
        let mut screen = vt100::Parser::new(rows, columns, 10_000);
        screen.process(b"$ hm run\r\n");
        let human = Some(Human::new(written.clone(), plan, &options));
        Self {
            written,
            screen,
            human,
            size,
        }
    }

    fn human(&mut self) -> &mut Human<Written> {
        self.human.as_mut().unwrap()
    }

    fn events(&mut self, events: &[BuildEvent]) -> &mut Self {
        for event in events {
            self.human().event(event).unwrap();
        }
        self
    }

    fn tick(&mut self, ms: i64) -> &mut Self {
        let size = self.size;
        self.human().tick(at(ms), size).unwrap();
        self.take()
    }

    /// Shows what was written, with the line ends that a terminal's driver makes.
    fn take(&mut self) -> &mut Self {
        let text = self.written.text().replace('\n', "\r\n");
        self.screen.process(text.as_bytes());
        self
    }

    fn resize(&mut self, columns: u16, rows: u16) -> &mut Self {
        self.size = Size { columns, rows };
        self.screen.screen_mut().set_size(rows, columns);
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.human().finish(None).unwrap();
        self.take()
    }

    fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// Everything that was ever scrolled away, and what is shown.
    fn history(&mut self) -> String {
        let rows = usize::from(self.size.rows);
        let columns = self.size.columns;
        self.screen.screen_mut().set_scrollback(usize::MAX);
        let above = self.screen.screen().scrollback();
        let mut lines: Vec<String> = Vec::new();
        for offset in (1..=above).rev() {
            self.screen.screen_mut().set_scrollback(offset);
            lines.push(self.screen.screen().rows(0, columns).next().unwrap());
        }
        self.screen.screen_mut().set_scrollback(0);
        lines.extend(self.screen.screen().rows(0, columns).take(rows));
        lines
            .iter()
            .map(|line| line.trim_end())
            .collect::<Vec<_>>()
            .join("\n")
            .trim_end()
            .to_owned()
    }
}

#[test]
fn running_steps_are_drawn_over_and_ended_ones_stay() {
    let (plan, events) = everything();
    let mut terminal = Terminal::new(&plan, 80, 24);
    terminal.events(&events[..7]).tick(300);
    insta::assert_snapshot!(terminal.shown(), @"
    $ hm run
    ci  5 steps on local
    ↺ base  cached
    warning: build: the clock is off
    ⠸ build    0.3s  the clock is off
    ci  1/5 done · 1 running · 3 waiting · 0.3s
    ");
    terminal.events(&events[7..17]).tick(2300);
    insta::assert_snapshot!(terminal.shown(), @"
    $ hm run
    ci  5 steps on local
    ↺ base  cached
    warning: build: the clock is off
    ✓ build  passed in 1.2s
    ✗ test  failed: exit 2 after 1.5s
    ──── output of test, 2 lines ────
    1 of 2 failed
    100%
    ──── end of test: failed: exit 2 after 1.5s ────
    ⠸ slow    1.1s  sleeping
    ci  3/5 done · 1 failed · 1 running · 1 waiting · 2.3s
    ");
    assert!(terminal.screen.screen().hide_cursor());
    terminal.events(&events[17..]).tick(2700).finish();
    insta::assert_snapshot!(terminal.history(), @"
    $ hm run
    ci  5 steps on local
    ↺ base  cached
    warning: build: the clock is off
    ✓ build  passed in 1.2s
    ✗ test  failed: exit 2 after 1.5s
    ──── output of test, 2 lines ────
    1 of 2 failed
    100%
    ──── end of test: failed: exit 2 after 1.5s ────
    ⊘ slow  cancelled after 1.5s: `test` failed
    – deploy  skipped: needs `test`, which failed

    ↺ base      cached
    ✓   build   passed        1.2s  1 notice
    ✗     test  failed        1.5s  exit 2
    ⊘     slow  cancelled     1.5s  `test` failed
    – deploy    skipped             needs `test`, which failed

    ✗ build failed after 2.7s: 1 failed, 1 passed, 1 cached, 1 cancelled, 1 skipped
      ✗ test  failed: exit 2 after 1.5s
        │ 1 of 2 failed
        │ 100%
      critical path: 2.7s in 2 steps: build 1.2s → test 1.5s
      run it again: hm run ci
      go on past failures: hm run ci -k
      see all output: hm run ci -v
    ");
    assert!(!terminal.screen.screen().hide_cursor());
}

#[test]
fn a_small_terminal_shows_the_same_build() {
    let (plan, events) = everything();
    let mut terminal = Terminal::new(&plan, 20, 5);
    terminal.events(&events[..17]).tick(2300);
    insta::assert_snapshot!(terminal.shown(), @"
    ──── end of test: failed: exit 2 after 1.5s ────
    ⠸ slow    1.1s
    3/5 done · 1 fai…
    ");
    for (number, event) in (0..).zip(&events[17..]) {
        terminal
            .events(std::slice::from_ref(event))
            .tick(2400 + 100 * number);
    }
    terminal.finish();
    insta::assert_snapshot!(terminal.history(), @"
    $ hm run
    ci  5 steps on local
    ↺ base  cached
    warning: build: the
    clock is off
    ✓ build  passed in 1
    .2s
    ✗ test  failed: exit
     2 after 1.5s
    ──── output of test,
     2 lines ────
    1 of 2 failed
    100%
    ──── end of test: fa
    iled: exit 2 after 1
    .5s ────
    ⊘ slow  cancelled af
    ter 1.5s: `test` fai
    led
    – deploy  skipped: n
    eeds `test`, which f
    ailed

    ↺ base      cached
    ✓   build   passed
    ✗     test  failed
    ⊘     slow  cancel…
    – deploy    skipped

    ✗ build failed after
     2.7s: 1 failed, 1 p
    assed, 1 cached, 1 c
    ancelled, 1 skipped
      ✗ test  failed: ex
    it 2 after 1.5s
        │ 1 of 2 failed
        │ 100%
      critical path: 2.7
    s in 2 steps: build
    1.2s → test 1.5s
      run it again: hm r
    un ci
      go on past failure
    s: hm run ci -k
      see all output: hm
     run ci -v
    ");
}

fn many(steps: usize) -> (Plan, Vec<BuildEvent>) {
    let keys: Vec<String> = (0..steps).map(|n| format!("shard-{n}")).collect();
    let steps: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
    let plan = plan(&steps);
    let mut events = vec![start(&plan)];
    events.extend((0..keys.len() as u32).map(|step| started(step, 0)));
    events.extend((0..keys.len() as u32).map(|step| out(step, &format!("line of {step}\n"))));
    (plan, events)
}

#[test]
fn more_steps_than_rows_are_counted() {
    let (plan, events) = many(64);
    let mut terminal = Terminal::new(&plan, 60, 12);
    terminal.events(&events).tick(1000).tick(1100);
    insta::assert_snapshot!(terminal.shown(), @"
    ci  64 steps on local
    ⠙ shard-0    1.1s  line of 0
    ⠙ shard-1    1.1s  line of 1
    ⠙ shard-2    1.1s  line of 2
    ⠙ shard-3    1.1s  line of 3
    ⠙ shard-4    1.1s  line of 4
    ⠙ shard-5    1.1s  line of 5
    ⠙ shard-6    1.1s  line of 6
    ⠙ shard-7    1.1s  line of 7
    ⠙ shard-8    1.1s  line of 8
      +55 more running
    ci  0/64 done · 64 running · 1.1s
    ");
}

#[test]
fn every_ended_line_stays_whole_among_frames() {
    let (plan, events) = many(64);
    for (columns, rows) in [(80, 24), (20, 5), (40, 10)] {
        let mut terminal = Terminal::new(&plan, columns, rows);
        terminal.events(&events);
        for step in 0..64 {
            terminal
                .tick(i64::from(step) * 100)
                .events(&[passed(step, 1200)]);
        }
        terminal
            .events(&[end(BuildStatus::Passed, 6400, "")])
            .finish();
        let history = terminal.history();
        // Without blanks, so that it does not matter where a narrow terminal wraps.
        let words: String = history.split_whitespace().collect();
        assert_eq!(words.matches("passedin1.2s").count(), 64, "{history}");
        assert!(!history.contains("running"), "{history}");
        assert_eq!(words.matches("buildpassedin6.4s").count(), 1, "{history}");
    }
}

#[test]
fn a_terminal_that_changes_its_size_keeps_what_stays() {
    let (plan, events) = many(10);
    let mut terminal = Terminal::new(&plan, 80, 24);
    terminal.events(&events).tick(100);
    terminal.events(&[passed(0, 100)]).tick(200);
    terminal.resize(60, 24).tick(210).resize(100, 30).tick(220);
    terminal
        .events(&[ended(1, StepStatus::Failed, 1, 100, "")])
        .tick(400)
        .finish();
    let history = terminal.history();
    assert_eq!(
        history.matches("✓ shard-0  passed in 100ms").count(),
        1,
        "{history}"
    );
    assert!(!history.contains("running"), "{history}");
}

#[test]
fn a_view_that_is_dropped_gives_the_cursor_back() {
    let (plan, events) = many(3);
    let mut terminal = Terminal::new(&plan, 80, 24);
    terminal.events(&events).tick(100);
    assert!(terminal.screen.screen().hide_cursor());
    terminal.human = None;
    terminal.take();
    assert!(!terminal.screen.screen().hide_cursor());
    assert_eq!(terminal.history(), "$ hm run\nci  3 steps on local");
}

#[test]
fn ten_frames_a_second_are_the_most() {
    let (plan, events) = many(3);
    let mut terminal = Terminal::new(&plan, 80, 24);
    terminal.events(&events);
    let mut frames = 0;
    for ms in 0..1000 {
        let size = terminal.size;
        terminal.human().tick(at(ms), size).unwrap();
        frames += usize::from(!terminal.written.take().is_empty());
    }
    assert!((10..=12).contains(&frames), "{frames}");
}

/// Numbers that look like chance and are the same at every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A build whose steps start, print and end in an order left to chance.
fn by_chance(chance: &mut Chance) -> (Plan, Vec<BuildEvent>) {
    let (plan, _) = many(12);
    let mut events = vec![start(&plan)];
    let mut left: Vec<(u32, bool)> = (0..12).map(|step| (step, false)).collect();
    while !left.is_empty() {
        let place = chance.below(left.len() as u64) as usize;
        let (step, is_started) = left[place];
        match chance.below(4) {
            _ if !is_started => {
                events.push(started(step, 0));
                left[place].1 = true;
            }
            0 => {
                events.push(ended(step, StepStatus::Failed, 1, 100, ""));
                left.swap_remove(place);
            }
            1 => {
                events.push(passed(step, 200));
                left.swap_remove(place);
            }
            2 => events.push(notice(Some(step), Level::Warning, "something is odd")),
            _ => events.push(out(
                step,
                &format!("\x1b[3{step}mline\x1b[0m of {step}\n").repeat(3),
            )),
        }
    }
    events.push(end(BuildStatus::Failed, 5000, ""));
    (plan, events)
}

#[test]
fn what_stays_is_the_same_with_frames_and_without() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let (plan, events) = by_chance(&mut chance);
        let written = Written::default();
        let size = Size {
            columns: 100,
            rows: 24,
        };
        let options = Options {
            size,
            command: "hm run ci".into(),
            ..Options::default()
        };
        let mut lines = Human::new(written.clone(), &plan, &options);
        let mut terminal = Terminal::new(&plan, 100, 3 + chance.below(20) as u16);
        for (number, event) in (0..).zip(&events) {
            lines.event(event).unwrap();
            terminal.events(std::slice::from_ref(event));
            if chance.below(2) == 0 {
                terminal.tick(number * 100);
            }
        }
        lines.finish(None).unwrap();
        terminal.finish();
        let text = written.text();
        let stays = text.lines().filter(|line| !line.ends_with("  started"));
        let expected: String = stays.map(|line| format!("\n{}", line.trim_end())).collect();
        assert_eq!(
            terminal.history(),
            format!("$ hm run{}", expected.trim_end()),
            "seed {seed}"
        );
    }
}
