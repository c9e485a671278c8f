//! The timeline of a run, drawn in text: status in, picture out.

use std::fmt::Write;

use breakwater_crds::{ChaosExperimentStatus, Duration, KillRecord, Outcome, Replica, Run, State};
use jiff::Timestamp;

/// Columns of the picture, without the names at its left.
const WIDTH: usize = 64;
/// Kills that are listed one by one; of more, the first and the last.
const LISTED_KILLS: usize = 4;

/// Draws what happened, on one axis of time that begins with the first kill, and then lists it.
pub fn draw(status: &ChaosExperimentStatus) -> String {
    let Some(run) = &status.run else { return "Nothing has happened yet.\n".to_owned() };
    let Some(axis) = Axis::of(run) else { return "Nothing was killed, and no breaker moved.\n".to_owned() };
    let mut picture = axis.ruler();
    lane(&mut picture, "kills", &kills_lane(&axis, run));
    lane(&mut picture, "targets", &targets_lane(&axis, run));
    for replica in &run.clients {
        lane(&mut picture, &format!("breaker {}", replica.client), &breaker_lane(&axis, replica));
    }
    let legend = "✕ kill   ━ targets ready   ▁ closed   █ open   ▒ half-open";
    lane(&mut picture, "", legend);
    picture.push('\n');
    for (_, line) in events(&axis, run) {
        picture += &line;
        picture.push('\n');
    }
    picture
}

/// Time, as columns.
struct Axis {
    zero: Timestamp,
    from: Timestamp,
    millis: u64,
}

impl Axis {
    fn of(run: &Run) -> Option<Self> {
        let transitions = run.clients.iter().flat_map(|replica| &replica.transitions).map(|record| record.aligned_at);
        let moments: Vec<Timestamp> =
            run.kills.iter().filter_map(|kill| kill.sent_at).chain(transitions).chain(run.first_kill_at).collect();
        let first = *moments.iter().min()?;
        let last = *moments.iter().max()?;
        let zero = run.first_kill_at.unwrap_or(first);
        let end = run.completed_at.map_or(last, |completed| completed.max(last));
        // A little of the calm before it, so that the fall is seen.
        let margin = (Duration::between(first, end).as_std().as_millis() as u64 / 16).max(500);
        let from = Timestamp::from_millisecond(first.as_millisecond().saturating_sub_unsigned(margin)).ok()?;
        Some(Self { zero, from, millis: Duration::between(from, end).as_std().as_millis().max(1000) as u64 })
    }

    fn column(&self, moment: Timestamp) -> usize {
        let millis = Duration::between(self.from, moment).as_std().as_millis() as u64;
        usize::try_from(millis * WIDTH as u64 / self.millis).map_or(WIDTH - 1, |column| column.min(WIDTH - 1))
    }

    /// Marks at round seconds, at most ten of them.
    fn ruler(&self) -> String {
        let seconds = self.millis / 1000;
        let step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].into_iter().find(|step| seconds / step <= 9);
        let step = step.unwrap_or(seconds);
        let (mut numbers, mut marks) = (vec![' '; WIDTH + 6], vec!['-'; WIDTH]);
        for second in (0..=seconds).step_by(step.max(1) as usize) {
            let Ok(moment) = self.zero.checked_add(jiff::SignedDuration::from_secs(second as i64)) else { break };
            if Duration::between(self.from, moment).as_std().as_millis() as u64 >= self.millis {
                break;
            }
            let column = self.column(moment);
            marks[column] = '+';
            for (offset, digit) in format!("{second}s").chars().enumerate() {
                numbers[column + offset] = digit;
            }
        }
        let mut ruler = String::new();
        lane(&mut ruler, "", numbers.iter().collect::<String>().trim_end());
        lane(&mut ruler, "", &marks.iter().collect::<String>());
        ruler
    }

    /// `+7.214s` after the first kill.
    fn since_zero(&self, moment: Timestamp) -> String {
        let millis = moment.as_millisecond() - self.zero.as_millisecond();
        format!("{}{}.{:03}s", if millis < 0 { '-' } else { '+' }, millis.abs() / 1000, millis.abs() % 1000)
    }
}

