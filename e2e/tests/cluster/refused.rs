//! What `kubectl apply` refuses, and what it says.

use anyhow::{Result, ensure};
use breakwater_e2e::{SOON, tools::kubectl, wait::until};

const GOOD: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: refused, namespace: default}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  expect: {opensWithin: 30s}
  kill: {method: Delete, gracePeriodSeconds: 0, holdFor: 15s}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, path: /status, breaker: backend}], interval: 500ms}
  timeout: 5m
";

/// A change to the good manifest, and words that the refusal must have: the field, and what to write instead.
const BAD: [(&str, &str, &[&str]); 52] = [
    ("{matchLabels: {app: backend}}", "{}", &["spec.target.selector", "at least one label", "app: backend"]),
    ("{matchLabels: {app: backend}}", "{matchLabels: {}}", &["spec.target.selector", "at least one label"]),
    ("{matchLabels: {app: client}}", "{}", &["spec.observe.clients[0].selector", "at least one label"]),
    (
        "{matchLabels: {app: backend}}",
        "{matchExpressions: [{key: app, operator: In}]}",
        &["spec.target.selector", "need values"],
    ),
    ("{matchLabels: {app: backend}}", "{matchExpressions: [{key: app, operator: Like}]}", &["operator", "NotIn"]),
    ("pods: {all: {}}", "pods: {}", &["spec.target.pods", "exactly one of"]),
    ("pods: {all: {}}", "pods: {all: {}, one: {}}", &["spec.target.pods", "exactly one of"]),
    ("pods: {all: {}}", "pods: {fixed: 0}", &["spec.target.pods.fixed", "greater than or equal to 1"]),
    ("pods: {all: {}}", "pods: {fixed: 129}", &["spec.target.pods.fixed", "less than or equal to 128"]),
    (", pods: {all: {}}", "", &["spec.target.pods", "Required"]),
    ("method: Delete", "method: Explode", &["spec.kill.method", "Delete"]),
    ("gracePeriodSeconds: 0", "gracePeriodSeconds: -1", &["spec.kill.gracePeriodSeconds"]),
    ("holdFor: 15s", "holdFor: 15", &["spec.kill.holdFor", "string"]),
    ("holdFor: 15s", "holdFor: soon", &["spec.kill.holdFor", "such as 500ms, 15s or 1m30s"]),
    ("holdFor: 15s", "holdFor: -15s", &["spec.kill.holdFor", "such as"]),
    ("holdFor: 15s", "holdFor: 2h", &["spec.kill.holdFor", "between 1s and 1h"]),
    ("interval: 500ms", "interval: 1ms", &["spec.observe.interval", "between 100ms and 10s"]),
    ("port: http", "port: 0", &["spec.observe.clients[0].port", "between 1 and 65535"]),
    ("path: /status", "path: http://elsewhere/", &["spec.observe.clients[0].path", "must begin with /"]),
    ("  kill: {method: Delete, gracePeriodSeconds: 0, holdFor: 15s}\n", "", &["staysClosed: true", "holdFor: 15s"]),
    ("{opensWithin: 30s}", "{sequence: [Closed, HalfOpen, Closed]}", &["spec.expect", "staysClosed: true"]),
    ("timeout: 5m", "timeout: 30s", &["spec", "timeout must be longer"]),
    (
        "{opensWithin: 30s}\n  kill: {method: Delete, gracePeriodSeconds: 0, holdFor: 15s}",
        "{staysClosed: true}\n  kill: {holdFor: 5m}",
        &["spec", "timeout must be longer than", "kill.holdFor"],
    ),
    (
        "timeout: 5m",
        "schedule: {rounds: 10, pauseBetweenRounds: 20s}",
        &["spec", "longer than schedule.rounds times", "fewer rounds"],
    ),
    ("timeout: 5m", "retries: 5", &["unknown field", "retries"]),
    ("pods: {all: {}}", "pods: {percent: 101}", &["spec.target.pods.percent", "less than or equal to 100"]),
    ("pods: {all: {}}", "pods: {all: {}}, minAvailable: -1", &["spec.target.minAvailable"]),
    (
        "pods: {all: {}}",
        "pods: {all: {}}, workload: {kind: CronJob, name: x}",
        &["spec.target.workload.kind", "StatefulSet"],
    ),
    (
        "{method: Delete, gracePeriodSeconds: 0, holdFor: 15s}",
        "{method: RolloutRestart}",
        &["target.workload: {kind: Deployment"],
    ),
    ("method: Delete", "method: RolloutRestart", &["spec.kill", "leave out holdFor"]),
    (
        "}, pods: {all: {}}}\n  expect: {opensWithin: 30s}\n  kill: {method: Delete, gracePeriodSeconds: 0, holdFor: 15s}",
        "}, workload: {kind: Deployment, name: backend}, pods: {all: {}}, minAvailable: 1}\n  expect: {staysClosed: true}\n  kill: {method: RolloutRestart}",
        &["target.minAvailable", "strategy", "leave it out"],
    ),
    ("timeout: 5m", "schedule: {cron: '* * * * * *'}", &["spec.schedule.cron", "no field for seconds"]),
    ("timeout: 5m", "schedule: {cron: 'soon or so'}", &["spec.schedule.cron", "five fields"]),
    ("timeout: 5m", "schedule: {cron: '0 9 * * *', at: 2026-12-01T09:00:00Z}", &["spec.schedule", "not both"]),
    ("timeout: 5m", "schedule: {at: tomorrow}", &["spec.schedule.at", "such as 2026-12-01T09:00:00Z"]),
    ("timeout: 5m", "schedule: {at: [2026]}", &["spec.schedule.at", "must be of type string"]),
    ("{matchLabels: {app: backend}}", "{matchLabels: {app: back end}}", &["spec.target.selector", "no label can have"]),
    ("port: http", "port: no-port-has-such-a-name", &["spec.observe.clients[0].port", "at most 15"]),
    ("timeout: 5m", "schedule: {timeZone: Europe/Berlin}", &["spec.schedule", "are for cron"]),
    (
        "timeout: 5m",
        "schedule: {cron: '0 9 * * *', timeZone: Europe/Berlinn}",
        &["spec.schedule.timeZone", "Europe/Berlinn"],
    ),
    ("timeout: 5m", "schedule: {cron: '0 9 * * *', excluded: [{}]}", &["spec.schedule.excluded[0]", "empty window"]),
    (
        "timeout: 5m",
        "schedule: {cron: '0 9 * * *', excluded: [{from: '25:00'}]}",
        &["spec.schedule.excluded[0].from", "such as 09:30"],
    ),
    ("timeout: 5m", "schedule: {cron: '0 9 * * *', excluded: [{days: [Someday]}]}", &["days", "Mon"]),
    (
        "timeout: 5m",
        "schedule: {cron: '0 9 * * *', excluded: [{firstDate: 2026-12-24, lastDate: 2026-01-01}]}",
        &["spec.schedule.excluded[0]", "lastDate is before firstDate"],
    ),
    (
        "{opensWithin: 30s}",
        "{sequence: [Closed, Open, ForcedOpen, Closed]}",
        &["spec.expect", "can have Closed, Open and HalfOpen"],
    ),
    ("timeout: 5m", "schedule: {rounds: 11}", &["spec.schedule.rounds", "less than or equal to 10"]),
    ("timeout: 5m", "schedule: {pauseBetweenRounds: 2h}", &["spec.schedule.pauseBetweenRounds", "at most 1h"]),
    ("timeout: 5m", "schedule: {startingDeadline: 0s}", &["spec.schedule.startingDeadline", "between 1s and 24h"]),
    ("{opensWithin: 30s}", "{errorsAtMost: -1}", &["spec.expect.errorsAtMost"]),
    ("timeout: 5m", "historyLimit: 21", &["spec.historyLimit", "less than or equal to 20"]),
    ("timeout: 5m", "ttlAfterFinished: forever", &["spec.ttlAfterFinished", "such as"]),
    ("timeout: 5m", "ttlAfterFinished: 1h\n  schedule: {cron: '0 9 * * *'}", &["ttlAfterFinished", "never finished"]),
];

#[tokio::test]
async fn bad_manifests_are_refused_with_what_to_write_instead() -> Result<()> {
    // The laboratories of the other tests, or this, install the definition.
    breakwater_e2e::install_crd().await?;
    let dry = ["apply", "--dry-run=server", "-f", "-"];
    until("the good manifest is taken", SOON, async || Ok(kubectl(&dry, GOOD).await?.text().map(Some)?)).await?;
    for (from, to, words) in BAD {
        ensure!(GOOD.contains(from), "{from:?} is not in the manifest");
        let printed = kubectl(&dry, &GOOD.replacen(from, to, 1)).await?;
        ensure!(!printed.ok, "{to:?} was taken");
        for word in words {
            ensure!(printed.err.contains(word), "{to:?} is refused without {word:?}:\n{}", printed.err);
        }
    }
    Ok(())
}
