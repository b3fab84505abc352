use std::collections::BTreeMap;

use serde::Deserialize;

use super::tree::Tree;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default)]
    retries: Option<u8>,
    #[serde(default)]
    quiet: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    queues: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    poll: Poll,
}

#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Fast,
    VerySlow,
}

#[derive(Debug, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Poll {
    seconds: f64,
}

fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Settings::deserialize(&Tree::new(&pairs)).map_err(|error| error.to_string())
}

#[test]
fn flat_pairs_become_the_authors_types() {
    let settings = read(&[
        ("url", "https://x/"),
        ("retries", "3"),
        ("quiet", "true"),
        ("mode", "very-slow"),
        ("queues", "a, b"),
        ("labels.os", "linux"),
        ("labels.arch", "7"),
        ("poll.seconds", "0.5"),
    ])
    .unwrap();
    assert_eq!(
        settings,
        Settings {
            url: "https://x/".into(),
            retries: Some(3),
            quiet: true,
            mode: Mode::VerySlow,
            queues: vec!["a".into(), "b".into()],
            labels: [("os", "linux"), ("arch", "7")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            poll: Poll { seconds: 0.5 },
        }
    );
    let listed = read(&[("url", "x"), ("queues.1", "b"), ("queues.0", "a")]).unwrap();
    assert_eq!(listed.queues, ["a", "b"]);
}

#[test]
fn an_error_names_the_setting() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "settings: missing field `url`"),
        (&[("url", "x"), ("uri", "y")], "unknown field `uri`"),
        (
            &[("url", "x"), ("retries", "300")],
            "setting `retries`: `300` is not a whole number from 0 to 255",
        ),
        (
            &[("url", "x"), ("quiet", "yes")],
            "setting `quiet`: `yes` is not true or false",
        ),
        (
            &[("url", "x"), ("poll.seconds", "soon")],
            "setting `poll.seconds`: `soon` is not a number",
        ),
        (
            &[("url", "x"), ("poll.minutes", "1")],
            "setting `poll`: unknown field `minutes`",
        ),
        (
            &[("url", "x"), ("poll", "1")],
            "setting `poll`: it is one value",
        ),
        (&[("url.host", "x")], "setting `url`: it is a table"),
        (&[("url", "x"), ("mode", "slow")], "unknown variant `slow`"),
    ];
    for (pairs, expected) in cases {
        let error = read(pairs).unwrap_err();
        assert!(error.contains(expected), "{pairs:?}: {error}");
    }
}