fn lane(picture: &mut String, name: &str, line: &str) {
    let _infallible = writeln!(picture, "  {name:<16} {line}");
}

fn took_effect(kill: &KillRecord) -> bool {
    kill.outcome == Outcome::Deleted
}

fn kills_lane(axis: &Axis, run: &Run) -> String {
    let mut line = [' '; WIDTH];
    for moment in run.kills.iter().filter(|kill| took_effect(kill)).filter_map(|kill| kill.sent_at) {
        line[axis.column(moment)] = '✕';
    }
    line.iter().collect::<String>().trim_end().to_owned()
}

fn targets_lane(axis: &Axis, run: &Run) -> String {
    let mut line = ['━'; WIDTH];
    if let Some(lost) = run.targets_lost_at {
        let back = run.targets_ready_at.map_or(WIDTH, |back| axis.column(back));
        line[axis.column(lost)..back.max(axis.column(lost))].fill(' ');
    }
    line.iter().collect()
}

fn breaker_lane(axis: &Axis, replica: &Replica) -> String {
    let mut line = [' '; WIDTH];
    let first = replica.transitions.first();
    let before = first.map_or(Some(replica.breaker), |record| record.from);
    line.fill(before.map_or(' ', mark));
    let mut half_open_at = None;
    for record in &replica.transitions {
        let column = axis.column(record.aligned_at);
        line[column..].fill(mark(record.to));
        // Half-open often lasts no longer than one answer: it is shown all the same.
        if let Some(column) = half_open_at.take() {
            line[column] = mark(State::HalfOpen);
        }
        half_open_at = (record.to == State::HalfOpen).then_some(column);
    }
    line.iter().collect()
}

fn mark(state: State) -> char {
    match state {
        State::Closed | State::Disabled => '▁',
        State::Open | State::ForcedOpen => '█',
        State::HalfOpen => '▒',
    }
}

