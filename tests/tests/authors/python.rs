//! Backends in Python: the same, through componentize-py.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hm_tests::{Project, cannot, shared_folder};

use crate::desk::shell;

/// As `hm backend build` names it where there is none.
const TOOL: &str = "componentize-py==0.25.1";

/// Returns a folder with the tool, made once for all tests.
fn tools() -> Result<PathBuf, String> {
    let folder = shared_folder("componentize-py");
    let venv = folder.join("venv");
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !venv.join("ready").exists() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            TOOL,
        ];
        run(Command::new(venv.join("bin/python3")).args(pip))?;
        std::fs::write(venv.join("ready"), TOOL).map_err(|error| error.to_string())?;
    }
    Ok(venv)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&said)))
}

#[test]
fn a_backend_in_python_runs_a_real_pipeline() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => return cannot("a_backend_in_python_runs_a_real_pipeline", &why),
    };
    let project = Project::new();
    let script = format!(
        "hm backend new snake --lang python
        cd snake
        ln -s {} .venv
        hm backend build
        hm backend inspect snake.wasm
        hm backend grant snake.wasm --vm --vm-image host
        hm run hello --backend ./snake.wasm
        hm backend test snake.wasm",
        tools.display()
    );
    let finished = shell(&project, &script).run();
    let said = finished.errors() + &finished.text();
    assert!(
        said.contains("snake 0.1.0"),
        "the metadata is there\n{said}"
    );
    assert!(said.contains("the greeting is there"), "{said}");
    assert!(!said.contains("\nFAIL  "), "{said}");
    finished.expect(0);
}

#[test]
fn a_backend_in_python_over_http_runs_a_real_pipeline() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => return cannot("a_backend_in_python_over_http_runs_a_real_pipeline", &why),
    };
    let project = Project::new();
    let script = format!(
        "hm backend new adder --lang python --kind http
        cd adder
        ln -s {} .venv
        hm backend build
        .venv/bin/python3 agent.py 0 > agent.out &
        agent=$!
        trap 'kill $agent' EXIT
        for _ in $(seq 100); do grep -q listening agent.out && break; sleep 0.1; done
        url=$(sed -n 's/^listening on //p' agent.out)
        printf '[backends.adder]\\nfile = \"../adder.wasm\"\\n[backends.adder.settings]\\nurl = \"%s\"\\n' \"$url\" > .hm/config.toml
        hm backend grant adder --source --http \"$url\"
        hm run hello --backend adder
        hm backend test adder.wasm --http \"$url\" --setting url=\"$url\"",
        tools.display()
    );
    let finished = shell(&project, &script).run();
    let said = finished.errors() + &finished.text();
    assert!(said.contains("the greeting is there"), "{said}");
    assert!(!said.contains("\nFAIL  "), "{said}");
    finished.expect(0);
}

#[test]
fn without_the_tool_it_is_told_what_to_install() {
    let project = Project::new();
    project
        .hm(["backend", "new", "snake", "--lang", "python"])
        .run()
        .expect(0);
    project
        .hm(["backend", "build", "snake"])
        .run()
        .expect(4)
        .says(&[
            "there is no `componentize-py`",
            "pip install componentize-py==",
        ]);
}
