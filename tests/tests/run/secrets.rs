//! Secrets: in a step's command, and nowhere else.

use std::os::unix::fs::PermissionsExt;

use hm_tests::{Finished, Project};

const CANARY: &str = "SECR-4d2f/and+more-Zq9";

/// Pieces of the canary's base64, with no, one and two bytes before it.
const ENCODED: [&str; 3] = ["U0VDUi00ZDJmL2", "NFQ1ItNGQyZi9h", "TRUNSLTRkMmYvY"];

fn project(command: &str) -> Project {
    Project::toml(&format!(
        "image = \"host\"\nenv = {{ TOKEN = \"hm-secret:TOKEN\" }}\n[steps.a]\nrun = '''\n{command}\n'''"
    ))
}

#[track_caller]
fn assert_hidden(project: &Project, finished: &Finished) {
    let all = [
        finished.text(),
        finished.errors(),
        project.everything_kept(),
    ]
    .concat();
    assert!(
        !all.contains(CANARY),
        "the secret was shown: {}",
        finished.said()
    );
    for encoded in ENCODED {
        assert!(
            !all.contains(encoded),
            "{encoded} was shown: {}",
            finished.said()
        );
    }
}

#[test]
fn a_step_gets_the_value_and_its_output_does_not_show_it() {
    let project = project(
        "printf %s \"$TOKEN\" | sha256sum\n\
         echo \"token=$TOKEN.\"\n\
         echo \"$TOKEN\" >&2\n\
         printf %s \"$TOKEN\" | head -c 9; sleep 0.3; printf %s \"$TOKEN\" | tail -c +10; echo\n\
         for before in '' a ab; do printf %s%s \"$before\" \"$TOKEN\" | base64; done\n\
         printf 'user:password@%s and more after it' \"$TOKEN\" | base64 -w 20\n\
         printf %s%s \"$(head -c 70 /dev/zero | tr '\\\\0' x)\" \"$TOKEN\" | base64",
    );
    for format in ["json", "plain"] {
        let finished = project
            .hm(["run", "--format", format, "--secret", "TOKEN"])
            .env("TOKEN", CANARY)
            .run()
            .expect(0);
        assert_hidden(&project, &finished);
        let text = finished.text();
        // Of the true value, made where it is known.
        let sum = project
            .program("sh")
            .args(["-c", &format!("printf %s '{CANARY}' | sha256sum")])
            .run()
            .text();
        assert!(text.contains(sum.split(' ').next().unwrap()), "{text}");
        assert!(text.contains("token=***."), "{text}");
    }
    let seen = project
        .hm(["run", "-v", "--secret", "TOKEN"])
        .env("TOKEN", CANARY)
        .on_terminal(120, 40)
        .wait();
    assert_eq!(seen.code, Some(0), "{}", seen.text());
    assert!(!seen.text().contains(CANARY), "{}", seen.text());
}

#[test]
fn a_secret_in_a_line_that_comes_in_pieces_is_hidden() {
    let project =
        project("head -c 16777200 /dev/zero | tr '\\0' x\nprintf %s \"$TOKEN\"\nprintf 'after\\n'");
    let finished = project
        .run()
        .args(["--secret", "TOKEN"])
        .env("TOKEN", CANARY)
        .run()
        .expect(0);
    assert_hidden(&project, &finished);
    let build = finished.build();
    let lines = build.step("a").stdout();
    assert!(
        lines.concat().ends_with("x***after"),
        "{} lines",
        lines.len()
    );
}

#[test]
fn a_value_can_come_from_a_file_of_several_lines() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END KEY-----";
    let project = project("echo \"$TOKEN\"\necho \"$TOKEN\" | sed -n 2p\necho \"$TOKEN\" | wc -l");
    let file = project.path().parent().unwrap().join("key.pem");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let build = project
        .run()
        .arg("--secret")
        .arg(format!("TOKEN=@{}", file.display()))
        .run()
        .expect(0)
        .build();
    assert_eq!(build.step("a").stdout(), ["***", "***", "3"]);
}

#[test]
fn what_gives_no_value_is_an_error_of_the_command_line() {
    let project = project("true");
    for (declared, says) in [
        ("TOKEN", "the variable TOKEN is not set"),
        ("TOKEN=plain", "everybody who lists processes"),
        ("TOKEN=@/nowhere/at/all", "/nowhere/at/all"),
    ] {
        project
            .run()
            .args(["--secret", declared])
            .run()
            .expect(2)
            .says(&[says]);
    }
    project
        .run()
        .run()
        .expect(7)
        .says(&["TOKEN", "--secret TOKEN"]);
    // A value on the command line stands in its place, and is none.
    project.run().args(["-e", "TOKEN=plain"]).run().expect(0);
    project
        .run()
        .args(["-e", "TOKEN=hm-secret:OTHER"])
        .run()
        .expect(7)
        .says(&["OTHER"]);
}

#[test]
fn the_name_is_part_of_the_cache_key_and_the_value_is_not() {
    let project = Project::toml(
        "[steps.a]\nimage = \"host\"\nrun = \"true\"\ncache = \"forever\"\nenv = { T = \"hm-secret:ONE\" }",
    );
    let run = |value: &str| {
        let build = project
            .run()
            .args(["--secret", "ONE", "--secret", "TWO"])
            .env("ONE", value)
            .env("TWO", value)
            .run()
            .expect(0)
            .build();
        build.step("a").is_cached
    };
    assert!(!run("first value"));
    assert!(run("second value"));
    project.write(
        ".hm/ci.toml",
        "[steps.a]\nimage = \"host\"\nrun = \"true\"\ncache = \"forever\"\nenv = { T = \"hm-secret:TWO\" }",
    );
    assert!(!run("second value"));
}

#[test]
fn a_secret_of_another_step_is_hidden_too_and_not_there() {
    let project = Project::toml(
        "image = \"host\"\n[steps.a]\nrun = 'echo \"$TOKEN\" > kept'\nenv = { TOKEN = \"hm-secret:TOKEN\" }\n\
         [steps.b]\nfrom = \"a\"\nrun = 'cat kept; echo \"[${TOKEN-none}]\"'",
    );
    let finished = project
        .run()
        .args(["--secret", "TOKEN"])
        .env("TOKEN", CANARY)
        .run()
        .expect(0);
    assert_eq!(finished.build().step("b").stdout(), ["***", "[none]"]);
}