/// All that happened, in order, each as a line.
fn events(axis: &Axis, run: &Run) -> Vec<(Timestamp, String)> {
    let mut events = Vec::new();
    let mut add = |moment: Option<Timestamp>, what: String| {
        if let Some(moment) = moment {
            events.push((moment, format!("  {:>10}  {what}", axis.since_zero(moment))));
        }
    };
    let kills: Vec<&KillRecord> = run.kills.iter().filter(|kill| took_effect(kill)).collect();
    for (index, kill) in kills.iter().enumerate() {
        let left_out = kills.len().saturating_sub(2);
        if kills.len() <= LISTED_KILLS || index == 0 || index == kills.len() - 1 {
            add(kill.sent_at, format!("kill        {} (uid {})", kill.pod, kill.uid));
        } else if index == 1 {
            add(kill.sent_at, format!("kill        {left_out} pods that came in its place, one after the other"));
        }
    }
    add(run.targets_lost_at, "targets     none ready".to_owned());
    add(run.targets_ready_at, "targets     ready again".to_owned());
    if kills.len() > 1 {
        add(run.hold_until, "hold        ends".to_owned());
    }
    for replica in &run.clients {
        for record in &replica.transitions {
            let from = record.from.map_or("start", State::as_str);
            let what = format!("{:11} {from} -> {}", replica.client, record.to);
            add(Some(record.aligned_at), format!("{what:36} no. {}, {}", record.seq, record.cause));
        }
    }
    add(run.completed_at, "verdict     given".to_owned());
    events.sort_by_key(|(moment, _)| *moment);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(run: serde_json::Value) -> ChaosExperimentStatus {
        let mut whole = serde_json::json!({
            "id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "startedAt": "2026-12-01T09:00:00Z", "slot": 1, "kills": [], "clients": []
        });
        whole.as_object_mut().unwrap().extend(run.as_object().unwrap().clone());
        serde_json::from_value(serde_json::json!({"run": whole})).unwrap()
    }

    fn kill(pod: &str, second: f64, outcome: &str) -> serde_json::Value {
        serde_json::json!({"slot": 1, "pod": pod, "uid": format!("u-{pod}"), "plannedAt": at(second), "sentAt": at(second), "outcome": outcome})
    }

    fn transition(seq: u64, from: &str, to: &str, second: f64) -> serde_json::Value {
        let at = at(second);
        serde_json::json!({"seq": seq, "from": from, "to": to, "at": at, "alignedAt": at, "observedAt": at, "cause": "because"})
    }

    fn at(second: f64) -> String {
        format!("2026-12-01T09:00:{second:06.3}Z")
    }

    fn client(transitions: &[serde_json::Value]) -> serde_json::Value {
        serde_json::json!({"client": "client", "pod": "client-1", "uid": "c", "epoch": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
            "seq": 1, "breaker": "Closed", "sequence": [], "transitions": transitions})
    }

    #[test]
    fn an_outage_is_drawn() {
        let status = status(serde_json::json!({
            "kills": [kill("backend-1", 10.0, "Deleted"), kill("backend-2", 12.0, "Deleted")],
            "firstKillAt": at(10.0), "holdUntil": at(25.0), "targetsLostAt": at(10.0), "targetsReadyAt": at(26.0),
            "completedAt": at(34.0),
            "clients": [client(&[
                transition(2, "Closed", "Open", 18.0),
                transition(3, "Open", "HalfOpen", 28.0),
                transition(4, "HalfOpen", "Closed", 28.005),
            ])],
        }));
        let expected = [
            "                      0s           5s          10s          15s         20s",
            "                   ---+------------+-----------+------------+-----------+----------",
            "  kills               ✕    ✕",
            "  targets          ━━━                                        ━━━━━━━━━━━━━━━━━━━━━",
            "  breaker client   ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█████████████████████████▒▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁",
            "                   ✕ kill   ━ targets ready   ▁ closed   █ open   ▒ half-open",
            "",
            "     +0.000s  kill        backend-1 (uid u-backend-1)",
            "     +0.000s  targets     none ready",
            "     +2.000s  kill        backend-2 (uid u-backend-2)",
            "     +8.000s  client      Closed -> Open           no. 2, because",
            "    +15.000s  hold        ends",
            "    +16.000s  targets     ready again",
            "    +18.000s  client      Open -> HalfOpen         no. 3, because",
            "    +18.005s  client      HalfOpen -> Closed       no. 4, because",
            "    +24.000s  verdict     given",
        ];
        assert_eq!(draw(&status).lines().collect::<Vec<_>>(), expected, "\n{}", draw(&status));
    }

    #[test]
    fn lanes_show_what_was_so() {
        let kills =
            |count: u32| (0..count).map(|n| kill(&format!("b{n}"), 10.0 + f64::from(n), "Deleted")).collect::<Vec<_>>();
        let opened = client(&[transition(2, "Closed", "Open", 12.0)]);
        for (case, run, contained, not_contained) in [
            (
                "a kill that failed is none",
                serde_json::json!({"firstKillAt": at(10.0), "kills": [kill("b", 10.0, "Failed")]}),
                "targets",
                "kill        b",
            ),
            (
                "four kills are listed",
                serde_json::json!({"firstKillAt": at(10.0), "kills": kills(4)}),
                "kill        b2",
                "in its place",
            ),
            (
                "five kills are counted",
                serde_json::json!({"firstKillAt": at(10.0), "kills": kills(5)}),
                "3 pods that came in its place",
                "b2",
            ),
            (
                "targets that are not back",
                serde_json::json!({"firstKillAt": at(10.0), "targetsLostAt": at(10.0), "kills": kills(5)}),
                "none ready",
                "ready again",
            ),
            (
                "a breaker that stays open",
                serde_json::json!({"firstKillAt": at(10.0), "kills": kills(1), "clients": [opened]}),
                "█",
                "HalfOpen ->",
            ),
            (
                "a breaker that never moved",
                serde_json::json!({"firstKillAt": at(10.0), "kills": kills(1), "clients": [client(&[])]}),
                "▁▁▁",
                "██",
            ),
        ] {
            let drawn = draw(&status(run));
            assert!(drawn.contains(contained), "{case}:\n{drawn}");
            assert!(!drawn.contains(not_contained), "{case}:\n{drawn}");
        }
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(draw(&ChaosExperimentStatus::default()), "Nothing has happened yet.\n");
        assert_eq!(draw(&status(serde_json::json!({}))), "Nothing was killed, and no breaker moved.\n");
    }
}
