//! The HTTP client, against a scripted server in virtual time.

use std::time::Duration;

use hm_backend_sdk::http::{Client, Failure, Retry};
use hm_backend_sdk::{BackendError, BuildStatus, clock, source};
use hm_backend_testkit::{Answer, Outcome, Pipeline, Played, ServerRequest, Simulation};
use serde::{Deserialize, Serialize};

const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// Runs `work` with a client of the server that `serve` is.
fn play(
    serve: impl FnMut(&ServerRequest) -> Answer + 'static,
    work: impl AsyncFnOnce(Client) -> Result<(), BackendError>,
) -> Played {
    let simulation = Simulation::of(Pipeline::new()).server(serve);
    simulation.run_with(async |_, _, _| {
        work(Client::new("https://ci.example/v1/")).await?;
        Ok(BuildStatus::Passed)
    })
}

/// Answers the first requests with `first`, in turn, and then with the last of them.
fn in_turn(first: Vec<Answer>) -> impl FnMut(&ServerRequest) -> Answer {
    let mut answers = first.into_iter().peekable();
    move |_| {
        let answer = answers.next().expect("an answer for each request");
        if answers.peek().is_none() {
            answers = vec![answer.clone()].into_iter().peekable();
        }
        answer
    }
}

#[track_caller]
fn assert_fine(played: &Played) {
    assert_eq!(played.outcome, Outcome::Ended(BuildStatus::Passed));
}

#[test]
fn json_goes_out_and_comes_back() {
    #[derive(Serialize, Deserialize)]
    struct Job {
        command: String,
    }
    let played = play(
        |request| {
            let job: Job = request.json();
            let mut answer = Answer::json(&job.command.len());
            if request.header("x-team") != Some("build") {
                answer = Answer::status(400);
            }
            answer
        },
        async |client| {
            let client = client.header("X-Team", "build");
            let command = "make".into();
            let request = client.post("jobs").query("dry run", "a&b");
            let length: usize = request.json(&Job { command }).fetch().await?;
            assert_eq!(length, 4);
            Ok(())
        },
    );
    assert_fine(&played);
    let request = &played.requests[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://ci.example/v1/jobs");
    assert_eq!(request.query, "dry%20run=a%26b");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-length"), Some("18"));
    assert_eq!(request.header("accept"), Some("application/json"));
}

#[test]
fn an_overloaded_server_is_asked_again_with_growing_pauses() {
    let answers = vec![
        Answer::status(503),
        Answer::fails(Failure::BrokenOff),
        Answer::status(429).header("Retry-After", "30"),
        Answer::text("fine"),
    ];
    let played = play(in_turn(answers), async |client| {
        assert_eq!(client.get("state").send().await?.text().await?, "fine");
        Ok(())
    });
    assert_fine(&played);
    assert_eq!(played.requests.len(), 4);
    // Half to all of 0.2 and 0.4 seconds, and the 30 that were asked for.
    assert!(
        played.took > Duration::from_millis(30_300),
        "{:?}",
        played.took
    );
    assert!(
        played.took < Duration::from_millis(30_700),
        "{:?}",
        played.took
    );
}

#[test]
fn what_may_have_been_carried_out_is_not_sent_twice() {
    let broken = || in_turn(vec![Answer::fails(Failure::BrokenOff), Answer::status(200)]);
    let played = play(broken(), async |client| {
        let error = client.post("jobs").send().await.unwrap_err();
        assert_eq!(error.failure(), &Failure::BrokenOff);
        assert_eq!(
            error.to_string(),
            "POST https://ci.example/v1/jobs: the connection broke off"
        );
        Ok(())
    });
    assert_eq!(played.requests.len(), 1);
    let played = play(broken(), async |client| {
        client.post("jobs").idempotent().send().await?;
        Ok(())
    });
    assert_eq!(played.requests.len(), 2);
    // Nobody took the connection: nothing was carried out.
    let refused = in_turn(vec![Answer::fails(Failure::Refused), Answer::status(201)]);
    let played = play(refused, async |client| {
        assert_eq!(client.post("jobs").send().await?.status(), 201);
        Ok(())
    });
    assert_fine(&played);
    // A stream cannot be sent again.
    let played = play(broken(), async |client| {
        let body = hm_backend_sdk::http::Body::stream(futures::stream::iter([b"x".to_vec()]));
        client.put("file").body(body).send().await.unwrap_err();
        Ok(())
    });
    assert_eq!(played.requests.len(), 1);
}

#[test]
fn a_status_becomes_the_error_that_hm_ends_with() {
    let status = |code| Answer::text("no such thing").with_status(code);
    for (code, expected) in [
        (401, "Unauthorized"),
        (403, "Unauthorized"),
        (404, "NotFound"),
        (422, "Other"),
        (503, "Unavailable"),
    ] {
        let played = play(in_turn(vec![status(code)]), async |client| {
            client.get("x").send().await?.ok().await?;
            Ok(())
        });
        let Outcome::Error(error) = &played.outcome else {
            panic!("{:?}", played.outcome);
        };
        let text = format!("{error:?}");
        assert!(text.contains(expected), "{code}: {text}");
        assert!(text.contains("no such thing"), "{code}: {text}");
    }
    let played = play(
        in_turn(vec![Answer::fails(Failure::Denied)]),
        async |client| {
            client.get("x?token=secret").send().await?;
            Ok(())
        },
    );
    let Outcome::Error(BackendError::Denied(text)) = played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert_eq!(
        text,
        "GET https://ci.example/v1/x: the request is not granted"
    );
    assert_eq!(played.requests.len(), 1, "a denial stays one");
}

#[test]
fn a_silent_server_is_given_up() {
    let played = play(in_turn(vec![Answer::hangs()]), async |client| {
        let request = client.get("x").timeout(2 * SECOND).retry(Retry::times(2));
        let error = request.send().await.unwrap_err();
        assert_eq!(error.failure(), &Failure::TookLongerThan(2 * SECOND));
        Ok(())
    });
    assert_fine(&played);
    assert_eq!(played.requests.len(), 2);

    let slow = Answer::status(200)
        .chunk(SECOND, "a")
        .chunk(NOW, "b")
        .stays_open();
    let played = play(in_turn(vec![slow]), async |client| {
        let client = client.idle_timeout(5 * SECOND);
        let mut response = client.get("x").send().await?;
        assert_eq!(response.chunk().await?, Some(b"a".to_vec()));
        assert_eq!(response.chunk().await?, Some(b"b".to_vec()));
        // Looking in every two seconds does not make it less silent.
        let mut looks = 0;
        let error = loop {
            looks += 1;
            match clock::timeout(2 * SECOND, response.chunk()).await {
                Err(_) => {}
                Ok(chunk) => break chunk.unwrap_err(),
            }
        };
        assert_eq!(
            (looks, error.failure()),
            (3, &Failure::TookLongerThan(5 * SECOND))
        );
        Ok(())
    });
    assert_fine(&played);
    assert_eq!(played.took, 6 * SECOND);
}

#[test]
fn a_body_ends_whole_or_with_an_error() {
    let half = Answer::status(200).chunk(NOW, "{\"a\":").breaks_off();
    let played = play(in_turn(vec![half]), async |client| {
        let response = client.get("x").send().await?;
        let error = response.json::<serde_json::Value>().await.unwrap_err();
        assert_eq!(error.failure(), &Failure::BrokenOff);
        Ok(())
    });
    assert_fine(&played);
    let played = play(in_turn(vec![Answer::text("{\"a\":")]), async |client| {
        let response = client.get("x").send().await?;
        let error = response.json::<serde_json::Value>().await.unwrap_err();
        assert!(
            error.to_string().contains("is not understood: EOF"),
            "{error}"
        );
        Ok(())
    });
    assert_fine(&played);
    let played = play(
        in_turn(vec![Answer::text("x".repeat(11))]),
        async |client| {
            let error = client.limit(10).get("x").send().await?.bytes().await;
            assert_eq!(error.unwrap_err().failure(), &Failure::TooLong(10));
            Ok(())
        },
    );
    assert_fine(&played);
}

#[test]
fn events_are_followed_over_broken_connections() {
    let mut connections = 0;
    let serve = move |request: &ServerRequest| {
        connections += 1;
        let last = request.header("last-event-id");
        match (connections, last) {
            (1, None) => Answer::events()
                .event(SECOND, "1", "line", "one")
                .event(NOW, "2", "line", "two\nlines")
                .breaks_off(),
            (2, Some("2")) => Answer::status(503),
            // In order, and yet not the end.
            (3, Some("2")) => Answer::events().event(NOW, "3", "", "three"),
            (4, Some("3")) => Answer::events().stays_open(),
            (5, Some("3")) => Answer::status(204),
            other => panic!("{other:?}"),
        }
    };
    let played = play(serve, async |client| {
        let mut follow = client.idle_timeout(60 * SECOND).get("log").follow();
        let mut seen = Vec::new();
        // A reader that also looks after something else loses nothing.
        loop {
            match clock::timeout(SECOND / 10, follow.next()).await {
                Err(_) => {}
                Ok(Ok(Some(event))) => seen.push(event.data),
                Ok(end) => {
                    assert_eq!(end?, None);
                    break;
                }
            }
        }
        assert_eq!(seen, ["one", "two\nlines", "three"]);
        assert_eq!(follow.last_id(), Some("3"));
        Ok(())
    });
    assert_fine(&played);
}

#[test]
fn a_stream_of_events_that_cannot_be_had_is_given_up() {
    let played = play(in_turn(vec![Answer::status(503)]), async |client| {
        let mut follow = client.get("log").retry(Retry::times(3)).follow();
        assert_eq!(follow.next().await.unwrap_err().status(), Some(503));
        Ok(())
    });
    assert_eq!(played.requests.len(), 3);
    // One that ends in order, and never has anything to say.
    let played = play(in_turn(vec![Answer::events()]), async |client| {
        let mut follow = client.get("log").follow();
        let error = follow.next().await.unwrap_err();
        assert_eq!(error.failure(), &Failure::BrokenOff);
        Ok(())
    });
    assert_eq!(played.requests.len(), 5);
    let played = play(in_turn(vec![Answer::status(401)]), async |client| {
        client.get("log").follow().next().await.unwrap_err();
        Ok(())
    });
    assert_eq!(played.requests.len(), 1, "a login does not come by waiting");
}

#[test]
fn the_source_is_a_body() {
    let simulation = Simulation::of(Pipeline::new())
        .source(3, vec![7; 100_000])
        .server(|request| Answer::json(&request.body.len()));
    let played = simulation.run_with(async |_, _, _| {
        assert_eq!(source::measure().await?.file_count, 3);
        let client = Client::new("https://ci.example/");
        let request = client.put("source.tar.gz").body(source::archive());
        assert_eq!(request.fetch::<usize>().await?, 100_000);
        let error = source::archive().bytes(99_999).await.unwrap_err();
        assert!(
            matches!(error, BackendError::SourceTooLarge(_)),
            "{error:?}"
        );
        Ok(BuildStatus::Passed)
    });
    assert_fine(&played);
}

#[test]
fn a_wrong_base_is_told_by_the_first_request() {
    let played = Simulation::of(Pipeline::new()).run_with(async |_, _, _| {
        let client = Client::new("ci.example");
        client.get("x").send().await?;
        Ok(BuildStatus::Passed)
    });
    let Outcome::Error(BackendError::Other(text)) = played.outcome else {
        panic!("{:?}", played.outcome);
    };
    assert!(
        text.contains("`ci.example` is no URL: it is not absolute"),
        "{text}"
    );
}
